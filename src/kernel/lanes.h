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

#if defined(__AVX__) || defined(__F16C__)
#include <immintrin.h>
#endif

#define BNK_INLINE static inline __attribute__((always_inline))
#define BNK_VECTOR(type, bytes) type __attribute__((vector_size(bytes)))

typedef BNK_VECTOR(double, BNK_BYTES) bnk_vd;
typedef BNK_VECTOR(float, BNK_BYTES) bnk_vf;
typedef BNK_VECTOR(int64_t, BNK_BYTES) bnk_vm; /* a mask over bnk_vd */
enum { BNK_WD = BNK_BYTES / 8, BNK_WF = BNK_BYTES / 4 };

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

/* per element type: a vector of double for sums, a vector of the computing type for outputs, and the store of the latter */
BNK_INLINE bnk_vd f32_load_double(const float *p) {
    bnk_f_part v;
    memcpy(&v, p, sizeof v);
    return to_double(v);
}
BNK_INLINE bnk_vf f32_load(const float *p) { return load_vf(p); }
BNK_INLINE void f32_store(float *p, bnk_vf v) { store_vf(p, v); }

BNK_INLINE bnk_vd f64_load_double(const double *p) { return load_vd(p); }
BNK_INLINE bnk_vd f64_load(const double *p) { return load_vd(p); }
BNK_INLINE void f64_store(double *p, bnk_vd v) { store_vd(p, v); }

BNK_INLINE bnk_vd bf16_load_double(const uint16_t *p) { return to_double(bf16_widen_part(p)); }
BNK_INLINE bnk_vf bf16_load(const uint16_t *p) { return bf16_widen_full(p); }
BNK_INLINE void bf16_store(uint16_t *p, bnk_vf v) { bf16_narrow_full(p, v); }

BNK_INLINE bnk_vd f16_load_double(const uint16_t *p) { return to_double(f16_widen_part(p)); }
BNK_INLINE bnk_vf f16_load(const uint16_t *p) { return f16_widen_full(p); }
BNK_INLINE void f16_store(uint16_t *p, bnk_vf v) { f16_narrow_full(p, v); }

#endif
