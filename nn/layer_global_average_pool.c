/* SPDX-License-Identifier: MIT */
/* The mean of every channel of a sample: an image becomes a vector. */
#include "network_layer.h"

#include <stdlib.h>

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t channels = base->in.channels, pixels = base->in.height * base->in.width;
    const float share = 1.0f / (float)pixels;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float *y = a->y + i * channels;
        nn_sum_rows(pixels, channels, a->x + i * pixels * channels, y);
        for (size_t c = 0; c < channels; c++) y[c] *= share;
    }
    return NULL;
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t channels = base->in.channels, pixels = base->in.height * base->in.width;
    const float share = 1.0f / (float)pixels;
    if (!a->dx) return NULL;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float *dy = a->dy + i * channels;
        float *dx = a->dx + i * pixels * channels;
        for (size_t p = 0; p < pixels; p++) {
            for (size_t c = 0; c < channels; c++) dx[p * channels + c] = dy[c] * share;
        }
    }
    return NULL;
}

static void destroy(nn_layer *base) { free(base); }

nn_error nn_layer_global_average_pool(nn_shape in, nn_layer **layer) {
    static const nn_layer_kind kind = {"global average pool", forward, backward, NULL, destroy};
    *layer = calloc(1, sizeof **layer);
    if (!*layer) return NN_NO_MEMORY;
    (*layer)->kind = &kind;
    (*layer)->in = in;
    (*layer)->out = (nn_shape){1, 1, in.channels};
    return NULL;
}
