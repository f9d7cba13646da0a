/* SPDX-License-Identifier: MIT */
/* The activations that are curves, and their derivatives: on BNK_LANES doubles, whatever the element type, with the same bits
 * from every instruction set. Nothing here depends on a library of functions. docs/numerics.md says how large the errors are.
 *
 * Arguments are clipped to where a curve has a shape, so that nothing overflows on the way and no infinity meets a zero. A NaN
 * passes the comparisons that clip, and stays. */
#ifndef BNK_CURVE_H
#define BNK_CURVE_H

#include "batchnorm/batchnorm.h"
#include "kernel/vectors.h"

BNK_INLINE bnk_vd choose_vd(bnk_vm where, bnk_vd yes, bnk_vd no) {
    return (bnk_vd)(((bnk_vm)yes & where) | ((bnk_vm)no & ~where));
}

BNK_INLINE bnk_vd clip(bnk_vd v, double low, double high) {
    v = choose_vd((bnk_vm)(v < low), splat_vd(low), v);
    return choose_vd((bnk_vm)(v > high), splat_vd(high), v);
}

/* v * (v + 3) / 6, with what v + 3 loses; v / 3 + 1 / 2 */
BNK_INLINE bnk_vd hardswish(bnk_vd v, bool derivative) {
    const bnk_vd w = clip(v, -3, 3), up = w + 3, lost = w - (up - 3);
    if (!derivative) return choose_vd((bnk_vm)(v > 3), v, w * up / 6 + w * lost / 6);
    const bnk_vd inner = w / 3 + 0.5;
    return choose_vd((bnk_vm)(v <= -3), splat_vd(0), choose_vd((bnk_vm)(v >= 3), splat_vd(1), inner));
}

/* The curve of a kind, or its derivative, in place. */
static void curve(int kind, bool derivative, double v[BNK_LANES]) {
    for (double *p = v; p < v + BNK_LANES; p += BNK_WD) {
        bnk_vd y = load_vd(p);
        switch (kind) {
        case BATCHNORM_HARDSWISH:
            y = hardswish(y, derivative);
            break;
        default:
            break;
        }
        store_vd(p, y);
    }
}

#endif
