/* SPDX-License-Identifier: MIT */
/* Coefficients of channels: from statistics and parameters, in double, to what the affine and blend kernels read. */
#ifndef BN_COEFFICIENTS_H
#define BN_COEFFICIENTS_H

#include <float.h>
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

/* Writes the coefficients of a channel. The first is a pivot; its tail follows, so that a float kernel subtracts it to about 48
 * bits. */
static inline void bn_set_coefficients(struct bn_coefficients k, size_t channel, double pivot, const double *rest, int count) {
    if (k.computing == BATCHNORM_F64) {
        double *out = (double *)k.data + channel;
        out[BNK_M1 * k.pitch] = pivot;
        out[BNK_M2 * k.pitch] = 0;
        for (int i = 0; i < count; i++) out[(size_t)(BNK_K + i) * k.pitch] = rest[i];
    } else {
        float *out = (float *)k.data + channel, head = (float)pivot;
        out[BNK_M1 * k.pitch] = head;
        out[BNK_M2 * k.pitch] = isfinite(head) ? (float)(pivot - (double)head) : 0;
        for (int i = 0; i < count; i++) out[(size_t)(BNK_K + i) * k.pitch] = (float)rest[i];
    }
}

/* Returns whether the zero of y may be the pivot. With it, y is a product, and its error is relative to y even where the bias
 * cancels most of it. That needs a zero at which floats are dense enough to be useful; far out, y is all bias and the mean
 * serves as well. */
static inline bool bn_zero_is_useful(double zero) { return fabs(zero) < 0x1p100; }

/* Sets y = (x - mean) * scale + bias. `constant` says that every x of the channel is mean, and y is to be exactly bias. A scale
 * with few digits left, or none, belongs to a y that is all bias. Without any no mean is subtracted, because a difference that
 * overflowed would make it a NaN. */
static inline void bn_set_affine(struct bn_coefficients k, size_t channel, double mean, double scale, double bias,
                                 bool constant) {
    const bool is_float = k.computing == BATCHNORM_F32, vanishes = is_float ? (float)scale == 0 : scale == 0;
    bool by_zero = is_float && bias != 0 && !constant && fabs(scale) >= FLT_MIN;
    double zero = by_zero ? mean - bias / scale : mean;
    by_zero = by_zero && bn_zero_is_useful(zero);
    if (vanishes && isfinite(mean)) mean = 0;
    bn_set_coefficients(k, channel, by_zero ? zero : mean, (const double[]){scale, by_zero ? 0 : bias}, 2);
}

/* Sets the same among the coefficients of a blend, for the v that gates it. */
void bn_set_gate(struct bn_coefficients k, size_t channel, double mean, double scale, double bias);

/* Sets dx = p * dy + q * (x - mean) + s. */
void bn_set_blend(struct bn_coefficients k, size_t channel, double mean, double p, double q, double s);

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

/* Returns 1 / sqrt(var + eps), with the population variance, which is 0 without any value. */
static inline double bn_rstd(batchnorm_stat s, double eps) { return 1 / sqrt((s.count > 0 ? s.m2 / s.count : 0) + eps); }

#endif
