/* SPDX-License-Identifier: MIT */
/* Room 1's shared checks. No loop over elements. */
#ifndef BN_CHECK_H
#define BN_CHECK_H

#include "batchnorm/tensor.h"
#include "plan/job.h"

/* Whether the byte extents of every array of g fit the address space, relative to their data. Where they do, sets where the
 * arrays lie, which the checks below go by. */
batchnorm_status bn_check_sizes(struct bn_geometry *g);

/* Outputs (the arrays whose bit is set in `outputs`) must not have two elements at one address, and must not share memory with
 * another array of g, except that an output may be the very same array as one whose bit is set in `alias`. Arrays with data
 * NULL are not there. */
batchnorm_status bn_check_outputs(const struct bn_geometry *g, unsigned outputs, unsigned alias);

/* Whether the `bytes` bytes at data (NULL: nothing) meet none of the arrays whose bit is set: for parameters and statistics. */
batchnorm_status bn_check_apart(const struct bn_geometry *g, unsigned arrays, const void *data, size_t bytes);

#define BN_MAX_NUMBERS 8
#define BN_MAX_NUMBER_BYTES 32

/* One number per channel, side by side, beside the arrays of a geometry: a parameter, a statistic. data NULL: not there. */
struct bn_numbers {
    const void *data;
    size_t bytes; /* of one channel; BN_MAX_NUMBER_BYTES at most */
    bool written;
};

/* What is written must not share memory with anything else: neither the arrays whose bit is set in `outputs` with numbers, nor
 * numbers that are written with any array or with other numbers. Arrays among themselves: bn_check_outputs(). At most
 * BN_MAX_NUMBERS. */
batchnorm_status bn_check_numbers(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count);

/* Rules of options that do not depend on data: known momentum_rule and running_variance, momentum not NaN. */
batchnorm_status bn_check_options(const batchnorm_options *options);

/* A known kind, whose parameter is in its range. */
batchnorm_status bn_check_activation(batchnorm_activation activation);

/* eps > 0 with batch statistics, eps >= 0 otherwise. */
batchnorm_status bn_check_eps(double eps, bool batch_statistics);

/* Start a geometry from x: sizes, dtype, and x as array 0. The channel is dimension 1. x has rank >= 2. */
batchnorm_status bn_geometry_from_tensor(const batchnorm_tensor *x, struct bn_geometry *g);

/* Put a tensor of the same sizes at `index`: BAD_SHAPE, BAD_DTYPE if it is not like x; an absent tensor (data NULL in a
 * geometry that has elements) stays absent. */
batchnorm_status bn_geometry_add_tensor(struct bn_geometry *g, int index, const batchnorm_tensor *tensor);

#endif
