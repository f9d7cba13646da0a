/* SPDX-License-Identifier: MIT */
/* What one step of BNK_LANES elements does, for one element type. Longer than 300 lines, because the steps of all verbs share
 * their loads, their gates and their last parts. plane.h and rows.h make verbs of the steps. The last, partial step of a row
 * works on a copy, so that nothing outside the row is read or written. */
#ifndef BNK_STEPS_H
#define BNK_STEPS_H

#include "kernel/lanes.h"

enum { DOUBLES = BNK_LANES / BNK_WD, PARTS = BNK_LANES / VEC_LANES };
/* Elements of 16 bits are widened, which takes the portable kernels many instructions: their active loops are neither
 * unrolled nor specialized. */
enum { IS_SHORT = sizeof(elem) < sizeof(num), LONG_STEPS = IS_SHORT && BNK_IS == BNK_IS_generic };
/* elements of a cache line, and what streams are aligned to */
enum { LINE_ELEMENTS = BNK_LINE / sizeof(elem), ALIGNED = BNK_LANES * sizeof(elem) < 64 ? BNK_LANES * sizeof(elem) : 64 };

/* 0 in place of what is not finite */
BNK_INLINE bnk_vd or_zero(bnk_vd v) { return (bnk_vd)((bnk_vm)v & (bnk_vm)(v - v == 0)); }

/* Those that do not lie side by side are collected first, a step of them at a time: a load that waits for several stores takes
 * long. */
static void pivot(const void *x, ptrdiff_t stride, size_t count, double *out) {
    const elem *p = x;
    elem some[BNK_LANES] = {0};
    double finite[BNK_LANES];
    for (size_t i = 0, n; i < count; i += n) {
        n = count - i < BNK_LANES ? count - i : BNK_LANES;
        bool at_once = stride == 1 && n == BNK_LANES;
        for (size_t k = 0; k < n && !at_once; k++) some[k] = p[(ptrdiff_t)(i + k) * stride];
        const elem *from = at_once ? p + i : some;
        for (int k = 0; k < BNK_LANES; k += BNK_WD) store_vd(finite + k, or_zero(load_double(from + k)));
        memcpy(out + i, finite, n * sizeof *out);
    }
}

/* Where row r of channel c of an array begins; NULL for an array that is not there. */
BNK_INLINE elem *there(const struct bnk_array *a, size_t r, size_t c) {
    return (elem *)(void *)a->at + (ptrdiff_t)r * a->row + (ptrdiff_t)c * a->channel;
}
BNK_INLINE elem *row(const struct bnk_array *a, size_t r, size_t c) { return a->at ? there(a, r, c) : NULL; }

/* Fetch what lies `ahead` bytes after the step at p, once for every line; nothing if that is 0. */
BNK_INLINE void fetch(const elem *p, size_t i, ptrdiff_t ahead) {
    if (ahead == 0 || (LINE_ELEMENTS > BNK_LANES && (uintptr_t)(p + i) % BNK_LINE >= BNK_LANES * sizeof(elem))) return;
    for (size_t k = 0; k < BNK_LANES; k += LINE_ELEMENTS) BNK_FETCH((const char *)(p + i + k) + ahead);
}

BNK_INLINE vec choose(mask where, vec yes, vec no) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (vec)_mm512_ternarylogic_epi32((__m512i)where, (__m512i)yes, (__m512i)no, 0xca);
#else
    return (vec)(((mask)yes & where) | ((mask)no & ~where));
#endif
}

/* The numbers of one vector of channels, or those of one channel in every lane. */
struct affine {
    vec m1, m2, k, b;
};
struct blend {
    vec m1, m2, p, q, s;
};

BNK_INLINE struct affine affine_splat(struct bnk_numbers n, size_t first, size_t c) {
    const num *p = (const num *)n.numbers + first * n.pitch + c;
    return (struct affine){splat(p[BNK_M1 * n.pitch]), splat(p[BNK_M2 * n.pitch]), splat(p[BNK_K * n.pitch]),
                           splat(p[BNK_B * n.pitch])};
}

BNK_INLINE struct affine affine_load(struct bnk_numbers n, size_t first, size_t c) {
    const num *p = (const num *)n.numbers + first * n.pitch + c;
    return (struct affine){load_num(p + BNK_M1 * n.pitch), load_num(p + BNK_M2 * n.pitch), load_num(p + BNK_K * n.pitch),
                           load_num(p + BNK_B * n.pitch)};
}

BNK_INLINE struct blend blend_splat(struct bnk_numbers n, size_t c) {
    const num *p = (const num *)n.numbers + c;
    return (struct blend){splat(p[BNK_M1 * n.pitch]), splat(p[BNK_M2 * n.pitch]), splat(p[BNK_P * n.pitch]),
                          splat(p[BNK_Q * n.pitch]), splat(p[BNK_S * n.pitch])};
}

BNK_INLINE struct blend blend_load(struct bnk_numbers n, size_t c) {
    const num *p = (const num *)n.numbers + c;
    return (struct blend){load_num(p + BNK_M1 * n.pitch), load_num(p + BNK_M2 * n.pitch), load_num(p + BNK_P * n.pitch),
                          load_num(p + BNK_Q * n.pitch), load_num(p + BNK_S * n.pitch)};
}

/* Lanes of vector `part` of a step that are among its first `keep`, and numbers that are `a` there and `b` elsewhere. */
BNK_INLINE mask first_lanes(int part, size_t keep) {
    num lane[VEC_LANES];
    for (int i = 0; i < VEC_LANES; i++) lane[i] = (num)(part * VEC_LANES + i);
    return (mask)(load_num(lane) < splat((num)keep));
}

BNK_INLINE struct affine join_affines(mask here, struct affine a, struct affine b) {
    return (struct affine){choose(here, a.m1, b.m1), choose(here, a.m2, b.m2), choose(here, a.k, b.k), choose(here, a.b, b.b)};
}

BNK_INLINE struct blend join_blends(mask here, struct blend a, struct blend b) {
    return (struct blend){choose(here, a.m1, b.m1), choose(here, a.m2, b.m2), choose(here, a.p, b.p), choose(here, a.q, b.q),
                          choose(here, a.s, b.s)};
}

BNK_INLINE vec affine_of(struct affine n, const elem *x) { return ((load(x) - n.m1) - n.m2) * n.k + n.b; }

/* act and its derivative, with the settings in every lane */
struct act {
    vec slope, ceiling;
    bool cut;
};

BNK_INLINE struct act act_splat(struct bnk_act a) { return (struct act){splat((num)a.slope), splat((num)a.ceiling), a.cut}; }

BNK_INLINE vec act_of(struct act a, vec v) {
    if (a.cut) return cut(v, a.ceiling);
    v = choose((mask)(v < 0), v * a.slope, v);
    return choose((mask)(v > a.ceiling), a.ceiling, v);
}

/* dy * act'(v), rounded to an element */
BNK_INLINE vec gate_of(struct act a, vec v, vec dy) {
    if (a.cut) return gate(v, a.ceiling, dy);
    vec g = choose((mask)(v > 0), dy, dy * a.slope);
    if (sizeof(elem) < sizeof(num)) {
        elem rounded[VEC_LANES];
        store(rounded, g);
        g = load(rounded);
    }
    return g;
}

/* one step of each verb; n, g and act have one entry a part of the step where they are not the same for all */

BNK_INLINE void active_part(struct affine n, struct act act, const elem *x, const elem *z, elem *out, bool stream) {
    vec v = affine_of(n, x);
    if (z) v = v + load(z);
    put(out, act_of(act, v), stream);
}

BNK_INLINE void blend_part(struct blend n, const elem *dy, const elem *x, elem *out, bool stream) {
    put(out, (n.p * load(dy) + n.q * ((load(x) - n.m1) - n.m2)) + n.s, stream);
}

/* What a gated step reads and writes; any of x, y, z, out, dz may be NULL. */
struct gated {
    const elem *dy, *x, *z, *y;
    elem *out, *dz;
};

BNK_INLINE vec gated_dy(struct affine forward, struct act act, struct gated s, size_t i) {
    vec v;
    if (s.y) {
        v = load(s.y + i);
    } else {
        v = affine_of(forward, s.x + i);
        if (s.z) v = v + load(s.z + i);
    }
    return gate_of(act, v, load(s.dy + i));
}

BNK_INLINE void gated_blend_part(struct blend n, struct affine forward, struct act act, struct gated s, size_t i,
                                 bool without_x, bool stream) {
    vec g = gated_dy(forward, act, s, i), dx = n.p * g;
    if (!without_x) dx = dx + n.q * ((load(s.x + i) - n.m1) - n.m2);
    dx = dx + n.s;
    if (s.y && s.z) dx = affine_of(forward, s.z + i) + dx;
    if (s.dz) put(s.dz + i, g, stream);
    if (s.out) put(s.out + i, dx, stream);
}

/* One vector of a write, at `at` in a row. `blends` and `active` are constants that choose the verb. */
BNK_INLINE void write_vector(struct affine affine, struct blend blend, struct act act, struct gated row, size_t at,
                             bool without_x, bool blends, bool active, bool stream) {
    if (blends && active)
        gated_blend_part(blend, affine, act, row, at, without_x, stream);
    else if (blends)
        blend_part(blend, row.dy + at, row.x + at, row.out + at, stream);
    else if (active)
        active_part(affine, act, row.x + at, row.z ? row.z + at : NULL, row.out + at, stream);
    else
        put(row.out + at, affine_of(affine, row.x + at), stream);
}

/* A partial step: every array that is there is copied, and the outputs are copied back. */
struct copies {
    elem dy[BNK_LANES], x[BNK_LANES], z[BNK_LANES], y[BNK_LANES], out[BNK_LANES], dz[BNK_LANES];
};

BNK_INLINE const elem *take(elem *to, const elem *from, size_t keep) {
    if (!from) return NULL;
    take_part(to, from, keep, sizeof(elem));
    return to;
}

BNK_INLINE struct gated take_gated(struct copies *c, struct gated s, size_t keep) {
    memset(c->out, 0, sizeof c->out); /* for the compiler's peace of mind: a step writes all of it */
    memset(c->dz, 0, sizeof c->dz);
    return (struct gated){take(c->dy, s.dy, keep), take(c->x, s.x, keep), take(c->z, s.z, keep),
                          take(c->y, s.y, keep),   s.out ? c->out : NULL, s.dz ? c->dz : NULL};
}

BNK_INLINE void give_gated(const struct copies *c, struct gated s, size_t keep) {
    if (s.out) give_part(s.out, c->out, keep, sizeof(elem));
    if (s.dz) give_part(s.dz, c->dz, keep, sizeof(elem));
}

BNK_INLINE struct gated gated_at(struct gated s, size_t i) {
    return (struct gated){s.dy ? s.dy + i : NULL, s.x ? s.x + i : NULL,     s.z ? s.z + i : NULL,
                          s.y ? s.y + i : NULL,   s.out ? s.out + i : NULL, s.dz ? s.dz + i : NULL};
}

/* The arrays of a row. What a verb that is not active does not have costs nothing: `has_dy`, `writes` and `active` are
 * constants. */
BNK_INLINE struct gated row_at(const struct bnk_call *k, size_t r, size_t c, bool has_dy, bool writes, bool active) {
    struct gated s = {0};
    if (active) {
        s = (struct gated){row(&k->array[BNK_DY], r, c), row(&k->array[BNK_X], r, c),   row(&k->array[BNK_Z], r, c),
                           row(&k->array[BNK_Y], r, c),  row(&k->array[BNK_OUT], r, c), row(&k->array[BNK_DZ], r, c)};
    } else {
        s.x = there(&k->array[BNK_X], r, c);
        if (has_dy) s.dy = there(&k->array[BNK_DY], r, c);
        if (writes) s.out = there(&k->array[BNK_OUT], r, c);
    }
    return s;
}

/* Vector i of a step; beyond `keep` elements it has zeros where the processor has masks, and reads on where it has none. */
BNK_INLINE bnk_vd doubles_at(const elem *p, int i, size_t keep) {
    const size_t before = (size_t)i * BNK_WD;
    if (BNK_MASKS && keep < BNK_LANES) return some_double(p + before, keep > before ? keep - before : 0);
    return load_double(p + before);
}

/* Sums of one step, `keep` of whose elements are real: a vector without any would add 0, which changes no sum that began with
 * 0; shift and mean have one vector for every vector of sums. Arrays of vectors with constant indices stay in registers;
 * structs of them do not. */
BNK_INLINE void moments_step(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *shift, const elem *x, size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        if (keep <= (size_t)i * BNK_WD) break;
        bnk_vd d = subtract_by(one, doubles_at(x, i, keep), shift[i]);
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sum[i] = add_by(one, d, sum[i]);
        dot[i] += d * d;
    }
}

BNK_INLINE void dots_step(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *mean, const elem *dy, const elem *x,
                          size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        if (keep <= (size_t)i * BNK_WD) break;
        bnk_vd g = doubles_at(dy, i, keep), d = g * subtract_by(one, doubles_at(x, i, keep), mean[i]);
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sum[i] = add_by(one, g, sum[i]);
        dot[i] += d;
    }
}

/* The same, of a dy that was gated; without x the second sum is of no use. */
BNK_INLINE void gated_dots_step(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *mean, const bnk_vd *g, const elem *x,
                                size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        bnk_vd d = x ? g[i] * subtract_by(one, load_double(x + i * BNK_WD), mean[i]) : g[i];
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sum[i] = add_by(one, g[i], sum[i]);
        dot[i] += d;
    }
}

/* A step of a reduction: of the elements i... of a row. `forward` has one entry for every part of the step. */
BNK_INLINE void reduce_step(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *shift, const struct affine *forward,
                            struct act act, struct gated at, size_t i, size_t keep, bool dots, bool active) {
    if (!dots) {
        moments_step(sum, dot, one, shift, at.x + i, keep);
    } else if (!active) {
        dots_step(sum, dot, one, shift, at.dy + i, at.x + i, keep);
    } else {
        bnk_vd g[DOUBLES];
        if (LONG_STEPS) { /* the sums have no registers to lose */
            for (int part = 0; part < PARTS; part++)
                to_doubles(gated_dy(forward[part], act, at, i + (size_t)part * VEC_LANES), g + part * (DOUBLES / PARTS));
        } else {
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                to_doubles(gated_dy(forward[part], act, at, i + (size_t)part * VEC_LANES), g + part * (DOUBLES / PARTS));
        }
        gated_dots_step(sum, dot, one, shift, g, at.x ? at.x + i : NULL, keep);
    }
}

BNK_INLINE void load_sums(const double *sums, const double *dots, bnk_vd *sum, bnk_vd *dot) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        sum[i] = load_vd(sums + i * BNK_WD);
        dot[i] = load_vd(dots + i * BNK_WD);
    }
}

BNK_INLINE void store_sums(double *sums, double *dots, const bnk_vd *sum, const bnk_vd *dot) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        store_vd(sums + i * BNK_WD, sum[i]);
        store_vd(dots + i * BNK_WD, dot[i]);
    }
}

/* Fetch what the reduction or the write of the elements c... of a row will read later. */
BNK_INLINE void fetch_row(const struct bnk_call *k, struct gated row, size_t c, bool has_dy, bool active) {
    if (!active || row.x) fetch(row.x, c, k->array[BNK_X].ahead);
    if (has_dy) fetch(row.dy, c, k->array[BNK_DY].ahead);
    if (active && row.z) fetch(row.z, c, k->array[BNK_Z].ahead);
    if (active && row.y) fetch(row.y, c, k->array[BNK_Y].ahead);
}

#endif
