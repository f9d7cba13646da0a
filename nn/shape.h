/* SPDX-License-Identifier: MIT */
#ifndef NN_SHAPE_H
#define NN_SHAPE_H

#include <stddef.h>

/* The size of one sample; a vector is 1 x 1 x channels. Memory has the same order: channels last. */
typedef struct nn_shape {
    size_t height, width, channels;
} nn_shape;

static inline size_t nn_shape_size(nn_shape shape) { return shape.height * shape.width * shape.channels; }

#endif
