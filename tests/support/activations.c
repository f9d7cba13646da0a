/* SPDX-License-Identifier: MIT */
/* Written from the formulas, with the functions of libc instead of bits where they are exact; a double is a double here, so
 * that the order of operations is what makes the bits. */
#include "activations.h"

#include <math.h>

/* NaN stays */
static double within(double v, double low, double high) { return v < low ? low : v > high ? high : v; }

static double hardswish(double v) {
    const double w = within(v, -3, 3), sum = w + 3, lost = w - (sum - 3);
    return v > 3 ? v : w * sum / 6 + w * lost / 6;
}

static double hardswish_slope(double v) { return v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + 0.5; }

double curve_value(batchnorm_activation_kind kind, double v) {
    switch (kind) {
    case BATCHNORM_HARDSWISH:
        return hardswish(v);
    default:
        return v;
    }
}

double curve_slope(batchnorm_activation_kind kind, double v) {
    switch (kind) {
    case BATCHNORM_HARDSWISH:
        return hardswish_slope(v);
    default:
        return v;
    }
}

long double exact_value(batchnorm_activation a, long double v) {
    const long double p = a.parameter;
    switch (a.kind) {
    case BATCHNORM_RELU:
        return v < 0 ? 0 : v;
    case BATCHNORM_LEAKY_RELU:
        return v > 0 ? v : p * v;
    case BATCHNORM_CLIPPED_RELU:
        return v < 0 ? 0 : v > p ? p : v;
    case BATCHNORM_HARDSWISH:
        return v <= -3 ? 0 : v >= 3 ? v : v * (v + 3) / 6;
    default:
        return v;
    }
}

long double exact_slope(batchnorm_activation a, long double v) {
    const long double p = a.parameter;
    switch (a.kind) {
    case BATCHNORM_RELU:
        return v <= 0 ? 0 : 1;
    case BATCHNORM_LEAKY_RELU:
        return v > 0 ? 1 : p;
    case BATCHNORM_CLIPPED_RELU:
        return v <= 0 || v >= p ? 0 : 1;
    case BATCHNORM_HARDSWISH:
        return v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + 0.5L;
    default:
        return 1;
    }
}

bool has_kink(batchnorm_activation a, double v) {
    const double near = 0.01;
    switch (a.kind) {
    case BATCHNORM_RELU:
    case BATCHNORM_LEAKY_RELU:
        return fabs(v) <= near;
    case BATCHNORM_CLIPPED_RELU:
        return fabs(v) <= near || fabs(v - a.parameter) <= near;
    case BATCHNORM_HARDSWISH:
        return fabs(fabs(v) - 3) <= near;
    default:
        return false;
    }
}
