/* SPDX-License-Identifier: MIT */
/* BF16 and F16 to and from float. Rounding is to nearest, ties to even; a NaN becomes a quiet NaN. Where the processor converts
 * F16 itself the results are the same but for NaN payloads.
 *
 * Names end with what there is of floats: `vf` a vector of them, `fd` half a vector, which becomes a vector of double. */
#ifndef BNK_HALF_H
#define BNK_HALF_H

#include "kernel/vectors.h"

typedef BNK_VECTOR(uint32_t, BNK_BYTES) bnk_vu;
typedef BNK_VECTOR(uint32_t, BNK_BYTES / 2) bnk_ud;
typedef BNK_VECTOR(uint16_t, BNK_BYTES / 2) bnk_vh;
typedef BNK_VECTOR(uint16_t, BNK_BYTES / 4) bnk_hd;

BNK_INLINE bnk_vu words_vf(const uint16_t *p) {
    bnk_vh h;
    memcpy(&h, p, sizeof h);
#if BNK_BYTES == 64
    return (bnk_vu)_mm512_cvtepu16_epi32((__m256i)h);
#elif BNK_BYTES == 32
    return (bnk_vu)_mm256_cvtepu16_epi32((__m128i)h);
#else
    return __builtin_convertvector(h, bnk_vu);
#endif
}

BNK_INLINE bnk_ud words_fd(const uint16_t *p) {
    bnk_hd h;
    memcpy(&h, p, sizeof h);
#if BNK_BYTES == 64
    return (bnk_ud)_mm256_cvtepu16_epi32((__m128i)h);
#else
    return __builtin_convertvector(h, bnk_ud);
#endif
}

/* The lower half of every word. GCC 12 narrows a wide vector by pieces unless it is told the instruction. */
BNK_INLINE bnk_vh halves_of(bnk_vu u) {
#if BNK_BYTES == 64
    return (bnk_vh)_mm512_cvtepi32_epi16((__m512i)u);
#elif BNK_BYTES == 32 /* no element is above 0xffff, so that nothing saturates */
    return (bnk_vh)_mm_packus_epi32(_mm256_castsi256_si128((__m256i)u), _mm256_extracti128_si256((__m256i)u, 1));
#else
    return __builtin_convertvector(u, bnk_vh);
#endif
}

BNK_INLINE bnk_vu choose_words(bnk_vu mask, bnk_vu yes, bnk_vu no) {
#if BNK_BYTES == 32
    return (bnk_vu)_mm256_blendv_epi8((__m256i)no, (__m256i)yes, (__m256i)mask);
#else
    return (yes & mask) | (no & ~mask);
#endif
}

/* BF16: the upper half of a float. One instruction puts every word there, with AVX2 bytes of a vector that has the words
 * twice. */
BNK_INLINE bnk_vf bf16_widen_vf(const uint16_t *p) {
#if BNK_BYTES == 64 && defined(__AVX512BW__)
    const __m512i from = _mm512_set_epi32(15 << 16, 14 << 16, 13 << 16, 12 << 16, 11 << 16, 10 << 16, 9 << 16, 8 << 16, 7 << 16,
                                          6 << 16, 5 << 16, 4 << 16, 3 << 16, 2 << 16, 1 << 16, 0);
    const __m512i narrow = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p));
    return (bnk_vf)_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, from, narrow);
#elif BNK_BYTES == 32
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return (bnk_vf)_mm256_shuffle_epi8(twice, _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, //
                                                               -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15));
#else
    return (bnk_vf)(words_vf(p) << 16);
#endif
}

BNK_INLINE bnk_fd bf16_widen_fd(const uint16_t *p) {
#if BNK_BYTES == 64 && defined(__AVX512BW__) && defined(__AVX512VL__)
    const __m256i from = _mm256_set_epi32(7 << 16, 6 << 16, 5 << 16, 4 << 16, 3 << 16, 2 << 16, 1 << 16, 0);
    const __m256i narrow = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return (bnk_fd)_mm256_maskz_permutexvar_epi16(0xaaaa, from, narrow);
#else
    return (bnk_fd)(words_fd(p) << 16);
#endif
}

/* The upper half of every word. */
BNK_INLINE bnk_vh upper_halves_of(bnk_vu u) {
#if BNK_BYTES == 64 && defined(__AVX512BW__)
    const __m512i high =
        _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0x1f001d, 0x1b0019, 0x170015, 0x130011, 0xf000d, 0xb0009, 0x70005, 0x30001);
    return (bnk_vh)_mm512_castsi512_si256(_mm512_permutexvar_epi16(high, (__m512i)u));
#elif BNK_BYTES == 32
    const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m256i halves = _mm256_shuffle_epi8((__m256i)u, high);
    return (bnk_vh)_mm256_castsi256_si128(_mm256_permute4x64_epi64(halves, 0x08));
#else
    return halves_of(u >> 16);
#endif
}

/* Rounds words. A NaN must have a lower half of 0, or it could overflow: so has any that arithmetic makes, or that comes from
 * elements of BF16 and from coefficients. */
BNK_INLINE bnk_vu bf16_rounded(bnk_vf v) {
#if BNK_BYTES == 64 && defined(__AVX512BW__)
    const __m512i wide = (__m512i)v, r = _mm512_add_epi32(wide, _mm512_set1_epi32(0x7fff));
    const __mmask16 odd = _mm512_test_epi32_mask(wide, _mm512_set1_epi32(0x10000));
    return (bnk_vu)_mm512_mask_add_epi32(r, odd, r, _mm512_set1_epi32(1));
#else
    const bnk_vu bits = (bnk_vu)v;
    return bits + 0x7fff + ((bits >> 16) & 1);
#endif
}

BNK_INLINE bnk_vh bf16_narrow(bnk_vf v) {
#if BNK_BYTES == 64 && defined(__AVX512BW__)
    const __m512i quiet_nans = _mm512_set1_epi32(0x22); /* the response to NaNs, quiet and signaling: the NaN, quiet */
    const __m512 r = _mm512_castsi512_ps((__m512i)bf16_rounded(v));
    return upper_halves_of((bnk_vu)_mm512_fixupimm_ps(r, (__m512)v, quiet_nans, 0));
#else
    return upper_halves_of(choose_words((bnk_vu)(v != v), (bnk_vu)v | 0x400000, bf16_rounded(v)));
#endif
}

#if BNK_BYTES >= 32 && defined(__F16C__)
BNK_INLINE bnk_vf f16_widen_vf(const uint16_t *p) {
#if BNK_BYTES == 64
    return (bnk_vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#else
    return (bnk_vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#endif
}

BNK_INLINE bnk_fd f16_widen_fd(const uint16_t *p) {
#if BNK_BYTES == 64
    return (bnk_fd)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    return (bnk_fd)_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)p));
#endif
}

BNK_INLINE bnk_vh f16_narrow(bnk_vf v) {
#if BNK_BYTES == 64
    return (bnk_vh)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
#else
    return (bnk_vh)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#endif
}
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
BNK_INLINE bnk_vf f16_widen_vf(const uint16_t *p) { return (bnk_vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

BNK_INLINE bnk_fd f16_widen_fd(const uint16_t *p) {
    uint32_t two;
    memcpy(&two, p, sizeof two);
    return (bnk_fd)vget_low_f32(vcvt_f32_f16(vreinterpret_f16_u32(vdup_n_u32(two))));
}

BNK_INLINE bnk_vh f16_narrow(bnk_vf v) { return (bnk_vh)vcvt_f16_f32((float32x4_t)v); }
#else
/* Shifted into place, a half is a float that is too small by 2^112; this is true of subnormals, too. */
#define BNK_F16_WIDEN(name, floats, words, words_of)                                                                           \
    BNK_INLINE floats name(const uint16_t *p) {                                                                                \
        const words h = words_of(p);                                                                                           \
        const floats f = (floats)((h & 0x7fff) << 13) * 0x1p112f;                                                              \
        const words special = (words)(f >= 65536.0f) & 0x7f800000;                                                             \
        return (floats)((words)f | special | ((h & 0x8000) << 16));                                                            \
    }
BNK_F16_WIDEN(f16_widen_vf, bnk_vf, bnk_vu, words_vf)
BNK_F16_WIDEN(f16_widen_fd, bnk_fd, bnk_ud, words_fd)
#undef BNK_F16_WIDEN

BNK_INLINE bnk_vh f16_narrow(bnk_vf v) {
    const bnk_vu bits = (bnk_vu)v, size = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
    const bnk_vu normal = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
    /* adding 0.5 rounds to a multiple of 2^-24, which is what a subnormal half counts */
    const bnk_vu small = (bnk_vu)((bnk_vf)size + 0.5f) - 0x3f000000;
    const bnk_vu is_small = (bnk_vu)(size < 0x38800000);
    const bnk_vu is_large = (bnk_vu)(size >= 0x47800000);
    const bnk_vu is_nan = (bnk_vu)(size > 0x7f800000);
    const bnk_vu large = choose_words(is_nan, 0x7e00 | (size & 0), 0x7c00 | (size & 0));
    return halves_of(sign | choose_words(is_large, large, choose_words(is_small, small, normal)));
}
#endif

#endif
