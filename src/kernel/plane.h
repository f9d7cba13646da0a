/* SPDX-License-Identifier: MIT */
/* The verbs on planes: a row is a run of elements of one channel. See steps.h. */

/* Writes. A row of a write is done up to `done`. Where the rows of neighbouring channels are one run without gaps, in all
 * arrays, a step may be a seam: it goes from the end of a row into the next, whose first `carry` elements are done then. So
 * only a run, not each row, has a partial step before its first aligned address and one at its end. */
struct FN(write) {
    const struct bnk_call *k;
    bool stream, joined;
    size_t length, done, channel, carry;
    struct FN(affine) affine; /* of y, or of the v that gates */
    struct FN(blend) blend;
    struct FN(act) act;
    struct FN(gated) at; /* affine uses x, z and out */
};

BNK_INLINE bool FN(is_run)(const struct bnk_array *a, size_t length) { return !a->at || (size_t)a->channel == length; }

BNK_INLINE struct FN(write) FN(write_start)(const struct bnk_call *k) {
    const size_t length = k->length;
    struct FN(write) w; /* its numbers are those of a row */
    w.k = k;
    w.length = length;
    w.carry = 0;
    w.joined = k->channels > 1 && length >= BNK_LANES && FN(is_run)(&k->x, length) && FN(is_run)(&k->dy, length) &&
               FN(is_run)(&k->z, length) && FN(is_run)(&k->y, length) && FN(is_run)(&k->out, length) &&
               FN(is_run)(&k->dz, length);
    if (k->active) w.act = FN(act_splat)(k->act);
    return w;
}

BNK_INLINE size_t FN(lead)(const struct FN(write) *w) {
    const ELEM *out = w->at.out ? w->at.out : w->at.dz;
    size_t lead = (0 - (uintptr_t)out) % FN(aligned) / sizeof(ELEM);
    return lead < w->length ? lead : w->length;
}

BNK_INLINE bool FN(can_stream)(const struct FN(write) *w) {
    uintptr_t out = (uintptr_t)w->at.out, dz = w->at.dz && w->at.out ? (uintptr_t)w->at.dz : out;
    return w->k->stream && out % sizeof(ELEM) == 0 && (out - dz) % FN(aligned) == 0;
}

/* One vector. `blends`, `active`: constants that choose the verb. */
BNK_INLINE void FN(write_vector_at)(const struct FN(write) *w, bool blends, bool active, size_t i) {
    if (blends && active)
        FN(gated_blend_part)(w->blend, w->affine, w->act, w->at, i, w->k->without_x, w->stream);
    else if (blends)
        FN(blend_part)(w->blend, w->at.dy + i, w->at.x + i, w->at.out + i, w->stream);
    else if (active)
        FN(active_part)(w->affine, w->act, w->at.x + i, w->at.z ? w->at.z + i : NULL, w->at.out + i, w->stream);
    else
        FN(put)(w->at.out + i, FN(affine_of)(w->affine, w->at.x + i), w->stream);
}

/* One full step. */
BNK_INLINE void FN(write_step)(struct FN(write) *w, bool blends, bool active) {
    if (!blends && active && w->at.z) FN(fetch)(w->at.z, w->done, w->k->z.ahead);
#pragma GCC unroll 8
    for (int part = 0; part < FN(parts); part++) FN(write_vector_at)(w, blends, active, w->done + (size_t)part * WN);
    w->done += BNK_LANES;
}

/* A partial step of `keep` elements, on copies. */
BNK_INLINE void FN(write_copied)(struct FN(write) part, bool blends, bool active, size_t keep) {
    struct FN(copies) copies;
    struct FN(gated) there = FN(gated_at)(part.at, part.done);
    part.at = FN(take_gated)(&copies, there, keep);
    part.done = 0;
    part.stream = false;
    FN(write_step)(&part, blends, active);
    FN(give_gated)(&copies, there, keep);
}

/* The rarer ones are not inlined: there are many of them, and they are large. */
static __attribute__((noinline)) void FN(write_copied_active)(const struct FN(write) *part, bool blends, size_t keep) {
    FN(write_copied)(*part, blends, true, keep);
}

BNK_INLINE void FN(write_part)(struct FN(write) *w, bool blends, bool active, size_t keep) {
    if (keep == 0) return;
    struct FN(write) part = *w;
    if (active)
        FN(write_copied_active)(&part, blends, keep);
    else
        FN(write_copied)(part, blends, false, keep);
    w->done += keep;
}

BNK_INLINE void FN(write_numbers_of)(struct FN(write) *w, bool blends, bool active, size_t c) {
    if (blends) w->blend = FN(blend_splat)(w->k->k, c);
    if (!blends) w->affine = FN(affine_splat)(w->k->k, 0, c);
    if (blends && active && (!w->at.y || w->at.z)) w->affine = FN(affine_splat)(w->k->k, BNK_GATE, c);
}

BNK_INLINE void FN(write_row)(struct FN(write) *w, bool blends, bool active, size_t r, size_t c) {
    w->channel = c;
    w->at = FN(row_at)(w->k, r, c, blends, true, active);
    FN(write_numbers_of)(w, blends, active, c);
    w->done = w->carry;
    w->carry = 0;
    if (w->joined && c > 0) return;
    w->stream = FN(can_stream)(w);
    if (w->stream || w->joined) FN(write_part)(w, blends, active, FN(lead)(w));
}

/* One full step that begins in this row and ends in the next: both have `keep` lanes or more of their own. */
BNK_INLINE void FN(write_seam)(struct FN(write) *w, bool blends, bool active, size_t keep) {
    struct FN(write) next = *w;
    FN(write_numbers_of)(&next, blends, active, w->channel + 1);
    for (int part = 0; part < FN(parts); part++) {
        struct FN(write) both = *w;
        VM here = FN(first_lanes)(part, keep);
        if (blends) both.blend = FN(join_blends)(here, w->blend, next.blend);
        if (!blends || active) both.affine = FN(join_affines)(here, w->affine, next.affine);
        FN(write_vector_at)(&both, blends, active, w->done + (size_t)part * WN);
    }
}

static __attribute__((noinline)) void FN(write_seam_active)(const struct FN(write) *w, bool blends, size_t keep) {
    struct FN(write) here = *w;
    FN(write_seam)(&here, blends, true, keep);
}

BNK_INLINE void FN(write_rest)(struct FN(write) *w, bool blends, bool active) {
    while (w->done + BNK_LANES <= w->length) FN(write_step)(w, blends, active);
    size_t left = w->length - w->done;
    if (!w->joined || w->channel + 1 == w->k->channels) {
        FN(write_part)(w, blends, active, left);
    } else if (left > 0) {
        w->carry = BNK_LANES - left;
        if (active) {
            struct FN(write) here = *w; /* a copy, so that the original stays in registers */
            FN(write_seam_active)(&here, blends, left);
        } else {
            FN(write_seam)(w, blends, false, left);
        }
    }
}

/* Reductions. Their sums, shifts and numbers are local arrays of the verbs. */
struct FN(reduce) {
    const struct bnk_call *k;
    size_t length, done;
    bnk_vd one;
    struct FN(act) act;
    struct FN(gated) at;
};

BNK_INLINE struct FN(reduce) FN(reduce_start)(const struct bnk_call *k, bool active) {
    struct FN(reduce) s = {.k = k, .length = k->length, .one = opaque_one()};
    if (active) s.act = FN(act_splat)(k->act);
    return s;
}

BNK_INLINE void FN(reduce_row)(struct FN(reduce) *s, bnk_vd *shift, struct FN(affine) *forward, size_t r, size_t c, bool dots,
                               bool active) {
    s->done = 0;
    s->at = FN(row_at)(s->k, r, c, dots, false, active);
#pragma GCC unroll 8
    for (int i = 0; i < FN(doubles); i++) shift[i] = splat_vd(s->k->shift[c]);
    if (!active) return;
#pragma GCC unroll 8
    for (int i = 0; i < FN(parts); i++)
        forward[i] = s->at.y ? (struct FN(affine)){0} : FN(affine_splat)(s->k->k, BNK_GATE, c);
}

BNK_INLINE void FN(reduce_full)(struct FN(reduce) *s, bnk_vd *sum, bnk_vd *dot, const bnk_vd *shift,
                                const struct FN(affine) *forward, bool dots, bool active) {
    FN(fetch_row)(s->k, s->at, s->done, dots, active);
    FN(reduce_step)(sum, dot, s->one, shift, forward, s->act, s->at, s->done, BNK_LANES, dots, active);
    s->done += BNK_LANES;
}

/* A partial step of `keep` elements, on copies where the processor has no masks. */
BNK_INLINE void FN(reduce_copied)(const struct FN(reduce) *s, bnk_vd *sum, bnk_vd *dot, const bnk_vd *shift,
                                  const struct FN(affine) *forward, size_t keep, bool dots, bool active) {
    struct FN(copies) copies;
    struct FN(gated) part = FN(gated_at)(s->at, s->done);
    if (active || !BNK_MASKS) part = FN(take_gated)(&copies, part, keep);
    FN(reduce_step)(sum, dot, s->one, shift, forward, s->act, part, 0, keep, dots, active);
}

static __attribute__((noinline)) void FN(reduce_copied_active)(const struct FN(reduce) *part, double *sums, const bnk_vd *shift,
                                                               const struct FN(affine) *forward, size_t keep) {
    bnk_vd sum[FN(doubles)], dot[FN(doubles)];
    FN(load_sums)(sums, sums + BNK_LANES, sum, dot);
    FN(reduce_copied)(part, sum, dot, shift, forward, keep, true, true);
    FN(store_sums)(sums, sums + BNK_LANES, sum, dot);
}

BNK_INLINE void FN(reduce_rest)(struct FN(reduce) *s, bnk_vd *sum, bnk_vd *dot, const bnk_vd *shift,
                                const struct FN(affine) *forward, bool dots, bool active) {
    while (s->done + BNK_LANES <= s->length) FN(reduce_full)(s, sum, dot, shift, forward, dots, active);
    size_t keep = s->length - s->done;
    if (keep == 0) return;
    if (active) { /* copies, so that the originals stay in registers */
        struct FN(reduce) part = *s;
        double sums[BNK_SUMS];
        bnk_vd part_shift[FN(doubles)];
        struct FN(affine) part_forward[FN(parts)];
        memcpy(part_shift, shift, sizeof part_shift);
        memcpy(part_forward, forward, sizeof part_forward);
        FN(store_sums)(sums, sums + BNK_LANES, sum, dot);
        FN(reduce_copied_active)(&part, sums, part_shift, part_forward, keep);
        FN(load_sums)(sums, sums + BNK_LANES, sum, dot);
    } else {
        FN(reduce_copied)(s, sum, dot, shift, forward, keep, dots, false);
    }
}

/* The loops work on copies of the calls: no store can change a copy, so its members stay in registers. */
BNK_INLINE void FN(all_writes)(const struct bnk_call *call, bool blends, bool active) {
    const struct bnk_call copy = *call, *k = &copy;
    struct FN(write) w = FN(write_start)(k);
    for (size_t r = 0; r < k->rows; r++)
        for (size_t c = 0; c < k->channels; c++) {
            FN(write_row)(&w, blends, active, r, c);
            FN(write_rest)(&w, blends, active);
        }
}

/* Several rows of a channel are done one after the other, so that its sums are loaded once for all of them. */
BNK_INLINE void FN(all_reduces)(const struct bnk_call *call, bool dots, bool active) {
    const struct bnk_call copy = *call, *k = &copy;
    struct FN(reduce) s = FN(reduce_start)(k, active);
    for (size_t r = 0, rows; r < k->rows; r += rows) {
        rows = k->channels == 1 || k->rows - r < BNK_ROWS_OF_CHANNEL ? k->rows - r : BNK_ROWS_OF_CHANNEL;
        for (size_t c = 0; c < k->channels; c++) {
            double *sums = k->sums + c * BNK_SUMS;
            bnk_vd sum[FN(doubles)], dot[FN(doubles)], shift[FN(doubles)];
            struct FN(affine) forward[FN(parts)];
            FN(load_sums)(sums, sums + BNK_LANES, sum, dot);
            for (size_t i = 0; i < rows; i++) {
                FN(reduce_row)(&s, shift, forward, r + i, c, dots, active);
                FN(reduce_rest)(&s, sum, dot, shift, forward, dots, active);
            }
            FN(store_sums)(sums, sums + BNK_LANES, sum, dot);
        }
    }
}

/* A row of the write and a row of the reduction, step by step in turn. */
BNK_INLINE void FN(all_both)(const struct bnk_call *writes, const struct bnk_call *reduces, bool back, bool active) {
    const struct bnk_call copies[2] = {*writes, *reduces}, *write = copies, *reduce = copies + 1;
    struct FN(write) w = FN(write_start)(write);
    struct FN(reduce) s = FN(reduce_start)(reduce, back && active);
    bnk_vd sum[FN(doubles)], dot[FN(doubles)], shift[FN(doubles)];
    struct FN(affine) forward[FN(parts)];
    for (size_t r = 0; r < write->rows; r++)
        for (size_t c = 0; c < write->channels; c++) {
            double *sums = reduce->sums + c * BNK_SUMS;
            FN(load_sums)(sums, sums + BNK_LANES, sum, dot);
            FN(reduce_row)(&s, shift, forward, r, c, back, back && active);
            FN(write_row)(&w, back, active, r, c);
            while (w.done + BNK_LANES <= w.length && s.done + BNK_LANES <= s.length) {
                FN(write_step)(&w, back, active);
                FN(reduce_full)(&s, sum, dot, shift, forward, back, back && active);
            }
            FN(write_rest)(&w, back, active);
            FN(reduce_rest)(&s, sum, dot, shift, forward, back, back && active);
            FN(store_sums)(sums, sums + BNK_LANES, sum, dot);
        }
}

static void FN(moments_plane)(const struct bnk_call *k) { FN(all_reduces)(k, false, false); }

static void FN(dots_plane)(const struct bnk_call *k) {
    if (k->active)
        FN(all_reduces)(k, true, true);
    else
        FN(all_reduces)(k, true, false);
}

static void FN(affine_plane)(const struct bnk_call *k) {
    if (k->active)
        FN(all_writes)(k, false, true);
    else
        FN(all_writes)(k, false, false);
}

static void FN(blend_plane)(const struct bnk_call *k) {
    if (k->active)
        FN(all_writes)(k, true, true);
    else
        FN(all_writes)(k, true, false);
}

static void FN(affine_moments)(const struct bnk_call *write, const struct bnk_call *reduce) {
    if (write->active)
        FN(all_both)(write, reduce, false, true);
    else
        FN(all_both)(write, reduce, false, false);
}

static void FN(blend_dots)(const struct bnk_call *write, const struct bnk_call *reduce) {
    if (write->active)
        FN(all_both)(write, reduce, true, true);
    else
        FN(all_both)(write, reduce, true, false);
}
