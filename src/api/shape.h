/* SPDX-License-Identifier: MIT */
/* From the public shape of raw buffers to a geometry. */
#ifndef BN_SHAPE_H
#define BN_SHAPE_H

#include "plan/job.h"

/* Sizes and type of a shape: BAD_DTYPE, TOO_LARGE. No array yet. */
batchnorm_status bn_geometry_from_shape(const batchnorm_shape *shape, struct bn_geometry *g);

/* Put an array at `index`, after those that are there; data may be NULL. */
void bn_geometry_add_array(struct bn_geometry *g, int index, const void *data, batchnorm_strides strides);

/* Whether the geometry has no element. */
bool bn_geometry_is_empty(const struct bn_geometry *g);

#endif
