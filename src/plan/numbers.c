/* SPDX-License-Identifier: MIT */
#include "plan/numbers.h"

#include <math.h>

double bn_vector_get(struct bn_vector v, size_t c, double absent) {
    if (!v.data) return absent;
    return v.dtype == BATCHNORM_F64 ? ((const double *)v.data)[c] : (double)((const float *)v.data)[c];
}

void bn_output_set(struct bn_output v, size_t c, double value) {
    if (!v.data) return;
    if (v.dtype == BATCHNORM_F64)
        ((double *)v.data)[c] = value;
    else
        ((float *)v.data)[c] = (float)value;
}

void bn_output_add(struct bn_output v, size_t c, double value) {
    struct bn_vector old = {v.data, v.dtype};
    bn_output_set(v, c, bn_vector_get(old, c, 0) + value);
}

batchnorm_dtype bn_computing_dtype(batchnorm_dtype elements) {
    return elements == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32;
}

/* Parameters have the type that their elements are computed in. */
batchnorm_dtype bn_parameter_dtype(batchnorm_dtype elements) { return bn_computing_dtype(elements); }

static void set(struct bn_table t, size_t channel, int number, double value) {
    bn_output_set((struct bn_output){t.numbers, t.computing}, (size_t)number * t.pitch + channel, value);
}

/* The pivot of an affine or blend: head and tail, so that a float kernel subtracts it to about 48 bits. */
static void set_pivot(struct bn_table t, size_t channel, double pivot) {
    double head = t.computing == BATCHNORM_F64 ? pivot : (double)(float)pivot;
    set(t, channel, BNK_M1, head);
    set(t, channel, BNK_M2, isfinite(head) ? pivot - head : 0);
}

/* With the zero of y as pivot, y is a product, and its error is relative to y even where the bias cancels most of it. That needs
 * a zero at which floats are dense enough to be useful; far out, y is all bias and the mean serves as well. */
static bool zero_is_useful(double zero) { return fabs(zero) < 0x1p100; }

void bn_set_affine(struct bn_table t, size_t channel, double mean, double scale, double bias, bool constant) {
    double zero = mean - bias / scale;
    bool by_zero = t.computing == BATCHNORM_F32 && bias != 0 && !constant && zero_is_useful(zero);
    set_pivot(t, channel, by_zero ? zero : mean);
    set(t, channel, BNK_K, scale);
    set(t, channel, BNK_B, by_zero ? 0 : bias);
}

void bn_set_blend(struct bn_table t, size_t channel, double mean, double p, double q, double s) {
    set_pivot(t, channel, mean);
    set(t, channel, BNK_P, p);
    set(t, channel, BNK_Q, q);
    set(t, channel, BNK_S, s);
}

/* Infinities must come out as a plain sum would give them, where a difference of means gives NaN. */
void bn_merge(batchnorm_stat *a, batchnorm_stat b) {
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

double bn_rstd(batchnorm_stat s, double eps) { return 1 / sqrt(s.m2 / s.count + eps); }
