/* SPDX-License-Identifier: MIT */
/* The loads and stores of every element type. */
#ifndef BNK_LANES_H
#define BNK_LANES_H

#include "kernel/partial.h"

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
