/* SPDX-License-Identifier: MIT */
/* Vectors of one instruction set's native width, and what is done with them. BNK_BYTES is that width. A group
 * of BNK_LANES lanes is an array of native vectors; one oversized vector type would go through the stack under GCC 12.
 *
 * Every helper is static: an external one compiled with wide-register flags could be kept by the linker for everybody. */
#ifndef BNK_VECTORS_H
#define BNK_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel/isa.h"
#include "kernel/kernel.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif
#ifdef __aarch64__
#include <arm_neon.h>
#endif

#define BNK_INLINE static inline __attribute__((always_inline))
#define BNK_VECTOR(type, bytes) type __attribute__((vector_size(bytes)))

typedef BNK_VECTOR(double, BNK_BYTES) bnk_vd;
typedef BNK_VECTOR(float, BNK_BYTES) bnk_vf;
typedef BNK_VECTOR(float, BNK_BYTES / 2) bnk_fd; /* as many floats as a bnk_vd has doubles */
typedef BNK_VECTOR(int64_t, BNK_BYTES) bnk_md;   /* a mask over bnk_vd */
typedef BNK_VECTOR(int32_t, BNK_BYTES) bnk_mf;   /* a mask over bnk_vf */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { BNK_REGISTERS = 32 };
#else
enum { BNK_REGISTERS = 16 };
#endif
enum { BNK_WD = BNK_BYTES / 8, BNK_WF = BNK_BYTES / 4, BNK_LINE = 64 };

/* Fetches into the second-level cache, which takes many more fetches at once than the first, and so hides the way to memory. */
#define BNK_FETCH(p) __builtin_prefetch((const void *)(p), 0, 2)

/* Stores past the caches. `p` is aligned to the size of the vector. */
BNK_INLINE void stream_bytes(void *p, const void *v, size_t bytes) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    if (bytes == 64) {
        __m512i w;
        memcpy(&w, v, 64);
        _mm512_stream_si512((__m512i *)p, w);
        return;
    }
#endif
#ifdef __AVX__
    if (bytes == 32) {
        __m256i w;
        memcpy(&w, v, 32);
        _mm256_stream_si256((__m256i *)p, w);
        return;
    }
#endif
#ifdef __SSE2__
    if (bytes == 16) {
        __m128i w;
        memcpy(&w, v, 16);
        _mm_stream_si128((__m128i *)p, w);
        return;
    }
#endif
    memcpy(p, v, bytes);
}

BNK_INLINE bnk_vd load_vd(const double *p) {
    bnk_vd v;
    memcpy(&v, p, sizeof v);
    return v;
}

BNK_INLINE void store_vd(double *p, bnk_vd v) { memcpy(p, &v, sizeof v); }

/* Returns v with 0 in the place of what is not finite. */
BNK_INLINE bnk_vd or_zero(bnk_vd v) { return (bnk_vd)((bnk_md)v & (bnk_md)(v - v == 0)); }

/* A vector of some elements of a and of b, by their numbers, which are a vector of type `numbers`. GCC has Clang's function
 * from its version 12 on. */
#ifdef __clang__
#define BNK_CHOOSE(numbers, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define BNK_CHOOSE(numbers, a, b, ...) __builtin_shuffle(a, b, (numbers){__VA_ARGS__})
#endif

BNK_INLINE bnk_vf load_vf(const float *p) {
    bnk_vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

BNK_INLINE void store_vf(float *p, bnk_vf v) { memcpy(p, &v, sizeof v); }

BNK_INLINE bnk_vd splat_vd(double x) {
    double all[BNK_WD];
    for (int i = 0; i < BNK_WD; i++) all[i] = x;
    return load_vd(all);
}

BNK_INLINE bnk_vf splat_vf(float x) {
    float all[BNK_WF];
    for (int i = 0; i < BNK_WF; i++) all[i] = x;
    return load_vf(all);
}

/* Sums of doubles on the units that multiply and add. Adding takes other units than multiplying on many processors, and only
 * half of them; fma(a, 1, b) is a + b, with the same bits. `one` must come from opaque_one(), or the compiler sees through
 * it. */
BNK_INLINE bnk_vd opaque_one(void) {
    bnk_vd one = splat_vd(1);
#if defined(__AVX512F__) && BNK_BYTES == 64
    __asm__("" : "+v"(one));
#elif defined(__FMA__) && BNK_BYTES == 32
    __asm__("" : "+x"(one));
#endif
    return one;
}

BNK_INLINE bnk_vd add_by(bnk_vd one, bnk_vd a, bnk_vd b) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (bnk_vd)_mm512_fmadd_pd((__m512d)a, (__m512d)one, (__m512d)b);
#elif defined(__FMA__) && BNK_BYTES == 32
    return (bnk_vd)_mm256_fmadd_pd((__m256d)a, (__m256d)one, (__m256d)b);
#else
    (void)one;
    return a + b;
#endif
}

BNK_INLINE bnk_vd subtract_by(bnk_vd one, bnk_vd a, bnk_vd b) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (bnk_vd)_mm512_fmsub_pd((__m512d)a, (__m512d)one, (__m512d)b);
#elif defined(__FMA__) && BNK_BYTES == 32
    return (bnk_vd)_mm256_fmsub_pd((__m256d)a, (__m256d)one, (__m256d)b);
#else
    (void)one;
    return a - b;
#endif
}

/* GCC 12 converts to a wide vector by halves unless it is told the instruction. */
BNK_INLINE bnk_vd to_double(bnk_fd v) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (bnk_vd)_mm512_cvtps_pd((__m256)v);
#elif defined(__AVX__) && BNK_BYTES == 32
    return (bnk_vd)_mm256_cvtps_pd((__m128)v);
#else
    return __builtin_convertvector(v, bnk_vd);
#endif
}

BNK_INLINE bnk_fd to_float(bnk_vd v) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (bnk_fd)_mm512_cvtpd_ps((__m512d)v);
#elif defined(__AVX__) && BNK_BYTES == 32
    return (bnk_fd)_mm256_cvtpd_ps((__m256d)v);
#else
    return __builtin_convertvector(v, bnk_fd);
#endif
}

/* Returns a vector of two halves. Through memory, a load of both would wait for their stores. */
BNK_INLINE bnk_vf joined(bnk_fd low, bnk_fd high) {
#if defined(__AVX512F__) && defined(__AVX512DQ__) && BNK_BYTES == 64
    return (bnk_vf)_mm512_insertf32x8(_mm512_castps256_ps512((__m256)low), (__m256)high, 1);
#elif defined(__AVX__) && BNK_BYTES == 32
    return (bnk_vf)_mm256_insertf128_ps(_mm256_castps128_ps256((__m128)low), (__m128)high, 1);
#else
    const bnk_fd half[2] = {low, high};
    bnk_vf v;
    memcpy(&v, half, sizeof v);
    return v;
#endif
}

/* Converts a vector to vectors of double. */
BNK_INLINE void to_doubles_vd(bnk_vd v, bnk_vd *doubles) { doubles[0] = v; }
BNK_INLINE void to_doubles_vf(bnk_vf v, bnk_vd *doubles) {
    bnk_fd half[2];
    memcpy(half, &v, sizeof v);
    doubles[0] = to_double(half[0]);
    doubles[1] = to_double(half[1]);
}

/* cut_... returns v, or 0 or the ceiling where v lies beyond them. gate_... returns dy where v lies between 0 and the ceiling,
 * and 0 elsewhere. A NaN in v stays, and lets dy through. A min of x86 returns the second where one is a NaN. */
#if defined(__AVX512F__) && BNK_BYTES == 64
BNK_INLINE bnk_vf cut_vf(bnk_vf v, bnk_vf ceiling) {
    const __m512 w = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NLT_UQ), (__m512)v);
    return (bnk_vf)_mm512_min_ps((__m512)ceiling, w);
}
BNK_INLINE bnk_vd cut_vd(bnk_vd v, bnk_vd ceiling) {
    const __m512d w = _mm512_maskz_mov_pd(_mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_NLT_UQ), (__m512d)v);
    return (bnk_vd)_mm512_min_pd((__m512d)ceiling, w);
}
BNK_INLINE bnk_vf gate_vf(bnk_vf v, bnk_vf ceiling, bnk_vf dy) {
    const __mmask16 up = _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NLE_UQ);
    return (bnk_vf)_mm512_maskz_mov_ps(_mm512_mask_cmp_ps_mask(up, (__m512)v, (__m512)ceiling, _CMP_NGE_UQ), (__m512)dy);
}
BNK_INLINE bnk_vd gate_vd(bnk_vd v, bnk_vd ceiling, bnk_vd dy) {
    const __mmask8 up = _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_NLE_UQ);
    return (bnk_vd)_mm512_maskz_mov_pd(_mm512_mask_cmp_pd_mask(up, (__m512d)v, (__m512d)ceiling, _CMP_NGE_UQ), (__m512d)dy);
}
#elif defined(__AVX__) && BNK_BYTES == 32
BNK_INLINE bnk_vf cut_vf(bnk_vf v, bnk_vf ceiling) {
    const __m256 up = _mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NLT_UQ);
    return (bnk_vf)_mm256_min_ps((__m256)ceiling, _mm256_and_ps((__m256)v, up));
}
BNK_INLINE bnk_vd cut_vd(bnk_vd v, bnk_vd ceiling) {
    const __m256d up = _mm256_cmp_pd((__m256d)v, _mm256_setzero_pd(), _CMP_NLT_UQ);
    return (bnk_vd)_mm256_min_pd((__m256d)ceiling, _mm256_and_pd((__m256d)v, up));
}
BNK_INLINE bnk_vf gate_vf(bnk_vf v, bnk_vf ceiling, bnk_vf dy) {
    const __m256 up = _mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NLE_UQ);
    return (bnk_vf)_mm256_and_ps(_mm256_cmp_ps((__m256)v, (__m256)ceiling, _CMP_NGE_UQ), _mm256_and_ps((__m256)dy, up));
}
BNK_INLINE bnk_vd gate_vd(bnk_vd v, bnk_vd ceiling, bnk_vd dy) {
    const __m256d up = _mm256_cmp_pd((__m256d)v, _mm256_setzero_pd(), _CMP_NLE_UQ);
    return (bnk_vd)_mm256_and_pd(_mm256_cmp_pd((__m256d)v, (__m256d)ceiling, _CMP_NGE_UQ), _mm256_and_pd((__m256d)dy, up));
}
#else
#define BNK_CUT_AND_GATE(vector, mask, name)                                                                                   \
    BNK_INLINE vector cut_##name(vector v, vector ceiling) {                                                                   \
        const mask above = (mask)(v > ceiling);                                                                                \
        return (vector)(((mask)v & ~(mask)(v < 0) & ~above) | ((mask)ceiling & above));                                        \
    }                                                                                                                          \
    BNK_INLINE vector gate_##name(vector v, vector ceiling, vector dy) {                                                       \
        return (vector)((mask)dy & ~((mask)(v <= 0) | (mask)(v >= ceiling)));                                                  \
    }
BNK_CUT_AND_GATE(bnk_vf, bnk_mf, vf)
BNK_CUT_AND_GATE(bnk_vd, bnk_md, vd)
#undef BNK_CUT_AND_GATE
#endif

#endif
