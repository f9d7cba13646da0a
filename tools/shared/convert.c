/* SPDX-License-Identifier: MIT */
/* Every conversion goes through double, which holds the three other floating types exactly, so that each result is rounded
 * once. */
#include "convert.h"

#include <math.h>
#include <string.h>

const char *const dtype_words[] = {
    [BATCHNORM_F32] = "f32", [BATCHNORM_F64] = "f64", [BATCHNORM_BF16] = "bf16", [BATCHNORM_F16] = "f16", NULL};

const char *type_name(batchnorm_dtype dtype) { return dtype == BATCHNORM_I64 ? "i64" : dtype_words[dtype]; }

/* A 16-bit format: the sign, an exponent, and `fraction` bits. */
struct half {
    int fraction, exponent_bias;
};
static const struct half bf16 = {7, 127}, f16 = {10, 15};

static double half_to_double(struct half format, uint16_t bits) {
    int fraction = bits & ((1 << format.fraction) - 1);
    int exponent = (bits & 0x7fff) >> format.fraction;
    double magnitude;
    if (exponent == 2 * format.exponent_bias + 1)
        magnitude = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = ldexp(fraction, 1 - format.exponent_bias - format.fraction);
    else
        magnitude = ldexp(fraction + (1 << format.fraction), exponent - format.exponent_bias - format.fraction);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* v / 2^shift, rounded to the nearest, ties to even. */
static uint64_t shift_rounded(uint64_t v, int shift) {
    if (shift > 63) return 0;
    uint64_t quotient = v >> shift, rest = v - (quotient << shift), half = (uint64_t)1 << (shift - 1);
    return quotient + (rest > half || (rest == half && (quotient & 1)));
}

static uint16_t double_to_half(struct half format, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
    uint64_t infinity = (uint64_t)(2 * format.exponent_bias + 1) << format.fraction;
    if (isnan(value)) return (uint16_t)(sign | infinity | 1u << (format.fraction - 1));
    if (isinf(value)) return (uint16_t)(sign | infinity);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023, least = 1 - format.exponent_bias;
    uint64_t significand = (bits & 0xfffffffffffff) | 0x10000000000000;
    /* below the least exponent bits are lost: the number becomes subnormal; double's own subnormals are far below that */
    int lost = exponent < least ? least - exponent : 0;
    uint64_t result = shift_rounded(significand, 52 - format.fraction + lost);
    /* a significand that was rounded up to the next power of two carries into the exponent, as it should */
    if (lost == 0) result += (uint64_t)(exponent - least) << format.fraction;
    return (uint16_t)(sign | (result < infinity ? result : infinity));
}

double integer_to_double(uint64_t bits, bool is_signed, batchnorm_dtype to) {
    const bool is_negative = is_signed && bits >> 63 != 0;
    uint64_t magnitude = is_negative ? 0 - bits : bits;
    /* of 64 digits 53 fit; the last of them becomes 1 where one of the 11 is, so that no half is seen that is none */
    if (to != BATCHNORM_F64 && magnitude >> 53 != 0) magnitude = (magnitude >> 11 | ((magnitude & 0x7ff) != 0)) << 11;
    return is_negative ? -(double)magnitude : (double)magnitude;
}

static void load(batchnorm_dtype dtype, batchnorm_dtype target, const void *from, size_t at, size_t count, double *to) {
    for (size_t i = 0; i < count; i++) {
        switch (dtype) {
        case BATCHNORM_F32:
            to[i] = ((const float *)from)[at + i];
            break;
        case BATCHNORM_BF16:
            to[i] = half_to_double(bf16, ((const uint16_t *)from)[at + i]);
            break;
        case BATCHNORM_F16:
            to[i] = half_to_double(f16, ((const uint16_t *)from)[at + i]);
            break;
        case BATCHNORM_I64:
            to[i] = integer_to_double((uint64_t)((const int64_t *)from)[at + i], true, target);
            break;
        default:
            to[i] = ((const double *)from)[at + i];
            break;
        }
    }
}

static void store(batchnorm_dtype dtype, const double *from, size_t at, size_t count, void *to) {
    for (size_t i = 0; i < count; i++) {
        switch (dtype) {
        case BATCHNORM_F32:
            ((float *)to)[at + i] = (float)from[i];
            break;
        case BATCHNORM_BF16:
            ((uint16_t *)to)[at + i] = double_to_half(bf16, from[i]);
            break;
        case BATCHNORM_F16:
            ((uint16_t *)to)[at + i] = double_to_half(f16, from[i]);
            break;
        default:
            ((double *)to)[at + i] = from[i];
            break;
        }
    }
}

void convert_elements(batchnorm_dtype from_dtype, const void *from, batchnorm_dtype to_dtype, void *to, size_t count) {
    double piece[256];
    for (size_t at = 0; at < count; at += 256) {
        size_t n = count - at < 256 ? count - at : 256;
        load(from_dtype, to_dtype, from, at, n, piece);
        store(to_dtype, piece, at, n, to);
    }
}
