/* SPDX-License-Identifier: MIT */
/* Numbers in the types of weights. */
#ifndef BN_ROUND_H
#define BN_ROUND_H

#include "model/onnx.h"

/* Returns the largest finite number of a type of floats. */
double bn_largest_of(int32_t type);

/* Returns whether a number becomes 0, because it would be subnormal, and many runtimes take those for 0. Of F16 they are
 * numbers as all others: no processor does so with them, and weights of that type are often that small. */
bool bn_is_flushed(int32_t type, double v);

/* Returns the bits of a number that is rounded to a type, to nearest even, and what it then is. */
uint64_t bn_round_bits(int32_t type, double v);
double bn_rounded(int32_t type, double v);

#endif
