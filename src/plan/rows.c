/* SPDX-License-Identifier: MIT */
/* Sweeps over rows. Rows of few channels that follow each other without a gap are taken as wide rows: `repeat` of them are one
 * row of whole kernel steps, so that three channels become 48. The sums of the repetitions are added at the end, in order.
 * Longer than 300 lines, because a second look at sums goes the way of the first, wide rows or not. */
#include <string.h>

#include "plan/sweep.h"

static void run(const struct bn_sweep *s, const struct bnk_call *k) {
    if (k->rows) bn_sweep_run(s, BNK_ROWS, k);
}

/* Writes small rows that follow each other into tiles, and streams them from there as runs of whole lines. Called, and so the
 * tiles are on the stack only while they are needed. */
static __attribute__((noinline)) void run_by_tile(const struct bn_sweep *s, const struct bnk_call *k) {
    _Alignas(BN_LINE_BYTES) char tile[BNK_ARRAYS - BNK_INPUTS][BN_STAGE_BYTES];
    size_t bytes = s->kernels->bytes, row_bytes = k->length * bytes, together = BN_STAGE_BYTES / row_bytes;
    for (size_t done = 0; done < k->rows; done += together) {
        struct bnk_call part = *k;
        part.rows = k->rows - done < together ? k->rows - done : together;
        part.stream = false;
        for (int i = 0; i < s->view.arrays; i++) {
            struct bnk_array *a = &part.array[s->role[i]];
            if (bn_is_output(s->role[i]))
                a->at = tile[s->role[i] - BNK_INPUTS];
            else
                a->at += (ptrdiff_t)done * a->row * (ptrdiff_t)bytes;
        }
        run(s, &part);
        for (int i = 0; i < s->view.arrays; i++) {
            if (!bn_is_output(s->role[i])) continue;
            bnk_table()->stream(part.array[s->role[i]].at, part.rows * row_bytes, k->array[s->role[i]].at + done * row_bytes);
        }
    }
}

/* Returns whether outputs are better made in a tile and streamed from there: rows that follow each other without a gap, but
 * are small and do not begin and end with a line of the cache. */
static bool streams_by_tile(const struct bn_sweep *s, const struct bnk_call *k) {
    size_t bytes = k->length * s->kernels->bytes;
    bool whole_lines = bytes % BN_LINE_BYTES == 0;
    if (!k->stream || bytes > s->tile_row) return false;
    for (int i = 0; i < s->view.arrays; i++) {
        const struct bnk_array *a = &k->array[s->role[i]];
        if (!bn_is_output(s->role[i])) continue;
        if (a->row != (ptrdiff_t)k->length) return false;
        whole_lines = whole_lines && (uintptr_t)a->at % BN_LINE_BYTES == 0;
    }
    return !whole_lines;
}

/* Writes some channels of some rows, from inputs whose channels do not lie side by side and are gathered before. `k` has the
 * arrays at the first of them. */
static __attribute__((noinline)) void run_tile(const struct bn_sweep *s, struct bnk_call k) {
    _Alignas(BN_LINE_BYTES) char tile[BN_VIEW_ARRAYS][BN_STAGE_BYTES];
    const size_t pitch = bn_padded(k.length);
    for (int i = 0; i < s->view.arrays; i++) {
        struct bnk_array *a = &k.array[s->role[i]];
        if (s->view.spacing[i] == 1) continue;
        s->kernels->gather(a->at, a->row, s->view.spacing[i], k.rows, k.length, tile[i], pitch);
        *a = (struct bnk_array){.at = tile[i], .row = (ptrdiff_t)pitch};
    }
    run(s, &k);
}

static void run_staged(const struct bn_sweep *s, const struct bnk_call *k) {
    const size_t room = BN_STAGE_BYTES / s->kernels->bytes, most = room / BNK_LANES;
    const size_t length = bn_least(k->length, most), rows = room / bn_padded(length) / BNK_LANES * BNK_LANES;
    for (size_t r = 0; r < k->rows; r += rows)
        for (size_t c = 0; c < k->length; c += length) {
            struct bnk_call t = *k;
            t.rows = bn_least(k->rows - r, rows);
            t.length = bn_least(k->length - c, length);
            t.coefficients.at = (const char *)k->coefficients.at + c * s->kernels->coefficient_bytes;
            for (int i = 0; i < s->view.arrays; i++) {
                struct bnk_array *a = &t.array[s->role[i]];
                bn_advance(a, (ptrdiff_t)r * a->row + (ptrdiff_t)c * s->view.spacing[i], s->kernels->bytes);
            }
            run_tile(s, t);
        }
}

static void run_stretch(const struct bn_sweep *s, const struct bnk_call *k) {
    if (s->view.staged)
        run_staged(s, k);
    else if (!bn_sweep_reduces(s) && streams_by_tile(s, k))
        run_by_tile(s, k);
    else
        run(s, k);
}

/* The product is unsigned, because that many rows ahead may lie outside the address space. There is nothing to fetch there
 * then, and no harm in it. */
static ptrdiff_t bytes_ahead(const struct bn_sweep *s, ptrdiff_t pitch) {
    return (ptrdiff_t)(s->ahead * (size_t)pitch * s->kernels->bytes);
}

/* Returns a call for the next stretch of a piece, from `row` on. What is fetched ahead are the next rows, also at the end of a
 * piece: most often it is they that come next. */
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
        k.array[s->role[i]] =
            (struct bnk_array){.at = bn_sweep_at(s, i, offset[i], 0, channel), .row = pitch, .ahead = bytes_ahead(s, pitch)};
    }
    return k;
}

/* Sets some shifts or sums to zero, up to whole steps. */
static void clear(double *at, size_t channels) { memset(at, 0, bn_padded(channels) * sizeof *at); }

/* Takes the median of three of the n rows of a piece that count, from number `first` on. */
static void median_of(const struct bn_sweep *s, const struct bn_piece *p, size_t n, size_t first, size_t channel,
                      size_t channels, double *out) {
    const void *x[3];
    ptrdiff_t offset[BN_VIEW_ARRAYS];
    for (size_t i = 0; i < 3; i++) {
        size_t row = n < 3 ? 0 : first + i;
        if (n < p->rows) row = bn_mask_place(s->mask + p->first_row, p->rows, row);
        bn_view_walk(&s->view, p->first_row + row, 1, offset);
        x[i] = bn_sweep_at(s, 0, offset[0], 0, channel);
    }
    s->kernels->pivot(x, 1, channels, out);
}

/* Sets the shifts to zero, and those of moments to pivots: the median of the first three of the n rows of the piece that count,
 * or of doubles that of the medians of three times three rows. */
static void start_shifts(const struct bn_sweep *s, const struct bn_piece *p, size_t n, size_t channel, size_t channels,
                         size_t slot) {
    enum { SOME = 8 * BNK_LANES };
    double medians[3][SOME], *shift = s->shift + slot;
    const void *const x[3] = {medians[0], medians[1], medians[2]};
    clear(shift, channels);
    if (s->verb != BNK_MOMENTS || n == 0) return;
    if (!s->kernels->keeps_lost || n < 9) median_of(s, p, n, 0, channel, channels, shift);
    for (size_t c = 0; bn_sums_of(s) == BN_SUMS && n >= 9 && c < channels; c += SOME) {
        const size_t some = channels - c < SOME ? channels - c : SOME;
        for (size_t i = 0; i < 3; i++) median_of(s, p, n, 3 * i, channel + c, some, medians[i]);
        s->kernels->pivot(x, 1, some, shift + c);
    }
}

/* Doubles of a wide row at most, because its sums and coefficients live on the stack; of floats, twice as many. Arrays of them
 * are longer than a page, so that what is stored to one never lies at the same place within a page as what is loaded from
 * another. */
enum { WIDE = 512, WIDE_PITCH = WIDE + BNK_LANES };

/* Where the sums of a piece become. */
struct target {
    double *shift, *sums[BN_SUMS];
    bool exact;
    double n; /* the values of a channel */
};

static struct target slots_of(const struct bn_sweep *s, size_t slot, double n) {
    struct target to = {.shift = s->shift + slot, .n = n};
    for (int i = 0; i < bn_sums_of(s); i++) to.sums[i] = s->sums[i] + slot;
    return to;
}

/* Sets where a call finds the sums of a piece. */
static void set_sums(const struct bn_sweep *s, struct bnk_call *k, size_t channel, const struct target *to) {
    if (!bn_sweep_reduces(s)) return;
    for (int i = 0; i < BN_SUMS; i++) k->sums[i] = to->sums[i];
    k->shift = s->verb == BNK_DOTS && s->mean_of_x ? s->mean + channel : to->shift;
    k->exact = to->exact;
}

static void clear_sums(const struct bn_sweep *s, const struct target *to, size_t channels) {
    for (int i = 0; bn_sweep_reduces(s) && i < bn_sums_of(s); i++) clear(to->sums[i], channels);
}

static void finish_sums(const struct bn_sweep *s, const struct target *to, size_t channels) {
    if (bn_sweep_reduces(s) && bn_sums_of(s) == BN_SUMS) bnk_table()->finish_pairs(to->sums, channels, to->n);
}

/* Runs a stretch that begins at a row, or what the mask leaves of it. */
static void run_masked(const struct bn_sweep *s, const struct bn_piece *p, const struct bnk_call *k, size_t row,
                       const struct target *to, bn_runner *run, void *arg) {
    if (s->mask && !(to && to->n == (double)p->count))
        bn_masked_rows(s, k, row, run, arg);
    else
        run(arg, s, k);
}

static void run_alone(void *arg, const struct bn_sweep *s, const struct bnk_call *k) {
    (void)arg;
    run_stretch(s, k);
}

/* Runs the rows of a piece for some channels, from sums that are zero. */
typedef void run_rows(const struct bn_sweep *s, const struct bn_piece *p, size_t channel, size_t channels,
                      const struct target *to);

static void run_plain(const struct bn_sweep *s, const struct bn_piece *p, size_t channel, size_t channels,
                      const struct target *to) {
    clear_sums(s, to, channels);
    for (size_t r = 0; r < p->rows;) {
        struct bnk_call k = stretch(s, p->first_row + r, p->rows - r, channel, channels);
        set_sums(s, &k, channel, to);
        run_masked(s, p, &k, p->first_row + r, to, run_alone, NULL);
        r += k.rows;
    }
    finish_sums(s, to, channels);
}

/* Looks at the sums of some channels, no more than half a wide row has, a second time. Where a channel needs it they are made
 * again, for all of them, and taken over for that channel alone. */
static void look_again(const struct bn_sweep *s, const struct bn_piece *p, double n, size_t channel, size_t channels,
                       size_t slot, run_rows *run) {
    double sums[BN_SUMS][WIDE / 2]; /* a wide row is two rows at least */
    const struct target to = {s->shift + slot, {sums[0], sums[1], sums[2], sums[3]}, true, n};
    bool again[WIDE / 2], any = n > 0;
    for (int looks = 0; looks < 2 && any; looks++) {
        any = false;
        for (size_t c = 0; c < channels; c++) {
            const double sum = s->sums[0][slot + c];
            const enum bn_look look = bn_second_look(s, sum, s->sums[1][slot + c], n, looks > 0);
            if (look & BN_FAR_OFF) s->shift[slot + c] += sum / n;
            again[c] = look != BN_FINE;
            any = any || again[c];
        }
        if (any) run(s, p, channel, channels, &to);
        for (size_t c = 0; c < channels && any; c++)
            for (int i = 0; i < 2 && again[c]; i++) s->sums[i][slot + c] = sums[i][c];
    }
}

static void plain_piece(const struct bn_sweep *s, size_t block, size_t piece) {
    const struct bn_view *v = &s->view;
    const struct bn_piece p = bn_view_piece(v, piece);
    const size_t channel = block * v->block, slot = channel * s->slot_channel + piece * s->slot_piece;
    const size_t channels = v->channels - channel < v->block ? v->channels - channel : v->block;
    if (!bn_sweep_reduces(s)) {
        run_plain(s, &p, channel, channels, NULL);
        return;
    }
    const struct target to = slots_of(s, slot, bn_sweep_count(s, &p, piece));
    start_shifts(s, &p, (size_t)to.n, channel, channels, slot);
    run_plain(s, &p, channel, channels, &to);
    if (!bn_any_second_look(s, to.sums[0], to.sums[1], channels, 1, to.n)) return;
    for (size_t c = 0; c < channels; c += BNK_LANES)
        look_again(s, &p, to.n, channel + c, channels - c < BNK_LANES ? channels - c : BNK_LANES, slot + c, run_plain);
}

/* Wide rows */

static bool is_packed(const struct bn_view *v) {
    if (v->layout != BNK_ROWS || v->dims == 0 || v->staged || v->spread > 1) return false;
    for (int i = 0; i < v->arrays; i++)
        if (bn_view_pitch(v, i) != (ptrdiff_t)v->channels) return false;
    return true;
}

size_t bn_rows_repeat(const struct bn_view *v) {
    size_t repeat = 1;
    if (v->layout != BNK_ROWS || v->channels > WIDE) return 1; /* more, times a repeat, might not fit either */
    while (v->channels * repeat % BNK_LANES != 0) repeat *= 2;
    return is_packed(v) && v->channels * repeat <= WIDE ? repeat : 1;
}

size_t bn_rows_repeat_written(const struct bn_view *v, size_t coefficient_bytes, size_t wide_rows) {
    size_t repeat = bn_rows_repeat(v), most = WIDE * sizeof(double) / coefficient_bytes / v->channels;
    if (!is_packed(v) || v->channels * repeat % BNK_LANES != 0) return 1;
    while (repeat * 2 <= most && v->last.group / repeat >= wide_rows) repeat *= 2;
    return repeat;
}

/* The sums of a wide row, and its coefficients. */
struct wide {
    size_t repeat;
    double shift[WIDE_PITCH], sums[BN_SUMS][WIDE_PITCH];
    double coefficients[BNK_GATED_COEFFICIENTS * WIDE_PITCH];
    struct bnk_coefficients k;
};

/* Sets the sums to zero, and repeats the shifts of the channels. */
static void start_wide_sums(struct wide *w, size_t channels, const double *shift) {
    size_t bytes = channels * sizeof(double);
    for (size_t r = 0; r < w->repeat; r++) memcpy(w->shift + r * channels, shift, bytes);
    for (int i = 0; i < BN_SUMS; i++) memset(w->sums[i], 0, w->repeat * bytes);
}

/* Adds up the repetitions, in their order. */
static void finish_wide_sums(const struct bn_sweep *s, const struct wide *w, const struct target *to) {
    const size_t channels = s->view.channels;
    const bool pairs = bn_sums_of(s) == BN_SUMS;
    for (int i = 0; i < 2; i++)
        for (size_t at = 0; at < channels * w->repeat; at += channels)
            for (size_t c = 0; c < channels && pairs; c++) {
                const struct bn_pair sum = bn_pair_sum(to->sums[i][c], w->sums[i][at + c]);
                to->sums[i][c] = sum.high;
                to->sums[i + 2][c] += sum.low + w->sums[i + 2][at + c];
            }
    for (int i = 0; i < 2; i++)
        for (size_t at = 0; at < channels * w->repeat; at += channels)
            for (size_t c = 0; c < channels && !pairs; c++) to->sums[i][c] += w->sums[i][at + c];
}

/* Returns how many coefficients of a channel a sweep reads. */
static size_t coefficient_count(const struct bn_sweep *s) {
    if (s->verb == BNK_AFFINE) return BNK_AFFINE_COEFFICIENTS;
    return s->active ? BNK_GATED_COEFFICIENTS : BNK_BLEND_COEFFICIENTS;
}

static void repeat_coefficients(const struct bn_sweep *s, struct wide *w, struct bnk_coefficients k) {
    size_t bytes = s->kernels->coefficient_bytes, all = s->view.channels * bytes,
           pitch = s->view.channels * w->repeat + BNK_LANES;
    for (size_t i = 0; i < coefficient_count(s); i++) {
        const char *from = (const char *)k.at + i * k.pitch * bytes;
        char *to = (char *)w->coefficients + i * pitch * bytes;
        for (size_t r = 0; r < w->repeat; r++) memcpy(to + r * all, from, all);
    }
    w->k = (struct bnk_coefficients){w->coefficients, pitch};
}

static void start_wide(const struct bn_sweep *s, struct wide *w, const struct bnk_call *k) {
    if (bn_sweep_reduces(s)) start_wide_sums(w, s->view.channels, k->shift);
    if (!bn_sweep_reduces(s) || s->active) repeat_coefficients(s, w, k->coefficients);
}

/* Runs the whole wide rows of a stretch, and leaves in k what remains of it. */
static void run_wide(const struct bn_sweep *s, struct wide *w, struct bnk_call *k) {
    struct bnk_call wide = *k;
    wide.rows = k->rows / w->repeat;
    wide.length = k->length * w->repeat;
    if (bn_sweep_reduces(s)) {
        wide.shift = w->shift;
        for (int i = 0; i < BN_SUMS; i++) wide.sums[i] = w->sums[i];
    }
    wide.coefficients = w->k;
    for (int i = 0; i < s->view.arrays; i++) {
        struct bnk_array *a = &k->array[s->role[i]], *b = &wide.array[s->role[i]];
        b->row = (ptrdiff_t)wide.length;
        b->ahead = bytes_ahead(s, b->row);
        a->at += wide.rows * wide.length * s->kernels->bytes;
    }
    k->rows -= wide.rows * w->repeat;
    run_stretch(s, &wide);
}

/* Runs the wide rows of a stretch, and then what remains. */
static void run_both(void *wide, const struct bn_sweep *s, const struct bnk_call *k) {
    struct bnk_call left = *k;
    run_wide(s, wide, &left);
    run_stretch(s, &left);
}

/* Like run_plain(), for few channels: there is one block. Called, as run_by_tile(): a second look would have two otherwise. */
static __attribute__((noinline)) void run_wide_rows(const struct bn_sweep *s, const struct bn_piece *p, size_t channel,
                                                    size_t channels, const struct target *to) {
    struct wide w;
    w.repeat = s->repeat;
    clear_sums(s, to, channels);
    for (size_t r = 0; r < p->rows;) {
        struct bnk_call k = stretch(s, p->first_row + r, p->rows - r, channel, channels);
        set_sums(s, &k, channel, to);
        if (r == 0) start_wide(s, &w, &k);
        run_masked(s, p, &k, p->first_row + r, to, run_both, &w);
        r += k.rows;
    }
    if (bn_sweep_reduces(s)) finish_wide_sums(s, &w, to);
    finish_sums(s, to, channels);
}

static void wide_piece(const struct bn_sweep *s, size_t piece) {
    const size_t slot = piece * s->slot_piece, channels = s->view.channels;
    const struct bn_piece p = bn_view_piece(&s->view, piece);
    if (!bn_sweep_reduces(s)) {
        run_wide_rows(s, &p, 0, channels, NULL);
        return;
    }
    const struct target to = slots_of(s, slot, bn_sweep_count(s, &p, piece));
    start_shifts(s, &p, (size_t)to.n, 0, channels, slot);
    run_wide_rows(s, &p, 0, channels, &to);
    look_again(s, &p, to.n, 0, channels, slot, run_wide_rows);
}

/* Planes of few elements that are spread */

static void spread_coefficients(const struct bn_sweep *s, struct wide *w, size_t first, size_t count) {
    const struct bnk_numbers *numbers = bnk_table()->numbers;
    const size_t bytes = s->kernels->coefficient_bytes, spread = s->view.spread;
    for (size_t i = 0; i < coefficient_count(s); i++) {
        const void *from = (const char *)s->coefficients.at + i * s->coefficients.pitch * bytes;
        void *to = (char *)w->coefficients + i * WIDE_PITCH * bytes;
        if (bytes == sizeof(float))
            numbers->repeat_floats(from, spread, first, count, to);
        else
            numbers->repeat_doubles(from, spread, first, count, to);
    }
    w->k = (struct bnk_coefficients){w->coefficients, WIDE_PITCH};
}

/* Writes some elements at a time, as coefficients have room. */
static __attribute__((noinline)) void spread_piece(const struct bn_sweep *s, size_t block, size_t piece) {
    const struct bn_view *v = &s->view;
    const struct bn_piece p = bn_view_piece(v, piece);
    const size_t first = block * v->block, end = v->channels - first < v->block ? v->channels : first + v->block;
    struct wide w;
    for (size_t c = first, count; c < end; c += count) {
        count = bn_least(end - c, WIDE);
        spread_coefficients(s, &w, c, count);
        for (size_t r = 0; r < p.rows;) {
            struct bnk_call k = stretch(s, p.first_row + r, p.rows - r, c, count);
            k.coefficients = w.k;
            run_stretch(s, &k);
            r += k.rows;
        }
    }
}

void bn_rows_piece(const struct bn_sweep *s, size_t block, size_t piece) {
    if (s->view.spread > 1)
        spread_piece(s, block, piece);
    else if (s->repeat > 1)
        wide_piece(s, piece);
    else
        plain_piece(s, block, piece);
}
