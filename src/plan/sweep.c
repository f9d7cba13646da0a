/* SPDX-License-Identifier: MIT */
#include "plan/sweep.h"

#include <string.h>

#include "plan/narrow.h"

/* Elements of a tile in which arrays without a contiguous direction are staged; whole steps, so that lanes do not shift. */
enum { TILE = 512 };

size_t bn_sweep_slots(const struct bn_view *v) {
    return v->layout == BN_PLANE ? v->channels * v->pieces : bn_padded(v->channels) * v->pieces;
}

void bn_sweep_prepare(struct bn_sweep *s) {
    bool plane = s->view.layout == BN_PLANE;
    s->slot_channel = plane ? s->view.pieces : 1;
    s->slot_piece = plane ? 1 : bn_padded(s->view.channels);
    s->repeat = bn_narrow_repeat(&s->view);
}

/* A stretch of equally spaced rows, ready for a kernel. */
struct stretch {
    struct bnk_span span;
    char *at[BN_VIEW_ARRAYS];
    ptrdiff_t pitch[BN_VIEW_ARRAYS];
};

static void plane_kernel(const struct bn_sweep *s, const struct stretch *t, size_t channel, double shift, double *sums) {
    const struct bnk_verbs *k = s->kernels;
    struct bnk_numbers n = {(const char *)s->numbers.numbers + channel * k->number_bytes, s->numbers.pitch};
    switch (s->verb) {
    case BN_MOMENTS:
        k->moments_plane(t->span, t->at[0], t->pitch[0], shift, sums);
        break;
    case BN_AFFINE:
        k->affine_plane(t->span, t->at[0], t->pitch[0], n, t->at[1], t->pitch[1]);
        break;
    case BN_DOTS:
        k->dots_plane(t->span, t->at[0], t->pitch[0], t->at[1], t->pitch[1], shift, sums);
        break;
    case BN_BLEND:
        k->blend_plane(t->span, t->at[0], t->pitch[0], t->at[1], t->pitch[1], n, t->at[2], t->pitch[2]);
        break;
    }
}

static bool reduces(const struct bn_sweep *s) { return s->verb == BN_MOMENTS || s->verb == BN_DOTS; }

static bool is_output(const struct bn_sweep *s, int i) {
    return (s->verb == BN_AFFINE && i == 1) || (s->verb == BN_BLEND && i == 2);
}

/* One row in tiles: inputs without a contiguous direction are gathered before, such an output is scattered after. */
static void plane_row_staged(const struct bn_sweep *s, const struct stretch *row, size_t channel, double shift, double *sums) {
    const struct bnk_verbs *k = s->kernels;
    double tile[BN_VIEW_ARRAYS][TILE]; /* room for any element type */
    for (size_t done = 0; done < row->span.length; done += TILE) {
        size_t left = row->span.length - done, n = left < TILE ? left : TILE;
        struct stretch t = {.span = {1, n}};
        for (int i = 0; i < s->view.arrays; i++) {
            char *from = row->at[i] + (ptrdiff_t)done * s->view.step[i] * (ptrdiff_t)k->bytes;
            bool direct = s->view.step[i] == 1;
            t.at[i] = direct ? from : (char *)tile[i];
            if (!direct && !is_output(s, i)) k->gather(from, s->view.step[i], n, tile[i]);
        }
        plane_kernel(s, &t, channel, shift, sums);
        for (int i = 0; i < s->view.arrays; i++) {
            char *to = row->at[i] + (ptrdiff_t)done * s->view.step[i] * (ptrdiff_t)k->bytes;
            if (s->view.step[i] != 1 && is_output(s, i)) k->scatter(tile[i], n, to, s->view.step[i]);
        }
    }
}

static bool staged(const struct bn_view *v) {
    for (int i = 0; i < v->arrays; i++)
        if (v->step[i] != 1) return true;
    return false;
}

static void plane_stretch(const struct bn_sweep *s, const struct stretch *t, size_t channel, double shift, double *sums) {
    if (!staged(&s->view) || t->span.length == 1) { /* a row of one element is contiguous whatever its step */
        plane_kernel(s, t, channel, shift, sums);
        return;
    }
    for (size_t r = 0; r < t->span.rows; r++) {
        struct stretch row = *t;
        row.span.rows = 1;
        for (int i = 0; i < s->view.arrays; i++) row.at[i] += (ptrdiff_t)r * t->pitch[i] * (ptrdiff_t)s->kernels->bytes;
        plane_row_staged(s, &row, channel, shift, sums);
    }
}

/* The next stretch of a piece, from `row` on; `first` is the offset of its elements within a row, counted in channels for rows. */
static struct stretch next_stretch(const struct bn_sweep *s, size_t row, size_t limit, size_t first, size_t length,
                                   size_t channel) {
    const struct bn_view *v = &s->view;
    ptrdiff_t offset[BN_VIEW_ARRAYS], bytes = (ptrdiff_t)s->kernels->bytes;
    struct stretch t = {.span = {bn_view_walk(v, row, limit, offset), length}};
    for (int i = 0; i < v->arrays; i++) {
        ptrdiff_t within = (ptrdiff_t)first * v->step[i] + (ptrdiff_t)channel * v->array[i].channel;
        t.at[i] = v->array[i].data + (offset[i] + within) * bytes;
        t.pitch[i] = bn_view_pitch(v, i);
    }
    return t;
}

/* The order is fixed: halves are added lane by lane until one lane is left. */
static double fold_lanes(double *lanes) {
    for (int width = BNK_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

/* A channel that is one piece of equally spaced rows, as most are, needs no walk. */
static struct stretch whole_channel(const struct bn_sweep *s, size_t channel) {
    const struct bn_view *v = &s->view;
    struct stretch t = {.span = {v->rows, v->length}};
    for (int i = 0; i < v->arrays; i++) {
        t.at[i] = v->array[i].data + (ptrdiff_t)channel * v->array[i].channel * (ptrdiff_t)s->kernels->bytes;
        t.pitch[i] = bn_view_pitch(v, i);
    }
    return t;
}

static void plane_part(const struct bn_sweep *s, const struct stretch *t, size_t channel, bool first, double *shift,
                       double *sums) {
    if (first && s->verb == BN_MOMENTS) s->kernels->pivot(t->at[0], 1, 1, shift);
    plane_stretch(s, t, channel, *shift, sums);
}

static void plane_unit(const struct bn_sweep *s, size_t channel, size_t piece) {
    double sums[2 * BNK_LANES] = {0}, shift = s->verb == BN_DOTS && s->mean_of_x ? s->mean[channel] : 0;
    if (s->view.pieces == 1 && s->view.dims <= 1) {
        struct stretch t = whole_channel(s, channel);
        plane_part(s, &t, channel, true, &shift, sums);
    } else {
        struct bn_piece p = bn_view_piece(&s->view, piece);
        for (size_t r = 0; r < p.rows;) {
            struct stretch t = next_stretch(s, p.first_row + r, p.rows - r, p.first, p.length, channel);
            plane_part(s, &t, channel, r == 0, &shift, sums);
            r += t.span.rows;
        }
    }
    if (!reduces(s)) return;
    size_t slot = channel * s->slot_channel + piece * s->slot_piece;
    if (s->verb == BN_MOMENTS) s->shift[slot] = shift;
    s->sum[slot] = fold_lanes(sums);
    s->dot[slot] = fold_lanes(sums + BNK_LANES);
}

/* What the rows kernels work with: per-channel arrays that begin at the first channel of the block. */
struct across {
    const double *shift;
    double *sum, *dot;
    struct bnk_numbers numbers;
};

static void rows_kernel(const struct bn_sweep *s, const struct stretch *t, struct across a) {
    const struct bnk_verbs *k = s->kernels;
    switch (s->verb) {
    case BN_MOMENTS:
        k->moments_rows(t->span, t->at[0], t->pitch[0], a.shift, a.sum, a.dot);
        break;
    case BN_AFFINE:
        k->affine_rows(t->span, t->at[0], t->pitch[0], a.numbers, t->at[1], t->pitch[1]);
        break;
    case BN_DOTS:
        k->dots_rows(t->span, t->at[0], t->pitch[0], t->at[1], t->pitch[1], a.shift, a.sum, a.dot);
        break;
    case BN_BLEND:
        k->blend_rows(t->span, t->at[0], t->pitch[0], t->at[1], t->pitch[1], a.numbers, t->at[2], t->pitch[2]);
        break;
    }
}

/* Sums start at zero; so do shifts, which pad the block up to whole steps. */
static void clear_slots(const struct bn_sweep *s, size_t slot, size_t channels) {
    size_t bytes = bn_padded(channels) * sizeof(double);
    memset(s->sum + slot, 0, bytes);
    memset(s->dot + slot, 0, bytes);
    memset(s->shift + slot, 0, bytes);
}

static struct across across_block(const struct bn_sweep *s, size_t channel, size_t slot) {
    struct across a = {.numbers = {(const char *)s->numbers.numbers + channel * s->kernels->number_bytes, s->numbers.pitch}};
    if (!reduces(s)) return a;
    a.sum = s->sum + slot;
    a.dot = s->dot + slot;
    a.shift = s->verb == BN_DOTS && s->mean_of_x ? s->mean + channel : s->shift + slot;
    return a;
}

static void rows_unit(const struct bn_sweep *s, size_t block, size_t piece) {
    const struct bn_view *v = &s->view;
    struct bn_piece p = bn_view_piece(v, piece);
    size_t channel = block * v->block, slot = channel * s->slot_channel + piece * s->slot_piece;
    size_t channels = v->channels - channel < v->block ? v->channels - channel : v->block;
    struct across a = across_block(s, channel, slot);
    if (reduces(s)) clear_slots(s, slot, channels);
    for (size_t r = 0; r < p.rows;) {
        struct stretch t = next_stretch(s, p.first_row + r, p.rows - r, 0, channels, channel);
        if (r == 0 && s->verb == BN_MOMENTS) s->kernels->pivot(t.at[0], 1, channels, s->shift + slot);
        rows_kernel(s, &t, a);
        r += t.span.rows;
    }
}

/* The wide rows of a stretch; the stretch is left with what remains. */
static void narrow_stretch(const struct bn_sweep *s, struct stretch *t, size_t repeat, struct across wide) {
    struct stretch w = *t;
    w.span = (struct bnk_span){t->span.rows / repeat, t->span.length * repeat};
    for (int i = 0; i < s->view.arrays; i++) {
        w.pitch[i] = (ptrdiff_t)w.span.length;
        t->at[i] += w.span.rows * w.span.length * s->kernels->bytes;
    }
    if (w.span.rows) rows_kernel(s, &w, wide);
    t->span.rows -= w.span.rows * repeat;
}

/* Like rows_unit(), for few channels: there is one block. */
static void narrow_unit(const struct bn_sweep *s, size_t piece, size_t repeat) {
    size_t channels = s->view.channels, slot = piece * s->slot_piece;
    struct bn_piece p = bn_view_piece(&s->view, piece);
    struct across a = across_block(s, 0, slot), wide = a;
    struct bn_narrow n;
    double numbers[BNK_BLEND_NUMBERS * BN_NARROW_LANES];
    if (reduces(s)) clear_slots(s, slot, channels);
    for (size_t r = 0; r < p.rows;) {
        struct stretch t = next_stretch(s, p.first_row + r, p.rows - r, 0, channels, 0);
        size_t rows = t.span.rows;
        if (r == 0 && s->verb == BN_MOMENTS) s->kernels->pivot(t.at[0], 1, channels, s->shift + slot);
        if (r == 0 && reduces(s)) {
            bn_narrow_start(&n, channels, repeat, a.shift);
            wide = (struct across){n.shift, n.sum, n.dot, {NULL, 0}};
        } else if (r == 0) {
            int count = s->verb == BN_AFFINE ? (int)BNK_AFFINE_NUMBERS : (int)BNK_BLEND_NUMBERS;
            wide.numbers = bn_narrow_numbers(a.numbers, count, channels, repeat, s->kernels->number_bytes, numbers);
        }
        narrow_stretch(s, &t, repeat, wide);
        if (t.span.rows) rows_kernel(s, &t, a);
        r += rows;
    }
    if (reduces(s)) bn_narrow_finish(&n, a.sum, a.dot);
}

void bn_sweep_unit(const struct bn_sweep *s, size_t block, size_t piece) {
    if (s->view.layout == BN_PLANE)
        plane_unit(s, block, piece);
    else if (s->repeat > 1)
        narrow_unit(s, piece, s->repeat);
    else
        rows_unit(s, block, piece);
}
