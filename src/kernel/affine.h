/* SPDX-License-Identifier: MIT */
/* The coefficients of an affine or a blend as vectors of one element type, and the affine itself. */
#ifndef BNK_AFFINE_H
#define BNK_AFFINE_H

#include "kernel/lanes.h"

/* A step has so many vectors of double, and so many parts: vectors of the type that outputs are computed in. */
enum { DOUBLES = BNK_LANES / BNK_WD, PARTS = BNK_LANES / VEC_LANES };
/* Widening elements of 16 bits takes the portable kernels many instructions. Their active loops are not unrolled and have no
 * kinds of their own, which would save little beside that. */
enum { IS_SHORT = sizeof(elem) < sizeof(num), LONG_STEPS = IS_SHORT && BNK_IS == BNK_IS_generic };

BNK_INLINE vec choose(mask where, vec yes, vec no) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (vec)_mm512_ternarylogic_epi32((__m512i)where, (__m512i)yes, (__m512i)no, 0xca);
#else
    return (vec)(((mask)yes & where) | ((mask)no & ~where));
#endif
}

/* The coefficients of one vector of channels, or those of one channel in every lane. */
struct affine {
    vec m1, m2, k, b;
};
struct blend {
    vec m1, m2, p, q, s;
};

/* Returns a coefficient: in planes that of one channel, in every lane; in rows those of the channels that lie side by side. */
BNK_INLINE vec lanes_of(const num *p, enum bnk_layout layout) { return layout == BNK_PLANE ? splat(*p) : load_num(p); }

/* Returns the coefficients of an affine from `first` on, which is 0, or BNK_GATE for the v that gates. */
BNK_INLINE struct affine affine_at(const struct bnk_call *k, size_t first, size_t c, enum bnk_layout layout) {
    const size_t pitch = k->coefficients.pitch;
    const num *p = (const num *)k->coefficients.at + first * pitch + c;
    return (struct affine){lanes_of(p + BNK_M1 * pitch, layout), lanes_of(p + BNK_M2 * pitch, layout),
                           lanes_of(p + BNK_K * pitch, layout), lanes_of(p + BNK_B * pitch, layout)};
}

BNK_INLINE struct blend blend_at(const struct bnk_call *k, size_t c, enum bnk_layout layout) {
    const size_t pitch = k->coefficients.pitch;
    const num *p = (const num *)k->coefficients.at + c;
    return (struct blend){lanes_of(p + BNK_M1 * pitch, layout), lanes_of(p + BNK_M2 * pitch, layout),
                          lanes_of(p + BNK_P * pitch, layout), lanes_of(p + BNK_Q * pitch, layout),
                          lanes_of(p + BNK_S * pitch, layout)};
}

/* Returns which lanes of part `part` are among the first `keep` of their step. */
BNK_INLINE mask first_lanes(int part, size_t keep) {
    static const num lane[BNK_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (mask)(load_num(lane + part * VEC_LANES) < splat((num)keep));
}

/* Returns coefficients that are those of a in the lanes of `here`, and those of b in the others. */
BNK_INLINE struct affine join_affines(mask here, struct affine a, struct affine b) {
    return (struct affine){choose(here, a.m1, b.m1), choose(here, a.m2, b.m2), choose(here, a.k, b.k), choose(here, a.b, b.b)};
}

BNK_INLINE struct blend join_blends(mask here, struct blend a, struct blend b) {
    return (struct blend){choose(here, a.m1, b.m1), choose(here, a.m2, b.m2), choose(here, a.p, b.p), choose(here, a.q, b.q),
                          choose(here, a.s, b.s)};
}

BNK_INLINE vec affine_of(struct affine n, const elem *x) { return ((load(x) - n.m1) - n.m2) * n.k + n.b; }

/* Elements of 16 bits take longer to be computed than to be read and written, so that an addition less is worth a loop. The
 * first difference goes to the units that multiply, where converting F16 keeps those that add busy. */
#if (BNK_TYPE_IS(bf16) || BNK_TYPE_IS(f16)) && BNK_BYTES == 64
enum { HAS_PRODUCTS = true };
BNK_INLINE vec product_of(struct affine n, const elem *x) {
    __m512 one = _mm512_set1_ps(1), v = (__m512)load(x);
    __asm__("" : "+v"(one)); /* or the compiler would see through it */
    v = BNK_TYPE_IS(f16) ? _mm512_fmsub_ps(v, one, (__m512)n.m1) : _mm512_sub_ps(v, (__m512)n.m1);
    return (vec)_mm512_fmadd_ps(_mm512_sub_ps(v, (__m512)n.m2), (__m512)n.k, _mm512_setzero_ps());
}
#elif (BNK_TYPE_IS(bf16) || BNK_TYPE_IS(f16)) && BNK_BYTES == 32
enum { HAS_PRODUCTS = true };
BNK_INLINE vec product_of(struct affine n, const elem *x) {
    const vec d = (load(x) - n.m1) - n.m2;
    return (vec)_mm256_fmadd_ps((__m256)d, (__m256)n.k, _mm256_setzero_ps());
}
#else
enum { HAS_PRODUCTS = false };
BNK_INLINE vec product_of(struct affine n, const elem *x) { return affine_of(n, x); }
#endif

/* Returns in which of these channels fma(d, K, +0), d = (x - M1) - M2, is affine_of() bit for bit. B must be +0, and d * K must
 * not vanish unless d is 0, because fma() would return a -0 where the sum is +0. It does not where M1 and K are at least 2^-60,
 * and M2 is, too, or 0: x - M1 is exact if x is close to M1, and at least half of M1 if it is not, so it is 0 or a multiple of
 * 2^-84; so is d; and d * K is at least 2^-144. F16's elements are multiples of 2^-24, so that M1 may be 0. */
BNK_INLINE mask are_products(struct affine n) {
    const vec least = splat(0x1p-60f), none = splat(0);
    const mask size = ~(mask)splat(-0.0f);
    const vec m1 = (vec)((mask)n.m1 & size), m2 = (vec)((mask)n.m2 & size), k = (vec)((mask)n.k & size);
    mask allowed = (mask)(m1 >= least);
    if (BNK_TYPE_IS(f16)) allowed |= (mask)(m1 == none);
    return allowed & ((mask)(m2 >= least) | (mask)(m2 == none)) & (mask)(k >= least) & ((mask)n.b == (mask)none);
}

/* Returns whether all of the first `channels` channels of a call are such. */
BNK_INLINE bool all_products(const struct bnk_call *k, size_t channels) {
    if (!HAS_PRODUCTS) return false;
    mask all = ~(mask){0};
    size_t c = 0;
    for (; c + VEC_LANES <= channels; c += VEC_LANES) all &= are_products(affine_at(k, 0, c, BNK_ROWS));
    for (; c < channels; c++) all &= are_products(affine_at(k, 0, c, BNK_PLANE));
    int64_t ones[sizeof all / sizeof(int64_t)], both = -1;
    memcpy(ones, &all, sizeof all);
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++) both &= ones[i];
    return both == -1;
}

#endif
