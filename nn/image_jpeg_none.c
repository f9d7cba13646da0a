/* SPDX-License-Identifier: MIT */
/* Linked where libjpeg was not found. */
#include <stdio.h>

#include "image.h"
#include "message.h"

bool nn_decode_jpeg(const uint8_t *bytes, size_t count, nn_image *image, char *message) {
    (void)bytes, (void)count, (void)image;
    snprintf(message, NN_MESSAGE_BYTES, "a JPEG file, and this was built without libjpeg (Debian: libjpeg-dev)");
    return false;
}
