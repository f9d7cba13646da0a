/* SPDX-License-Identifier: MIT */
/* Written from the formulas, with the functions of libc instead of bits where they are exact; a double is a double here, so
 * that the order of operations is what makes the bits. */
#include "activations.h"

#include <math.h>
#include <string.h>

/* NaN stays */
static double within(double v, double low, double high) { return v < low ? low : v > high ? high : v; }

static double hardswish(double v) {
    const double w = within(v, -3, 3), sum = w + 3, lost = w - (sum - 3);
    return v > 3 ? v : w * sum / 6 + w * lost / 6;
}

static double hardswish_slope(double v) { return v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + 0.5; }

/* exp(-v) as high + low, less powers of two: times 2^power */
struct exponential {
    double high, low;
    int power;
};

static struct exponential exponential(double t) {
    static const double q[] = {0x1p-1,
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
    const double k = nearbyint(t * 0x1.71547652b82fep+0);
    const double above = t - k * 0x1.62e42fefa4p-1, below = k * -0x1.8432a1b0e2634p-43, r = above - below,
                 r_lost = above - r - below;
    double pairs[5], quarters[2];
    for (int i = 0; i < 5; i++) pairs[i] = q[2 * i] + q[2 * i + 1] * r;
    for (int i = 0; i < 2; i++) quarters[i] = pairs[2 * i] + pairs[2 * i + 1] * (r * r);
    const double r4 = r * r * (r * r), last = pairs[4] + q[10] * (r * r);
    const double square = r * r * (quarters[0] + (quarters[1] + last * r4) * r4), p = r + square, e = 1 + p;
    return (struct exponential){e, (1 - e) + p + ((r - p + square) + r_lost), isnan(k) ? 0 : (int)k};
}

/* The quotient of n and 1 + exp(-v), times 2^lift; `other` is exp(-v) / 2^lift. */
struct logistic {
    double quotient, other;
    int lift;
};

static struct logistic logistic(double n, double v) {
    struct exponential e = exponential(-v);
    const int lift = -v > 360 ? 256 : 0;
    const double one = ldexp(1, -lift), high = ldexp(e.high, e.power - lift), low = ldexp(e.low, e.power - lift);
    const double sum = one + high, part = sum - one, lost = (one - (sum - part)) + (high - part) + low;
    uint64_t bits;
    double near;
    memcpy(&bits, &sum, sizeof bits);
    bits = 0x7fde9f73aabb2400 - bits;
    memcpy(&near, &bits, sizeof near);
    near *= 2 - sum * near;
    const double quotient = n / sum;
    return (struct logistic){quotient - quotient * (lost * near), high, lift};
}

static double sigmoid(double v) {
    const struct logistic l = logistic(1, within(v, -760, 41));
    return ldexp(l.quotient, -l.lift);
}

static double sigmoid_slope(double v) {
    const struct logistic l = logistic(1, within(-fabs(v), -760, 0));
    return ldexp(l.quotient * (l.quotient * l.other), -l.lift);
}

static double silu(double v) {
    const double w = within(v, -760, 41);
    const struct logistic l = logistic(w, w);
    return v > 41 ? v : ldexp(l.quotient, -l.lift);
}

static double silu_slope(double v) {
    const double w = within(v, -760, 41);
    const struct logistic l = logistic(1, w);
    return ldexp(l.quotient * (1 + w * (l.quotient * l.other)), -l.lift);
}

double curve_value(batchnorm_activation_kind kind, double v) {
    switch (kind) {
    case BATCHNORM_HARDSWISH:
        return hardswish(v);
    case BATCHNORM_SIGMOID:
        return sigmoid(v);
    case BATCHNORM_SILU:
        return silu(v);
    default:
        return v;
    }
}

double curve_slope(batchnorm_activation_kind kind, double v) {
    switch (kind) {
    case BATCHNORM_HARDSWISH:
        return hardswish_slope(v);
    case BATCHNORM_SIGMOID:
        return sigmoid_slope(v);
    case BATCHNORM_SILU:
        return silu_slope(v);
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
    case BATCHNORM_SIGMOID:
        return 1 / (1 + expl(-v));
    case BATCHNORM_SILU:
        return v < -11000 ? 0 : v / (1 + expl(-v)); /* expl() is infinite soon after */
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
    case BATCHNORM_SIGMOID:
        return 1 / (1 + expl(-v)) / (1 + expl(v));
    case BATCHNORM_SILU:
        return v < -11000 ? 0 : v > 11000 ? 1 : (1 + v / (1 + expl(v))) / (1 + expl(-v));
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
