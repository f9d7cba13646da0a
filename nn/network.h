/* SPDX-License-Identifier: MIT */
/* A network: layers that read what earlier layers gave, in a graph without cycles.
 *
 *     nn_network *network = nn_network_create(backend, threads, image, batch, seed);
 *     nn_value x = nn_network_conv(network, NN_INPUT, &(nn_conv_options){.channels = 16, .kernel = 3, .stride = 1}, "conv1");
 *     x = nn_network_batch_norm(network, x, NN_NO_VALUE, NN_RELU, "bn1");
 *     ...
 *     nn_error error = nn_network_finish(network);
 *
 * It is built from front to back; the value that was made last is the output. A value may be read by several layers, and its
 * gradient is then the sum of theirs; every value is read by some layer, except the last. A step of building that fails
 * makes the ones after it do nothing, and finish reports it. */
#ifndef NN_NETWORK_H
#define NN_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "network_layer.h"

/* What a layer gives: number i + 1 is that of layer i. */
typedef size_t nn_value;
#define NN_INPUT ((nn_value)0)
#define NN_NO_VALUE SIZE_MAX

/* A layer in its network: what it reads, and where its gradients go. */
typedef struct nn_node {
    nn_layer *layer;
    nn_value x, z;       /* z: NN_NO_VALUE if there is none */
    float *y;            /* the value */
    float *dy;           /* its gradient */
    float *dx, *dz;      /* where this layer's share of the gradients of x and z goes; NULL: nobody needs it */
    bool adds_x, adds_z; /* dx (dz) is not the gradient of x (z) itself and must be added to it */
} nn_node;

/* Someone who looks at a step; either function may be NULL. Both get arrays of n samples. */
typedef struct nn_observer {
    void *user;
    /* After layer `layer` has given y of x. (x and y are one array where the layer works in place.) */
    void (*forward)(void *user, size_t layer, size_t n, const float *x, const float *y);
    /* Before layer `layer` goes backward: dy is the whole gradient of the loss with respect to y. The gradient with respect
     * to x is what the layer that gave x is called with later. */
    void (*backward)(void *user, size_t layer, size_t n, const float *dy);
} nn_observer;

typedef struct nn_network {
    nn_backend *backend;
    int threads;
    uint64_t seed;
    nn_part part; /* of the step */
    nn_shape input;
    size_t capacity; /* the largest batch, of this rank */
    size_t count, room;
    nn_node *nodes;            /* [count], of `room` */
    float *x;                  /* the input */
    float *memory;             /* of all values and gradients */
    size_t memory_count;       /* floats in it */
    nn_parameter **parameters; /* of all layers, in their order */
    size_t parameter_count;
    uint64_t weighted; /* layers so far that drew random weights */
    bool frozen;       /* batch norm that is added from now on is frozen */
    bool keeps_y;      /* see nn_network_keep_y() */
    size_t plain;      /* floats that memory_count would be without that */
    nn_observer observer;
    nn_error error; /* the first that building met */
} nn_network;

/* For at most `capacity` samples at a time; NULL when there is no memory. Equal seeds give equal initial weights to the
 * convolution and linear layers, counted from the front, whatever layers stand between them. */
nn_network *nn_network_create(nn_backend *backend, int threads, nn_shape input, size_t capacity, uint64_t seed);
void nn_network_destroy(nn_network *network);

/* Each adds one layer and returns its value. Names are PyTorch's module paths ("layer1.0.conv1"). */
nn_value nn_network_conv(nn_network *network, nn_value x, const nn_conv_options *options, const char *name);
/* An image is flattened. */
nn_value nn_network_linear(nn_network *network, nn_value x, size_t channels, bool bias, const char *name);
/* y = activation(batch norm(x) + z); z: NN_NO_VALUE if there is none; activation: not NN_TANH. */
nn_value nn_network_batch_norm(nn_network *network, nn_value x, nn_value z, nn_activation activation, const char *name);
/* y = max pool(relu(batch norm(x))), with less traffic than the layers one by one. Never frozen. */
nn_value nn_network_batch_norm_pool(nn_network *network, nn_value x, const char *name);
nn_value nn_network_activation(nn_network *network, nn_value x, nn_activation activation);
/* Both have the same shape. */
nn_value nn_network_add(nn_network *network, nn_value a, nn_value b);
/* 2 x 2 pixels become one; an odd last row or column is left out. */
nn_value nn_network_max_pool(nn_network *network, nn_value x);
nn_value nn_network_global_average_pool(nn_network *network, nn_value x);
/* Batch norm that is added after this uses its running statistics in training too, and nothing of it is learnt. */
void nn_network_freeze_batch_norm(nn_network *network);
/* Batch norm overwrites its input, and keeps its output for backward in its place, where nobody else needs the input, and the
 * output tells it: after no residual, and no activation or leaky ReLU. Gradients are then a little less exact. */
void nn_network_keep_y(nn_network *network);
/* Allocates what the steps below need. */
nn_error nn_network_finish(nn_network *network);

/* From now on the network is that of one rank of several, which make the same steps together. NULL: alone. They must stay. */
void nn_network_set_ranks(nn_network *network, nn_ranks *ranks);
/* Where the samples of this rank begin in the batch of the next step, at the beginning of a shard; 0 at first. */
void nn_network_set_first(nn_network *network, size_t first);

nn_shape nn_network_shape(const nn_network *network, nn_value value);
/* A new network is in training mode. */
void nn_network_set_training(nn_network *network, bool training);
/* NULL: nobody looks any more. */
void nn_network_observe(nn_network *network, const nn_observer *observer);

/* Where the next batch goes; it stays there until the caller writes the next one. */
float *nn_network_input(const nn_network *network);
/* The result of the last forward: [n][channels of the last layer]; the next forward overwrites it. */
const float *nn_network_output(const nn_network *network);
/* Where the gradient with respect to the output goes, between forward and backward. */
float *nn_network_output_gradient(const nn_network *network);

/* n may be 0 where other ranks have samples. */
nn_error nn_network_forward(nn_network *network, size_t n);
/* Fills grad of every parameter, with ranks on each of them with that of the whole batch. Belongs to the forward just before,
 * and consumes what that left. */
nn_error nn_network_backward(nn_network *network, size_t n);

/* The learnable arrays of all layers, in their order. */
size_t nn_network_parameter_count(const nn_network *network);
const nn_parameter *nn_network_parameter(const nn_network *network, size_t index);
/* Numbers in them all. */
size_t nn_network_parameters(const nn_network *network);

/* A number that tells apart networks with other parameters or running statistics, by every bit. */
uint64_t nn_network_hash(const nn_network *network);
/* Whether all parameters and running statistics are finite. Where they are not, the training has diverged. */
bool nn_network_is_finite(const nn_network *network);

/* The batch norms, in their order: the name of each ("bn1"), and the layer, which has the buffers of its state. */
size_t nn_network_batch_norms(const nn_network *network);
struct batchnorm_layer *nn_network_batch_norm_at(const nn_network *network, size_t index, const char **name);

/* For network_run.c, by network_ranks.c: from the piles of n samples of this rank, and those of all others, to gradients. */
nn_error nn_network_sum_ranks(nn_network *network, size_t n);

/* For network.c, by network_memory.c: gives every value and gradient its place, which fills in y, dy, dx, dz, adds_x and adds_z
 * of the nodes. */
nn_error nn_network_allocate(nn_network *network);

#endif
