/* SPDX-License-Identifier: MIT */
/* Arguments that name arrays. */
#ifndef TOOLS_SHARED_LOCATION_H
#define TOOLS_SHARED_LOCATION_H

#include <stdbool.h>

/* Where an array is: "x.npy", or "model.safetensors:name" for a tensor inside a file. */
struct location {
    char *path;
    const char *name; /* NULL: the file is the array */
};

/* false: message, MESSAGE_BYTES long, says what is wrong with the argument (or that memory is short). */
bool location_parse(struct location *location, const char *argument, char *message);
void location_free(struct location *location);

#endif
