/* SPDX-License-Identifier: MIT */
/* From a tensor's sizes and strides to the three that a call takes, and the strides that PyTorch gives to what it makes. */
#ifndef BN_TORCH_LAYOUT_H
#define BN_TORCH_LAYOUT_H

#include "batchnorm/tensor.h"

/* Merges the dimensions after the channels into one. False where they do not follow each other evenly, as in a slice of an
 * image. */
bool layout_merge(const batchnorm_tensor *tensor, batchnorm_shape *shape, batchnorm_strides *strides);

/* A tensor of the same sizes and type without data, in the memory order that PyTorch's batch norm gives its results:
 * channels last where the strides of x look like that, row-major order otherwise. */
batchnorm_tensor layout_like(const batchnorm_tensor *x);

/* The same for the gradient of x. */
batchnorm_tensor layout_of_gradient(const batchnorm_tensor *x);

/* Whether a result has channels last. */
bool layout_is_channels_last(const batchnorm_tensor *x);

/* Whether this is an array of `channels` numbers side by side. */
bool layout_is_vector(const batchnorm_tensor *tensor, size_t channels);

#endif
