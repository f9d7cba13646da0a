/* SPDX-License-Identifier: MIT */
/* The verbs on planes: a row is elements of one channel that lie side by side. See steps.h. Longer than 300 lines, because a
 * write and a reduction, in runs or not, must do the same alone and together. */
#ifndef BNK_PLANE_H
#define BNK_PLANE_H

#include "kernel/runs.h"

/* Writes. A row is done up to `done`. Where the rows of neighbouring channels follow each other without gaps in all arrays,
 * they are joined: only the first begins with a partial step, up to an aligned address, and only the last ends with one. The
 * others end with a seam, a step that goes on into the next row, whose first `carry` elements are done then. Three rows of 37:
 *    |channel 0                           |channel 1                           |channel 2                           |
 *    |4  |16 full        |16 full        |16 seam        |16 full        |16 seam        |16 full        |11 tail   | */
struct write {
    const struct bnk_call *k;
    bool stream, joined;
    size_t length, done, channel, carry;
    struct affine affine; /* of y, or of the v that gates */
    struct blend blend;
    struct act act;
    struct row row;
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
    struct write w; /* its coefficients are those of a row */
    w.k = k, w.length = length, w.carry = 0;
    w.joined = k->channels > 1 && length >= BNK_LANES && are_runs(k);
    if (k->active) w.act = act_splat(k);
    return w;
}

BNK_INLINE size_t lead(const struct write *w) {
    const elem *out = w->row.at[BNK_OUT] ? w->row.at[BNK_OUT] : w->row.at[BNK_DZ];
    size_t lead = (0 - (uintptr_t)out) % ALIGNED / sizeof(elem);
    return lead < w->length ? lead : w->length;
}

BNK_INLINE bool can_stream(const struct write *w) {
    const struct row *row = &w->row;
    uintptr_t out = (uintptr_t)row->at[BNK_OUT], dz = row->at[BNK_DZ] && out ? (uintptr_t)row->at[BNK_DZ] : out;
    return w->k->stream && out % sizeof(elem) == 0 && (out - dz) % ALIGNED == 0;
}

BNK_INLINE void write_vector_at(const struct write *w, const struct kind *kind, size_t i) {
    write_vector(w->affine, w->blend, w->act, kind, w->row, i, w->k->without_x, w->stream);
}

BNK_INLINE void write_step(struct write *w, const struct kind *kind) {
    if (kind->verb == BNK_AFFINE && has(kind, w->row, BNK_Z)) fetch(w->row.at[BNK_Z], w->done, w->k->array[BNK_Z].ahead);
    if (kind->verb == BNK_BLEND && kind->active && !(kind->has & Y)) { /* a loop: a gated part is long */
        for (int part = 0; part < PARTS; part++) write_vector_at(w, kind, w->done + (size_t)part * VEC_LANES);
    } else {
#pragma GCC unroll 8
        for (int part = 0; part < PARTS; part++) write_vector_at(w, kind, w->done + (size_t)part * VEC_LANES);
    }
    w->done += BNK_LANES;
}

/* Writes a partial step of `keep` elements, on copies. */
BNK_INLINE void write_copied(struct write part, const struct kind *kind, size_t keep) {
    struct copies copies;
    const struct row row = row_from(part.row, kind, part.done);
    part.row = take_copies(&copies, kind, row, keep);
    part.stream = false;
    for (int i = 0; i < PARTS; i++) write_vector_at(&part, kind, (size_t)i * VEC_LANES);
    give_copies(&copies, kind, row, keep);
}

/* Where vectors are narrow, partial steps on copies are long, and are compiled once, not in every loop. */
enum { PARTS_APART = BNK_NARROW };

static __attribute__((noinline)) void write_copied_apart(const struct write *part, const struct kind *kind, size_t keep) {
    write_copied(*part, kind, keep);
}

BNK_INLINE void write_part(struct write *w, const struct kind *kind, size_t keep) {
    if (keep == 0) return;
    const struct write part = *w; /* a copy, so that the original stays in registers */
    if (PARTS_APART)
        write_copied_apart(&part, kind, keep);
    else
        write_copied(part, kind, keep);
    w->done += keep;
}

BNK_INLINE void write_row(struct write *w, const struct kind *kind, size_t r, size_t c) {
    w->channel = c;
    w->row = row_at(w->k, kind, r, c);
    set_coefficients(&w->affine, &w->blend, w->k, kind, w->row, c, BNK_PLANE);
    w->done = w->carry;
    w->carry = 0;
    if (w->joined && c > 0) return;
    w->stream = can_stream(w);
    if (w->stream || w->joined) write_part(w, kind, lead(w));
}

/* Writes the step that begins in this row, of which it has the first `keep` elements, and ends in the next. */
BNK_INLINE void write_seam(const struct write *w, const struct kind *kind, size_t keep) {
    struct write next = *w;
    set_coefficients(&next.affine, &next.blend, w->k, kind, w->row, w->channel + 1, BNK_PLANE);
    for (int part = 0; part < PARTS; part++) {
        const size_t i = (size_t)part * VEC_LANES;
        if (BNK_NARROW && keep >= i + VEC_LANES) {
            write_vector_at(w, kind, w->done + i);
            continue;
        }
        if (BNK_NARROW && keep <= i) {
            write_vector_at(&next, kind, w->done + i);
            continue;
        }
        struct write both = *w;
        mask here = first_lanes(part, keep);
        if (kind->verb == BNK_BLEND) both.blend = join_blends(here, w->blend, next.blend);
        if (kind->verb == BNK_AFFINE || kind->active) both.affine = join_affines(here, w->affine, next.affine);
        write_vector_at(&both, kind, w->done + i);
    }
}

static __attribute__((noinline)) void write_seam_apart(const struct write *w, const struct kind *kind, size_t keep) {
    write_seam(w, kind, keep);
}
static __attribute__((noinline)) void write_seam_affine(const struct write *w, size_t keep) {
    write_seam(w, &plain_affine, keep);
}
static __attribute__((noinline)) void write_seam_blend(const struct write *w, size_t keep) {
    write_seam(w, &plain_blend, keep);
}

/* Writes what is left of a row after its full steps: a partial step, or a seam. */
BNK_INLINE void write_tail(struct write *w, const struct kind *kind) {
    size_t left = w->length - w->done;
    if (!w->joined || w->channel + 1 == w->k->channels) {
        write_part(w, kind, left);
    } else if (left > 0) {
        w->carry = BNK_LANES - left;
        if (PARTS_APART) {
            struct write here = *w; /* a copy, so that the original stays in registers */
            if (kind->active)
                write_seam_apart(&here, kind, left);
            else if (kind->verb == BNK_AFFINE)
                write_seam_affine(&here, left);
            else
                write_seam_blend(&here, left);
        } else {
            write_seam(w, kind, left);
        }
    }
}

/* Reductions. Their sums, shifts and coefficients are local arrays of the verbs. */
struct reduce {
    const struct bnk_call *k;
    size_t length, done;
    bnk_vd one;
    struct act act;
    struct row row;
};

BNK_INLINE struct reduce reduce_start(const struct bnk_call *k, const struct kind *kind) {
    struct reduce s = {.k = k, .length = k->length, .one = opaque_one()};
    if (kind->active) s.act = act_splat(k);
    return s;
}

BNK_INLINE void reduce_row(struct reduce *s, bnk_vd *shift, vec (*centre)[PARTS], struct affine *forward, size_t r, size_t c,
                           const struct kind *kind) {
    s->done = 0;
    s->row = row_at(s->k, kind, r, c);
    if (in_runs(kind)) {
        centre_of_channel(centre, s->k->shift[c]);
    } else {
#pragma GCC unroll 8
        for (int i = 0; i < DOUBLES; i++) shift[i] = splat_vd(s->k->shift[c]);
    }
    if (!kind->active) return;
#pragma GCC unroll 8
    for (int i = 0; i < PARTS; i++)
        forward[i] = kind->from_y || has(kind, s->row, BNK_Y) ? (struct affine){0} : affine_at(s->k, BNK_GATE, c, BNK_PLANE);
}

BNK_INLINE void reduce_full(struct reduce *s, bnk_vd (*sums)[DOUBLES], const bnk_vd *shift, const struct affine *forward,
                            const struct kind *kind) {
    fetch_row(s->k, kind, s->row, s->done);
    reduce_step(sums, s->one, shift, forward, s->act, kind, s->row, s->done, BNK_LANES);
    s->done += BNK_LANES;
}

/* Reduces a partial step of `keep` elements: active ones on copies, others only where a few are not loaded. */
BNK_INLINE void reduce_copied(const struct reduce *s, bnk_vd (*sums)[DOUBLES], const bnk_vd *shift,
                              const struct affine *forward, size_t keep, const struct kind *kind) {
    struct copies copies;
    struct row part = row_from(s->row, kind, s->done);
    if (kind->active || !BNK_LOADS_FEW) part = take_copies(&copies, kind, part, keep);
    reduce_step(sums, s->one, shift, forward, s->act, kind, part, 0, keep);
}

static __attribute__((noinline)) void reduce_copied_active(const struct reduce *part, double *const *kept, const bnk_vd *shift,
                                                           const struct affine *forward, size_t keep, bool from_y) {
    bnk_vd sums[2][DOUBLES];
    load_sums(sums, kept, 0, 2);
    if (from_y)
        reduce_copied(part, sums, shift, forward, keep, &exact_dots_from_y);
    else
        reduce_copied(part, sums, shift, forward, keep, &exact_active_dots);
    store_sums(kept, 0, sums, 2);
}

BNK_INLINE void reduce_tail(struct reduce *s, bnk_vd (*sums)[DOUBLES], const bnk_vd *shift, const struct affine *forward,
                            const struct kind *kind) {
    size_t keep = s->length - s->done;
    if (keep == 0) return;
    if (kind->active && PARTS_APART) { /* copies, so that the originals stay in registers */
        struct reduce part = *s;
        double lanes[2 * BNK_LANES], *const kept[2] = {lanes, lanes + BNK_LANES};
        bnk_vd part_shift[DOUBLES];
        struct affine part_forward[PARTS];
        memcpy(part_shift, shift, sizeof part_shift);
        memcpy(part_forward, forward, sizeof part_forward);
        store_sums(kept, 0, sums, 2);
        reduce_copied_active(&part, kept, part_shift, part_forward, keep, kind->from_y);
        load_sums(sums, kept, 0, 2);
    } else {
        reduce_copied(s, sums, shift, forward, keep, kind);
    }
}

/* The same in runs. */
BNK_INLINE void run_full(struct reduce *s, vec (*run)[PARTS], vec (*centre)[PARTS], const struct affine *forward,
                         const struct kind *kind) {
    fetch_row(s->k, kind, s->row, s->done);
    run_step(run, s->one, centre, forward, s->act, kind, s->row, s->done, BNK_LANES);
    s->done += BNK_LANES;
}

BNK_INLINE void run_copied(const struct reduce *s, vec (*run)[PARTS], vec (*centre)[PARTS], const struct affine *forward,
                           size_t keep, const struct kind *kind) {
    struct copies copies;
    struct row part = row_from(s->row, kind, s->done);
    if (kind->active || !BNK_NARROW) part = take_copies(&copies, kind, part, keep);
    run_step(run, s->one, centre, forward, s->act, kind, part, 0, keep);
}

static __attribute__((noinline)) void run_copied_apart(const struct reduce *s, vec (*run)[PARTS], vec (*centre)[PARTS],
                                                       const struct affine *forward, size_t keep, const struct kind *kind) {
    run_copied(s, run, centre, forward, keep, kind);
}

/* Adds what is left of a row after its full steps to a run. */
BNK_INLINE void run_tail(struct reduce *s, vec (*run)[PARTS], vec (*centre)[PARTS], const struct affine *forward,
                         const struct kind *kind) {
    const size_t keep = s->length - s->done;
    if (keep == 0) return;
    if (kind->active && PARTS_APART) { /* copies, as in reduce_tail() */
        const struct reduce part = *s;
        vec part_run[2][PARTS], part_centre[2][PARTS];
        struct affine part_forward[PARTS];
        memcpy(part_run, run, sizeof part_run);
        memcpy(part_centre, centre, sizeof part_centre);
        memcpy(part_forward, forward, sizeof part_forward);
        run_copied_apart(&part, part_run, part_centre, part_forward, keep, kind);
        memcpy(run, part_run, sizeof part_run);
    } else {
        run_copied(s, run, centre, forward, keep, kind);
    }
    s->done += keep;
}

/* Reduces a row in runs; each is full but the last. */
BNK_INLINE void reduce_in_runs(struct reduce *s, bnk_vd (*sums)[DOUBLES], vec (*centre)[PARTS], const struct affine *forward,
                               const struct kind *kind) {
    while (s->done < s->length) {
        const size_t steps = (s->length - s->done) / BNK_LANES, full = steps < BNK_RUN ? steps : BNK_RUN;
        vec run[2][PARTS];
        start_run(run);
        for (size_t i = 0; i < full; i++) run_full(s, run, centre, forward, kind);
        if (full < BNK_RUN) run_tail(s, run, centre, forward, kind);
        close_run(sums, s->one, run, s->length, kind);
    }
}

/* The sums of the channels before channel c. */
BNK_INLINE size_t lanes_before(const struct kind *kind, size_t c) { return c * (size_t)sums_of(kind) * BNK_LANES; }

/* The loops work on copies of the calls: no store can change a copy, so its members stay in registers. */
BNK_INLINE void all_writes(const struct bnk_call *call, const struct kind *kind) {
    const struct bnk_call copy = *call, *k = &copy;
    struct write w = write_start(k);
    for (size_t r = 0; r < k->rows; r++)
        for (size_t c = 0; c < k->channels; c++) {
            write_row(&w, kind, r, c);
            while (w.done + BNK_LANES <= w.length) write_step(&w, kind);
            write_tail(&w, kind);
        }
}

/* Reduces several rows of a channel, one after the other, so that its sums are loaded once for all of them. */
BNK_INLINE void all_reduces(const struct bnk_call *call, const struct kind *kind) {
    const struct bnk_call copy = *call, *k = &copy;
    struct reduce s = reduce_start(k, kind);
    for (size_t r = 0, rows; r < k->rows; r += rows) {
        rows = k->channels == 1 || k->rows - r < BNK_ROWS_OF_CHANNEL ? k->rows - r : BNK_ROWS_OF_CHANNEL;
        for (size_t c = 0; c < k->channels; c++) {
            bnk_vd sums[4][DOUBLES], shift[DOUBLES];
            vec centre[2][PARTS];
            struct affine forward[PARTS];
            load_sums(sums, k->sums, lanes_before(kind, c), sums_of(kind));
            for (size_t i = 0; i < rows; i++) {
                reduce_row(&s, shift, centre, forward, r + i, c, kind);
                if (in_runs(kind)) {
                    reduce_in_runs(&s, sums, centre, forward, kind);
                } else {
                    while (s.done + BNK_LANES <= s.length) reduce_full(&s, sums, shift, forward, kind);
                    reduce_tail(&s, sums, shift, forward, kind);
                }
            }
            store_sums(k->sums, lanes_before(kind, c), sums, sums_of(kind));
        }
    }
}

/* A row of a write and a row of a reduction, step by step in turn. The write began at 0 or, less than a step, later, so that
 * the reduction may have one full step more. */
BNK_INLINE void both_rows(struct write *w, struct reduce *s, bnk_vd (*sums)[DOUBLES], const bnk_vd *shift,
                          const struct affine *forward, const struct kind *write_kind, const struct kind *reduce_kind) {
    while (w->done + BNK_LANES <= w->length) {
        write_step(w, write_kind);
        reduce_full(s, sums, shift, forward, reduce_kind);
    }
    if (s->done + BNK_LANES <= s->length) reduce_full(s, sums, shift, forward, reduce_kind);
    write_tail(w, write_kind);
    reduce_tail(s, sums, shift, forward, reduce_kind);
}

/* The same in runs, which are those of reduce_in_runs(). */
BNK_INLINE void both_in_runs(struct write *w, struct reduce *s, bnk_vd (*sums)[DOUBLES], vec (*centre)[PARTS],
                             const struct affine *forward, const struct kind *write_kind, const struct kind *reduce_kind) {
    while (s->done < s->length) {
        const size_t steps = (s->length - s->done) / BNK_LANES, full = steps < BNK_RUN ? steps : BNK_RUN;
        const size_t writes = (w->length - w->done) / BNK_LANES, both = writes < full ? writes : full;
        vec run[2][PARTS];
        start_run(run);
        for (size_t i = 0; i < both; i++) {
            write_step(w, write_kind);
            run_full(s, run, centre, forward, reduce_kind);
        }
        if (both < full) run_full(s, run, centre, forward, reduce_kind);
        if (full < BNK_RUN) run_tail(s, run, centre, forward, reduce_kind);
        close_run(sums, s->one, run, s->length, reduce_kind);
    }
    write_tail(w, write_kind);
}

BNK_INLINE void all_both(const struct bnk_call *writes, const struct bnk_call *reduces, const struct kind *write_kind,
                         const struct kind *reduce_kind) {
    const struct bnk_call copies[2] = {*writes, *reduces}, *write = copies, *reduce = copies + 1;
    struct write w = write_start(write);
    struct reduce s = reduce_start(reduce, reduce_kind);
    bnk_vd sums[4][DOUBLES], shift[DOUBLES];
    vec centre[2][PARTS];
    struct affine forward[PARTS];
    for (size_t r = 0; r < write->rows; r++)
        for (size_t c = 0; c < write->channels; c++) {
            load_sums(sums, reduce->sums, lanes_before(reduce_kind, c), sums_of(reduce_kind));
            reduce_row(&s, shift, centre, forward, r, c, reduce_kind);
            write_row(&w, write_kind, r, c);
            if (in_runs(reduce_kind))
                both_in_runs(&w, &s, sums, centre, forward, write_kind, reduce_kind);
            else
                both_rows(&w, &s, sums, shift, forward, write_kind, reduce_kind);
            store_sums(reduce->sums, lanes_before(reduce_kind, c), sums, sums_of(reduce_kind));
        }
}

static void moments_plane(const struct bnk_call *k) {
    if (IS_SHORT && k->exact)
        all_reduces(k, &exact_moments);
    else
        all_reduces(k, &plain_moments);
}

static void dots_plane(const struct bnk_call *k) {
    if (IS_SHORT && k->exact && k->from_y)
        all_reduces(k, &exact_dots_from_y);
    else if (k->from_y)
        all_reduces(k, &dots_from_y);
    else if (IS_SHORT && k->exact && k->active)
        all_reduces(k, &exact_active_dots);
    else if (IS_SHORT && k->exact)
        all_reduces(k, &exact_dots);
    else if (k->active && has_x_and_y(k))
        all_reduces(k, &dots_by_y);
    else if (k->active && has_only_x(k))
        all_reduces(k, &dots_of_x);
    else if (k->active)
        all_reduces(k, &active_dots);
    else
        all_reduces(k, &plain_dots);
}

static void affine_plane(const struct bnk_call *k) {
    const bool product = all_products(k, k->channels);
    if (product && k->active)
        all_writes(k, &active_product);
    else if (product)
        all_writes(k, &plain_product);
    else if (!IS_SHORT && k->active && has_only_x(k))
        all_writes(k, &affine_of_x);
    else if (k->active)
        all_writes(k, &active_affine);
    else
        all_writes(k, &plain_affine);
}

static void blend_plane(const struct bnk_call *k) {
    if (k->from_y)
        all_writes(k, &blend_from_y);
    else if (k->active && has_only_x(k) && k->array[BNK_OUT].at)
        all_writes(k, &blend_of_x);
    else if (k->active && has_x_and_y(k) && k->array[BNK_OUT].at)
        k->array[BNK_DZ].at ? all_writes(k, &blend_by_y_dz) : all_writes(k, &blend_by_y);
    else if (k->active)
        all_writes(k, &active_blend);
    else
        all_writes(k, &plain_blend);
}

static void affine_moments(const struct bnk_call *write, const struct bnk_call *reduce) {
    const bool product = all_products(write, write->channels);
    if (product && write->active)
        all_both(write, reduce, &active_product, &plain_moments);
    else if (product)
        all_both(write, reduce, &plain_product, &plain_moments);
    else if (!IS_SHORT && write->active && has_only_x(write))
        all_both(write, reduce, &affine_of_x, &plain_moments);
    else if (write->active)
        all_both(write, reduce, &active_affine, &plain_moments);
    else
        all_both(write, reduce, &plain_affine, &plain_moments);
}

static void blend_dots(const struct bnk_call *write, const struct bnk_call *reduce) {
    const bool by_y = write->active && has_x_and_y(write) && has_x_and_y(reduce) && write->array[BNK_OUT].at;
    if (by_y && write->array[BNK_DZ].at)
        all_both(write, reduce, &blend_by_y_dz, &dots_by_y);
    else if (by_y)
        all_both(write, reduce, &blend_by_y, &dots_by_y);
    else if (write->active)
        all_both(write, reduce, &active_blend, &active_dots);
    else
        all_both(write, reduce, &plain_blend, &plain_dots);
}

#endif
