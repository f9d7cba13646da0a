/* SPDX-License-Identifier: MIT */
/* Numbers in the types of weights. */
#ifndef BN_ROUND_H
#define BN_ROUND_H

#include "model/onnx.h"
#include "model/range.h"

/* Of the types that bn_is_float() says. */
static inline batchnorm_dtype bn_dtype_of(int32_t type) {
    return type == BN_ONNX_F16      ? BATCHNORM_F16
           : type == BN_ONNX_BF16   ? BATCHNORM_BF16
           : type == BN_ONNX_DOUBLE ? BATCHNORM_F64
                                    : BATCHNORM_F32;
}
static inline bool bn_is_flushed(int32_t type, double v) { return bn_is_flushed_to(bn_dtype_of(type), v); }
static inline bool bn_fits(int32_t type, double v) { return bn_is_finite_as(bn_dtype_of(type), v); }

/* Returns the bits of a number that is rounded to a type, to nearest even, and what it then is. */
uint64_t bn_round_bits(int32_t type, double v);
double bn_rounded(int32_t type, double v);

#endif
