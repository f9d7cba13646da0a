/* SPDX-License-Identifier: MIT */
/* Active calls whose activation is a curve: all verbs and both layouts in one loop, because a step is so long that questions in
 * it do not count. A step works on copies, which are numbers of the type that is computed in, so that elements of 16 bits share
 * the loop of floats. */
#ifndef BNK_CURVED_H
#define BNK_CURVED_H

#include "kernel/runs.h"

/* `keep` elements as numbers, with zeros after them to a whole step, and back. */
static void to_numbers(const void *from, size_t keep, void *to) {
    elem copy[BNK_LANES];
    if (keep < BNK_LANES) take_part(copy, from, keep, sizeof(elem));
    const elem *p = keep < BNK_LANES ? copy : from;
    for (int i = 0; i < BNK_LANES; i += VEC_LANES) {
        const vec v = load(p + i);
        memcpy((num *)to + i, &v, sizeof v);
    }
}

static void from_numbers(const void *from, size_t keep, void *to) {
    elem copy[BNK_LANES];
    for (int i = 0; i < BNK_LANES; i += VEC_LANES) store(copy + i, load_num((const num *)from + i));
    if (keep < BNK_LANES)
        give_part(to, copy, keep, sizeof(elem));
    else
        memcpy(to, copy, sizeof copy);
}

#if BNK_TYPE_IS(f32) || BNK_TYPE_IS(f64)

extern const struct bnk_table BNK_TABLE;

BNK_INLINE vec from_doubles(const double *p) {
#if BNK_TYPE_IS(f64)
    return load_vd(p);
#else
    const bnk_fd half[2] = {__builtin_convertvector(load_vd(p), bnk_fd), __builtin_convertvector(load_vd(p + BNK_WD), bnk_fd)};
    vec v;
    memcpy(&v, half, sizeof v);
    return v;
#endif
}

/* act(v), or act'(v) where dy is gated, of the channels from c on. */
BNK_INLINE void bend(const struct bnk_call *k, enum bnk_verb verb, struct row row, size_t c, size_t keep, vec *curve) {
    double lanes[BNK_LANES];
    bnk_vd doubles[DOUBLES];
    for (int part = 0; part < PARTS; part++) {
        const size_t i = (size_t)part * VEC_LANES;
        vec v = affine_of(affine_at(k, verb == BNK_AFFINE ? 0 : BNK_GATE, c + i, BNK_ROWS), row.at[BNK_X] + i);
        if (row.at[BNK_Z]) v = v + load(row.at[BNK_Z] + i);
        to_doubles(v, doubles + part * (DOUBLES / PARTS));
    }
    memcpy(lanes, doubles, sizeof lanes);
    BNK_TABLE.curve(k->act.curve, verb != BNK_AFFINE, lanes);
    for (size_t i = keep; i < BNK_LANES; i++) lanes[i] = 0; /* a NaN would stay in a sum, even times 0 */
    for (int part = 0; part < PARTS; part++) curve[part] = from_doubles(lanes + part * VEC_LANES);
}

/* A run of dots; `open` where elements are summed up in runs. */
struct run {
    bool open;
    vec of[2][PARTS], centre[2][PARTS];
};

/* One step of copies, `keep` of whose elements are real, of the channels from c on. dy is gated in its place, rounded to an
 * element; the rest are the steps of an activation that lets all of it through, gated by itself. */
static void curved_step(const struct bnk_verbs *elements, const struct bnk_call *k, enum bnk_verb verb, struct row row,
                        size_t c, size_t keep, struct run *run) {
    const struct act through = {.slope = splat(1), .ceiling = splat(1)};
    const struct affine none[PARTS] = {{.m1 = {0}}};
    uint16_t rounded[BNK_LANES];
    vec curve[PARTS];
    bend(k, verb, row, c, keep, curve);
    elem *to = row.at[verb == BNK_AFFINE ? BNK_OUT : BNK_DY];
    for (int part = 0; part < PARTS; part++) {
        elem *at = to + part * VEC_LANES;
        store(at, verb == BNK_AFFINE ? curve[part] : load(at) * curve[part]);
    }
    if (verb == BNK_AFFINE) return;
    if (elements->bytes < sizeof(elem)) {
        elements->from_numbers(to, BNK_LANES, rounded);
        elements->to_numbers(rounded, BNK_LANES, to);
    }
    row.at[BNK_Y] = to;
    row.at[BNK_Z] = NULL;
    if (verb == BNK_DOTS && run->open) {
        run_step(run->of, opaque_one(), run->centre, none, through, &active_dots, row, 0, keep);
    } else if (verb == BNK_DOTS) {
        bnk_vd sums[2][DOUBLES], shift[DOUBLES];
        load_sums(sums, k->sums, c, 2);
        for (size_t i = 0; i < DOUBLES; i++) shift[i] = load_vd(k->shift + c + i * BNK_WD);
        reduce_step(sums, opaque_one(), shift, none, through, &exact_active_dots, row, 0, keep);
        store_sums(k->sums, c, sums, 2);
    } else {
        for (size_t i = 0; i < BNK_LANES; i += VEC_LANES)
            write_gated_blend(blend_at(k, c + i, BNK_ROWS), none[0], through, &active_blend, row, i, k->without_x, false);
    }
}

/* What belongs to a channel of a plane, repeated: it then looks like a row of equal channels. */
struct repeated {
    num coefficients[BNK_GATED_COEFFICIENTS][BNK_LANES];
    double shift[BNK_LANES];
};

static void repeat(const struct bnk_call *k, enum bnk_verb verb, size_t c, struct repeated *to, struct bnk_call *rows) {
    const size_t count = verb == BNK_AFFINE ? BNK_AFFINE_COEFFICIENTS : BNK_GATED_COEFFICIENTS;
    const num *from = (const num *)k->coefficients.at + c;
    for (size_t i = 0; i < count; i++)
        for (int lane = 0; lane < BNK_LANES; lane++) to->coefficients[i][lane] = from[i * k->coefficients.pitch];
    rows->coefficients = (struct bnk_coefficients){to->coefficients, BNK_LANES};
    if (verb != BNK_DOTS) return;
    for (int lane = 0; lane < BNK_LANES; lane++) to->shift[lane] = k->shift[c];
    rows->shift = to->shift;
    for (int i = 0; i < 2; i++) rows->sums[i] = k->sums[i] + c * 2 * BNK_LANES;
}

/* The step at element i of row r of channel c; in rows, c is 0. */
static void curved_at(const struct bnk_verbs *elements, const struct bnk_call *k, enum bnk_verb verb, size_t r, size_t c,
                      size_t i, struct copies *copies, const struct bnk_call *call, size_t first, struct run *run) {
    const size_t keep = k->length - i < BNK_LANES ? k->length - i : BNK_LANES;
    char *at[BNK_ARRAYS];
    struct row row = {{NULL}};
    for (int a = 0; a < BNK_ARRAYS; a++) {
        const struct bnk_array *array = &k->array[a];
        if (!array->at) continue;
        const ptrdiff_t elements_before = (ptrdiff_t)r * array->row + (ptrdiff_t)c * array->channel + (ptrdiff_t)i;
        at[a] = array->at + elements_before * (ptrdiff_t)elements->bytes;
        row.at[a] = copies->of[a];
        if (a < BNK_INPUTS) elements->to_numbers(at[a], keep, copies->of[a]);
        if (a < BNK_INPUTS && array->ahead) BNK_FETCH((uintptr_t)at[a] + (uintptr_t)array->ahead);
    }
    curved_step(elements, call, verb, row, first, keep, run);
    for (int a = BNK_INPUTS; a < BNK_ARRAYS; a++)
        if (row.at[a]) elements->from_numbers(copies->of[a], keep, at[a]);
}

/* Of elements of any type that is computed in numbers of this one. Work goes by runs: some rows or some steps. */
static void curved(const struct bnk_verbs *elements, const struct bnk_call *k, enum bnk_verb verb, enum bnk_layout layout) {
    const bool plane = layout == BNK_PLANE, runs = verb == BNK_DOTS && elements->bytes < sizeof(elem) && !k->exact;
    const size_t channels = plane ? k->channels : 1, tall = runs && !plane ? BNK_RUN : 1,
                 wide = runs && plane ? BNK_RUN * BNK_LANES : BNK_LANES;
    struct bnk_call call = *k;
    struct repeated repeated;
    struct copies copies;
    struct run run = {.open = runs};
    memset(&copies, 0, sizeof copies); /* GCC does not see that a step reads no copy before it was filled */
    for (size_t r = 0; r < k->rows; r += tall)
        for (size_t c = 0; c < channels; c++) {
            if (plane) repeat(k, verb, c, &repeated, &call);
            for (size_t first = 0; first < k->length; first += wide) {
                const size_t at = plane ? 0 : first;
                if (runs) {
                    start_run(run.of);
                    centre_of_channels(run.centre, call.shift + at);
                }
                for (size_t j = r; j < k->rows && j < r + tall; j++)
                    for (size_t i = first; i < k->length && i < first + wide; i += BNK_LANES)
                        curved_at(elements, k, verb, j, c, i, &copies, &call, plane ? 0 : i, &run);
                if (runs) add_run(&call, at, opaque_one(), run.of, &active_dots);
            }
        }
}

#else

extern const struct bnk_verbs BNK_VERBS_OF(f32);

static void curved(const struct bnk_verbs *elements, const struct bnk_call *k, enum bnk_verb verb, enum bnk_layout layout) {
    BNK_VERBS_OF(f32).curved(elements, k, verb, layout);
}

#endif

#endif
