/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static bool fail(char *message, const char *path, const char *what) {
    snprintf(message, NN_MESSAGE_BYTES, "%s: %s", path, what);
    return false;
}

/* The plain file if it is there, else the compressed one. */
static bool find(const char *directory, const char *name, char *path, char *message) {
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < 2; i++) {
        const int length = snprintf(path, PATH_BYTES, "%s/%s%s", directory, name, endings[i]);
        if (length < 0 || length >= PATH_BYTES) return fail(message, directory, "the name is too long");
        if (access(path, F_OK) == 0) return true;
    }
    snprintf(message, NN_MESSAGE_BYTES,
             "%s: there is no %s or %s.gz here (Debian: install dataset-fashion-mnist; elsewhere: --data DIR)", directory, name,
             name);
    return false;
}

static bool load_images(const char *path, nn_dataset *dataset, char *message) {
    nn_idx idx;
    if (!nn_idx_read(path, &idx, message)) return false;
    dataset->pixels = idx.bytes;
    if (idx.rank != 3) return fail(message, path, "images must have 3 dimensions: count, 28, 28");
    if (idx.shape[1] != NN_IMAGE_SIDE || idx.shape[2] != NN_IMAGE_SIDE) {
        snprintf(message, NN_MESSAGE_BYTES, "%s: images are %zu x %zu; they must be 28 x 28", path, idx.shape[1], idx.shape[2]);
        return false;
    }
    if (idx.shape[0] == 0) return fail(message, path, "there are no images");
    dataset->count = (uint32_t)idx.shape[0]; /* the format has 32 bits for it */
    return true;
}

static bool load_labels(const char *path, nn_dataset *dataset, char *message) {
    nn_idx idx;
    if (!nn_idx_read(path, &idx, message)) return false;
    dataset->labels = idx.bytes;
    if (idx.rank != 1) return fail(message, path, "labels must have 1 dimension");
    if (idx.shape[0] != dataset->count) {
        snprintf(message, NN_MESSAGE_BYTES, "%s: %zu labels for %u images", path, idx.shape[0], (unsigned)dataset->count);
        return false;
    }
    for (uint32_t i = 0; i < dataset->count; i++) {
        if (idx.bytes[i] < NN_CLASSES) continue;
        snprintf(message, NN_MESSAGE_BYTES, "%s: label %u is %u; it must be 0 to 9", path, (unsigned)i, (unsigned)idx.bytes[i]);
        return false;
    }
    return true;
}

static bool load(const char *directory, const char *images, const char *labels, nn_dataset *dataset, char *message) {
    char path[PATH_BYTES];
    return find(directory, images, path, message) && load_images(path, dataset, message) &&
           find(directory, labels, path, message) && load_labels(path, dataset, message);
}

static void measure(nn_dataset *dataset) {
    uint64_t sum = 0, squares = 0; /* 2^32 images of 784 pixels fit */
    const size_t count = (size_t)dataset->count * NN_IMAGE_SIZE;
    for (size_t i = 0; i < count; i++) {
        sum += dataset->pixels[i];
        squares += (uint64_t)dataset->pixels[i] * dataset->pixels[i];
    }
    const double mean = (double)sum / (double)count;
    const double variance = (double)squares / (double)count - mean * mean; /* of bytes: nothing cancels badly */
    dataset->mean = (float)mean;
    dataset->rstd = variance > 0 ? (float)(1 / sqrt(variance)) : 1.0f;
}

bool nn_dataset_load(const char *directory, uint32_t limit, nn_dataset *train, nn_dataset *test, char *message) {
    *train = *test = (nn_dataset){0};
    if (!load(directory, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", train, message) ||
        !load(directory, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", test, message)) {
        nn_dataset_free(train);
        nn_dataset_free(test);
        return false;
    }
    if (limit > 0 && limit < train->count) train->count = limit;
    measure(train);
    test->mean = train->mean; /* nothing may be learned from the test images, not even this */
    test->rstd = train->rstd;
    return true;
}

void nn_dataset_free(nn_dataset *dataset) {
    free(dataset->pixels);
    free(dataset->labels);
    *dataset = (nn_dataset){0};
}

void nn_dataset_batch(const nn_dataset *dataset, const uint32_t *order, size_t n, float *x, uint8_t *labels) {
    const float mean = dataset->mean, rstd = dataset->rstd;
    for (size_t i = 0; i < n; i++, x += NN_IMAGE_SIZE) {
        const uint8_t *pixels = dataset->pixels + (size_t)order[i] * NN_IMAGE_SIZE;
        for (size_t j = 0; j < NN_IMAGE_SIZE; j++) x[j] = ((float)pixels[j] - mean) * rstd;
        labels[i] = dataset->labels[order[i]];
    }
}
