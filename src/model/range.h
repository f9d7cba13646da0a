/* SPDX-License-Identifier: MIT */
/* What weights of a type can be. */
#ifndef BN_RANGE_H
#define BN_RANGE_H

#include <math.h>

#include "batchnorm/batchnorm.h"

/* Numbers below the smallest, of either sign, become 0, because they would be subnormal, and many runtimes take those for 0. Of
 * F16 it is 0: no processor does so with them, and weights of that type are often that small. Numbers from too_large on round
 * to an infinity. */
struct bn_range {
    double smallest, too_large;
};

static inline struct bn_range bn_range_of(batchnorm_dtype dtype) {
    switch (dtype) {
    case BATCHNORM_F64:
        return (struct bn_range){0x1p-1022, HUGE_VAL};
    case BATCHNORM_F16:
        return (struct bn_range){0, 65520};
    case BATCHNORM_BF16:
        return (struct bn_range){0x1p-126, 0x1.ffp127};
    default:
        return (struct bn_range){0x1p-126, 0x1.ffffffp127};
    }
}

static inline bool bn_is_flushed_to(batchnorm_dtype dtype, double v) { return v != 0 && fabs(v) < bn_range_of(dtype).smallest; }
/* False for what is no number, too. */
static inline bool bn_is_finite_as(batchnorm_dtype dtype, double v) { return fabs(v) < bn_range_of(dtype).too_large; }

/* Weights that lose more of their length than this by rounding, in some channel, are not folded: they would be another model's.
 * Rounding takes 2^-12 of those of F16 that are not subnormal. all, lost: sums of squares, of the weights and of what rounding
 * takes off them. */
static inline bool bn_loses_digits(double all, double lost) { return !(sqrt(lost) <= 0x1p-9 * sqrt(all)); }

#endif
