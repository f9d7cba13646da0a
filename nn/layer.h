/* SPDX-License-Identifier: MIT */
/* One step of a network, y = f(x; parameters), and its gradients.
 *
 * Arrays hold n samples of in or out, channels last: [n][height][width][channels]. Each layer_*.c is one operator: its struct
 * begins with a nn_layer, and its loops stand next to it.
 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include "backend.h"
#include "rng.h"

/* The size of one sample; a vector is 1 x 1 x channels. */
typedef struct nn_shape {
    size_t height, width, channels;
} nn_shape;

/* A learnable array and the gradient of the loss with respect to it. */
typedef struct nn_parameter {
    const char *name;
    float *value, *grad;
    size_t count;
} nn_parameter;

typedef struct nn_layer nn_layer;

/* What an operator can do. Gradients of parameters are overwritten, not accumulated. */
typedef struct nn_layer_kind {
    const char *name;
    nn_error (*forward)(nn_layer *layer, size_t n, const float *x, float *y);
    /* x and y are those of the forward before; dx is NULL where nobody needs it. */
    nn_error (*backward)(nn_layer *layer, size_t n, const float *x, const float *y, const float *dy, float *dx);
    void (*set_training)(nn_layer *layer, bool training); /* NULL: the operator does the same in both modes */
    void (*destroy)(nn_layer *layer);
} nn_layer_kind;

struct nn_layer {
    const nn_layer_kind *kind;
    nn_shape in, out;
    bool y_may_be_x;   /* forward may overwrite its input: nothing reads it later */
    bool dx_may_be_dy; /* backward may overwrite the gradient it gets */
    nn_parameter parameters[2];
    size_t parameter_count;
    double seconds; /* spent in forward and backward so far */
};

typedef enum nn_activation { NN_RELU, NN_SIGMOID } nn_activation;

/* Each makes one layer for at most `capacity` samples. rng draws the initial weights. */
nn_error nn_layer_conv(nn_backend *backend, nn_rng *rng, nn_shape in, size_t out, bool bias, nn_layer **layer);
nn_error nn_layer_linear(nn_backend *backend, nn_rng *rng, nn_shape in, size_t out, bool bias, nn_layer **layer);
nn_error nn_layer_batch_norm(nn_shape in, int threads, nn_layer **layer);
nn_error nn_layer_activation(nn_shape in, nn_activation activation, nn_layer **layer);
nn_error nn_layer_max_pool(nn_shape in, size_t capacity, nn_layer **layer);

/* For the layers themselves. */

static inline size_t nn_shape_size(nn_shape shape) { return shape.height * shape.width * shape.channels; }

/* Floats on a 64-byte boundary, zeroed; free() them. NULL when there is no memory. */
float *nn_floats(size_t count);
/* A parameter of `count` floats drawn as PyTorch does for convolution and linear layers: uniform in +-1/sqrt(fan_in). */
nn_error nn_add_parameter(nn_layer *layer, const char *name, size_t count, size_t fan_in, nn_rng *rng);
void nn_free_parameters(nn_layer *layer);

#define NN_NO_MEMORY "memory could not be allocated"

#endif
