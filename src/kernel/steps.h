/* SPDX-License-Identifier: MIT */
/* What a step of BNK_LANES elements computes, for one element type; plane.h and rows.h make verbs of the steps. The last,
 * partial step of a row works on copies, so that nothing outside the row is read or written. This file is longer than 300
 * lines, because the steps of all verbs share their loads, their gates and their copies. */
#ifndef BNK_STEPS_H
#define BNK_STEPS_H

#include "kernel/affine.h"

/* The elements of a line of the cache, and the bytes to which streams are aligned. */
enum { LINE_ELEMENTS = BNK_LINE / sizeof(elem), ALIGNED = BNK_LANES * sizeof(elem) < 64 ? BNK_LANES * sizeof(elem) : 64 };

/* Return the smaller and the larger of two numbers, in every lane; of equal ones the second. */
BNK_INLINE bnk_vd least(bnk_vd a, bnk_vd b) {
    const bnk_md where = (bnk_md)(a < b);
    return (bnk_vd)(((bnk_md)a & where) | ((bnk_md)b & ~where));
}
BNK_INLINE bnk_vd most(bnk_vd a, bnk_vd b) {
    const bnk_md where = (bnk_md)(a > b);
    return (bnk_vd)(((bnk_md)a & where) | ((bnk_md)b & ~where));
}

/* Loads n elements, which are `stride` apart. Those that do not lie side by side are collected first, a whole step of them
 * before the first load: a load of a vector waits until the stores of all its elements have reached the cache. */
BNK_INLINE void load_finite(const elem *p, ptrdiff_t stride, size_t n, bnk_vd *out) {
    elem some[BNK_LANES] = {0};
    const bool at_once = stride == 1 && n == BNK_LANES;
    for (size_t k = 0; k < n && !at_once; k++) some[k] = p[(ptrdiff_t)k * stride];
    const elem *from = at_once ? p : some;
#pragma GCC unroll 8
    for (int k = 0; k < DOUBLES; k++) out[k] = or_zero(load_double(from + k * BNK_WD));
}

static void pivot(const void *const x[3], ptrdiff_t stride, size_t count, double *out) {
    bnk_vd a[DOUBLES], b[DOUBLES], c[DOUBLES];
    double median[BNK_LANES];
    for (size_t i = 0, n; i < count; i += n) {
        const ptrdiff_t at = (ptrdiff_t)i * stride;
        n = count - i < BNK_LANES ? count - i : BNK_LANES;
        load_finite((const elem *)x[0] + at, stride, n, a);
        load_finite((const elem *)x[1] + at, stride, n, b);
        load_finite((const elem *)x[2] + at, stride, n, c);
        for (int k = 0; k < DOUBLES; k++) {
            const bnk_vd low = least(a[k], b[k]), high = most(a[k], b[k]);
            store_vd(median + k * BNK_WD, most(low, least(high, c[k])));
        }
        memcpy(out + i, median, n * sizeof *out);
    }
}

/* A kind of loop: a verb, and what it asks. Each verb is compiled for several kinds. Where the functions below are inlined, the
 * kind is a constant, and a loop asks nothing about an array that its kind always has or never has. */
struct kind {
    enum bnk_verb verb;
    bool active;
    unsigned has, may_have; /* arrays that are there, and others that may be there: bits 1 << role */
    bool exact, from_y;     /* struct bnk_call */
    bool product;           /* affine: all_products() */
};

enum {
    X = 1 << BNK_X,
    DY = 1 << BNK_DY,
    Z = 1 << BNK_Z,
    Y = 1 << BNK_Y,
    OUT = 1 << BNK_OUT,
    DZ = 1 << BNK_DZ,
};

static const struct kind plain_moments = {BNK_MOMENTS, false, X, 0, false, false, false},
                         plain_affine = {BNK_AFFINE, false, X | OUT, 0, false, false, false},
                         plain_dots = {BNK_DOTS, false, X | DY, 0, false, false, false},
                         plain_blend = {BNK_BLEND, false, X | DY | OUT, 0, false, false, false},
                         active_affine = {BNK_AFFINE, true, X | OUT, Z, false, false, false},
                         active_dots = {BNK_DOTS, true, DY, X | Z | Y, false, false, false},
                         active_blend = {BNK_BLEND, true, DY, X | Z | Y | OUT | DZ, false, false, false},
                         dots_from_y = {BNK_DOTS, true, X | DY, 0, false, true, false},
                         blend_from_y = {BNK_BLEND, true, X | DY | OUT, 0, false, true, false};

static const struct kind plain_product = {BNK_AFFINE, false, X | OUT, 0, false, false, true},
                         active_product = {BNK_AFFINE, true, X | OUT, Z, false, false, true};

/* The most frequent active kinds have loops of their own, which ask nothing: v comes from x alone and there is one output, or y
 * gates. */
static const struct kind affine_of_x = {BNK_AFFINE, true, X | OUT, 0, false, false, false},
                         product_of_x = {BNK_AFFINE, true, X | OUT, 0, false, false, true},
                         dots_of_x = {BNK_DOTS, true, X | DY, 0, false, false, false},
                         blend_of_x = {BNK_BLEND, true, X | DY | OUT, 0, false, false, false},
                         dots_by_y = {BNK_DOTS, true, X | DY | Y, 0, false, false, false},
                         blend_by_y = {BNK_BLEND, true, X | DY | Y | OUT, 0, false, false, false},
                         blend_by_y_dz = {BNK_BLEND, true, X | DY | Y | OUT | DZ, 0, false, false, false};

BNK_INLINE bool has_only_x(const struct bnk_call *k) {
    const struct bnk_array *a = k->array;
    return !LONG_STEPS && a[BNK_X].at && !a[BNK_Y].at && !a[BNK_Z].at && !a[BNK_DZ].at;
}

BNK_INLINE bool has_x_and_y(const struct bnk_call *k) {
    const struct bnk_array *a = k->array;
    return !LONG_STEPS && a[BNK_X].at && a[BNK_Y].at && !a[BNK_Z].at;
}

/* The slow sums of 16-bit elements. */
static const struct kind exact_moments = {BNK_MOMENTS, false, X, 0, true, false, false},
                         exact_dots = {BNK_DOTS, false, X | DY, 0, true, false, false},
                         exact_active_dots = {BNK_DOTS, true, DY, X | Z | Y, true, false, false},
                         exact_dots_from_y = {BNK_DOTS, true, X | DY, 0, true, true, false};

/* Where each array of a row has the elements that are next; NULL: it is not there. */
struct row {
    elem *at[BNK_ARRAYS];
};

BNK_INLINE bool has(const struct kind *kind, struct row row, enum bnk_role role) {
    return (kind->has >> role & 1) != 0 || ((kind->may_have >> role & 1) != 0 && row.at[role]);
}

/* Returns where row r of channel c of an array begins. */
BNK_INLINE elem *begin_of(const struct bnk_array *a, size_t r, size_t c) {
    return (elem *)(void *)a->at + (ptrdiff_t)r * a->row + (ptrdiff_t)c * a->channel;
}

BNK_INLINE struct row row_at(const struct bnk_call *k, const struct kind *kind, size_t r, size_t c) {
    struct row row = {{NULL}};
#pragma GCC unroll 8
    for (int a = 0; a < BNK_ARRAYS; a++) {
        if (kind->has >> a & 1) row.at[a] = begin_of(&k->array[a], r, c);
        if (kind->may_have >> a & 1) row.at[a] = k->array[a].at ? begin_of(&k->array[a], r, c) : NULL;
    }
    return row;
}

/* Returns p, and hides from the compiler where it came from. GCC 12 otherwise tells the pointers of a loop from those of the
 * loops around it, and keeps more of the differences than there are registers: a fifth more instructions in rows of floats. */
BNK_INLINE elem *opaque(elem *p) {
    __asm__("" : "+r"(p));
    return p;
}

/* Returns the row from element i on. */
BNK_INLINE struct row row_from(struct row row, const struct kind *kind, size_t i) {
#pragma GCC unroll 8
    for (int a = 0; a < BNK_ARRAYS; a++)
        if (has(kind, row, (enum bnk_role)a)) row.at[a] = opaque(row.at[a] + i);
    return row;
}

/* Fetches what lies `ahead` bytes after the step at p + i, each line once. Does nothing if `ahead` is 0. That place is a number
 * and no pointer, because it may lie outside the array. */
BNK_INLINE void fetch(const elem *p, size_t i, ptrdiff_t ahead) {
    if (ahead == 0 || (LINE_ELEMENTS > BNK_LANES && (uintptr_t)(p + i) % BNK_LINE >= BNK_LANES * sizeof(elem))) return;
    for (size_t k = 0; k < BNK_LANES; k += LINE_ELEMENTS) BNK_FETCH((uintptr_t)(p + i + k) + (uintptr_t)ahead);
}

/* Sets the coefficients that a write of this row needs. */
BNK_INLINE void set_coefficients(struct affine *affine, struct blend *blend, const struct bnk_call *k, const struct kind *kind,
                                 struct row row, size_t c, enum bnk_layout layout) {
    if (kind->verb == BNK_AFFINE) {
        *affine = affine_at(k, 0, c, layout);
    } else {
        *blend = blend_at(k, c, layout);
        if (kind->active && !kind->from_y && (!has(kind, row, BNK_Y) || has(kind, row, BNK_Z)))
            *affine = affine_at(k, BNK_GATE, c, layout);
    }
}

/* The settings of an activation, in every lane. `inverse`: 1 / slope, where x is taken from y. */
struct act {
    vec slope, ceiling, inverse;
    bool cut;
};

/* A y that gates was rounded to an element, and so was the ceiling where y is at it. */
BNK_INLINE struct act act_splat(const struct bnk_call *k) {
    vec ceiling = splat((num)k->act.ceiling);
    if (sizeof(elem) < sizeof(num) && k->array[BNK_Y].at) {
        elem rounded[VEC_LANES];
        store(rounded, ceiling);
        ceiling = load(rounded);
    }
    const num slope = (num)k->act.slope;
    return (struct act){splat(slope), ceiling, splat(k->from_y ? 1 / slope : 0), k->act.cut};
}

BNK_INLINE vec act_of(struct act a, vec v) {
    if (a.cut) return cut(v, a.ceiling);
    v = choose((mask)(v < 0), v * a.slope, v);
    return choose((mask)(v > a.ceiling), a.ceiling, v);
}

/* Returns dy * act'(v), rounded to the element type. */
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

/* Returns part of what stands in the role of x; where that is y, the v of which it is the activation. */
BNK_INLINE vec load_x(struct act act, const struct kind *kind, const elem *x) {
    const vec v = load(x);
    return kind->from_y ? choose((mask)(v < 0), v * act.inverse, v) : v;
}

/* Returns part of dy, gated by y, or by a v that is computed again. */
BNK_INLINE vec gated_dy(struct affine forward, struct act act, const struct kind *kind, struct row row, size_t i) {
    vec v;
    if (kind->from_y) {
        v = load_x(act, kind, row.at[BNK_X] + i);
        act.cut = false;
    } else if (has(kind, row, BNK_Y)) {
        v = load(row.at[BNK_Y] + i);
    } else {
        v = affine_of(forward, row.at[BNK_X] + i);
        if (has(kind, row, BNK_Z)) v = v + load(row.at[BNK_Z] + i);
    }
    return gate_of(act, v, load(row.at[BNK_DY] + i));
}

/* Writes one part, which begins at element i of the row. */
BNK_INLINE void write_affine(struct affine n, struct act act, const struct kind *kind, struct row row, size_t i, bool stream) {
    vec y = kind->product ? product_of(n, row.at[BNK_X] + i) : affine_of(n, row.at[BNK_X] + i);
    if (has(kind, row, BNK_Z)) y = y + load(row.at[BNK_Z] + i);
    if (kind->active) y = act_of(act, y);
    put_sum(row.at[BNK_OUT] + i, y, stream);
}

BNK_INLINE void write_blend(struct blend n, const elem *dy, const elem *x, elem *out, bool stream) {
    put_sum(out, (n.p * load(dy) + n.q * ((load(x) - n.m1) - n.m2)) + n.s, stream);
}

BNK_INLINE void write_gated_blend(struct blend n, struct affine forward, struct act act, const struct kind *kind,
                                  struct row row, size_t i, bool without_x, bool stream) {
    vec g = gated_dy(forward, act, kind, row, i), dx = n.p * g;
    if (!without_x) dx = dx + n.q * ((load_x(act, kind, row.at[BNK_X] + i) - n.m1) - n.m2);
    dx = dx + n.s;
    if (has(kind, row, BNK_Y) && has(kind, row, BNK_Z)) dx = affine_of(forward, row.at[BNK_Z] + i) + dx;
    if (has(kind, row, BNK_DZ)) put(row.at[BNK_DZ] + i, g, stream);
    if (has(kind, row, BNK_OUT)) put_sum(row.at[BNK_OUT] + i, dx, stream);
}

BNK_INLINE void write_vector(struct affine affine, struct blend blend, struct act act, const struct kind *kind, struct row row,
                             size_t i, bool without_x, bool stream) {
    if (kind->verb == BNK_AFFINE)
        write_affine(affine, act, kind, row, i, stream);
    else if (kind->active)
        write_gated_blend(blend, affine, act, kind, row, i, without_x, stream);
    else
        write_blend(blend, row.at[BNK_DY] + i, row.at[BNK_X] + i, row.at[BNK_OUT] + i, stream);
}

/* Copies of the arrays in a partial step. Inputs are copied before it, outputs after it. */
struct copies {
    elem of[BNK_ARRAYS][BNK_LANES];
};

BNK_INLINE struct row take_copies(struct copies *copies, const struct kind *kind, struct row row, size_t keep) {
#pragma GCC unroll 8
    for (int a = 0; a < BNK_ARRAYS; a++) {
        if (!has(kind, row, (enum bnk_role)a)) continue;
        if (a < BNK_INPUTS) take_part(copies->of[a], row.at[a], keep, sizeof(elem));
        row.at[a] = copies->of[a];
    }
    return row;
}

BNK_INLINE void give_copies(const struct copies *copies, const struct kind *kind, struct row row, size_t keep) {
#pragma GCC unroll 8
    for (int a = BNK_INPUTS; a < BNK_ARRAYS; a++)
        if (has(kind, row, (enum bnk_role)a)) give_part(row.at[a], copies->of[a], keep, sizeof(elem));
}

/* Returns vector i of a step. Beyond `keep` elements it has zeros where a few are loaded; elsewhere callers give a copy of a
 * whole step. */
BNK_INLINE bnk_vd doubles_at(const elem *p, int i, size_t keep) {
    const size_t before = (size_t)i * BNK_WD;
    if (BNK_LOADS_FEW && keep < BNK_LANES) return some_double(p + before, keep > before ? keep - before : 0);
    return load_double(p + before);
}

/* Adds up one step, of which the first `keep` elements are real. Vectors without any are left out: they would add 0, which
 * changes no sum that began with 0. `shift` or `mean` has one vector for each vector of sums. Arrays of vectors with constant
 * indices stay in registers; structs of them do not. */
BNK_INLINE void moments_step(bnk_vd (*sums)[DOUBLES], bnk_vd one, const bnk_vd *shift, const elem *x, size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        if (keep <= (size_t)i * BNK_WD) break;
        bnk_vd d = subtract_by(one, doubles_at(x, i, keep), shift[i]);
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sums[0][i] = add_by(one, d, sums[0][i]);
        sums[1][i] += d * d;
    }
}

BNK_INLINE void dots_step(bnk_vd (*sums)[DOUBLES], bnk_vd one, const bnk_vd *mean, const elem *dy, const elem *x, size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        if (keep <= (size_t)i * BNK_WD) break;
        bnk_vd g = doubles_at(dy, i, keep), d = g * subtract_by(one, doubles_at(x, i, keep), mean[i]);
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sums[0][i] = add_by(one, g, sums[0][i]);
        sums[1][i] += d;
    }
}

/* The same with a dy that was gated, g. Without x nobody reads the second sum, which then adds up g, too. */
BNK_INLINE void gated_dots_step(bnk_vd (*sums)[DOUBLES], bnk_vd one, const bnk_vd *mean, const bnk_vd *g, bool has_x,
                                const elem *x, size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        bnk_vd d = has_x ? g[i] * subtract_by(one, load_double(x + i * BNK_WD), mean[i]) : g[i];
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sums[0][i] = add_by(one, g[i], sums[0][i]);
        sums[1][i] += d;
    }
}

/* The same from y: x and dy are as long as a step, and so are the sums. */
BNK_INLINE void dots_from_y_step(bnk_vd (*sums)[DOUBLES], bnk_vd one, const bnk_vd *mean, struct act act,
                                 const struct kind *kind, struct row row, size_t i, size_t keep) {
    enum { EACH = DOUBLES / PARTS };
#pragma GCC unroll 8
    for (int part = 0; part < PARTS; part++) {
        const size_t at = i + (size_t)part * VEC_LANES;
        bnk_vd g[EACH], v[EACH];
        to_doubles(gated_dy((struct affine){0}, act, kind, row, at), g);
        to_doubles(load_x(act, kind, row.at[BNK_X] + at), v);
#pragma GCC unroll 8
        for (int j = 0; j < EACH; j++) {
            const int k = part * EACH + j;
            bnk_vd d = g[j] * subtract_by(one, v[j], mean[k]);
            if (keep < BNK_LANES) d = keep_vd(d, k, keep);
            sums[0][k] = add_by(one, g[j], sums[0][k]);
            sums[1][k] += d;
        }
    }
}

/* Reduces the step that begins at element i of the row. `forward` has one entry for each part of the step. */
BNK_INLINE void reduce_step(bnk_vd (*sums)[DOUBLES], bnk_vd one, const bnk_vd *shift, const struct affine *forward,
                            struct act act, const struct kind *kind, struct row row, size_t i, size_t keep) {
    const elem *x = has(kind, row, BNK_X) ? row.at[BNK_X] + i : NULL;
    if (kind->verb == BNK_MOMENTS) {
        moments_step(sums, one, shift, x, keep);
    } else if (!kind->active) {
        dots_step(sums, one, shift, row.at[BNK_DY] + i, x, keep);
    } else if (kind->from_y) {
        dots_from_y_step(sums, one, shift, act, kind, row, i, keep);
    } else {
        bnk_vd g[DOUBLES];
        if (LONG_STEPS) { /* the sums do not fit into the registers in any case */
            for (int part = 0; part < PARTS; part++)
                to_doubles(gated_dy(forward[part], act, kind, row, i + (size_t)part * VEC_LANES), g + part * (DOUBLES / PARTS));
        } else {
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                to_doubles(gated_dy(forward[part], act, kind, row, i + (size_t)part * VEC_LANES), g + part * (DOUBLES / PARTS));
        }
        gated_dots_step(sums, one, shift, g, has(kind, row, BNK_X), x, keep);
    }
}

/* Loads `count` sums of a step, which begin at index `at` of the arrays of a call. */
BNK_INLINE void load_sums(bnk_vd (*sums)[DOUBLES], double *const *from, size_t at, int count) {
#pragma GCC unroll 4
    for (int k = 0; k < count; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < DOUBLES; i++) sums[k][i] = load_vd(from[k] + at + i * BNK_WD);
    }
}

BNK_INLINE void store_sums(double *const *to, size_t at, bnk_vd (*sums)[DOUBLES], int count) {
#pragma GCC unroll 4
    for (int k = 0; k < count; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < DOUBLES; i++) store_vd(to[k] + at + i * BNK_WD, sums[k][i]);
    }
}

/* Fetches what a later step will read, as each array's `ahead` says. */
BNK_INLINE void fetch_row(const struct bnk_call *k, const struct kind *kind, struct row row, size_t i) {
#pragma GCC unroll 8
    for (int a = 0; a < BNK_INPUTS; a++)
        if (has(kind, row, (enum bnk_role)a)) fetch(row.at[a], i, k->array[a].ahead);
}

#endif
