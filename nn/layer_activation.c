/* SPDX-License-Identifier: MIT */
/* relu(x) = max(x, 0); sigmoid(x) = 1 / (1 + exp(-x)); tanh. All gradients can be read off y, so y may overwrite x. */
#include "network_layer.h"

#include <math.h>
#include <stdlib.h>

#include "vectorize.h"

/* y = f(x), and dx = dy f'(x); x may be y, and dy dx. */
typedef void forward_loop(size_t count, const float *x, float *y);
typedef void backward_loop(size_t count, const float *y, const float *dy, float *dx);

struct activation_layer {
    nn_layer base;
    forward_loop *forward;
    backward_loop *backward;
};

NN_VECTORIZED static void identity_forward(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = x[i];
}

NN_VECTORIZED static void identity_backward(size_t count, const float *y, const float *dy, float *dx) {
    (void)y;
    for (size_t i = 0; i < count; i++) dx[i] = dy[i];
}

/* A NaN passes: a diverging network must not look healthy. */
NN_VECTORIZED static void relu_forward(size_t count, const float *x, float *y) {
    for (size_t i = 0; i < count; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

NN_VECTORIZED static void relu_backward(size_t count, const float *y, const float *dy, float *dx) {
    for (size_t i = 0; i < count; i++) {
        const float gradient = dy[i]; /* read in any case, or compilers cannot vectorize */
        dx[i] = y[i] > 0.0f ? gradient : 0.0f;
    }
}

NN_VECTORIZED static void sigmoid_forward(size_t count, const float *x, float *y) {
    NN_SIMD
    for (size_t i = 0; i < count; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
}

NN_VECTORIZED static void sigmoid_backward(size_t count, const float *y, const float *dy, float *dx) {
    for (size_t i = 0; i < count; i++) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

NN_VECTORIZED static void tanh_forward(size_t count, const float *x, float *y) {
    NN_SIMD
    for (size_t i = 0; i < count; i++) y[i] = tanhf(x[i]);
}

NN_VECTORIZED static void tanh_backward(size_t count, const float *y, const float *dy, float *dx) {
    for (size_t i = 0; i < count; i++) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    forward_loop *loop = ((struct activation_layer *)base)->forward;
    const size_t count = n * nn_shape_size(base->in);
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < nn_blocks(count); b++) loop(nn_block_size(count, b), a->x + b * NN_BLOCK, a->y + b * NN_BLOCK);
    return NULL;
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    backward_loop *loop = ((struct activation_layer *)base)->backward;
    const size_t count = a->dx ? n * nn_shape_size(base->in) : 0;
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < nn_blocks(count); b++) {
        const size_t at = b * NN_BLOCK;
        loop(nn_block_size(count, b), a->y + at, a->dy + at, a->dx + at);
    }
    return NULL;
}

static void destroy(nn_layer *base) { free(base); }

nn_error nn_layer_activation(nn_shape in, nn_activation activation, nn_layer **layer) {
    static const nn_layer_kind kinds[] = {
        [NN_IDENTITY] = {"identity", forward, backward, NULL, destroy},
        [NN_RELU] = {"relu", forward, backward, NULL, destroy},
        [NN_SIGMOID] = {"sigmoid", forward, backward, NULL, destroy},
        [NN_TANH] = {"tanh", forward, backward, NULL, destroy},
    };
    static forward_loop *const forwards[] = {identity_forward, relu_forward, sigmoid_forward, tanh_forward};
    static backward_loop *const backwards[] = {identity_backward, relu_backward, sigmoid_backward, tanh_backward};
    struct activation_layer *made = calloc(1, sizeof *made);
    *layer = NULL;
    if (!made) return NN_NO_MEMORY;
    made->base.kind = &kinds[activation];
    made->base.in = made->base.out = in;
    made->base.uses = (nn_uses){.reads_y = activation != NN_IDENTITY, .y_may_be_x = true, .dx_may_be_dy = true};
    made->forward = forwards[activation];
    made->backward = backwards[activation];
    *layer = &made->base;
    return NULL;
}
