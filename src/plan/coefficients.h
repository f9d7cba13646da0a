/* SPDX-License-Identifier: MIT */
/* Coefficients of channels: from statistics and parameters, in double, to what the affine and blend kernels read. */
#ifndef BN_COEFFICIENTS_H
#define BN_COEFFICIENTS_H

#include <math.h>

#include "plan/view.h"

/* Space for the coefficients of every channel, in the type the kernels compute in. */
struct bn_coefficients {
    void *data;
    batchnorm_dtype computing; /* F32 or F64 */
    size_t pitch;
};

/* Returns the settings of the kernels for an activation. */
struct bnk_act bn_act_of(batchnorm_activation activation);

/* Channels whose numbers are computed together at most. */
enum { BN_SOME = BNK_SOME };

/* Read and write numbers of channels from c on; `absent` is what they are if there is no vector. */
void bn_vector_read(struct bn_vector v, size_t c, size_t count, double absent, double *out);
void bn_vector_write(struct bn_output v, size_t c, size_t count, const double *values);

/* Set what y or dx is, in at most BN_SOME channels. */
void bn_set_affines(struct bn_coefficients k, size_t channel, size_t count, struct bnk_affines of);
void bn_set_blends(struct bn_coefficients k, size_t channel, size_t count, struct bnk_blends of);

/* Both, of one channel. */
void bn_set_affine(struct bn_coefficients k, size_t channel, double mean, double scale, double bias);
void bn_set_blend(struct bn_coefficients k, size_t channel, double mean, double p, double q, double s);

/* Sets an affine among the coefficients of a blend, for the v that gates it. */
void bn_set_gate(struct bn_coefficients k, size_t channel, double mean, double scale, double bias);

/* Sums of a channel: n values, sum and dot as the kernels leave them, pieces folded. */
struct bn_sums {
    double sum, dot;
};

/* The factors for merging statistics of `a` values and of `b` others, which are not none. Infinities must come out as a plain
 * sum would give them, where a difference of means gives NaN. */
struct bn_merging {
    double weight_a, weight_b, product;
};

static inline struct bn_merging bn_merging_of(double a, double b) {
    double n = a + b;
    return (struct bn_merging){a / n, b / n, a * (b / n)};
}

static inline void bn_merge_by(struct bn_merging by, double *mean, double *m2, double mean_b, double m2_b) {
    double d = mean_b - *mean;
    *mean = isfinite(d) ? *mean + d * by.weight_b : *mean * by.weight_a + mean_b * by.weight_b;
    *m2 = *m2 + m2_b + d * d * by.product;
}

/* Returns a mean that is an offset from `other` as one from `origin`. */
static inline double bn_offset_from(double origin, double other, double offset) { return other - origin + offset; }

/* Merges (count, mean, m2) of b into a. */
static inline void bn_merge(batchnorm_stat *a, batchnorm_stat b) {
    if (b.count == 0) return;
    if (a->count == 0) {
        *a = b;
        return;
    }
    bn_merge_by(bn_merging_of(a->count, b.count), &a->mean, &a->m2, b.mean, b.m2);
    a->count += b.count;
}

static inline double bn_rstd(batchnorm_stat s, double eps) { return bnk_rstd(s.count, s.m2, eps); }

#endif
