/* SPDX-License-Identifier: MIT */
#include "model/round.h"

#include <string.h>

/* Rounds to a 16-bit float with so many bits of exponent. */
static uint32_t to_half(double v, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    const uint32_t sign = signbit(v) ? 0x8000 : 0, most = ((1u << exponent_bits) - 1) << fraction_bits;
    int exponent;
    if (isnan(v)) return sign | most | 1u << (fraction_bits - 1);
    if (isinf(v)) return sign | most;
    if (v == 0) return sign;
    const double fraction = frexp(fabs(v), &exponent);
    const int biased = exponent - 1 + bias;
    if (biased < 1) /* subnormal, or 2^fraction_bits, which is the smallest normal number */
        return sign | (uint32_t)nearbyint(ldexp(fabs(v), bias - 1 + fraction_bits));
    const uint32_t rounded = (uint32_t)nearbyint(ldexp(fraction, fraction_bits + 1)); /* from 2^bits to 2^(bits + 1) */
    const uint32_t bits = ((uint32_t)biased << fraction_bits) + (rounded - (1u << fraction_bits));
    return sign | (bits < most ? bits : most);
}

uint64_t bn_round_bits(int32_t type, double v) {
    uint64_t bits;
    uint32_t low;
    if (bn_is_flushed(type, v)) v = v < 0 ? -0.0 : 0;
    if (type == BN_ONNX_F16) return to_half(v, 5);
    if (type == BN_ONNX_BF16) return to_half(v, 8);
    if (type == BN_ONNX_DOUBLE) {
        memcpy(&bits, &v, sizeof v);
        return bits;
    }
    const float f32 = (float)v;
    memcpy(&low, &f32, sizeof low);
    return low;
}

double bn_rounded(int32_t type, double v) {
    if (bn_is_flushed(type, v)) return 0;
    if (type == BN_ONNX_DOUBLE) return v;
    if (type == BN_ONNX_FLOAT) return (double)(float)v;
    return bn_onnx_value(type, bn_round_bits(type, v));
}
