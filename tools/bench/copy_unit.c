/* SPDX-License-Identifier: MIT */
/* Compiled once for each instruction set, as BENCH_MOVE, with vectors as wide as its registers. */
#include "copy.h"

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64, UNROLLED = 4 };
#elif defined(__AVX__)
enum { VECTOR_BYTES = 32, UNROLLED = 8 };
#else
enum { VECTOR_BYTES = 16, UNROLLED = 8 };
#endif
typedef uint64_t vector __attribute__((vector_size(VECTOR_BYTES)));
enum { STEP = VECTOR_BYTES * UNROLLED };

#ifdef __SSE2__
#include <immintrin.h>
static void store_past_caches(unsigned char *to, vector v) {
#if defined(__AVX512F__)
    _mm512_stream_si512((void *)to, (__m512i)v);
#elif defined(__AVX__)
    _mm256_stream_si256((void *)to, (__m256i)v);
#else
    _mm_stream_si128((void *)to, (__m128i)v);
#endif
}
/* Such stores are ordered with nothing before this. */
static void finish_stores(void) { _mm_sfence(); }
#else
static void store_past_caches(unsigned char *to, vector v) { *(vector *)to = v; }
static void finish_stores(void) {}
#endif

static uint64_t fold(vector v) {
    uint64_t rest = 0;
    for (int k = 0; k < VECTOR_BYTES / 8; k++) rest ^= v[k];
    return rest;
}

/* One vector. Inlined, with constants for all but the first two arguments. */
static inline __attribute__((always_inline)) vector move_vector(const struct bench_streams *s, size_t at, const int reads,
                                                                const int writes, const bool non_temporal) {
    vector v = *(const vector *)(s->in[0] + at);
    for (int k = 1; k < reads; k++) v ^= *(const vector *)(s->in[k] + at);
    for (int k = 0; k < writes; k++) {
        if (non_temporal)
            store_past_caches(s->out[k] + at, v);
        else
            *(vector *)(s->out[k] + at) = v;
    }
    return v;
}

static inline __attribute__((always_inline)) uint64_t move(const struct bench_streams *streams, size_t begin, size_t end,
                                                           const int reads, const int writes, const bool non_temporal) {
    const struct bench_streams s = *streams;
    vector sums[UNROLLED] = {0};
    uint64_t rest = 0;
    size_t i = begin;
    for (; i + STEP <= end; i += STEP) {
        for (int u = 0; u < UNROLLED; u++) {
            const vector v = move_vector(&s, i + (size_t)u * VECTOR_BYTES, reads, writes, non_temporal);
            if (writes == 0) sums[u] ^= v;
        }
        if (writes > 0) __asm__ volatile("" ::: "memory"); /* or a compiler may call memcpy, which has ideas of its own */
    }
    for (; i + VECTOR_BYTES <= end; i += VECTOR_BYTES) rest ^= fold(move_vector(&s, i, reads, writes, non_temporal));
    for (; i < end; i++) {
        unsigned char byte = s.in[0][i];
        for (int k = 1; k < reads; k++) byte ^= s.in[k][i];
        for (int k = 0; k < writes; k++) s.out[k][i] = byte;
        rest ^= byte;
    }
    if (non_temporal) finish_stores();
    for (int u = 0; u < UNROLLED; u++) rest ^= fold(sums[u]);
    return rest;
}

uint64_t BENCH_MOVE(const struct bench_streams *s, size_t begin, size_t end, bool non_temporal) {
    switch (s->reads * 10 + s->writes) {
    case 10:
        return move(s, begin, end, 1, 0, false);
    case 11:
        return non_temporal ? move(s, begin, end, 1, 1, true) : move(s, begin, end, 1, 1, false);
    case 21:
        return non_temporal ? move(s, begin, end, 2, 1, true) : move(s, begin, end, 2, 1, false);
    case 22:
        return non_temporal ? move(s, begin, end, 2, 2, true) : move(s, begin, end, 2, 2, false);
    default:
        return non_temporal ? move(s, begin, end, 3, 2, true) : move(s, begin, end, 3, 2, false);
    }
}
