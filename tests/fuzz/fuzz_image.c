/* SPDX-License-Identifier: MIT */
/* Any bytes as an image file: refused with a message, or an image all of whose pixels are there. */
#include <stdlib.h>

#include "nn/image.h"
#include "nn/message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[NN_MESSAGE_BYTES] = "";
    nn_image image;
    if (!nn_image_decode(bytes, count, &image, message)) {
        fuzz_refused(message, image.pixels);
        return 0;
    }
    fuzz_expect(image.channels == 1 || image.channels == 3);
    fuzz_took(image.pixels, image.height * image.width * image.channels);
    free(image.pixels);
    return 0;
}
