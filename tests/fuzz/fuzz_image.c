/* SPDX-License-Identifier: MIT */
/* Any bytes as an image file: refused with a message, or an image all of whose pixels are there. */
#include <stdlib.h>

#include "nn/image.h"
#include "nn/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* So that reading is not left out. */
volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[NN_MESSAGE_BYTES];
    nn_image image;
    message[0] = '\0';
    if (!nn_image_decode(bytes, count, &image, message)) {
        if (!message[0] || image.pixels) abort();
        return 0;
    }
    if (image.channels != 1 && image.channels != 3) abort();
    for (size_t i = 0; i < image.height * image.width * image.channels; i++) sink += image.pixels[i];
    free(image.pixels);
    return 0;
}
