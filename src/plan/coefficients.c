/* SPDX-License-Identifier: MIT */
#include "plan/coefficients.h"

#include <float.h>
#include <math.h>

struct bnk_act bn_act_of(batchnorm_activation activation) {
    switch (activation.kind) {
    case BATCHNORM_IDENTITY:
        return (struct bnk_act){.slope = 1, .ceiling = INFINITY};
    case BATCHNORM_RELU:
        return (struct bnk_act){.slope = 0, .ceiling = NAN, .cut = true}; /* nothing is at or above it, not even infinity */
    case BATCHNORM_LEAKY_RELU:
        return (struct bnk_act){.slope = activation.parameter, .ceiling = INFINITY};
    case BATCHNORM_CLIPPED_RELU:
        return (struct bnk_act){.slope = 0, .ceiling = activation.parameter, .cut = true};
    default:
        return (struct bnk_act){.curve = (int)activation.kind};
    }
}

/* Writes one coefficient of some channels. */
static void put(struct bn_coefficients k, int which, size_t channel, size_t count, const double *values) {
    const batchnorm_dtype dtype = k.computing;
    bn_output_write((struct bn_output){k.data, dtype}, (size_t)which * k.pitch + channel, count, values);
}

/* Writes the coefficients of some channels. The first is a pivot; its tail follows, so that a float kernel subtracts it to
 * about 48 bits. */
static void set_coefficients(struct bn_coefficients k, size_t channel, size_t count, const double *pivot,
                             const double *const *rest, int more) {
    double tail[BN_SOME];
    for (size_t i = 0; i < count; i++) {
        const float head = (float)pivot[i];
        const bool has_tail = k.computing == BATCHNORM_F32 && head - head == 0;
        tail[i] = has_tail ? pivot[i] - (double)head : 0;
    }
    put(k, BNK_M1, channel, count, pivot);
    put(k, BNK_M2, channel, count, tail);
    for (int i = 0; i < more; i++) put(k, BNK_K + i, channel, count, rest[i]);
}

/* Sets pivots and addends of affines. The zero of y may be the pivot. With it, y is a product, and its error is relative to y
 * even where the bias cancels most of it. That needs a zero at which floats are dense enough to be useful; far out, y is all
 * bias and the mean serves as well. A scale with few digits left, or none, belongs to a y that is all bias. Without any, which
 * as a float all up to `vanishing` are, no mean is subtracted, because a difference that overflowed would make it a NaN.
 * Inlined for each type and without branches, so that it becomes vectors. */
static inline __attribute__((always_inline)) void find_pivots(bool is_float, size_t count, const double *mean,
                                                              const double *scale, const double *bias, const double *spread,
                                                              double *pivot, double *addend) {
    const double vanishing = is_float ? 0x1p-150 : 0;
    for (size_t i = 0; i < count; i++) {
        const double size = fabs(scale[i]), otherwise = size <= vanishing && mean[i] - mean[i] == 0 ? 0 : mean[i];
        const double upper = bias[i] != 0 && spread[i] != 0 && size >= FLT_MIN ? bias[i] : INFINITY;
        const double zero = mean[i] - upper / scale[i];
        pivot[i] = is_float && fabs(zero) < 0x1p100 ? zero : otherwise;
        addend[i] = is_float && fabs(zero) < 0x1p100 ? 0 : bias[i];
    }
}

void bn_set_affines(struct bn_coefficients k, size_t channel, size_t count, const double *mean, const double *scale,
                    const double *bias, const double *spread) {
    double pivot[BN_SOME], addend[BN_SOME], any[BN_SOME];
    for (size_t i = 0; i < count; i++) any[i] = spread ? spread[i] : 1;
    if (k.computing == BATCHNORM_F32)
        find_pivots(true, count, mean, scale, bias, any, pivot, addend);
    else
        find_pivots(false, count, mean, scale, bias, any, pivot, addend);
    set_coefficients(k, channel, count, pivot, (const double *const[]){scale, addend}, 2);
}

void bn_set_blends(struct bn_coefficients k, size_t channel, size_t count, const double *mean, const double *p, const double *q,
                   const double *s) {
    set_coefficients(k, channel, count, mean, (const double *const[]){p, q, s}, 3);
}

void bn_set_affine(struct bn_coefficients k, size_t channel, double mean, double scale, double bias) {
    bn_set_affines(k, channel, 1, &mean, &scale, &bias, NULL);
}

void bn_set_blend(struct bn_coefficients k, size_t channel, double mean, double p, double q, double s) {
    bn_set_blends(k, channel, 1, &mean, &p, &q, &s);
}

void bn_set_gate(struct bn_coefficients k, size_t channel, double mean, double scale, double bias) {
    const size_t bytes = bn_element_bytes(k.computing);
    k.data = (char *)k.data + BNK_GATE * k.pitch * bytes;
    bn_set_affine(k, channel, mean, scale, bias);
}
