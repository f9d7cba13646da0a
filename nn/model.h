/* SPDX-License-Identifier: MIT */
/* The networks of the trainer. Their layers have the names that the same network has in PyTorch. */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include "network.h"

typedef enum nn_model_kind { NN_MLP, NN_CNN, NN_RESNET } nn_model_kind;

/* Where batch norm stands: nowhere, between a weighted layer and its activation, or after the activation. */
typedef enum nn_norm { NN_NORM_NONE, NN_NORM_BEFORE, NN_NORM_AFTER } nn_norm;

/* What is kept for backward: every layer's input, or less, see nn_network_keep_y(). */
typedef enum nn_memory { NN_MEMORY_PLAIN, NN_MEMORY_LESS } nn_memory;

typedef struct nn_model_options {
    nn_model_kind kind;
    size_t depth; /* of a resnet: 8, 14 or 20 (6 k + 2) weighted layers, shortcuts not counted */
    nn_shape image;
    size_t classes;
    nn_norm norm;
    bool frozen; /* batch norm keeps its running statistics and parameters, in training too */
    nn_activation activation;
    /* batch norm, activation and pool are layers of their own, whose values an observer sees, where they would be one */
    bool separate;
    nn_memory memory;
    size_t batch; /* at most so many images at a time */
    int threads;
    uint64_t seed;
} nn_model_options;

/* With norm before the activation, and act for it:
 *
 * mlp     flatten, fc1 256 - bn1 - act, fc2 128 - bn2 - act, fc3
 * cnn     conv1 32 - bn1 - act - pool, conv2 64 - bn2 - act - pool, fc1 128 - bn3 - act, fc2; convolutions 3x3, pools 2x2
 * resnet  conv1 16 - bn1 - act; layer1, layer2 and layer3 with 16, 32 and 64 channels, each of (depth - 2) / 6 blocks; global
 *         average pool; fc. (He et al. 2016, for CIFAR.) layer2 and layer3 begin with a stride of 2. A block is
 *         act(bn2(conv2(act(bn1(conv1(x))))) + shortcut(x)); the shortcut is x itself, or where the shape changes
 *         downsample.1(downsample.0(x)), a convolution 1x1 and a batch norm.
 *
 * With norm after the activation the two change places: bn2(act(conv2(bn1(act(conv1(x)))) + shortcut(x))); downsample.1 stays
 * where it is. Without norm all of them are left out. A weighted layer has a bias unless a batch norm follows it at once, which
 * would subtract the bias again. On error *network is NULL. */
nn_error nn_model_create(nn_backend *backend, const nn_model_options *options, nn_network **network);

/* How many parameters such a network would have, without making one. */
uint64_t nn_model_parameters(const nn_model_options *options);

#endif
