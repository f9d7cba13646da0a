/* SPDX-License-Identifier: MIT */
/* Without libpng. */
#include "picture.h"

bool picture_possible(void) { return false; }

char *picture_uri(const uint8_t *pixels, size_t height, size_t width, size_t channels) {
    (void)pixels;
    (void)height;
    (void)width;
    (void)channels;
    return 0;
}
