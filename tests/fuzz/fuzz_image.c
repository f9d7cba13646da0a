/* SPDX-License-Identifier: MIT */
/* Any bytes as an image file: refused with a message, or an image all of whose pixels are there, which becomes one of another
 * size. */
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
    const nn_size size = {1 + bytes[count - 1] % 40, 1 + bytes[count / 2] % 40, count % 2 ? NN_CROP : NN_STRETCH};
    if (nn_image_fit(&image, &size, message)) {
        fuzz_expect(image.height == size.height && image.width == size.width);
        fuzz_took(image.pixels, image.height * image.width * image.channels);
    }
    free(image.pixels);
    return 0;
}
