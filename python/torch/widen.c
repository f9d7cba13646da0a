/* SPDX-License-Identifier: MIT */
#include "widen.h"

#include <math.h>
#include <string.h>

static float widen_half(uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 31)
        value = fraction ? NAN : INFINITY;
    else
        value = exponent ? ldexpf((float)(fraction + 1024), exponent - 25) : ldexpf((float)fraction, -24);
    return half >> 15 ? -value : value;
}

static uint16_t narrow_half(float value) {
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const float size = fabsf(value);
    if (isnan(value)) return sign | 0x7e00;
    if (size >= 65520) return sign | 0x7c00;
    if (size == 0) return sign; /* which has no exponent */
    /* The distance of the halves around it; a half is a whole number of them, and rounding may carry into the exponent. */
    int exponent;
    (void)frexpf(size, &exponent);
    if (exponent < -13) exponent = -13;
    const int steps = (int)nearbyintf(ldexpf(size, 11 - exponent));
    return (uint16_t)(sign | (steps + (exponent + 13) * 1024));
}

static uint16_t narrow_bfloat(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void widen(batchnorm_dtype dtype, const void *from, float *to, size_t count) {
    const uint16_t *const in = from;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)in[i] << 16;
        if (dtype == BATCHNORM_BF16)
            memcpy(&to[i], &bits, sizeof bits);
        else
            to[i] = widen_half(in[i]);
    }
}

void narrow(batchnorm_dtype dtype, const float *from, void *to, size_t count) {
    uint16_t *const out = to;
    for (size_t i = 0; i < count; i++) out[i] = dtype == BATCHNORM_BF16 ? narrow_bfloat(from[i]) : narrow_half(from[i]);
}
