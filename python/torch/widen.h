/* SPDX-License-Identifier: MIT */
/* Numbers of channels in 16 bits, which PyTorch allows and the library does not: they are widened for a call, and rounded after
 * it. */
#ifndef BN_TORCH_WIDEN_H
#define BN_TORCH_WIDEN_H

#include "batchnorm/batchnorm.h"

/* dtype is BF16 or F16. */
void widen(batchnorm_dtype dtype, const void *from, float *to, size_t count);

/* Rounds to the nearest, to the even one of two. */
void narrow(batchnorm_dtype dtype, const float *from, void *to, size_t count);

#endif
