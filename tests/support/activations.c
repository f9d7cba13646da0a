/* SPDX-License-Identifier: MIT */
/* Written from the formulas, with the functions of libc instead of bits where they are exact; a double is a double here, so
 * that the order of operations is what makes the bits. */
#include "activations.h"

#include <math.h>

double curve_value(batchnorm_activation_kind kind, double v) {
    switch (kind) {
    default:
        return v;
    }
}

double curve_slope(batchnorm_activation_kind kind, double v) {
    switch (kind) {
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
    default:
        return false;
    }
}
