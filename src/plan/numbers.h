/* SPDX-License-Identifier: MIT */
/* Per-channel numbers: from statistics and parameters, in double, to what the affine and blend kernels read. */
#ifndef BN_NUMBERS_H
#define BN_NUMBERS_H

#include <math.h>

#include "plan/view.h"

/* Space for the numbers of every channel, in the type the kernels compute in. */
struct bn_table {
    void *numbers;
    batchnorm_dtype computing; /* F32 or F64 */
    size_t pitch;
};

/* The type that elements of a type are computed in. */
static inline batchnorm_dtype bn_computing_dtype(batchnorm_dtype elements) {
    return elements == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32;
}

/* The settings of the kernels for an activation. */
struct bnk_act bn_act_of(batchnorm_activation activation);

/* y = (x - mean) * scale + bias. `constant` says that every x of the channel is mean, and y is to be exactly bias. */
void bn_set_affine(struct bn_table t, size_t channel, double mean, double scale, double bias, bool constant);

/* The same among the numbers of a blend: for the v that gates it. */
void bn_set_gate(struct bn_table t, size_t channel, double mean, double scale, double bias);

/* dx = p * dy + q * (x - mean) + s */
void bn_set_blend(struct bn_table t, size_t channel, double mean, double p, double q, double s);

/* Sums of a channel: n values, sum and dot as the kernels leave them, pieces folded. */
struct bn_sums {
    double sum, dot;
};

/* Merge (count, mean, m2) of b into a. Infinities must come out as a plain sum would give them, where a difference of means gives
 * NaN. */
static inline void bn_merge(batchnorm_stat *a, batchnorm_stat b) {
    if (b.count == 0) return;
    if (a->count == 0) {
        *a = b;
        return;
    }
    double n = a->count + b.count, wa = a->count / n, wb = b.count / n, d = b.mean - a->mean;
    a->mean = isfinite(d) ? a->mean + d * wb : a->mean * wa + b.mean * wb;
    a->m2 = a->m2 + b.m2 + d * d * (a->count * wb);
    a->count = n;
}

/* 1 / sqrt(var + eps) of the population variance */
static inline double bn_rstd(batchnorm_stat s, double eps) { return 1 / sqrt(s.m2 / s.count + eps); }

#endif
