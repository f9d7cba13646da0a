/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "dataset.h"
#include "rng.h"

enum { STEP = 48, ROW_BYTES = NN_IMAGE_MAX_SIDE * NN_MAX_CHANNELS };

/* Mean and rstd of each of STEP bytes in a row: a multiple of 1 and of 3 channels, so that one loop does both, in vectors. */
struct scale {
    float mean[STEP], rstd[STEP];
};

static void normalize(const struct scale *scale, const uint8_t *pixels, size_t count, float *x) {
    for (; count >= STEP; count -= STEP, pixels += STEP, x += STEP) {
        for (size_t j = 0; j < STEP; j++) x[j] = ((float)pixels[j] - scale->mean[j]) * scale->rstd[j];
    }
    for (size_t j = 0; j < count; j++) x[j] = ((float)pixels[j] - scale->mean[j]) * scale->rstd[j];
}

/* Where the image is cut out of its padded version, rows and columns from the padding's corner; and whether it is flipped. */
struct view {
    size_t top, left;
    bool flip;
};

/* The finalizer of SplitMix64 (S. Vigna 2015): inputs that differ little give outputs that have nothing in common. */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct view draw(const nn_augmentation *augmentation, uint32_t image) {
    const uint64_t seed = mix(mix(mix(augmentation->seed) ^ augmentation->epoch) ^ image);
    nn_rng rng = nn_rng_create(seed, UINT64_C(1) << 32); /* not a stream of the layers or of the shuffle */
    struct view view = {0};
    view.top = nn_rng_below(&rng, 2 * augmentation->shift + 1);
    view.left = nn_rng_below(&rng, 2 * augmentation->shift + 1);
    view.flip = (nn_rng_next(&rng) >> 31) && augmentation->flip;
    return view;
}

static void reverse(uint8_t *row, size_t width, size_t channels) {
    for (size_t i = 0, k = width - 1; i < k; i++, k--) {
        for (size_t c = 0; c < channels; c++) {
            const uint8_t byte = row[i * channels + c];
            row[i * channels + c] = row[k * channels + c];
            row[k * channels + c] = byte;
        }
    }
}

/* A row of bytes is put together, black where it lies outside, and normalized at once. */
static void augment(const nn_dataset *dataset, const struct scale *scale, const uint8_t *pixels, size_t shift, struct view view,
                    float *x) {
    const nn_shape s = dataset->image;
    const size_t bytes = s.width * s.channels;
    const size_t from = view.left > shift ? view.left - shift : 0, to = view.left < shift ? shift - view.left : 0;
    const size_t inside = from + to < s.width ? s.width - from - to : 0; /* columns; one of both is 0 */
    uint8_t row[ROW_BYTES];
    memset(row, 0, bytes);
    for (size_t i = 0; i < s.height; i++, x += bytes) {
        const size_t y = i + view.top - shift; /* above the image it wraps to a large number */
        if (y < s.height)
            memcpy(row + to * s.channels, pixels + y * bytes + from * s.channels, inside * s.channels);
        else
            memset(row, 0, bytes);
        if (y < s.height && view.flip) reverse(row, s.width, s.channels);
        normalize(scale, row, bytes, x);
        if (view.flip) memset(row, 0, bytes); /* what is black changed its side */
    }
}

void nn_dataset_batch(const nn_dataset *dataset, const uint32_t *order, size_t n, const nn_augmentation *augmentation, float *x,
                      uint8_t *labels) {
    const size_t size = nn_shape_size(dataset->image);
    struct scale scale;
    for (size_t j = 0; j < STEP; j++) {
        scale.mean[j] = dataset->mean[j % dataset->image.channels];
        scale.rstd[j] = dataset->rstd[j % dataset->image.channels];
    }
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        const uint8_t *pixels = dataset->pixels + order[i] * size;
        if (augmentation)
            augment(dataset, &scale, pixels, augmentation->shift, draw(augmentation, order[i]), x + i * size);
        else
            normalize(&scale, pixels, size, x + i * size);
        if (labels) labels[i] = dataset->labels[order[i]];
    }
}
