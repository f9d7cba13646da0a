/* SPDX-License-Identifier: MIT */
/* A chain of layers: each reads what the one before it wrote.
 *
 *     nn_network *network = nn_network_create(backend, threads, image, batch, seed);
 *     nn_network_conv(network, 32, true);
 *     nn_network_activation(network, NN_RELU);
 *     ...
 *     nn_error error = nn_network_finish(network);
 *
 * A step that fails makes the ones after it do nothing; finish reports it.
 */
#ifndef NN_NETWORK_H
#define NN_NETWORK_H

#include "layer.h"

enum { NN_MAX_LAYERS = 16 };

typedef struct nn_network {
    nn_backend *backend;
    int threads;
    uint64_t seed;
    nn_shape input;
    size_t capacity; /* the largest batch */
    size_t count;    /* layers */
    nn_layer *layers[NN_MAX_LAYERS];
    float *values[NN_MAX_LAYERS + 1]; /* values[i] enters layer i; neighbours are one buffer where y may be x */
    float *gradients[2];              /* backward goes to and fro between the two */
    uint64_t weighted;                /* layers so far that drew random weights */
    nn_error error;                   /* the first that building met */
} nn_network;

/* For at most `capacity` samples at a time; NULL when there is no memory. Equal seeds give equal initial weights to the
 * convolution and linear layers, counted from the front, whatever layers stand between them. */
nn_network *nn_network_create(nn_backend *backend, int threads, nn_shape input, size_t capacity, uint64_t seed);
void nn_network_destroy(nn_network *network);

void nn_network_conv(nn_network *network, size_t channels, bool bias);
void nn_network_linear(nn_network *network, size_t channels, bool bias);
void nn_network_batch_norm(nn_network *network);
void nn_network_activation(nn_network *network, nn_activation activation);
void nn_network_max_pool(nn_network *network);
/* Allocates what the steps below need. */
nn_error nn_network_finish(nn_network *network);

void nn_network_set_training(nn_network *network, bool training);
/* Where the next batch goes. */
float *nn_network_input(const nn_network *network);
/* The result of the last forward: [n][channels of the last layer]. */
const float *nn_network_output(const nn_network *network);
/* Where the gradient with respect to the output goes, before backward. */
float *nn_network_output_gradient(const nn_network *network);

nn_error nn_network_forward(nn_network *network, size_t n);
/* Fills grad of every parameter. Batch statistics belong to the forward in training mode just before. */
nn_error nn_network_backward(nn_network *network, size_t n);

/* Learnable numbers in all layers. */
size_t nn_network_parameters(const nn_network *network);

#endif
