/* SPDX-License-Identifier: MIT */
/* Numbers in the types of weights. */
#ifndef BN_ROUND_H
#define BN_ROUND_H

#include <math.h>

#include "model/onnx.h"

/* Returns the largest finite number of a type of floats. */
double bn_largest_of(int32_t type);

/* Returns the number of a type below which others become 0, because they would be subnormal, and many runtimes take those for
 * 0. Of F16 it is 0: no processor does so with them, and weights of that type are often that small. */
static inline double bn_smallest_of(int32_t type) {
    return type == BN_ONNX_F16 ? 0 : type == BN_ONNX_DOUBLE ? 0x1p-1022 : 0x1p-126;
}
static inline bool bn_is_flushed(int32_t type, double v) { return v != 0 && fabs(v) < bn_smallest_of(type); }

/* Returns the bits of a number that is rounded to a type, to nearest even, and what it then is. */
uint64_t bn_round_bits(int32_t type, double v);
double bn_rounded(int32_t type, double v);

#endif
