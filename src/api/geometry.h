/* SPDX-License-Identifier: MIT */
/* From a shape or tensors to a geometry: the sizes, the type and the arrays of a call. */
#ifndef BN_GEOMETRY_H
#define BN_GEOMETRY_H

#include "batchnorm/tensor.h"
#include "plan/job.h"

/* Computes a * b; returns false when that is beyond PTRDIFF_MAX. */
static inline bool bn_multiply(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product) && *product <= PTRDIFF_MAX;
}

/* Starts a geometry that has no arrays and no sizes yet. */
static inline void bn_geometry_clear(struct bn_geometry *g, batchnorm_dtype dtype, size_t channels, int dims) {
    g->dtype = dtype;
    g->channels = channels;
    g->count = 0;
    g->grain = g->first = 0;
    g->dims = dims;
    g->placed = 0;
    g->mask.is_there = false;
    for (int i = 0; i < BN_ARRAYS; i++) g->array[i].data = NULL;
}

/* Starts a geometry with the sizes and the type of a shape, and no array: BAD_DTYPE, TOO_LARGE. */
batchnorm_status bn_geometry_from_shape(const batchnorm_shape *shape, struct bn_geometry *g);

/* Puts an array at `index`; data may be NULL. */
static inline void bn_geometry_add_array(struct bn_geometry *g, int index, const void *data, batchnorm_strides strides) {
    /* const is cast away from inputs: kernels write to the arrays that are their outputs, only */
    struct bn_array *a = &g->array[index];
    a->data = (char *)(uintptr_t)data;
    a->channel = strides.channel;
    a->stride[0] = strides.outer;
    a->stride[1] = strides.inner;
}

/* Returns whether the geometry has no element. */
static inline bool bn_geometry_is_empty(const struct bn_geometry *g) { return g->count == 0 || g->channels == 0; }

/* Starts a geometry from x, whose dimension 1 is the channels, and puts x at BN_X: BAD_RANK, BAD_SHAPE, BAD_DTYPE,
 * TOO_LARGE. */
batchnorm_status bn_geometry_from_tensor(const batchnorm_tensor *x, struct bn_geometry *g);

/* Puts a tensor of the same sizes at `index`: BAD_SHAPE or BAD_DTYPE if it is not like x. One whose data is NULL in a geometry
 * that has elements is not there. */
batchnorm_status bn_geometry_add_tensor(struct bn_geometry *g, int index, const batchnorm_tensor *tensor);

#endif
