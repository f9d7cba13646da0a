/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dataset_kinds.h"

static bool put(const char *path, nn_shape shape, uint8_t *pixels, char *message) {
    nn_image image;
    if (!nn_image_read(path, &image, message)) return false;
    bool done = true;
    if (image.height != shape.height || image.width != shape.width) {
        done = nn_wrong(message, path,
                        "the image is %zu wide and %zu high; it must be %zu wide and %zu high, as those of the training",
                        image.width, image.height, shape.width, shape.height);
    } else if (!nn_image_set_channels(&image, shape.channels)) {
        done = nn_wrong(message, path, NN_NO_MEMORY);
    } else {
        memcpy(pixels, image.pixels, nn_shape_size(shape));
    }
    free(image.pixels);
    return done;
}

bool nn_dataset_read_images(char *const *paths, uint32_t count, nn_shape image, nn_dataset *dataset, char *message) {
    const size_t bytes = nn_shape_size(image);
    *dataset = (nn_dataset){.count = count, .image = image, .rstd = {1, 1, 1}};
    dataset->pixels = calloc(count > 0 ? count : 1, bytes);
    dataset->labels = calloc(count > 0 ? count : 1, 1);
    bool done = (dataset->pixels && dataset->labels) || nn_wrong(message, "the images", NN_NO_MEMORY);
    for (uint32_t i = 0; done && i < count; i++) done = put(paths[i], image, dataset->pixels + i * bytes, message);
    if (!done) nn_dataset_free(dataset);
    return done;
}
