/* SPDX-License-Identifier: MIT */
/* The verbs on planes: a row is a run of elements of one channel. See steps.h. */
#ifndef BNK_PLANE_H
#define BNK_PLANE_H

#include "kernel/steps.h"

/* Writes. A row of a write is done up to `done`. Where the rows of neighbouring channels are one run without gaps, in all
 * arrays, a step may be a seam: it goes from the end of a row into the next, whose first `carry` elements are done then. So
 * only a run, not each row, has a partial step before its first aligned address and one at its end. */
struct write {
    const struct bnk_call *k;
    bool stream, joined;
    size_t length, done, channel, carry;
    struct affine affine; /* of y, or of the v that gates */
    struct blend blend;
    struct act act;
    struct gated at; /* affine uses x, z and out */
};

/* Whether the rows of neighbouring channels follow each other without a gap in every array. */
BNK_INLINE bool are_runs(const struct bnk_call *k) {
    bool runs = true;
#pragma GCC unroll 8
    for (int a = 0; a < BNK_ARRAYS; a++) runs = runs && (!k->array[a].at || (size_t)k->array[a].channel == k->length);
    return runs;
}

BNK_INLINE struct write write_start(const struct bnk_call *k) {
    const size_t length = k->length;
    struct write w; /* its numbers are those of a row */
    w.k = k, w.length = length, w.carry = 0;
    w.joined = k->channels > 1 && length >= BNK_LANES && are_runs(k);
    if (k->active) w.act = act_splat(k->act);
    return w;
}

BNK_INLINE size_t lead(const struct write *w) {
    const elem *out = w->at.out ? w->at.out : w->at.dz;
    size_t lead = (0 - (uintptr_t)out) % ALIGNED / sizeof(elem);
    return lead < w->length ? lead : w->length;
}

BNK_INLINE bool can_stream(const struct write *w) {
    uintptr_t out = (uintptr_t)w->at.out, dz = w->at.dz && w->at.out ? (uintptr_t)w->at.dz : out;
    return w->k->stream && out % sizeof(elem) == 0 && (out - dz) % ALIGNED == 0;
}

BNK_INLINE void write_vector_at(const struct write *w, bool blends, bool active, size_t i) {
    write_vector(w->affine, w->blend, w->act, w->at, i, w->k->without_x, blends, active, w->stream);
}

/* One full step. */
BNK_INLINE void write_step(struct write *w, bool blends, bool active) {
    if (!blends && active && w->at.z) fetch(w->at.z, w->done, w->k->array[BNK_Z].ahead);
    if (blends && active) { /* long enough without being unrolled */
        for (int part = 0; part < PARTS; part++) write_vector_at(w, true, true, w->done + (size_t)part * VEC_LANES);
    } else {
#pragma GCC unroll 8
        for (int part = 0; part < PARTS; part++) write_vector_at(w, blends, active, w->done + (size_t)part * VEC_LANES);
    }
    w->done += BNK_LANES;
}

/* A partial step of `keep` elements, on copies. */
BNK_INLINE void write_copied(struct write part, bool blends, bool active, size_t keep) {
    struct copies copies;
    struct gated there = gated_at(part.at, part.done);
    part.at = take_gated(&copies, there, keep);
    part.done = 0;
    part.stream = false;
    write_step(&part, blends, active);
    give_gated(&copies, there, keep);
}

/* Not inlined where it is rare or, of narrow vectors, long. */
static __attribute__((noinline)) void write_copied_apart(const struct write *part, bool blends, bool active, size_t keep) {
    write_copied(*part, blends, active, keep);
}

BNK_INLINE void write_part(struct write *w, bool blends, bool active, size_t keep) {
    if (keep == 0) return;
    const struct write part = *w; /* a copy, so that the original stays in registers */
    if (active || BNK_BYTES == 16)
        write_copied_apart(&part, blends, active, keep);
    else
        write_copied(part, blends, false, keep);
    w->done += keep;
}

BNK_INLINE void write_numbers_of(struct write *w, bool blends, bool active, size_t c) {
    if (blends) w->blend = blend_splat(w->k->k, c);
    if (!blends) w->affine = affine_splat(w->k->k, 0, c);
    if (blends && active && (!w->at.y || w->at.z)) w->affine = affine_splat(w->k->k, BNK_GATE, c);
}

BNK_INLINE void write_row(struct write *w, bool blends, bool active, size_t r, size_t c) {
    w->channel = c;
    w->at = row_at(w->k, r, c, blends, true, active);
    write_numbers_of(w, blends, active, c);
    w->done = w->carry;
    w->carry = 0;
    if (w->joined && c > 0) return;
    w->stream = can_stream(w);
    if (w->stream || w->joined) write_part(w, blends, active, lead(w));
}

/* One full step that begins in this row and ends in the next: both have `keep` lanes or more of their own. */
BNK_INLINE void write_seam(const struct write *w, bool blends, bool active, size_t keep) {
    struct write next = *w;
    write_numbers_of(&next, blends, active, w->channel + 1);
    for (int part = 0; part < PARTS; part++) {
        struct write both = *w;
        mask here = first_lanes(part, keep);
        if (blends) both.blend = join_blends(here, w->blend, next.blend);
        if (!blends || active) both.affine = join_affines(here, w->affine, next.affine);
        write_vector_at(&both, blends, active, w->done + (size_t)part * VEC_LANES);
    }
}

static __attribute__((noinline)) void write_seam_apart(const struct write *w, bool blends, bool active, size_t keep) {
    write_seam(w, blends, active, keep);
}

/* What is left of a row after its full steps. */
BNK_INLINE void write_tail(struct write *w, bool blends, bool active) {
    size_t left = w->length - w->done;
    if (!w->joined || w->channel + 1 == w->k->channels) {
        write_part(w, blends, active, left);
    } else if (left > 0) {
        w->carry = BNK_LANES - left;
        if (active || BNK_BYTES == 16) {
            struct write here = *w; /* a copy, so that the original stays in registers */
            write_seam_apart(&here, blends, active, left);
        } else {
            write_seam(w, blends, false, left);
        }
    }
}

/* Reductions. Their sums, shifts and numbers are local arrays of the verbs. */
struct reduce {
    const struct bnk_call *k;
    size_t length, done;
    bnk_vd one;
    struct act act;
    struct gated at;
};

BNK_INLINE struct reduce reduce_start(const struct bnk_call *k, bool active) {
    struct reduce s = {.k = k, .length = k->length, .one = opaque_one()};
    if (active) s.act = act_splat(k->act);
    return s;
}

BNK_INLINE void reduce_row(struct reduce *s, bnk_vd *shift, struct affine *forward, size_t r, size_t c, bool dots,
                           bool active) {
    s->done = 0;
    s->at = row_at(s->k, r, c, dots, false, active);
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) shift[i] = splat_vd(s->k->shift[c]);
    if (!active) return;
#pragma GCC unroll 8
    for (int i = 0; i < PARTS; i++) forward[i] = s->at.y ? (struct affine){0} : affine_splat(s->k->k, BNK_GATE, c);
}

BNK_INLINE void reduce_full(struct reduce *s, bnk_vd *sum, bnk_vd *dot, const bnk_vd *shift, const struct affine *forward,
                            bool dots, bool active) {
    fetch_row(s->k, s->at, s->done, dots, active);
    reduce_step(sum, dot, s->one, shift, forward, s->act, s->at, s->done, BNK_LANES, dots, active);
    s->done += BNK_LANES;
}

/* A partial step of `keep` elements, on copies where the processor has no masks. */
BNK_INLINE void reduce_copied(const struct reduce *s, bnk_vd *sum, bnk_vd *dot, const bnk_vd *shift,
                              const struct affine *forward, size_t keep, bool dots, bool active) {
    struct copies copies;
    struct gated part = gated_at(s->at, s->done);
    if (active || !BNK_MASKS) part = take_gated(&copies, part, keep);
    reduce_step(sum, dot, s->one, shift, forward, s->act, part, 0, keep, dots, active);
}

static __attribute__((noinline)) void reduce_copied_active(const struct reduce *part, double *sums, const bnk_vd *shift,
                                                           const struct affine *forward, size_t keep) {
    bnk_vd sum[DOUBLES], dot[DOUBLES];
    load_sums(sums, sums + BNK_LANES, sum, dot);
    reduce_copied(part, sum, dot, shift, forward, keep, true, true);
    store_sums(sums, sums + BNK_LANES, sum, dot);
}

BNK_INLINE void reduce_tail(struct reduce *s, bnk_vd *sum, bnk_vd *dot, const bnk_vd *shift, const struct affine *forward,
                            bool dots, bool active) {
    size_t keep = s->length - s->done;
    if (keep == 0) return;
    if (active) { /* copies, so that the originals stay in registers */
        struct reduce part = *s;
        double sums[BNK_SUMS];
        bnk_vd part_shift[DOUBLES];
        struct affine part_forward[PARTS];
        memcpy(part_shift, shift, sizeof part_shift);
        memcpy(part_forward, forward, sizeof part_forward);
        store_sums(sums, sums + BNK_LANES, sum, dot);
        reduce_copied_active(&part, sums, part_shift, part_forward, keep);
        load_sums(sums, sums + BNK_LANES, sum, dot);
    } else {
        reduce_copied(s, sum, dot, shift, forward, keep, dots, false);
    }
}

/* The loops work on copies of the calls: no store can change a copy, so its members stay in registers. */
BNK_INLINE void all_writes(const struct bnk_call *call, bool blends, bool active) {
    const struct bnk_call copy = *call, *k = &copy;
    struct write w = write_start(k);
    for (size_t r = 0; r < k->rows; r++)
        for (size_t c = 0; c < k->channels; c++) {
            write_row(&w, blends, active, r, c);
            while (w.done + BNK_LANES <= w.length) write_step(&w, blends, active);
            write_tail(&w, blends, active);
        }
}

/* Several rows of a channel are done one after the other, so that its sums are loaded once for all of them. */
BNK_INLINE void all_reduces(const struct bnk_call *call, bool dots, bool active) {
    const struct bnk_call copy = *call, *k = &copy;
    struct reduce s = reduce_start(k, active);
    for (size_t r = 0, rows; r < k->rows; r += rows) {
        rows = k->channels == 1 || k->rows - r < BNK_ROWS_OF_CHANNEL ? k->rows - r : BNK_ROWS_OF_CHANNEL;
        for (size_t c = 0; c < k->channels; c++) {
            double *sums = k->sums + c * BNK_SUMS;
            bnk_vd sum[DOUBLES], dot[DOUBLES], shift[DOUBLES];
            struct affine forward[PARTS];
            load_sums(sums, sums + BNK_LANES, sum, dot);
            for (size_t i = 0; i < rows; i++) {
                reduce_row(&s, shift, forward, r + i, c, dots, active);
                while (s.done + BNK_LANES <= s.length) reduce_full(&s, sum, dot, shift, forward, dots, active);
                reduce_tail(&s, sum, dot, shift, forward, dots, active);
            }
            store_sums(sums, sums + BNK_LANES, sum, dot);
        }
    }
}

/* A row of the write and a row of the reduction, step by step in turn. */
BNK_INLINE void all_both(const struct bnk_call *writes, const struct bnk_call *reduces, bool back, bool active) {
    const struct bnk_call copies[2] = {*writes, *reduces}, *write = copies, *reduce = copies + 1;
    struct write w = write_start(write);
    struct reduce s = reduce_start(reduce, back && active);
    bnk_vd sum[DOUBLES], dot[DOUBLES], shift[DOUBLES];
    struct affine forward[PARTS];
    for (size_t r = 0; r < write->rows; r++)
        for (size_t c = 0; c < write->channels; c++) {
            double *sums = reduce->sums + c * BNK_SUMS;
            load_sums(sums, sums + BNK_LANES, sum, dot);
            reduce_row(&s, shift, forward, r, c, back, back && active);
            write_row(&w, back, active, r, c);
            while (w.done + BNK_LANES <= w.length) {
                write_step(&w, back, active);
                reduce_full(&s, sum, dot, shift, forward, back, back && active);
            }
            /* the write began at 0 or, less than a step, later */
            if (s.done + BNK_LANES <= s.length) reduce_full(&s, sum, dot, shift, forward, back, back && active);
            write_tail(&w, back, active);
            reduce_tail(&s, sum, dot, shift, forward, back, back && active);
            store_sums(sums, sums + BNK_LANES, sum, dot);
        }
}

static void moments_plane(const struct bnk_call *k) { all_reduces(k, false, false); }

static void dots_plane(const struct bnk_call *k) {
    if (k->active)
        all_reduces(k, true, true);
    else
        all_reduces(k, true, false);
}

static void affine_plane(const struct bnk_call *k) {
    if (k->active)
        all_writes(k, false, true);
    else
        all_writes(k, false, false);
}

static void blend_plane(const struct bnk_call *k) {
    if (k->active)
        all_writes(k, true, true);
    else
        all_writes(k, true, false);
}

static void affine_moments(const struct bnk_call *write, const struct bnk_call *reduce) {
    if (write->active)
        all_both(write, reduce, false, true);
    else
        all_both(write, reduce, false, false);
}

static void blend_dots(const struct bnk_call *write, const struct bnk_call *reduce) {
    if (write->active)
        all_both(write, reduce, true, true);
    else
        all_both(write, reduce, true, false);
}

#endif
