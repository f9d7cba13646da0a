/* SPDX-License-Identifier: MIT */
/* Partial steps: the last elements of a row. */
#ifndef BNK_PARTIAL_H
#define BNK_PARTIAL_H

#include "kernel/vectors.h"

/* Returns vector i of a step with zeros in the place of the step's elements from `keep` on. */
BNK_INLINE bnk_vd keep_vd(bnk_vd v, int i, size_t keep) {
    static const int64_t ones_then_zeros[2 * BNK_LANES] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    bnk_md mask;
    memcpy(&mask, ones_then_zeros + BNK_LANES - keep + (size_t)i * BNK_WD, sizeof mask);
    return (bnk_vd)((bnk_md)v & mask);
}

/* With AVX-512 a masked move is one instruction for each register, and so is a masked load of 4 or 8 bytes an element with
 * AVX2. Moves without masks are many, and so functions that are called. */
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define BNK_TAKE BNK_INLINE
#define BNK_GIVE BNK_INLINE
#define BNK_MASKS 1
#else
#ifdef __AVX2__
#define BNK_TAKE BNK_INLINE
#else
#define BNK_TAKE static __attribute__((noinline))
#endif
#define BNK_GIVE static __attribute__((noinline))
#define BNK_MASKS 0
#endif

/* Where vectors are narrow, a few elements for one of them are one to three. */
enum { BNK_NARROW = BNK_BYTES == 16 };

/* Whether vectors of double are loaded with a few elements, and zeros after them. */
enum { BNK_LOADS_FEW = BNK_MASKS || BNK_NARROW };

/* Returns the first n < 4 halves at p, the first one in the lowest bits, in a register: a load of what several smaller stores
 * have put together would wait until they have reached the cache. */
BNK_INLINE uint64_t few_halves(const uint16_t *p, size_t n) {
    uint32_t first;
    if (n < 2) return n ? p[0] : 0;
    memcpy(&first, p, sizeof first);
    return n == 2 ? first : first | (uint64_t)p[2] << 32;
}

/* Copies n < BNK_LANES elements of `size` bytes each, in pieces of 8, 4, 2 and 1. */
BNK_INLINE void copy_some(void *to, const void *from, size_t n, size_t size) {
    size_t done = 0;
#pragma GCC unroll 4
    for (size_t piece = BNK_LANES / 2; piece > 0; piece /= 2)
        if (n & piece) {
            memcpy((char *)to + done, (const char *)from + done, piece * size);
            done += piece * size;
        }
}

/* Copies the first n < BNK_LANES elements of `size` bytes each to a full step, the rest of which becomes zero, and back.
 * Nothing else is read or written. */
BNK_TAKE void take_part(void *to, const void *from, size_t n, size_t size) {
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
#elif defined(__AVX2__)
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), wide_lanes = _mm256_setr_epi64x(0, 1, 2, 3);
    if (size == 4) {
        for (size_t i = 0; i < BNK_LANES; i += 8) {
            const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - (int)i), lanes);
            _mm256_storeu_si256((__m256i *)to + i / 8, _mm256_maskload_epi32((const int *)from + i, there));
        }
        return;
    }
    if (size == 8) {
        for (size_t i = 0; i < BNK_LANES; i += 4) {
            const __m256i there = _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n - (long long)i), wide_lanes);
            _mm256_storeu_si256((__m256i *)to + i / 4, _mm256_maskload_epi64((const long long *)from + i, there));
        }
        return;
    }
    if (size == 2) {
        const uint16_t *p = from;
        __m128i eight = _mm_setzero_si128(), rest;
        if (n & 8) {
            eight = _mm_loadu_si128((const __m128i *)p);
            p += 8;
        }
        uint64_t four = 0;
        if (n & 4) {
            memcpy(&four, p, sizeof four);
            p += 4;
            rest = _mm_set_epi64x((long long)few_halves(p, n & 3), (long long)four);
        } else {
            rest = _mm_cvtsi64_si128((long long)few_halves(p, n & 3));
        }
        _mm256_storeu_si256((__m256i *)to, n & 8 ? _mm256_set_m128i(rest, eight) : _mm256_set_m128i(eight, rest));
        return;
    }
#endif
    memset(to, 0, BNK_LANES * size);
    copy_some(to, from, n, size);
}

BNK_GIVE void give_part(void *to, const void *from, size_t n, size_t size) {
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
    copy_some(to, from, n, size);
}

/* Loads the first n of the elements that make a vector of double, and zeros after them. Only where there are masks. */
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

/* Copies the elements of 4 or 8 bytes for which ones[i] is 1 side by side. At the end of `to` a whole step may be written. So
 * many bytes ahead, if any, are fetched. */
enum { COMPRESSES = BNK_MASKS };
BNK_INLINE void compress(const void *from, const unsigned char *ones, size_t n, void *to, size_t size, ptrdiff_t ahead) {
#if BNK_MASKS
    char *q = to;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 there = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
        const __m128i bytes = _mm_maskz_loadu_epi8(there, ones + i);
        const __mmask16 wanted = _mm_test_epi8_mask(bytes, bytes);
        const char *p = (const char *)from + i * size;
        if (ahead)
            for (size_t line = 0; line < 16 * size; line += BNK_LINE) BNK_FETCH((uintptr_t)p + line + (uintptr_t)ahead);
        if (size == 4) {
            _mm512_storeu_si512(q, _mm512_maskz_compress_epi32(wanted, _mm512_maskz_loadu_epi32(there, p)));
        } else {
            const __mmask8 low = (__mmask8)wanted, high = (__mmask8)(wanted >> 8);
            _mm512_storeu_si512(q, _mm512_maskz_compress_epi64(low, _mm512_maskz_loadu_epi64((__mmask8)there, p)));
            char *next = q + (size_t)__builtin_popcount(low) * size;
            _mm512_storeu_si512(next,
                                _mm512_maskz_compress_epi64(high, _mm512_maskz_loadu_epi64((__mmask8)(there >> 8), p + 64)));
        }
        q += (size_t)__builtin_popcount(wanted) * size;
    }
#else
    (void)from, (void)ones, (void)n, (void)to, (void)size, (void)ahead;
#endif
}

/* Copies n <= BNK_LANES elements to where the mask is `when`; elsewhere what is there stays, or becomes 0 if it `fills`. */
BNK_INLINE void replace_some(const void *from, const struct bnk_replacement *by, size_t first, size_t n, void *to,
                             size_t size) {
#if BNK_MASKS
    const __mmask16 there = (__mmask16)((1u << n) - 1);
    const __m128i bytes = _mm_maskz_loadu_epi8(there, by->mask + first);
    const __mmask16 wanted = _mm_mask_cmpeq_epi8_mask(there, bytes, _mm_set1_epi8((char)by->when));
    const __mmask16 written = by->fills ? there : wanted;
    const char *p = from;
    char *q = to;
    if (size == 4) {
        _mm512_mask_storeu_epi32(q, written, _mm512_maskz_loadu_epi32(wanted, p));
    } else if (size == 2) {
        _mm256_mask_storeu_epi16(q, written, _mm256_maskz_loadu_epi16(wanted, p));
    } else {
        _mm512_mask_storeu_epi64(q, (__mmask8)written, _mm512_maskz_loadu_epi64((__mmask8)wanted, p));
        _mm512_mask_storeu_epi64(q + 64, (__mmask8)(written >> 8), _mm512_maskz_loadu_epi64((__mmask8)(wanted >> 8), p + 64));
    }
#else
    static const uint64_t zero = 0;
    for (size_t i = 0; i < n; i++) {
        char *q = (char *)to + i * size;
        memmove(q, by->mask[first + i] == by->when ? (const char *)from + i * size : by->fills ? (const char *)&zero : q, size);
    }
#endif
}

#endif
