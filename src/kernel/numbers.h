/* SPDX-License-Identifier: MIT */
/* Numbers of channels, in double: from sums to statistics and coefficients. A call on many channels of few elements has little
 * else to do. Plain loops without branches, which become vectors: both sides of a choice are computed, and no comparison stops
 * anything. What each function is for stands in kernel.h. */
#ifndef BNK_NUMBERS_H
#define BNK_NUMBERS_H

#include <float.h>
#include <math.h>

#include "kernel/vectors.h"

static void to_doubles_of(const float *restrict from, size_t count, double *restrict to) {
    for (size_t i = 0; i < count; i++) to[i] = (double)from[i];
}

static void to_floats_of(const double *restrict from, size_t count, float *restrict to) {
    for (size_t i = 0; i < count; i++) to[i] = (float)from[i];
}

/* A whole step is stored at a time, and what it has too much is stored over by the next. */
#define BNK_REPEAT(name, num)                                                                                                  \
    static void name(const num *restrict from, size_t times, size_t first, size_t count, num *restrict to) {                   \
        size_t left = times - first % times;                                                                                   \
        from += first / times;                                                                                                 \
        for (size_t done = 0; done < count; done += left, left = times, from++)                                                \
            for (size_t i = 0; i < left && done + i < count; i += BNK_LANES)                                                   \
                for (size_t k = 0; k < BNK_LANES; k++) to[done + i + k] = *from;                                               \
    }
BNK_REPEAT(repeat_floats, float)
BNK_REPEAT(repeat_doubles, double)
#undef BNK_REPEAT

BNK_INLINE void moments_apart(const double *restrict shift, double n, bool is_m2, size_t channels, size_t stride,
                              double *restrict sum, double *restrict dot) {
    for (size_t c = 0; c < channels * stride; c += stride) {
        const struct bnk_moments m = bnk_moments(shift[c], sum[c], dot[c], n, shift[c], is_m2);
        sum[c] = m.mean;
        dot[c] = m.m2;
    }
}

static void moments_of(const double *shift, double n, bool is_m2, size_t channels, size_t stride, double *sum, double *dot) {
    if (stride == 1)
        moments_apart(shift, n, is_m2, channels, 1, sum, dot);
    else
        moments_apart(shift, n, is_m2, channels, stride, sum, dot);
}

BNK_INLINE bool is_far_apart(const double *sum, const double *dot, double n, double far, bool is_m2, size_t channels,
                             size_t stride) {
    double looks = 0;
    for (size_t c = 0; c < channels * stride; c += stride) looks += bnk_is_far(sum[c], dot[c], n, far, is_m2);
    return looks > 0;
}

static bool is_far(const double *sum, const double *dot, double n, double far, bool is_m2, size_t channels, size_t stride) {
    return stride == 1 ? is_far_apart(sum, dot, n, far, is_m2, channels, 1)
                       : is_far_apart(sum, dot, n, far, is_m2, channels, stride);
}

BNK_INLINE bool is_spoilt_apart(const double *sum, const double *dot, size_t channels, size_t stride) {
    double looks = 0;
    for (size_t c = 0; c < channels * stride; c += stride) looks += bnk_is_spoilt(sum[c], dot[c]);
    return looks > 0;
}

static bool is_spoilt(const double *sum, const double *dot, size_t channels, size_t stride) {
    return stride == 1 ? is_spoilt_apart(sum, dot, channels, 1) : is_spoilt_apart(sum, dot, channels, stride);
}

static void rstd_of(const double *restrict values, const double *restrict m2, double eps, size_t channels,
                    double *restrict rstd) {
    for (size_t c = 0; c < channels; c++) {
        rstd[c] = bnk_rstd(values ? values[c] : 1, m2[c], eps);
    }
}

static void running_of(const double *restrict values, const double *restrict new_mean, const double *restrict m2,
                       const double *restrict divisor, double factor, size_t channels, double *restrict mean,
                       double *restrict var) {
    for (size_t c = 0; c < channels; c++) {
        const double moved_mean = (1 - factor) * mean[c] + factor * new_mean[c];
        const double moved_var = (1 - factor) * var[c] + factor * (m2[c] / divisor[c]);
        mean[c] = values[c] != 0 ? moved_mean : mean[c];
        var[c] = values[c] != 0 ? moved_var : var[c];
    }
}

/* Returns v; a NaN becomes one without other bits, because a kernel of BF16 rounds sums as if none had any. */
BNK_INLINE float plain_float(double v) {
    const float f = (float)v;
    return f == f ? f : NAN;
}

/* Writes coefficients: a pivot and its tail, so that a float kernel subtracts it to about 48 bits, and what follows them. */
BNK_INLINE void put_coefficients(bool is_float, const double *restrict pivot, const double *const *rest, int more,
                                 size_t channels, void *to, size_t pitch) {
    if (is_float) {
        float *restrict heads = to, *restrict tails = heads + pitch;
        for (size_t c = 0; c < channels; c++) {
            const float head = plain_float(pivot[c]), tail = (float)(pivot[c] - (double)head);
            heads[c] = head;
            tails[c] = head - head == 0 ? tail : 0;
        }
        for (int i = 0; i < more; i++) {
            const double *restrict from = rest[i];
            float *restrict at = heads + (size_t)(2 + i) * pitch;
            for (size_t c = 0; c < channels; c++) at[c] = plain_float(from[c]);
        }
    } else {
        double *restrict at = to;
        for (size_t c = 0; c < channels; c++) at[c] = pivot[c];
        for (size_t c = 0; c < channels; c++) at[pitch + c] = 0;
        for (int i = 0; i < more; i++)
            for (size_t c = 0; c < channels; c++) at[(size_t)(2 + i) * pitch + c] = rest[i][c];
    }
}

/* The zero of y may be the pivot. With it, y is a product, and its error is relative to y even where the bias cancels most of
 * it. That needs a zero at which floats are dense enough to be useful; far out, y is all bias and the mean serves as well. A
 * scale with few digits left, or none, belongs to a y that is all bias. Without any, which as a float all up to `vanishing`
 * are, no mean is subtracted, because a difference that overflowed would make it a NaN. */
BNK_INLINE void pivots_of(bool is_float, const struct bnk_affines *of, size_t channels, double *restrict pivot,
                          double *restrict addend) {
    const double vanishing = is_float ? 0x1p-150 : 0;
    const double *restrict mean = of->mean, *restrict scale = of->scale, *restrict bias = of->bias,
                           *restrict spread = of->spread;
    for (size_t c = 0; c < channels; c++) {
        const double size = fabs(scale[c]), otherwise = size <= vanishing && mean[c] - mean[c] == 0 ? 0 : mean[c];
        const double upper = bias[c] != 0 && (spread ? spread[c] : 1) != 0 && size >= FLT_MIN ? bias[c] : INFINITY;
        const double zero = mean[c] - upper / scale[c];
        pivot[c] = is_float && fabs(zero) < 0x1p100 ? zero : otherwise;
        addend[c] = is_float && fabs(zero) < 0x1p100 ? 0 : bias[c];
    }
}

static void affines_of(bool is_float, const struct bnk_affines *of, size_t channels, void *to, size_t pitch) {
    double pivot[BNK_SOME], addend[BNK_SOME];
    const double *const rest[] = {of->scale, addend};
    if (is_float)
        pivots_of(true, of, channels, pivot, addend);
    else
        pivots_of(false, of, channels, pivot, addend);
    put_coefficients(is_float, pivot, rest, 2, channels, to, pitch);
}

static void blends_of(bool is_float, const struct bnk_blends *of, size_t channels, void *to, size_t pitch) {
    const double *const rest[] = {of->p, of->q, of->s};
    put_coefficients(is_float, of->mean, rest, 3, channels, to, pitch);
}

static void gradients_of(const struct bnk_gradients *of, size_t channels, double *restrict pivot, double *restrict q,
                         double *restrict s) {
    const double *restrict mean = of->mean, *restrict scale = of->scale, *restrict rstd = of->rstd, *restrict sum = of->sum,
                           *restrict dot = of->dot, *restrict values = of->values;
    const bool from_y = of->from_y;
    for (size_t c = 0; c < channels; c++) {
        const double m = values[c] > 0 ? values[c] : 1;
        const double of_dot = -(from_y ? 1 : scale[c]) * rstd[c] * rstd[c] * dot[c] / m, of_sum = -scale[c] * sum[c] / m;
        pivot[c] = values[c] > 0 ? mean[c] : 0;
        q[c] = values[c] > 0 ? of_dot : 0;
        s[c] = values[c] > 0 ? of_sum : 0;
    }
}

static const struct bnk_numbers numbers = {.to_doubles = to_doubles_of,
                                           .to_floats = to_floats_of,
                                           .repeat_floats = repeat_floats,
                                           .repeat_doubles = repeat_doubles,
                                           .moments = moments_of,
                                           .is_far = is_far,
                                           .is_spoilt = is_spoilt,
                                           .rstd = rstd_of,
                                           .running = running_of,
                                           .affines = affines_of,
                                           .blends = blends_of,
                                           .gradients = gradients_of};

#endif
