/* SPDX-License-Identifier: MIT */
/* relu(x) = max(x, 0); sigmoid(x) = 1 / (1 + exp(-x)); tanh. All gradients can be read off y, so y may overwrite x. */
#include "layer.h"

#include <math.h>
#include <stdlib.h>

static nn_error identity_forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = n * nn_shape_size(base->in);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) a->y[i] = a->x[i];
    return NULL;
}

static nn_error identity_backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = a->dx ? n * nn_shape_size(base->in) : 0;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) a->dx[i] = a->dy[i];
    return NULL;
}

/* A NaN passes: a diverging network must not look healthy. */
static nn_error relu_forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = n * nn_shape_size(base->in);
    const float *x = a->x;
    float *y = a->y;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i];
    return NULL;
}

static nn_error relu_backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = a->dx ? n * nn_shape_size(base->in) : 0;
    const float *y = a->y, *dy = a->dy;
    float *dx = a->dx;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        const float gradient = dy[i]; /* read in any case, or compilers cannot vectorize */
        dx[i] = y[i] > 0.0f ? gradient : 0.0f;
    }
    return NULL;
}

static nn_error sigmoid_forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = n * nn_shape_size(base->in);
    const float *x = a->x;
    float *y = a->y;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
    return NULL;
}

static nn_error sigmoid_backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = a->dx ? n * nn_shape_size(base->in) : 0;
    const float *y = a->y, *dy = a->dy;
    float *dx = a->dx;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
    return NULL;
}

static nn_error tanh_forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = n * nn_shape_size(base->in);
    const float *x = a->x;
    float *y = a->y;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) y[i] = tanhf(x[i]);
    return NULL;
}

static nn_error tanh_backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = a->dx ? n * nn_shape_size(base->in) : 0;
    const float *y = a->y, *dy = a->dy;
    float *dx = a->dx;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
    return NULL;
}

static void destroy(nn_layer *base) { free(base); }

nn_error nn_layer_activation(nn_shape in, nn_activation activation, nn_layer **layer) {
    static const nn_layer_kind kinds[] = {
        [NN_IDENTITY] = {"identity", identity_forward, identity_backward, NULL, destroy},
        [NN_RELU] = {"relu", relu_forward, relu_backward, NULL, destroy},
        [NN_SIGMOID] = {"sigmoid", sigmoid_forward, sigmoid_backward, NULL, destroy},
        [NN_TANH] = {"tanh", tanh_forward, tanh_backward, NULL, destroy},
    };
    *layer = calloc(1, sizeof **layer);
    if (!*layer) return NN_NO_MEMORY;
    (*layer)->kind = &kinds[activation];
    (*layer)->in = (*layer)->out = in;
    (*layer)->uses = (nn_uses){.reads_y = activation != NN_IDENTITY, .y_may_be_x = true, .dx_may_be_dy = true};
    return NULL;
}
