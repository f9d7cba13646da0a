/* SPDX-License-Identifier: MIT */
/* The activations that are curves, and their derivatives: on BNK_LANES doubles, whatever the element type, with the same bits
 * from every instruction set. Nothing here depends on a library of functions. What a double loses is carried along as a second,
 * small number; docs/numerics.md says how large the errors are, and where the polynomial comes from.
 *
 * Arguments are clipped to where a curve has a shape, so that nothing overflows on the way and no infinity meets a zero. A NaN
 * passes the comparisons that clip, and stays. */
#ifndef BNK_CURVE_H
#define BNK_CURVE_H

#include "batchnorm/batchnorm.h"
#include "kernel/vectors.h"

typedef BNK_VECTOR(uint64_t, BNK_BYTES) bnk_bits; /* of bnk_vd */

BNK_INLINE bnk_vd choose_vd(bnk_md where, bnk_vd yes, bnk_vd no) {
    return (bnk_vd)(((bnk_md)yes & where) | ((bnk_md)no & ~where));
}

BNK_INLINE bnk_vd clip(bnk_vd v, double low, double high) {
    v = choose_vd((bnk_md)(v < low), splat_vd(low), v);
    return choose_vd((bnk_md)(v > high), splat_vd(high), v);
}

/* v * (v + 3) / 6, with what v + 3 loses; v / 3 + 1 / 2 */
BNK_INLINE bnk_vd hardswish(bnk_vd v, bool derivative) {
    const bnk_vd w = clip(v, -3, 3), up = w + 3, lost = w - (up - 3);
    if (!derivative) return choose_vd((bnk_md)(v > 3), v, w * up / 6 + w * lost / 6);
    const bnk_vd inner = w / 3 + 0.5;
    return choose_vd((bnk_md)(v <= -3), splat_vd(0), choose_vd((bnk_md)(v >= 3), splat_vd(1), inner));
}

/* 1 / (1 + exp(-v)) in parts: `rest` is the sum of 1 and the exponential, less what it `lost`, both times `unit`, a power of
 * two that keeps them small; `exponential` is that times `unit`, too. */
struct logistic {
    bnk_vd rest, lost, exponential, unit;
};

/* exp(t) = 2^k * (1 + r + r^2 * (1/2 + ...)), t = k * log(2) + r. The polynomial meets (exp(r) - 1 - r) / r^2 at the Chebyshev
 * nodes of |r| <= log(2) / 2, which is 3e-19 of exp(r) at most. */
BNK_INLINE struct logistic logistic_of(bnk_vd v) {
    static const double c[] = {0x1p-1,
                               0x1.5555555555557p-3,
                               0x1.5555555555556p-5,
                               0x1.11111111100bep-7,
                               0x1.6c16c16c162c3p-10,
                               0x1.a01a01abf7ed6p-13,
                               0x1.a01a01a6e1a43p-16,
                               0x1.71de01ff19a6bp-19,
                               0x1.27e4db47938d1p-22,
                               0x1.af4e5274a366cp-26,
                               0x1.1f733f411b727p-29};
    const double whole = 0x1.8p52; /* a number so large that the last bit counts ones */
    const bnk_vd t = -v, shifted = t * 0x1.71547652b82fep+0 + whole, k = shifted - whole;
    const bnk_vd head = t - k * 0x1.62e42fefa4p-1, tail = k * -0x1.8432a1b0e2634p-43; /* log(2): k times the first is exact */
    const bnk_vd r = head - tail, r2 = r * r, r4 = r2 * r2;
    const bnk_vd low = (c[0] + c[1] * r) + (c[2] + c[3] * r) * r2, middle = (c[4] + c[5] * r) + (c[6] + c[7] * r) * r2;
    const bnk_vd square = r2 * (low + (middle + (c[8] + c[9] * r + c[10] * r2) * r4) * r4), p = r + square, e = 1 + p;
    const bnk_vd e_lost = ((1 - e) + p) + (((r - p) + square) + ((head - r) - tail));
    /* 2^k, times 2^-256 where it is large */
    const bnk_md large = (bnk_md)(t > 360);
    const bnk_vd unit = choose_vd(large, splat_vd(0x1p-256), splat_vd(1));
    const bnk_vd power = (bnk_vd)(((bnk_bits)shifted + 1023 - ((bnk_bits)large & 256)) << 52);
    const bnk_vd exponential = e * power, rest = unit + exponential, other = rest - unit;
    const bnk_vd lost = ((unit - (rest - other)) + (exponential - other)) + e_lost * power;
    return (struct logistic){rest, lost, exponential, unit};
}

/* n / (rest + lost). What was lost is so little that a coarse reciprocal will do for it: 1 / rest from its bits, and a step of
 * Newton. */
BNK_INLINE bnk_vd over(bnk_vd n, const struct logistic *l) {
    const bnk_vd coarse = (bnk_vd)(0x7fde9f73aabb2400 - (bnk_bits)l->rest), reciprocal = coarse * (2 - l->rest * coarse);
    const bnk_vd quotient = n / l->rest;
    return quotient - quotient * (l->lost * reciprocal);
}

BNK_INLINE bnk_vd sigmoid(bnk_vd v, bool derivative) {
    if (derivative) v = choose_vd((bnk_md)(v > 0), -v, v); /* the same on either side */
    const struct logistic l = logistic_of(clip(v, -760, 41));
    const bnk_vd s = over(splat_vd(1), &l);
    return (derivative ? s * (s * l.exponential) : s) * l.unit; /* 1 - s is s * exp(-v) */
}

BNK_INLINE bnk_vd silu(bnk_vd v, bool derivative) {
    const bnk_vd w = clip(v, -760, 41);
    const struct logistic l = logistic_of(w);
    if (!derivative) return choose_vd((bnk_md)(v > 41), v, over(w, &l) * l.unit);
    const bnk_vd s = over(splat_vd(1), &l);
    return s * (1 + w * (s * l.exponential)) * l.unit;
}

/* The curve of a kind, or its derivative, in place. */
static void curve(int kind, bool derivative, double v[BNK_LANES]) {
    for (double *p = v; p < v + BNK_LANES; p += BNK_WD) {
        bnk_vd y = load_vd(p);
        switch (kind) {
        case BATCHNORM_HARDSWISH:
            y = hardswish(y, derivative);
            break;
        case BATCHNORM_SIGMOID:
            y = sigmoid(y, derivative);
            break;
        case BATCHNORM_SILU:
            y = silu(y, derivative);
            break;
        default:
            break;
        }
        store_vd(p, y);
    }
}

#endif
