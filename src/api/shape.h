/* SPDX-License-Identifier: MIT */
/* From the public shape of raw buffers to a geometry. */
#ifndef BN_SHAPE_H
#define BN_SHAPE_H

#include "plan/job.h"

/* a * b, unless that is beyond PTRDIFF_MAX. */
static inline bool bn_multiply(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product) && *product <= PTRDIFF_MAX;
}

/* A geometry of no arrays and no sizes yet. */
static inline void bn_geometry_clear(struct bn_geometry *g, batchnorm_dtype dtype, size_t channels, int dims) {
    g->dtype = dtype;
    g->channels = channels;
    g->count = 0;
    g->dims = dims;
    g->placed = 0;
    for (int i = 0; i < BN_ARRAYS; i++) g->array[i].data = NULL;
}

/* Sizes and type of a shape: BAD_DTYPE, TOO_LARGE. No array yet. */
batchnorm_status bn_geometry_from_shape(const batchnorm_shape *shape, struct bn_geometry *g);

/* Put an array at `index`; data may be NULL. */
static inline void bn_geometry_add_array(struct bn_geometry *g, int index, const void *data, batchnorm_strides strides) {
    /* inputs are never written: only kernels' output arguments are */
    struct bn_array *a = &g->array[index];
    a->data = (char *)(uintptr_t)data;
    a->channel = strides.channel;
    a->stride[0] = strides.outer;
    a->stride[1] = strides.inner;
}

/* Whether the geometry has no element. */
static inline bool bn_geometry_is_empty(const struct bn_geometry *g) { return g->count == 0 || g->channels == 0; }

#endif
