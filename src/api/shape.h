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
void bn_geometry_clear(struct bn_geometry *g, batchnorm_dtype dtype, size_t channels, int dims);

/* Sizes and type of a shape: BAD_DTYPE, TOO_LARGE. No array yet. */
batchnorm_status bn_geometry_from_shape(const batchnorm_shape *shape, struct bn_geometry *g);

/* Put an array at `index`, after those that are there; data may be NULL. */
void bn_geometry_add_array(struct bn_geometry *g, int index, const void *data, batchnorm_strides strides);

/* Whether the geometry has no element. */
bool bn_geometry_is_empty(const struct bn_geometry *g);

#endif
