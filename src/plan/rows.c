/* SPDX-License-Identifier: MIT */
/* Sweeps over rows. */
#include <string.h>

#include "plan/narrow.h"
#include "plan/sweep.h"

static void run(const struct bn_sweep *s, const struct bnk_call *k) {
    bnk_verb *const verbs[] = {[BN_MOMENTS] = s->kernels->moments_rows,
                               [BN_AFFINE] = s->kernels->affine_rows,
                               [BN_DOTS] = s->kernels->dots_rows,
                               [BN_BLEND] = s->kernels->blend_rows};
    if (k->rows) verbs[s->verb](k);
}

/* Small rows, one after the other: made in tiles, and streamed from there as runs of whole lines. */
static void run_by_tile(const struct bn_sweep *s, const struct bnk_call *k) {
    _Alignas(BN_LINE_BYTES) char tile[2][BN_STAGE_BYTES];
    size_t bytes = s->kernels->bytes, row_bytes = k->length * bytes, together = BN_STAGE_BYTES / row_bytes;
    for (size_t done = 0; done < k->rows; done += together) {
        struct bnk_call part = *k;
        struct bnk_array *outputs[] = {&part.out, &part.dz};
        char *there[] = {k->out.at, k->dz.at};
        part.rows = k->rows - done < together ? k->rows - done : together;
        part.stream = false;
        for (enum bn_role role = BN_AS_X; role <= BN_AS_Y; role++) {
            struct bnk_array *a = bn_call_array(&part, role);
            if (a->at) a->at += (ptrdiff_t)done * a->row * (ptrdiff_t)bytes;
        }
        for (int o = 0; o < 2; o++)
            if (there[o]) outputs[o]->at = tile[o];
        run(s, &part);
        for (int o = 0; o < 2; o++)
            if (there[o]) bnk_table()->stream(tile[o], part.rows * row_bytes, there[o] + done * row_bytes);
    }
}

/* Whether outputs are better made in a tile and streamed from there: rows that follow each other without a gap, but are small
 * and do not begin and end with a line of the cache. */
static bool streams_by_tile(const struct bn_sweep *s, const struct bnk_call *k) {
    size_t bytes = k->length * s->kernels->bytes;
    const struct bnk_array *outputs[] = {&k->out, &k->dz};
    bool whole_lines = bytes % BN_LINE_BYTES == 0;
    if (!s->stream || s->view.staged || bytes > s->tile_row) return false;
    for (int i = 0; i < 2; i++) {
        if (!outputs[i]->at) continue;
        if (outputs[i]->row != (ptrdiff_t)k->length) return false;
        whole_lines = whole_lines && (uintptr_t)outputs[i]->at % BN_LINE_BYTES == 0;
    }
    return !whole_lines;
}

static void run_stretch(const struct bn_sweep *s, const struct bnk_call *k) {
    if (!bn_sweep_reduces(s) && streams_by_tile(s, k))
        run_by_tile(s, k);
    else
        run(s, k);
}

/* Unsigned, as that many rows ahead may lie outside the address space. There is nothing to fetch there then, and no harm in
 * it. */
static ptrdiff_t bytes_ahead(const struct bn_sweep *s, ptrdiff_t pitch) {
    return (ptrdiff_t)(s->ahead * (size_t)pitch * s->kernels->bytes);
}

/* The next stretch of a unit, from `row` on. What is fetched ahead are the next rows, also at the end of a unit: most often it
 * is they that come next. */
static struct bnk_call stretch(const struct bn_sweep *s, size_t row, size_t limit, size_t channel, size_t channels) {
    const struct bn_view *v = &s->view;
    ptrdiff_t offset[BN_VIEW_ARRAYS];
    struct bnk_call k;
    bn_sweep_call(s, channel, &k);
    k.rows = bn_view_walk(v, row, limit, offset);
    k.channels = 1;
    k.length = channels;
    for (int i = 0; i < v->arrays; i++) {
        ptrdiff_t pitch = bn_view_pitch(v, i);
        *bn_call_array(&k, s->role[i]) =
            (struct bnk_array){.at = bn_sweep_at(s, i, offset[i], 0, channel), .row = pitch, .ahead = bytes_ahead(s, pitch)};
    }
    return k;
}

/* Sums start at zero; so do shifts, which pad the block up to whole steps. */
static void clear_slots(const struct bn_sweep *s, size_t slot, size_t channels) {
    size_t bytes = bn_padded(channels) * sizeof(double);
    memset(s->sum + slot, 0, bytes);
    memset(s->dot + slot, 0, bytes);
    memset(s->shift + slot, 0, bytes);
}

/* Where a unit's sums are. */
static void set_sums(const struct bn_sweep *s, struct bnk_call *k, size_t channel, size_t slot) {
    if (!bn_sweep_reduces(s)) return;
    k->sum = s->sum + slot;
    k->dot = s->dot + slot;
    k->shift = s->verb == BN_DOTS && s->mean_of_x ? s->mean + channel : s->shift + slot;
}

static void plain_unit(const struct bn_sweep *s, size_t block, size_t piece) {
    const struct bn_view *v = &s->view;
    struct bn_piece p = bn_view_piece(v, piece);
    size_t channel = block * v->block, slot = channel * s->slot_channel + piece * s->slot_piece;
    size_t channels = v->channels - channel < v->block ? v->channels - channel : v->block;
    if (bn_sweep_reduces(s)) clear_slots(s, slot, channels);
    for (size_t r = 0; r < p.rows;) {
        struct bnk_call k = stretch(s, p.first_row + r, p.rows - r, channel, channels);
        set_sums(s, &k, channel, slot);
        if (r == 0 && s->verb == BN_MOMENTS) s->kernels->pivot(k.x.at, 1, channels, s->shift + slot);
        r += k.rows;
        run_stretch(s, &k);
    }
}

/* The numbers of a wide row, and its sums. */
struct wide {
    size_t repeat;
    struct bn_narrow narrow;
    double numbers[BN_NARROW_NUMBERS];
    struct bnk_numbers k;
};

static void start_wide(const struct bn_sweep *s, struct wide *w, const struct bnk_call *k) {
    size_t channels = s->view.channels, bytes = s->kernels->number_bytes;
    if (bn_sweep_reduces(s)) bn_narrow_start(&w->narrow, channels, w->repeat, k->shift);
    if (!bn_sweep_reduces(s) || s->active)
        w->k = bn_narrow_numbers(k->k, bn_number_count(s->verb, s->active), channels, w->repeat, bytes, w->numbers);
}

/* Do the whole wide rows of a stretch; the stretch is left with what remains. */
static void run_wide(const struct bn_sweep *s, const struct wide *w, struct bnk_call *k) {
    struct bnk_call wide = *k;
    wide.rows = k->rows / w->repeat;
    wide.length = k->length * w->repeat;
    if (bn_sweep_reduces(s)) {
        wide.shift = w->narrow.shift;
        wide.sum = (double *)w->narrow.sum;
        wide.dot = (double *)w->narrow.dot;
    }
    wide.k = w->k;
    for (int i = 0; i < s->view.arrays; i++) {
        struct bnk_array *a = bn_call_array(k, s->role[i]), *b = bn_call_array(&wide, s->role[i]);
        b->row = (ptrdiff_t)wide.length;
        b->ahead = bytes_ahead(s, b->row);
        a->at += wide.rows * wide.length * s->kernels->bytes;
    }
    k->rows -= wide.rows * w->repeat;
    run_stretch(s, &wide);
}

/* Like plain_unit(), for few channels: there is one block. */
static void narrow_unit(const struct bn_sweep *s, size_t piece) {
    size_t channels = s->view.channels, slot = piece * s->slot_piece;
    struct bn_piece p = bn_view_piece(&s->view, piece);
    struct wide w;
    w.repeat = s->repeat;
    if (bn_sweep_reduces(s)) clear_slots(s, slot, channels);
    for (size_t r = 0; r < p.rows;) {
        struct bnk_call k = stretch(s, p.first_row + r, p.rows - r, 0, channels);
        set_sums(s, &k, 0, slot);
        if (r == 0 && s->verb == BN_MOMENTS) s->kernels->pivot(k.x.at, 1, channels, s->shift + slot);
        if (r == 0) start_wide(s, &w, &k);
        r += k.rows;
        run_wide(s, &w, &k);
        run_stretch(s, &k);
    }
    if (bn_sweep_reduces(s)) bn_narrow_finish(&w.narrow, s->sum + slot, s->dot + slot);
}

void bn_rows_unit(const struct bn_sweep *s, size_t block, size_t piece) {
    if (s->repeat > 1)
        narrow_unit(s, piece);
    else
        plain_unit(s, block, piece);
}
