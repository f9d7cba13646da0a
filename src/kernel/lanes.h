/* SPDX-License-Identifier: MIT */
/* Vectors of one instruction set's native width, and the loads and stores of every element type. BNK_BYTES is that width. A group
 * of BNK_LANES lanes is an array of native vectors; one oversized vector type would go through the stack under GCC 12.
 *
 * Every helper is static: an external one compiled with wide-register flags could be kept by the linker for everybody. */
#ifndef BNK_LANES_H
#define BNK_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel/kernel.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#define BNK_INLINE static inline __attribute__((always_inline))
#define BNK_VECTOR(type, bytes) type __attribute__((vector_size(bytes)))

typedef BNK_VECTOR(double, BNK_BYTES) bnk_vd;
typedef BNK_VECTOR(float, BNK_BYTES) bnk_vf;
typedef BNK_VECTOR(int64_t, BNK_BYTES) bnk_vm;  /* a mask over bnk_vd */
typedef BNK_VECTOR(int32_t, BNK_BYTES) bnk_vmf; /* a mask over bnk_vf */
enum { BNK_WD = BNK_BYTES / 8, BNK_WF = BNK_BYTES / 4, BNK_LINE = 64 };

/* Fetch into the second-level cache: it takes many more fetches at once than the first, and so hides the way to memory. */
#define BNK_FETCH(p) __builtin_prefetch((const void *)(p), 0, 2)

/* Store past the caches. `p` is aligned to the size of the vector. */
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

/* Conversions between 16-bit and 32-bit floats, for a vector of `bytes` bytes of float: once for a full vector (affine and
 * blend compute in float), once for a half one (it becomes a full vector of double). */
#define BNK_WIDTH BNK_BYTES
#define BNK_NAME(x) x##_full
#include "kernel/half.inc"
#undef BNK_WIDTH
#undef BNK_NAME
#define BNK_WIDTH (BNK_BYTES / 2)
#define BNK_NAME(x) x##_part
#include "kernel/half.inc"
#undef BNK_WIDTH
#undef BNK_NAME

BNK_INLINE bnk_vd load_vd(const double *p) {
    bnk_vd v;
    memcpy(&v, p, sizeof v);
    return v;
}

BNK_INLINE void store_vd(double *p, bnk_vd v) { memcpy(p, &v, sizeof v); }

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
 * half of them; fma(a, 1, b) is a + b, with the same bits. `one` must come from opaque_one(), or the compiler sees through it. */
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

/* Zero the lanes of step `part` from element `keep` on. */
BNK_INLINE bnk_vd keep_vd(bnk_vd v, int part, size_t keep) {
    static const int64_t ones_then_zeros[2 * BNK_LANES] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    bnk_vm mask;
    memcpy(&mask, ones_then_zeros + BNK_LANES - keep + (size_t)part * BNK_WD, sizeof mask);
    return (bnk_vd)((bnk_vm)v & mask);
}

/* GCC 12 converts to a wide vector by halves unless it is told the instruction. */
BNK_INLINE bnk_vd to_double(bnk_f_part v) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (bnk_vd)_mm512_cvtps_pd((__m256)v);
#elif defined(__AVX__) && BNK_BYTES == 32
    return (bnk_vd)_mm256_cvtps_pd((__m128)v);
#else
    return __builtin_convertvector(v, bnk_vd);
#endif
}

/* Masked moves are a few instructions; without them a partial step is worth a call. */
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define BNK_PART BNK_INLINE
#define BNK_MASKS 1
#else
#define BNK_PART static __attribute__((noinline))
#define BNK_MASKS 0
#endif

/* The first n < BNK_LANES elements of `size` bytes each: copied to a full step, the rest of which becomes zero, and back. Nothing
 * else is read or written. */
BNK_PART void take_part(void *to, const void *from, size_t n, size_t size) {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
    const __mmask16 mask = (__mmask16)((1u << n) - 1);
    if (size == 4) {
        _mm512_storeu_si512(to, _mm512_maskz_loadu_epi32(mask, from));
        return;
    }
    if (size == 8) {
        _mm512_storeu_si512(to, _mm512_maskz_loadu_epi64((__mmask8)mask, from));
        _mm512_storeu_si512((char *)to + 64, _mm512_maskz_loadu_epi64((__mmask8)(mask >> 8), (const char *)from + 64));
        return;
    }
    if (size == 2) {
        _mm256_storeu_si256((__m256i *)to, _mm256_maskz_loadu_epi16(mask, from));
        return;
    }
#endif
    memset(to, 0, BNK_LANES * size);
    size_t done = 0;
#pragma GCC unroll 4
    for (size_t piece = BNK_LANES / 2; piece > 0; piece /= 2)
        if (n & piece) {
            memcpy((char *)to + done, (const char *)from + done, piece * size);
            done += piece * size;
        }
}

BNK_PART void give_part(void *to, const void *from, size_t n, size_t size) {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
    const __mmask16 mask = (__mmask16)((1u << n) - 1);
    if (size == 4) {
        _mm512_mask_storeu_epi32(to, mask, _mm512_loadu_si512(from));
        return;
    }
    if (size == 8) {
        _mm512_mask_storeu_epi64(to, (__mmask8)mask, _mm512_loadu_si512(from));
        _mm512_mask_storeu_epi64((char *)to + 64, (__mmask8)(mask >> 8), _mm512_loadu_si512((const char *)from + 64));
        return;
    }
    if (size == 2) {
        _mm256_mask_storeu_epi16(to, mask, _mm256_loadu_si256((const __m256i *)from));
        return;
    }
#endif
    size_t done = 0;
#pragma GCC unroll 4
    for (size_t piece = BNK_LANES / 2; piece > 0; piece /= 2)
        if (n & piece) {
            memcpy((char *)to + done, (const char *)from + done, piece * size);
            done += piece * size;
        }
}

/* The first n of the elements that make a vector of double, and zeros after them. Only where there are masks. */
BNK_INLINE void load_some(void *to, const void *from, size_t n, size_t size) {
#if BNK_MASKS
    const __mmask8 mask = (__mmask8)(n < 8 ? (1u << n) - 1 : 0xff);
    if (size == 4) {
        __m256i v = _mm256_maskz_loadu_epi32(mask, from);
        memcpy(to, &v, sizeof v);
    } else if (size == 8) {
        __m512i v = _mm512_maskz_loadu_epi64(mask, from);
        memcpy(to, &v, sizeof v);
    } else {
        __m128i v = _mm_maskz_loadu_epi16(mask, from);
        memcpy(to, &v, sizeof v);
    }
#else
    (void)to, (void)from, (void)n, (void)size;
#endif
}

/* per element type: a vector of double for sums, a vector of the computing type for outputs, and the store of the latter */
BNK_INLINE bnk_vd f32_load_double(const float *p) {
    bnk_f_part v;
    memcpy(&v, p, sizeof v);
    return to_double(v);
}
BNK_INLINE bnk_vd f32_some_double(const float *p, size_t n) {
    bnk_f_part v = {0};
    load_some(&v, p, n, sizeof *p);
    return to_double(v);
}
BNK_INLINE bnk_vf f32_load(const float *p) { return load_vf(p); }
BNK_INLINE void f32_store(float *p, bnk_vf v) { store_vf(p, v); }
BNK_INLINE void f32_stream(float *p, bnk_vf v) { stream_bytes(p, &v, sizeof v); }

BNK_INLINE bnk_vd f64_load_double(const double *p) { return load_vd(p); }
BNK_INLINE bnk_vd f64_some_double(const double *p, size_t n) {
    bnk_vd v = {0};
    load_some(&v, p, n, sizeof *p);
    return v;
}
BNK_INLINE bnk_vd f64_load(const double *p) { return load_vd(p); }
BNK_INLINE void f64_store(double *p, bnk_vd v) { store_vd(p, v); }
BNK_INLINE void f64_stream(double *p, bnk_vd v) { stream_bytes(p, &v, sizeof v); }

BNK_INLINE bnk_vd bf16_load_double(const uint16_t *p) { return to_double(bf16_widen_part(p)); }
BNK_INLINE bnk_vd bf16_some_double(const uint16_t *p, size_t n) {
    uint16_t some[BNK_WD] = {0};
    load_some(some, p, n, sizeof *p);
    return to_double(bf16_widen_part(some));
}
BNK_INLINE bnk_vf bf16_load(const uint16_t *p) { return bf16_widen_full(p); }
BNK_INLINE void bf16_store(uint16_t *p, bnk_vf v) {
    bnk_h_full h = bf16_narrow_full(v);
    memcpy(p, &h, sizeof h);
}
BNK_INLINE void bf16_stream(uint16_t *p, bnk_vf v) {
    bnk_h_full h = bf16_narrow_full(v);
    stream_bytes(p, &h, sizeof h);
}

BNK_INLINE bnk_vd f16_load_double(const uint16_t *p) { return to_double(f16_widen_part(p)); }
BNK_INLINE bnk_vd f16_some_double(const uint16_t *p, size_t n) {
    uint16_t some[BNK_WD] = {0};
    load_some(some, p, n, sizeof *p);
    return to_double(f16_widen_part(some));
}
BNK_INLINE bnk_vf f16_load(const uint16_t *p) { return f16_widen_full(p); }
BNK_INLINE void f16_store(uint16_t *p, bnk_vf v) {
    bnk_h_full h = f16_narrow_full(v);
    memcpy(p, &h, sizeof h);
}
BNK_INLINE void f16_stream(uint16_t *p, bnk_vf v) {
    bnk_h_full h = f16_narrow_full(v);
    stream_bytes(p, &h, sizeof h);
}

#endif
