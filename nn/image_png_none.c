/* SPDX-License-Identifier: MIT */
/* Linked where libpng was not found. */
#include <stdio.h>

#include "image.h"
#include "message.h"

bool nn_decode_png(const uint8_t *bytes, size_t count, nn_image *image, char *message) {
    (void)bytes, (void)count, (void)image;
    snprintf(message, NN_MESSAGE_BYTES, "a PNG file, and this was built without libpng (Debian: libpng-dev)");
    return false;
}
