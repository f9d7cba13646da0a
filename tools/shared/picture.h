/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SHARED_PICTURE_H
#define TOOLS_SHARED_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether there is a library that writes PNG. */
bool picture_possible(void);
/* pixels: [height][width][channels], 1 or 3 channels, as "data:image/png;base64,..."; to be freed. NULL if it cannot be
 * made. */
char *picture_uri(const uint8_t *pixels, size_t height, size_t width, size_t channels);

#endif
