/* SPDX-License-Identifier: MIT */
/* Max pooling 2x2, stride 2. An odd last row or column is left out, as in PyTorch. */
#include "network_layer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vectorize.h"

struct max_pool_layer {
    nn_layer base;
    uint8_t *choice; /* for every element of y: which of the four won, in reading order */
};

/* The first of equals wins; a NaN always does. */
static inline uint8_t larger(float v, float best) { return (uint8_t)((v > best) | (v != v)); }

/* One pixel of y from the four of x below it, for all channels. */
NN_VECTORIZED static void pool_pixel(size_t channels, size_t row, const float *restrict x, float *restrict y,
                                     uint8_t *restrict choice) {
    const float *restrict v1 = x + channels, *restrict v2 = x + row, *restrict v3 = x + row + channels;
    for (size_t c = 0; c < channels; c++) {
        float best = x[c];
        uint8_t which = 0;
        which = larger(v1[c], best) ? 1 : which;
        best = larger(v1[c], best) ? v1[c] : best;
        which = larger(v2[c], best) ? 2 : which;
        best = larger(v2[c], best) ? v2[c] : best;
        which = larger(v3[c], best) ? 3 : which;
        best = larger(v3[c], best) ? v3[c] : best;
        y[c] = best;
        choice[c] = which;
    }
}

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    uint8_t *choice = ((struct max_pool_layer *)base)->choice;
    const nn_shape in = base->in, out = base->out;
    const size_t row = in.width * in.channels, rows = n * out.height;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *from = a->x + (r / out.height * in.height + r % out.height * 2) * row;
        for (size_t w = 0; w < out.width; w++) {
            const size_t to = (r * out.width + w) * out.channels;
            pool_pixel(out.channels, row, from + 2 * w * in.channels, a->y + to, choice + to);
        }
    }
    return NULL;
}

NN_VECTORIZED static void spread_pixel(size_t channels, size_t row, const float *restrict dy, const uint8_t *restrict choice,
                                       float *restrict dx) {
    float *restrict d1 = dx + channels, *restrict d2 = dx + row, *restrict d3 = dx + row + channels;
    for (size_t c = 0; c < channels; c++) {
        const float gradient = dy[c];
        dx[c] = choice[c] == 0 ? gradient : 0.0f;
        d1[c] = choice[c] == 1 ? gradient : 0.0f;
        d2[c] = choice[c] == 2 ? gradient : 0.0f;
        d3[c] = choice[c] == 3 ? gradient : 0.0f;
    }
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    float *dx = a->dx;
    if (!dx) return NULL;
    const uint8_t *choice = ((struct max_pool_layer *)base)->choice;
    const nn_shape in = base->in, out = base->out;
    const size_t row = in.width * in.channels, rows = n * out.height;
    if (in.height % 2 || in.width % 2) memset(dx, 0, n * nn_shape_size(in) * sizeof *dx); /* what was left out */
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        float *to = dx + (r / out.height * in.height + r % out.height * 2) * row;
        for (size_t w = 0; w < out.width; w++) {
            const size_t from = (r * out.width + w) * out.channels;
            spread_pixel(out.channels, row, a->dy + from, choice + from, to + 2 * w * in.channels);
        }
    }
    return NULL;
}

static void destroy(nn_layer *base) {
    free(((struct max_pool_layer *)base)->choice);
    free(base);
}

nn_error nn_layer_max_pool(nn_shape in, size_t capacity, nn_layer **layer) {
    static const nn_layer_kind kind = {"max pool", forward, backward, NULL, destroy};
    struct max_pool_layer *pool = calloc(1, sizeof *pool);
    if (!pool) return NN_NO_MEMORY;
    pool->base.kind = &kind;
    pool->base.in = in;
    pool->base.out = (nn_shape){in.height / 2, in.width / 2, in.channels};
    *layer = &pool->base;
    pool->choice = calloc(capacity, nn_shape_size(pool->base.out));
    return pool->choice ? NULL : NN_NO_MEMORY;
}
