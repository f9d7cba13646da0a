/* SPDX-License-Identifier: MIT */
/* One step of a network, y = f(x, z; parameters), and its gradients.
 *
 * Arrays hold n samples of in or out, channels last: [n][height][width][channels]. Each layer_*.c is one operator: its
 * struct begins with a nn_layer, and its loops stand next to it. What a layer lets happen to its arrays is said in its uses:
 * the network places them in memory accordingly. */
#ifndef NN_NETWORK_LAYER_H
#define NN_NETWORK_LAYER_H

#include "backend.h"
#include "batchnorm/batchnorm.h"
#include "batchnorm/tensor.h"
#include "floats.h"
#include "ranks.h"
#include "rng.h"
#include "shape.h"

enum { NN_NAME_BYTES = 64 };

/* Those of the library, with its numbers, and one more. */
typedef enum nn_activation {
#define NN_ACTIVATION(kind, word, parameter, by_y) NN_##kind = BATCHNORM_##kind,
    BATCHNORM_ACTIVATION_LIST(NN_ACTIVATION)
#undef NN_ACTIVATION
        NN_TANH
} nn_activation;

/* A learnable array and the gradient of the loss with respect to it. In memory it is [out][height][width][in]. PyTorch's
 * shape is [out] where rank is 1, [out, in * height * width] where it is 2 (there the index of `in` varies slowest), and
 * [out, in, height, width] where it is 4. */
typedef struct nn_parameter {
    char name[NN_NAME_BYTES]; /* PyTorch's: "layer1.0.conv1.weight" */
    float *value, *grad;
    float *slots; /* with grad as slot 0, slots 1 to `room` of a pile; NULL: none */
    size_t room;
    size_t count;
    size_t out, height, width, in;
    int rank;
    bool norm;   /* the weight or the bias of a norm layer */
    bool frozen; /* grad stays 0, and an optimizer must leave it alone */
} nn_parameter;

/* The step that a layer is in. */
typedef struct nn_part {
    nn_ranks *ranks; /* NULL: alone */
    size_t first;    /* where in the batch of all ranks this one's samples begin; at the beginning of a shard */
} nn_part;

/* What goes in and out. z is NULL unless the layer has two inputs; dx and dz are NULL where nobody needs them. */
typedef struct nn_arrays {
    const float *x, *z;
    float *y;
    const float *dy;
    float *dx, *dz;
} nn_arrays;

/* Which arrays backward reads, and which may share their memory. Where two share it, they are the same array, not only a
 * part. */
typedef struct nn_uses {
    bool reads_x, reads_z, reads_y; /* in backward; what it does not read may be overwritten before */
    bool y_may_be_x, y_may_be_z;    /* in forward */
    bool dx_may_be_dy, dx_may_be_x; /* in backward */
    bool dz_may_be_dy;              /* then dx is not dy */
    bool y_tells_x;                 /* backward can do with y in the place of x */
} nn_uses;

typedef struct nn_layer nn_layer;

/* What an operator can do. Gradients of parameters are overwritten, not accumulated. With ranks they are the piles of this one,
 * but those of batch norm: what its collective gave, or where it takes the statistics of each rank alone, this one's. */
typedef struct nn_layer_kind {
    const char *name;
    nn_error (*forward)(nn_layer *layer, size_t n, const nn_arrays *a);
    /* The arrays are those of the forward before, as far as `uses` keeps them. */
    nn_error (*backward)(nn_layer *layer, size_t n, const nn_arrays *a);
    void (*set_training)(nn_layer *layer, bool training); /* NULL: the operator does the same in both modes */
    void (*destroy)(nn_layer *layer);
} nn_layer_kind;

struct nn_layer {
    const nn_layer_kind *kind;
    char name[NN_NAME_BYTES]; /* PyTorch's module path, or that of the kind where it would have none */
    nn_shape in, out;         /* z has the shape of out */
    nn_uses uses;
    nn_parameter parameters[2];
    size_t parameter_count;
    const nn_part *part;                      /* the network's; NULL: alone */
    struct batchnorm_layer *norm;             /* of a batch norm: parameters and running statistics; NULL for any other layer */
    double forward_seconds, backward_seconds; /* spent so far */
};

/* kernel: 1 or 3 pixels square; stride 1 or 2; the padding is kernel / 2, so that stride 1 keeps the size. */
typedef struct nn_conv_options {
    size_t channels, kernel, stride;
    bool bias;
} nn_conv_options;

typedef struct nn_batch_norm_options {
    nn_activation activation; /* not NN_TANH */
    bool residual;            /* z is added before the activation */
    bool frozen;              /* running statistics in training too, and no gradients of the parameters */
    int threads;
} nn_batch_norm_options;

/* Each makes one layer for at most `capacity` samples. rng draws the initial weights. The caller names it. */
nn_error nn_layer_conv(nn_backend *backend, nn_rng *rng, nn_shape in, const nn_conv_options *options, nn_layer **layer);
nn_error nn_layer_linear(nn_backend *backend, nn_rng *rng, nn_shape in, size_t out, bool bias, nn_layer **layer);
nn_error nn_layer_batch_norm(nn_shape in, const nn_batch_norm_options *options, nn_layer **layer);
/* max pool(relu(batch norm(x))): the same as these three layers. */
nn_error nn_layer_batch_norm_pool(nn_shape in, size_t capacity, int threads, nn_layer **layer);
nn_error nn_layer_activation(nn_shape in, nn_activation activation, nn_layer **layer);
nn_error nn_layer_add(nn_shape in, nn_layer **layer); /* y = x + z */
nn_error nn_layer_max_pool(nn_shape in, size_t capacity, nn_layer **layer);
nn_error nn_layer_global_average_pool(nn_shape in, nn_layer **layer);

/* n samples of what a layer reads, as PyTorch sees them: (N, C, H, W), or (N, C) where an image is one pixel, over memory that
 * is channels last. data NULL: a tensor without data. */
batchnorm_tensor nn_layer_view(const nn_layer *layer, size_t n, const float *data);

/* Arrays that lie as a parameter does, from and to PyTorch's order. */
void nn_parameter_to_pytorch(const nn_parameter *parameter, const float *from, float *to);
void nn_parameter_from_pytorch(const nn_parameter *parameter, const float *from, float *to);

/* For the layers themselves. */

/* A parameter drawn as PyTorch does for convolution and linear layers: uniform in +-1/sqrt(fan_in). `shape` has its name
 * ("weight"), sizes and rank; the rest is filled in. */
nn_error nn_add_parameter(nn_layer *layer, const nn_parameter *shape, size_t fan_in, nn_rng *rng);
/* A batchnorm_layer for `dims`, 1 or 2, as layer->norm, and its weight and bias as parameters. The layer destroys it. */
nn_error nn_add_norm(nn_layer *layer, int dims, bool frozen);
void nn_free_parameters(nn_layer *layer);
/* Slot i of a parameter's pile. */
float *nn_parameter_slot(const nn_parameter *parameter, size_t i);
/* Gradients over one shard of n samples, of which `a` has the arrays, to grad[i] of each parameter. */
typedef nn_error nn_shard_gradients(nn_layer *layer, size_t n, const nn_arrays *a, float *const grad[2]);
/* Those of all n samples. */
nn_error nn_sum_shards(nn_layer *layer, size_t n, const nn_arrays *a, nn_shard_gradients *of_shard);
/* The arrays of a shard, which begins with sample `first`. */
nn_arrays nn_shard_arrays(const nn_layer *layer, size_t first, const nn_arrays *a);
/* Ranks whose batch norm is synchronized; NULL: each for itself, or alone. */
nn_ranks *nn_layer_group(const nn_layer *layer);

#endif
