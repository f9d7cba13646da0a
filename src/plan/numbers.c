/* SPDX-License-Identifier: MIT */
#include "plan/numbers.h"

#include <math.h>

/* Parameters have the type that their elements are computed in. */
batchnorm_dtype bn_parameter_dtype(batchnorm_dtype elements) { return bn_computing_dtype(elements); }

struct bnk_act bn_act_of(batchnorm_activation activation) {
    switch (activation.kind) {
    case BATCHNORM_IDENTITY:
        break;
    case BATCHNORM_RELU:
        return (struct bnk_act){.slope = 0, .ceiling = INFINITY, .cut = true};
    case BATCHNORM_LEAKY_RELU:
        return (struct bnk_act){.slope = activation.parameter, .ceiling = INFINITY};
    case BATCHNORM_CLIPPED_RELU:
        return (struct bnk_act){.slope = 0, .ceiling = activation.parameter, .cut = true};
    }
    return (struct bnk_act){.slope = 1, .ceiling = INFINITY};
}

/* Write the numbers of a channel. The first is a pivot; its tail follows, so that a float kernel subtracts it to about 48 bits. */
static void set(struct bn_table t, size_t channel, double pivot, const double *rest, int count) {
    if (t.computing == BATCHNORM_F64) {
        double *out = (double *)t.numbers + channel;
        out[BNK_M1 * t.pitch] = pivot;
        out[BNK_M2 * t.pitch] = 0;
        for (int i = 0; i < count; i++) out[(size_t)(BNK_K + i) * t.pitch] = rest[i];
    } else {
        float *out = (float *)t.numbers + channel, head = (float)pivot;
        out[BNK_M1 * t.pitch] = head;
        out[BNK_M2 * t.pitch] = isfinite(head) ? (float)(pivot - (double)head) : 0;
        for (int i = 0; i < count; i++) out[(size_t)(BNK_K + i) * t.pitch] = (float)rest[i];
    }
}

/* With the zero of y as pivot, y is a product, and its error is relative to y even where the bias cancels most of it. That needs
 * a zero at which floats are dense enough to be useful; far out, y is all bias and the mean serves as well. */
static bool zero_is_useful(double zero) { return fabs(zero) < 0x1p100; }

void bn_set_affine(struct bn_table t, size_t channel, double mean, double scale, double bias, bool constant) {
    bool by_zero = t.computing == BATCHNORM_F32 && bias != 0 && !constant;
    double zero = by_zero ? mean - bias / scale : mean;
    by_zero = by_zero && zero_is_useful(zero);
    set(t, channel, by_zero ? zero : mean, (const double[]){scale, by_zero ? 0 : bias}, 2);
}

void bn_set_gate(struct bn_table t, size_t channel, double mean, double scale, double bias) {
    size_t bytes = batchnorm_dtype_bytes(t.computing);
    t.numbers = (char *)t.numbers + BNK_GATE * t.pitch * bytes;
    bn_set_affine(t, channel, mean, scale, bias, false);
}

void bn_set_blend(struct bn_table t, size_t channel, double mean, double p, double q, double s) {
    set(t, channel, mean, (const double[]){p, q, s}, 3);
}
