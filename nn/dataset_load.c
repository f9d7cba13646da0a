/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "dataset.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataset_kinds.h"

/* Mean and 1 / standard deviation of each channel, from sums that are exact: 2^64 / 255^2 pixels fit. */
static void measure(nn_dataset *dataset) {
    const size_t channels = dataset->image.channels, pixels = dataset->count * dataset->image.height * dataset->image.width;
    for (size_t c = 0; c < channels; c++) {
        const uint8_t *p = dataset->pixels + c;
        uint64_t sum = 0, squares = 0;
        for (size_t i = 0; i < pixels; i++, p += channels) {
            sum += *p;
            squares += (uint64_t)*p * *p;
        }
        const double mean = (double)sum / (double)pixels;
        const double variance = (double)squares / (double)pixels - mean * mean; /* of bytes: nothing cancels badly */
        dataset->mean[c] = (float)mean;
        dataset->rstd[c] = variance > 0 ? (float)(1 / sqrt(variance)) : 1.0f;
    }
}

static nn_loaded load(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test, char *message) {
    static nn_loader *const loaders[] = {nn_load_cifar, nn_load_idx, nn_load_folder};
    struct stat about;
    if (strcmp(path, "-") == 0) {
        nn_wrong(message, path, "no data set can be read from there; it must be a file or a folder");
        return NN_BROKEN;
    }
    if (stat(path, &about) != 0) {
        nn_wrong(message, path, "%s; it must be a data set%s", strerror(errno),
                 strcmp(path, NN_DATASET_DEFAULT) == 0 ? " (Debian: install dataset-fashion-mnist; elsewhere: --data PATH)"
                                                       : "");
        return NN_BROKEN;
    }
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++) {
        const nn_loaded loaded = loaders[i](path, options, train, test, message);
        if (loaded != NN_NOT_THIS_KIND) return loaded;
    }
    nn_wrong(
        message, path,
        "no data set is recognized here; looked for IDX files (train-images-idx3-ubyte or the same with .gz), CIFAR's binary "
        "files (data_batch_1.bin or train.bin) and folders of PNG or JPEG files, one for each class");
    return NN_BROKEN;
}

/* Images that no loader made so, as those of IDX. */
static bool fit(nn_dataset *dataset, const nn_size *size, const char *path, char *message) {
    const nn_shape was = dataset->image, is = {size->height, size->width, was.channels};
    if (size->height == 0 || (was.height == is.height && was.width == is.width)) return true;
    uint8_t *pixels = malloc(dataset->count * nn_shape_size(is));
    nn_image image = {0};
    bool done = pixels != NULL;
    for (size_t i = 0; done && i < dataset->count; i++) {
        image = (nn_image){was.height, was.width, was.channels, malloc(nn_shape_size(was))};
        if (image.pixels) memcpy(image.pixels, dataset->pixels + i * nn_shape_size(was), nn_shape_size(was));
        done = image.pixels && nn_image_fit(&image, size, message);
        if (done) memcpy(pixels + i * nn_shape_size(is), image.pixels, nn_shape_size(is));
        free(image.pixels);
    }
    if (!done) return free(pixels), nn_wrong(message, path, NN_NO_MEMORY);
    free(dataset->pixels);
    dataset->pixels = pixels;
    dataset->image = is;
    return true;
}

bool nn_dataset_load_with(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test,
                          char *message) {
    const uint32_t limit = options->limit;
    *train = *test = (nn_dataset){0};
    bool done = load(path, options, train, test, message) == NN_LOADED;
    if (done && train->classes < 2) done = nn_wrong(message, path, "all images are of one class; there must be at least 2");
    if (done) {
        if (!train->class_names) train->class_names = nn_copy_names(NULL, train->classes);
        if (train->class_names) test->class_names = nn_copy_names((const char *const *)train->class_names, train->classes);
        if (!test->class_names) done = nn_wrong(message, path, NN_NO_MEMORY);
    }
    if (done && limit > 0 && limit < train->count) train->count = limit;
    done = done && fit(train, &options->size, path, message) && fit(test, &options->size, path, message);
    if (!done) {
        nn_dataset_free(train);
        nn_dataset_free(test);
        return false;
    }
    measure(train);
    memcpy(test->mean, train->mean, sizeof test->mean); /* nothing may be learned from the test images, not even this */
    memcpy(test->rstd, train->rstd, sizeof test->rstd);
    return true;
}

bool nn_dataset_load(const char *path, uint32_t limit, nn_dataset *train, nn_dataset *test, char *message) {
    return nn_dataset_load_with(path, &(nn_data_options){.limit = limit}, train, test, message);
}

void nn_dataset_free(nn_dataset *dataset) {
    free(dataset->pixels);
    free(dataset->labels);
    free(dataset->class_names);
    *dataset = (nn_dataset){0};
}

bool nn_dataset_read_image(const char *path, nn_shape shape, const nn_size *size, uint8_t *pixels, char *message) {
    const nn_image_options options = {.size = *size, .any_file = true};
    nn_image image;
    if (!nn_image_read_as(path, &options, &image, message)) return false;
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
