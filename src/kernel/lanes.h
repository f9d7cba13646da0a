/* SPDX-License-Identifier: MIT */
/* The element type that a file is compiled for, BNK_TYPE: its names for what steps.h, plane.h and rows.h work on.
 *   elem            an element in memory
 *   num, vec, mask  the type that outputs are computed in, its vector, a mask over that; VEC_LANES: lanes of it
 *   load_double     a vector of double, for sums
 *   some_double     the same, of the first n elements, and zeros; only where loads of a few are cheap, BNK_LOADS_FEW
 *   load            a vector of the computing type, for outputs
 *   load_few        the same, of the first n elements, n > 0, and zeros; only where vectors are narrow
 *   store, put      of the latter; put: past the caches if it is told so
 *   put_sum         the same of what was computed, so that a NaN has the bits of an element or of a coefficient, no others
 *   splat, load_num, cut, gate, to_doubles: the helpers of vectors.h for it */
#ifndef BNK_LANES_H
#define BNK_LANES_H

#include "kernel/half.h"
#include "kernel/partial.h"

#define BNK_TYPE_IS(type) (BNK_PASTED(BNK_TYPE_, BNK_TYPE) == BNK_TYPE_##type)
#define BNK_TYPE_f32 1
#define BNK_TYPE_f64 2
#define BNK_TYPE_bf16 3
#define BNK_TYPE_f16 4

#if BNK_TYPE_IS(f64)
typedef double num;
typedef bnk_vd vec;
typedef bnk_md mask;
enum { VEC_LANES = BNK_WD };
BNK_INLINE vec splat(double x) { return splat_vd(x); }
BNK_INLINE vec load_num(const double *p) { return load_vd(p); }
BNK_INLINE vec cut(vec v, vec ceiling) { return cut_vd(v, ceiling); }
BNK_INLINE vec gate(vec v, vec ceiling, vec dy) { return gate_vd(v, ceiling, dy); }
BNK_INLINE void to_doubles(vec v, bnk_vd *doubles) { to_doubles_vd(v, doubles); }
#else
typedef float num;
typedef bnk_vf vec;
typedef bnk_mf mask;
enum { VEC_LANES = BNK_WF };
BNK_INLINE vec splat(float x) { return splat_vf(x); }
BNK_INLINE vec load_num(const float *p) { return load_vf(p); }
BNK_INLINE vec cut(vec v, vec ceiling) { return cut_vf(v, ceiling); }
BNK_INLINE vec gate(vec v, vec ceiling, vec dy) { return gate_vf(v, ceiling, dy); }
BNK_INLINE void to_doubles(vec v, bnk_vd *doubles) { to_doubles_vf(v, doubles); }
#endif

BNK_INLINE void put_bytes(void *p, const void *v, size_t bytes, bool past) {
    if (past)
        stream_bytes(p, v, bytes);
    else
        memcpy(p, v, bytes);
}

#if BNK_TYPE_IS(f32)
typedef float elem;
BNK_INLINE bnk_vd load_double(const elem *p) {
    bnk_fd v;
    memcpy(&v, p, sizeof v);
    return to_double(v);
}
BNK_INLINE bnk_vd some_double(const elem *p, size_t n) {
    if (!BNK_MASKS && n >= BNK_WD) return load_double(p);
    bnk_fd v = {n ? p[0] : 0};
    if (BNK_MASKS) load_some(&v, p, n, sizeof *p);
    return to_double(v);
}
BNK_INLINE vec load(const elem *p) { return load_vf(p); }
BNK_INLINE vec load_few(const elem *p, size_t n) { return (vec){p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0}; }
BNK_INLINE void store(elem *p, vec v) { store_vf(p, v); }
BNK_INLINE void put(elem *p, vec v, bool past) { put_bytes(p, &v, sizeof v, past); }
BNK_INLINE void put_sum(elem *p, vec v, bool past) { put(p, v, past); }
#elif BNK_TYPE_IS(f64)
typedef double elem;
BNK_INLINE bnk_vd load_double(const elem *p) { return load_vd(p); }
BNK_INLINE bnk_vd some_double(const elem *p, size_t n) {
    if (!BNK_MASKS && n >= BNK_WD) return load_double(p);
    bnk_vd v = {n ? p[0] : 0};
    if (BNK_MASKS) load_some(&v, p, n, sizeof *p);
    return v;
}
BNK_INLINE vec load(const elem *p) { return load_vd(p); }
BNK_INLINE vec load_few(const elem *p, size_t n) {
    (void)n; /* it is one */
    return (vec){p[0], 0};
}
BNK_INLINE void store(elem *p, vec v) { store_vd(p, v); }
BNK_INLINE void put(elem *p, vec v, bool past) { put_bytes(p, &v, sizeof v, past); }
BNK_INLINE void put_sum(elem *p, vec v, bool past) { put(p, v, past); }
#else
typedef uint16_t elem;
#if BNK_TYPE_IS(bf16)
BNK_INLINE bnk_fd widen_fd(const elem *p) { return bf16_widen_fd(p); }
BNK_INLINE vec load(const elem *p) { return bf16_widen_vf(p); }
BNK_INLINE bnk_vh narrow(vec v) { return bf16_narrow(v); }
BNK_INLINE bnk_vh narrow_sum(vec v) { return upper_halves_of(bf16_rounded(v)); }
#else
BNK_INLINE bnk_fd widen_fd(const elem *p) { return f16_widen_fd(p); }
BNK_INLINE vec load(const elem *p) { return f16_widen_vf(p); }
BNK_INLINE bnk_vh narrow(vec v) { return f16_narrow(v); }
BNK_INLINE bnk_vh narrow_sum(vec v) { return f16_narrow(v); }
#endif
BNK_INLINE bnk_vd load_double(const elem *p) { return to_double(widen_fd(p)); }
BNK_INLINE bnk_vd some_double(const elem *p, size_t n) {
    if (!BNK_MASKS && n >= BNK_WD) return load_double(p);
    elem some[BNK_WD] = {n ? p[0] : 0};
    if (BNK_MASKS) load_some(some, p, n, sizeof *p);
    return to_double(widen_fd(some));
}
BNK_INLINE vec load_few(const elem *p, size_t n) {
    const bnk_vh few = {p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
    elem some[VEC_LANES];
    memcpy(some, &few, sizeof some);
    return load(some);
}
BNK_INLINE void store(elem *p, vec v) {
    const bnk_vh h = narrow(v);
    memcpy(p, &h, sizeof h);
}
/* Both branches round for themselves, which takes fewer instructions than rounding before. Nothing streams half a register. */
BNK_INLINE void put(elem *p, vec v, bool past) {
    if (past && sizeof(bnk_vh) >= 16) {
        const bnk_vh h = narrow(v);
        stream_bytes(p, &h, sizeof h);
    } else {
        store(p, v);
    }
}
BNK_INLINE void put_sum(elem *p, vec v, bool past) {
    if (past && sizeof(bnk_vh) >= 16) {
        const bnk_vh h = narrow_sum(v);
        stream_bytes(p, &h, sizeof h);
    } else {
        const bnk_vh h = narrow_sum(v);
        memcpy(p, &h, sizeof h);
    }
}
#endif

#endif
