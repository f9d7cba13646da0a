/* SPDX-License-Identifier: MIT */
/* Sweeps over planes. A kernel goes through a block of channels row by row, as it lies in memory; its sums lie side
 * by side. Longer than 300 lines, because a second look at sums goes the way of the first. */
#include <string.h>

#include "plan/sweep.h"

/* One side of the work on a piece: a block of a sweep, its sums, and the stretch of rows that is being done. */
struct side {
    const struct bn_block *b;
    struct bnk_call call;
    size_t row, first; /* of the stretch */
    double n;          /* of a reduction: the values of a channel */
    bool masked;       /* the piece has others, too */
    double shift[BN_BLOCK_MAX], sums[BN_BLOCK_MAX * BN_SUMS * BNK_LANES];
};

/* A stretch of equally spaced rows of a piece. */
struct stretch {
    size_t row, rows, first, length;
};

static void run(const struct bn_sweep *s, const struct bnk_call *k) { bn_sweep_run(s, BNK_PLANE, k); }

/* Bytes to where array i will be read some rows after this row, or, where rows are long, a part after this part. After the last
 * row comes the next block. 0 at the end of everything. */
static ptrdiff_t ahead_of(const struct bn_block *b, int i, struct stretch t, ptrdiff_t here) {
    const struct bn_sweep *s = b->sweep;
    const struct bn_view *v = &s->view;
    ptrdiff_t there[BN_VIEW_ARRAYS];
    const bool by_parts = bn_view_cuts_rows(v);
    size_t row = t.row + (by_parts ? 0 : s->ahead), first = by_parts ? t.first + t.length : t.first;
    size_t channel = b->first;
    if (first >= v->length) {
        first = 0;
        row++;
    }
    if (row >= v->rows) {
        row -= v->rows;
        channel += b->count;
    }
    if (channel >= b->end) return 0;
    bn_view_walk(v, row, 1, there);
    return bn_sweep_at(s, i, there[i], first, channel) - bn_sweep_at(s, i, here, t.first, b->first);
}

/* Where the way that is fetched ahead turns to the next block, a stretch ends. */
static size_t rows_until_turn(const struct bn_block *b, size_t row) {
    const struct bn_sweep *s = b->sweep;
    if (!s->ahead) return SIZE_MAX;
    size_t turn = s->view.rows - s->ahead;
    return row < turn ? turn - row : SIZE_MAX;
}

static void place(struct side *side, struct stretch t, const ptrdiff_t *offset) {
    const struct bn_sweep *s = side->b->sweep;
    const struct bn_view *v = &s->view;
    struct bnk_call *k = &side->call;
    side->row = t.row;
    side->first = t.first;
    k->rows = t.rows;
    k->channels = side->b->count;
    k->length = t.length;
    for (int i = 0; i < v->arrays; i++) {
        struct bnk_array *a = &k->array[s->role[i]];
        a->at = bn_sweep_at(s, i, offset[i], t.first, side->b->first);
        a->row = bn_view_pitch(v, i);
        a->channel = v->array[i].channel;
        /* the reduction before a write has read what the write reads, but for a residual */
        bool first_time = bn_sweep_reduces(s) ? !bn_is_output(s->role[i]) : s->role[i] == BNK_Z;
        a->ahead = first_time && s->ahead && !v->staged ? ahead_of(side->b, i, t, offset[i]) : 0;
    }
}

/* Returns a call for row r alone. */
static struct bnk_call one_row(const struct bnk_call *k, size_t r, size_t bytes) {
    struct bnk_call row = *k;
    row.rows = 1;
    for (int a = 0; a < BNK_ARRAYS; a++) bn_advance(&row.array[a], (ptrdiff_t)r * row.array[a].row, bytes);
    return row;
}

/* Copies between an array without a contiguous direction and its tile. The copy goes by rows or by channels, whichever lie
 * closer together: they share lines of the cache. */
static void stage(const struct bn_sweep *s, int i, const struct bnk_call *k, const struct bnk_array *there, char *tile,
                  size_t pitch) {
    const size_t bytes = s->kernels->bytes;
    const ptrdiff_t spacing = s->view.spacing[i];
    const bool by_rows = k->channels == 1 || (k->rows > 1 && there->channel != 1 && there->row == 1);
    const size_t others = by_rows ? k->channels : k->rows, count = by_rows ? k->rows : k->channels;
    const ptrdiff_t other = by_rows ? there->channel : there->row, row = by_rows ? there->row : there->channel;
    const size_t tile_other = by_rows ? pitch : k->channels * pitch, tile_row = by_rows ? k->channels * pitch : pitch;
    for (size_t o = 0; o < others; o++) {
        char *at = there->at + (ptrdiff_t)o * other * (ptrdiff_t)bytes, *staged = tile + o * tile_other * bytes;
        if (bn_is_output(s->role[i]))
            s->kernels->scatter(staged, tile_row, count, k->length, at, row, spacing);
        else
            s->kernels->gather(at, row, spacing, count, k->length, staged, tile_row);
    }
}

/* Runs some elements of some channels of some rows. Inputs without a contiguous direction are gathered before, such outputs are
 * scattered after. `k` has the arrays at the first of them. Called, and so the tiles are on the stack only where arrays are
 * staged. */
static __attribute__((noinline)) void run_tile(const struct bn_sweep *s, struct bnk_call k) {
    _Alignas(BN_LINE_BYTES) char tile[BN_VIEW_ARRAYS][BN_STAGE_BYTES];
    struct bnk_array there[BN_VIEW_ARRAYS];
    const size_t pitch = bn_padded(k.length);
    k.stream = false;
    for (int i = 0; i < s->view.arrays; i++) {
        struct bnk_array *a = &k.array[s->role[i]];
        there[i] = *a;
        if (s->view.spacing[i] == 1) continue;
        if (!bn_is_output(s->role[i])) stage(s, i, &k, &there[i], tile[i], pitch);
        *a = (struct bnk_array){.at = tile[i], .row = (ptrdiff_t)(k.channels * pitch), .channel = (ptrdiff_t)pitch};
    }
    run(s, &k);
    for (int i = 0; i < s->view.arrays; i++)
        if (s->view.spacing[i] != 1 && bn_is_output(s->role[i])) stage(s, i, &k, &there[i], tile[i], pitch);
}

/* Returns how many lanes the sums of a channel have. */
static size_t lanes_of(const struct bn_sweep *s) { return (size_t)bn_sums_of(s) * BNK_LANES; }

struct bnk_call bn_some_channels(const struct bn_sweep *s, const struct bnk_call *k, size_t row, size_t c, size_t count) {
    struct bnk_call some = one_row(k, row, s->kernels->bytes);
    some.channels = count;
    if (some.shift) some.shift += c;
    for (int i = 0; i < BN_SUMS; i++)
        if (some.sums[i]) some.sums[i] += c * lanes_of(s);
    some.coefficients.at = (const char *)k->coefficients.at + c * s->kernels->coefficient_bytes;
    for (int a = 0; a < BNK_ARRAYS; a++) bn_advance(&some.array[a], (ptrdiff_t)c * some.array[a].channel, s->kernels->bytes);
    return some;
}

/* What is staged at a time. */
struct tile {
    size_t rows, channels, length;
};

/* Returns as many rows and channels as there is room for, or a part of a row. Of those that lie closer together than the
 * elements of a row, as many as share a line of the cache are staged together, if there is room. A reduction is cut between
 * runs of steps alone, so that no sum changes. */
static struct tile tile_of(const struct bn_sweep *s, const struct bnk_call *k) {
    enum { RUN = BNK_RUN * BNK_LANES, SHORT_RUN = 4 * BNK_LANES };
    const size_t room = BN_STAGE_BYTES / s->kernels->bytes, run = bn_sweep_reduces(s) ? RUN : SHORT_RUN;
    const size_t line = BN_LINE_BYTES / s->kernels->bytes;
    const struct bn_close close = bn_view_close(&s->view);
    struct tile t = {1, 1, k->length};
    if (bn_padded(t.length) * (close.channels ? line : 1) > room) {
        t.length = room / line / run * run;
        t.length = bn_least(t.length ? t.length : run, k->length);
    }
    const size_t left = room / bn_padded(t.length);
    if (close.rows && t.length == k->length) t.rows = bn_least(bn_least(line, left), k->rows);
    t.channels = bn_least(left / t.rows, k->channels);
    if (t.channels > line) t.channels -= t.channels % line;
    if (t.length == k->length) t.rows = bn_least(left / t.channels, k->rows);
    return t;
}

static void run_staged(const struct bn_sweep *s, const struct bnk_call *k) {
    const struct bn_view *v = &s->view;
    const struct tile tile = tile_of(s, k);
    for (size_t r = 0; r < k->rows; r += tile.rows)
        for (size_t c = 0; c < k->channels; c += tile.channels)
            for (size_t at = 0; at < k->length; at += tile.length) {
                struct bnk_call t = bn_some_channels(s, k, r, c, bn_least(k->channels - c, tile.channels));
                t.rows = bn_least(k->rows - r, tile.rows);
                t.length = bn_least(k->length - at, tile.length);
                for (int i = 0; i < v->arrays; i++)
                    bn_advance(&t.array[s->role[i]], (ptrdiff_t)at * v->spacing[i], s->kernels->bytes);
                run_tile(s, t);
            }
}

static void run_any(void *arg, const struct bn_sweep *s, const struct bnk_call *k) {
    (void)arg;
    if (s->view.staged)
        run_staged(s, k);
    else
        run(s, k);
}

static void run_side(const struct side *side) {
    const struct bn_sweep *s = side->b->sweep;
    if (side->masked)
        bn_masked_plane(s, &side->call, side->row, side->first, run_any, NULL);
    else
        run_any(NULL, s, &side->call);
}

/* Returns whether a write and a reduction go together, in one loop: under a mask, if the write goes by it, too, or by none. */
static bool is_pair(const struct side *write, const struct side *reduce) {
    const struct bn_sweep *w = write->b->sweep, *r = reduce->b->sweep;
    if (write->masked && !(w->when == 1 && w->mask == r->mask)) return false;
    return write->b->count == reduce->b->count && !r->view.staged && !w->view.staged && !bn_sweep_is_curved(w);
}

static void run_stretch(struct side *write, struct side *reduce) {
    if (write && reduce && is_pair(write, reduce)) {
        const struct bn_sweep *w = write->b->sweep, *r = reduce->b->sweep;
        if (reduce->masked)
            bn_masked_pair(w, &write->call, r, &reduce->call, reduce->row, reduce->first, run_any, NULL);
        else
            w->kernels->pair[w->verb](&write->call, &reduce->call);
        return;
    }
    if (reduce) run_side(reduce);
    if (write) run_side(write);
}

/* A row of a piece, and how many of its elements count. */
struct lead {
    size_t row, ones;
};

/* Returns the first row, from `row` on, that has an element that counts; the one before it if there is none. */
static struct lead lead_of(const struct side *side, const struct bn_piece *p, size_t row) {
    const struct bn_sweep *s = side->b->sweep;
    struct lead lead = {row, p->length};
    if (!side->masked) return lead;
    for (; lead.row < p->first_row + p->rows; lead.row++) {
        lead.ones = bn_mask_ones(s->mask + lead.row * s->view.length + p->first, p->length);
        if (lead.ones) return lead;
    }
    return (struct lead){row - 1, 1};
}

/* Returns where a row has the element before which so many count. */
static size_t place_of(const struct side *side, const struct bn_piece *p, size_t row, size_t rank) {
    const struct bn_sweep *s = side->b->sweep;
    return side->masked ? bn_mask_place(s->mask + row * s->view.length + p->first, p->length, rank) : rank;
}

/* Takes three pivots from elements of the first row that has any which count, at so many parts of 6 * `thirds` of them, or from
 * three rows where rows are so short that they have none. */
static void median_of(const struct side *side, const struct bn_piece *p, struct lead lead, const size_t *part, size_t thirds,
                      double *out) {
    const struct bn_sweep *s = side->b->sweep;
    const bool down = lead.ones < 3 && p->rows >= 3;
    const void *x[3];
    ptrdiff_t offset[BN_VIEW_ARRAYS];
    size_t row = lead.row;
    for (size_t i = 0; i < 3; i++) {
        const size_t rank = lead.ones < 3 ? 0 : lead.ones * part[i] / (6 * thirds);
        if (i > 0 && down) row = lead_of(side, p, row + 1).row;
        if (i == 0 || down) bn_view_walk(&s->view, row, 1, offset);
        x[i] = bn_sweep_at(s, 0, offset[0], p->first + place_of(side, p, row, rank), side->b->first);
    }
    s->kernels->pivot(x, s->view.array[0].channel, side->b->count, out);
}

/* Sets the pivots: the median of three elements, or that of three medians of doubles. The elements are spread over a row. */
static void set_pivots(struct side *side, const struct bn_piece *p) {
    static const size_t one[] = {1, 3, 5}, three[3][3] = {{1, 7, 13}, {3, 9, 15}, {5, 11, 17}};
    double medians[3][BN_BLOCK_MAX];
    const void *const x[3] = {medians[0], medians[1], medians[2]};
    const struct lead lead = lead_of(side, p, p->first_row);
    if (!side->b->sweep->kernels->keeps_lost || lead.ones < 9) {
        median_of(side, p, lead, one, 1, side->shift);
        return;
    }
    for (int i = 0; i < 3; i++) median_of(side, p, lead, three[i], 3, medians[i]);
    side->b->sweep->kernels->pivot(x, 1, side->b->count, side->shift);
}

/* Sets where the sums are. */
static void set_sums(struct side *side) {
    side->call.shift = side->shift;
    for (int i = 0; i < BN_SUMS; i++) side->call.sums[i] = side->sums + i * BNK_LANES;
}

static void start_sums(struct side *side, const struct bn_piece *p) {
    const struct bn_sweep *s = side->b->sweep;
    memset(side->sums, 0, side->b->count * lanes_of(s) * sizeof *side->sums);
    if (s->verb == BNK_MOMENTS && side->n > 0)
        set_pivots(side, p);
    else if (s->mean_of_x)
        memcpy(side->shift, s->mean + side->b->first, side->b->count * sizeof *side->shift);
    else
        memset(side->shift, 0, side->b->count * sizeof *side->shift);
}

static void finish_sums(struct side *side, size_t piece) {
    const struct bn_sweep *s = side->b->sweep;
    const size_t count = side->b->count;
    double sums[2 * BN_BLOCK_MAX];
    if (bn_sums_of(s) == BN_SUMS)
        bnk_table()->fold_pairs(side->sums, count, side->n, sums);
    else
        bnk_table()->fold(side->sums, 2 * count, sums);
    for (size_t i = 0; i < count; i++) {
        const size_t slot = (side->b->first + i) * s->slot_channel + piece * s->slot_piece;
        if (s->verb == BNK_MOMENTS) s->shift[slot] = side->shift[i];
        s->sums[0][slot] = sums[2 * i];
        s->sums[1][slot] = sums[2 * i + 1];
    }
}

/* Makes the sums of one channel again, as exact as there are, and about a pivot that is given. */
static void sum_again(struct side *side, const struct bn_piece *p, size_t piece, size_t channel, double pivot) {
    const struct bn_sweep *s = side->b->sweep;
    const struct bn_block alone = {s, channel, 1, 0}; /* there is nothing to fetch for it */
    bn_sweep_call(s, channel, &side->call);
    set_sums(side);
    side->call.exact = true;
    side->b = &alone;
    for (size_t done = 0; done < p->rows;) {
        struct stretch t = {.row = p->first_row + done, .rows = p->rows - done, .first = p->first, .length = p->length};
        ptrdiff_t offset[BN_VIEW_ARRAYS];
        t.rows = bn_view_walk(&s->view, t.row, t.rows, offset);
        place(side, t, offset);
        if (done == 0) start_sums(side, p);
        if (done == 0 && s->verb == BNK_MOMENTS) side->shift[0] = pivot;
        run_stretch(NULL, side);
        done += t.rows;
    }
    finish_sums(side, piece);
}

static void look_again(struct side *side, const struct bn_piece *p, size_t piece) {
    const struct bn_block *b = side->b;
    const struct bn_sweep *s = b->sweep;
    const double n = side->n;
    const size_t at = b->first * s->slot_channel + piece * s->slot_piece;
    if (!bn_any_second_look(s, s->sums[0] + at, s->sums[1] + at, b->count, s->slot_channel, n)) return;
    for (size_t c = b->first; c < b->first + b->count; c++)
        for (int looks = 0; looks < 2; looks++) {
            const size_t slot = c * s->slot_channel + piece * s->slot_piece;
            const double sum = s->sums[0][slot];
            const enum bn_look look = bn_second_look(s, sum, s->sums[1][slot], n, looks > 0);
            if (look == BN_FINE) break;
            side->b = b;
            sum_again(side, p, piece, c, s->shift[slot] + (look & BN_FAR_OFF ? sum / n : 0));
        }
}

void bn_plane_piece(const struct bn_block *write, const struct bn_block *reduce, size_t piece) {
    struct side w, r; /* their sums are large, and set where they are needed */
    struct bn_piece p = bn_view_piece(write ? &write->sweep->view : &reduce->sweep->view, piece);
    if (write) {
        w.b = write;
        w.masked = write->sweep->mask != NULL;
        bn_sweep_call(write->sweep, write->first, &w.call);
    }
    if (reduce) {
        r.b = reduce;
        r.n = bn_sweep_count(reduce->sweep, &p, piece);
        r.masked = reduce->sweep->mask && r.n < (double)p.count;
        bn_sweep_call(reduce->sweep, reduce->first, &r.call);
        set_sums(&r);
    }
    for (size_t done = 0; done < p.rows;) {
        struct stretch t = {.row = p.first_row + done, .rows = p.rows - done, .first = p.first, .length = p.length};
        ptrdiff_t written[BN_VIEW_ARRAYS], reduced[BN_VIEW_ARRAYS];
        if (write) t.rows = bn_view_walk(&write->sweep->view, t.row, t.rows, written);
        if (reduce) {
            t.rows = bn_view_walk(&reduce->sweep->view, t.row, t.rows, reduced);
            size_t straight = rows_until_turn(reduce, t.row);
            if (t.rows > straight) t.rows = straight;
            place(&r, t, reduced);
            if (done == 0) start_sums(&r, &p);
        }
        if (write) place(&w, t, written);
        run_stretch(write ? &w : NULL, reduce ? &r : NULL);
        done += t.rows;
    }
    if (!reduce) return;
    finish_sums(&r, piece);
    if (r.n > 0) look_again(&r, &p, piece);
}

void bn_plane_alone(const struct bn_sweep *s, size_t block, size_t piece) {
    size_t first = block * s->view.block, left = s->view.channels - first;
    struct bn_block b = {s, first, left < s->view.block ? left : s->view.block, s->view.channels};
    if (bn_sweep_reduces(s))
        bn_plane_piece(NULL, &b, piece);
    else
        bn_plane_piece(&b, NULL, piece);
}
