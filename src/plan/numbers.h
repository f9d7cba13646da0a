/* SPDX-License-Identifier: MIT */
/* Per-channel numbers: from statistics and parameters, in double, to what the affine and blend kernels read. */
#ifndef BN_NUMBERS_H
#define BN_NUMBERS_H

#include "plan/view.h"

/* Space for the numbers of every channel, in the type the kernels compute in. */
struct bn_table {
    void *numbers;
    batchnorm_dtype computing; /* F32 or F64 */
    size_t pitch;
};

/* The type that elements of a type are computed in. */
batchnorm_dtype bn_computing_dtype(batchnorm_dtype elements);

/* y = (x - mean) * scale + bias. `constant` says that every x of the channel is mean, and y is to be exactly bias. */
void bn_set_affine(struct bn_table t, size_t channel, double mean, double scale, double bias, bool constant);

/* dx = p * dy + q * (x - mean) + s */
void bn_set_blend(struct bn_table t, size_t channel, double mean, double p, double q, double s);

/* Sums of a channel: n values, sum and dot as the kernels leave them, pieces folded. */
struct bn_sums {
    double sum, dot;
};

/* Merge (count, mean, m2) of b into a. */
void bn_merge(batchnorm_stat *a, batchnorm_stat b);

/* 1 / sqrt(var + eps) of the population variance */
double bn_rstd(batchnorm_stat s, double eps);

#endif
