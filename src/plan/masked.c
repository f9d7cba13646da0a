/* SPDX-License-Identifier: MIT */
/* Calls under a mask. Where the mask has long runs, each of them is a call of the kernels. Where runs are short, a reduction
 * gets the elements or rows that count side by side in a tile, and a write goes to a tile, from which what is wanted is taken.
 * Nothing is ever multiplied by 0, so that a NaN where the mask is 0 spoils nothing. How a reduction goes decides about the
 * order of additions, and so follows from the mask, the shape and the type alone. Longer than 300 lines, because planes and
 * rows do the same in the two directions that a run can have. */
#include <limits.h>
#include <string.h>

#include "plan/sweep.h"

/* How long runs must be on average so that each is worth a call: elements. */
enum { LONG_RUN = 64, LONG_RUN_IN_ROWS = 256 };

/* A call, its mask and who runs it. */
struct masked {
    const struct bn_sweep *s;
    const struct bnk_call *k;
    bn_runner *run;
    void *arg;
};

/* Planes */

_Static_assert(BN_TILE <= USHRT_MAX, "a list of the elements of a tile");

/* Moves a call along its rows. */
static void move_along(const struct bn_sweep *s, struct bnk_call *k, size_t elements) {
    for (int i = 0; i < s->view.arrays; i++)
        bn_advance(&k->array[s->role[i]], (ptrdiff_t)elements * s->view.spacing[i], s->kernels->bytes);
}

static struct bnk_call some_rows(const struct masked *m, size_t row, size_t rows) {
    struct bnk_call some = *m->k;
    some.rows = rows;
    for (int i = 0; i < m->s->view.arrays; i++) {
        struct bnk_array *a = &some.array[m->s->role[i]];
        bn_advance(a, (ptrdiff_t)row * a->row, m->s->kernels->bytes);
    }
    return some;
}

/* Sets the outputs of a call to 0. */
static void fill_part(const struct bn_sweep *s, const struct bnk_call *k) {
    const size_t bytes = s->kernels->bytes;
    for (int i = 0; i < s->view.arrays; i++) {
        const struct bnk_array *a = &k->array[s->role[i]];
        if (!bn_is_output(s->role[i])) continue;
        for (size_t r = 0; r < k->rows; r++)
            for (size_t c = 0; c < k->channels; c++) {
                char *at = a->at + ((ptrdiff_t)r * a->row + (ptrdiff_t)c * a->channel) * (ptrdiff_t)bytes;
                if (s->view.spacing[i] == 1)
                    memset(at, 0, k->length * bytes);
                else
                    for (size_t j = 0; j < k->length; j++, at += s->view.spacing[i] * (ptrdiff_t)bytes) memset(at, 0, bytes);
            }
    }
}

/* Does some rows whose masks are equal run by run. */
static void do_runs(const struct masked *m, const unsigned char *mask, size_t row, size_t rows) {
    const size_t n = m->k->length;
    struct bnk_call part = some_rows(m, row, rows);
    for (size_t at = 0, end; at < n; at = end) {
        end = bn_mask_find(mask, at, n, !mask[at]);
        part.length = end - at;
        if (mask[at] == m->s->when)
            m->run(m->arg, m->s, &part);
        else if (m->s->fills)
            fill_part(m->s, &part);
        move_along(m->s, &part, end - at);
    }
}

/* Lists the ones; returns how many there are. */
static size_t list_ones(const unsigned char *mask, size_t n, unsigned short *index) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        index[count] = (unsigned short)i;
        count += mask[i];
    }
    return count;
}

static bool needs_list(const struct bn_sweep *s) {
    bool contiguous = true;
    for (int i = 0; i < s->view.arrays; i++) contiguous &= s->view.spacing[i] == 1;
    return !(contiguous && s->kernels->compresses);
}

/* Reduces those of n elements of a row that count, for every channel, from a tile. Called, and so its tile is on the stack only
 * while it is needed. */
static __attribute__((noinline)) void reduce_picked(const struct masked *m, const unsigned char *mask, size_t row, size_t at,
                                                    size_t n) {
    /* room for any element type, for all arrays of a reduction, and for a step that is written and not read */
    _Alignas(BN_LINE_BYTES) double tile[3][BN_TILE + BNK_LANES];
    const struct bn_sweep *s = m->s;
    unsigned short index[BN_TILE + 1]; /* one more, for what is listed and not kept */
    const size_t ones = needs_list(s) ? list_ones(mask + at, n, index) : bn_mask_ones(mask + at, n), pitch = bn_padded(ones),
                 together = ones ? BN_TILE / pitch : 0;
    struct bnk_choice choice = {mask + at, n, index, ones, 0};
    for (size_t c = 0, count; c < m->k->channels && ones; c += count) {
        count = m->k->channels - c < together ? m->k->channels - c : together;
        struct bnk_call t = bn_some_channels(s, m->k, row, c, count);
        t.length = ones;
        for (int i = 0; i < s->view.arrays; i++) {
            struct bnk_array *a = &t.array[s->role[i]];
            bn_advance(a, (ptrdiff_t)at * s->view.spacing[i], s->kernels->bytes);
            choice.ahead = a->ahead;
            s->kernels->pick(a->at, a->channel, s->view.spacing[i], count, &choice, tile[i], pitch);
            *a = (struct bnk_array){.at = (char *)tile[i], .channel = (ptrdiff_t)pitch};
        }
        bn_sweep_run(s, BNK_PLANE, &t);
    }
}

/* Writes some elements of a row to a tile, and takes over those where the mask says so. Called, for the same
 * reason. */
static __attribute__((noinline)) void write_chosen(const struct masked *m, const unsigned char *mask, size_t row, size_t at,
                                                   size_t n) {
    _Alignas(BN_LINE_BYTES) double tile[BNK_ARRAYS - BNK_INPUTS][BN_TILE];
    const struct bn_sweep *s = m->s;
    const size_t pitch = bn_padded(n), together = BN_TILE / pitch;
    const struct bnk_replacement by = {mask + at, s->when, s->fills};
    for (size_t c = 0, count; c < m->k->channels; c += count) {
        count = m->k->channels - c < together ? m->k->channels - c : together;
        struct bnk_call t = bn_some_channels(s, m->k, row, c, count);
        t.length = n;
        t.stream = false;
        for (int i = 0; i < s->view.arrays; i++)
            bn_advance(&t.array[s->role[i]], (ptrdiff_t)at * s->view.spacing[i], s->kernels->bytes);
        const struct bnk_call there = t;
        for (int i = 0; i < s->view.arrays; i++)
            if (bn_is_output(s->role[i]))
                t.array[s->role[i]] =
                    (struct bnk_array){.at = (char *)tile[s->role[i] - BNK_INPUTS], .channel = (ptrdiff_t)pitch};
        bn_sweep_run(s, BNK_PLANE, &t);
        for (int i = 0; i < s->view.arrays; i++) {
            const struct bnk_array *a = &there.array[s->role[i]];
            if (bn_is_output(s->role[i]))
                s->kernels->replace(tile[s->role[i] - BNK_INPUTS], pitch, count, n, &by, a->at, a->channel);
        }
    }
}

/* Does a row whose runs are short, a tile at a time. */
static void do_by_tiles(const struct masked *m, const unsigned char *mask, size_t row) {
    const size_t length = m->k->length;
    for (size_t at = 0, n; at < length; at += n) {
        n = length - at < BN_TILE ? length - at : BN_TILE;
        if (bn_sweep_reduces(m->s))
            reduce_picked(m, mask, row, at, n);
        else
            write_chosen(m, mask, row, at, n);
    }
}

/* Returns whether the ones of a row are one run, or none. */
static bool is_one_run(const unsigned char *mask, size_t n) {
    const size_t first = bn_mask_find(mask, 0, n, 1), end = bn_mask_find(mask, first, n, 0);
    return bn_mask_find(mask, end, n, 1) == n;
}

static bool goes_by_runs(const struct bn_sweep *s, const unsigned char *mask, size_t n) {
    const bool reduces = bn_sweep_reduces(s);
    return (reduces && is_one_run(mask, n)) || (!reduces && s->view.staged) || bn_mask_has_long_runs(mask, n, LONG_RUN);
}

/* Returns how many of some rows, at least one, have the mask of the first. */
static size_t equal_rows(const struct bn_sweep *s, const unsigned char *mask, size_t rows, size_t n) {
    size_t equal = 1;
    while (equal < rows && memcmp(mask, mask + equal * s->view.length, n) == 0) equal++;
    return equal;
}

void bn_masked_plane(const struct bn_sweep *s, const struct bnk_call *k, size_t row, size_t first, bn_runner *run, void *arg) {
    const struct masked m = {s, k, run, arg};
    for (size_t r = 0, rows; r < k->rows; r += rows) {
        const unsigned char *mask = s->mask + (row + r) * s->view.length + first;
        rows = 1;
        if (!goes_by_runs(s, mask, k->length)) {
            do_by_tiles(&m, mask, r);
        } else {
            rows = equal_rows(s, mask, k->rows - r, k->length);
            do_runs(&m, mask, r, rows);
        }
    }
}

/* Does some rows whose masks are equal: a run of ones with both sides in one loop, and what the reduction leaves out with the
 * write, or set to 0. */
static void do_paired_runs(const struct masked *write, const struct masked *reduce, const unsigned char *mask, size_t row,
                           size_t rows) {
    const struct bn_sweep *w = write->s;
    const size_t n = reduce->k->length;
    struct bnk_call written = some_rows(write, row, rows), reduced = some_rows(reduce, row, rows);
    for (size_t at = 0, end; at < n; at = end) {
        end = bn_mask_find(mask, at, n, !mask[at]);
        written.length = reduced.length = end - at;
        if (mask[at])
            w->kernels->pair[w->verb](&written, &reduced);
        else if (w->mask)
            fill_part(w, &written);
        else
            write->run(write->arg, w, &written);
        move_along(w, &written, end - at);
        move_along(reduce->s, &reduced, end - at);
    }
}

void bn_masked_pair(const struct bn_sweep *w, const struct bnk_call *written, const struct bn_sweep *s,
                    const struct bnk_call *reduced, size_t row, size_t first, bn_runner *run, void *arg) {
    const struct masked write = {w, written, run, arg}, reduce = {s, reduced, run, arg};
    for (size_t r = 0, rows; r < reduced->rows; r += rows) {
        const unsigned char *mask = s->mask + (row + r) * s->view.length + first;
        rows = 1;
        if (bn_mask_has_long_runs(mask, reduced->length, LONG_RUN)) {
            rows = equal_rows(s, mask, reduced->rows - r, reduced->length);
            do_paired_runs(&write, &reduce, mask, r, rows);
            continue;
        }
        const struct bnk_call one = some_rows(&reduce, r, 1), other = some_rows(&write, r, 1);
        bn_masked_plane(s, &one, row + r, first, run, arg);
        if (w->mask)
            bn_masked_plane(w, &other, row + r, first, run, arg);
        else
            run(arg, w, &other);
    }
}

/* Rows */

/* Bytes of all the tiles of a call, and of a run of rows that is not worth being copied to one: what is shorter fits a tile. */
enum { ROWS_STAGE = 9216, ROWS_DIRECT = 3072 };
_Static_assert(ROWS_STAGE / 3 >= ROWS_DIRECT, "a reduction has three arrays at most");

/* Rows that are gathered in tiles before they are reduced, or written from there. */
struct stage {
    _Alignas(BN_LINE_BYTES) char tile[ROWS_STAGE];
    size_t most, rows; /* that it has room for, and that it has */
    size_t pitch;      /* bytes from one array's tile to the next one's */
};

static void flush_stage(const struct masked *m, struct stage *g) {
    if (g->rows == 0) return;
    struct bnk_call t = *m->k;
    t.rows = g->rows;
    for (int i = 0; i < m->s->view.arrays; i++)
        t.array[m->s->role[i]] = (struct bnk_array){.at = g->tile + (size_t)i * g->pitch, .row = (ptrdiff_t)t.length};
    m->run(m->arg, m->s, &t);
    g->rows = 0;
}

static void stage_rows(const struct masked *m, struct stage *g, size_t row, size_t rows) {
    const size_t bytes = m->k->length * m->s->kernels->bytes;
    for (size_t r = row; r < row + rows; r++) {
        for (int i = 0; i < m->s->view.arrays; i++) {
            const struct bnk_array *a = &m->k->array[m->s->role[i]];
            const char *from = a->at + (ptrdiff_t)r * a->row * (ptrdiff_t)m->s->kernels->bytes;
            memcpy(g->tile + (size_t)i * g->pitch + g->rows * bytes, from, bytes);
        }
        if (++g->rows == g->most) flush_stage(m, g);
    }
}

/* A block may have fewer channels than the view, which depends on the threads: what decides about the order of additions goes
 * by the channels of the view. */
static __attribute__((noinline)) void reduce_rows(const struct masked *m, const unsigned char *mask) {
    const struct bn_view *v = &m->s->view;
    const size_t bytes = v->channels * m->s->kernels->bytes;
    struct stage g;
    g.rows = 0;
    g.pitch = ROWS_STAGE / 3 / BN_LINE_BYTES * BN_LINE_BYTES; /* whatever arrays there are: it decides about the order */
    g.most = g.pitch / bytes > BNK_RUN ? g.pitch / bytes / BNK_RUN * BNK_RUN : g.pitch / bytes;
    for (size_t r = 0, end; r < m->k->rows; r = end) {
        end = bn_mask_find(mask, r, m->k->rows, !mask[r]);
        if (!mask[r]) continue;
        if ((end - r) * bytes >= ROWS_DIRECT) {
            const struct bnk_call direct = some_rows(m, r, end - r);
            flush_stage(m, &g);
            m->run(m->arg, m->s, &direct);
        } else {
            stage_rows(m, &g, r, end - r);
        }
    }
    flush_stage(m, &g);
}

/* Writes some rows to tiles, and takes over those where the mask says so. */
static void write_rows_chosen(const struct masked *m, const unsigned char *mask, size_t row, size_t rows, struct stage *g) {
    const struct bn_sweep *s = m->s;
    const size_t bytes = m->k->length * s->kernels->bytes;
    const struct bnk_call there = some_rows(m, row, rows);
    struct bnk_call t = there;
    t.stream = false;
    for (int i = 0; i < s->view.arrays; i++)
        if (bn_is_output(s->role[i]))
            t.array[s->role[i]] = (struct bnk_array){.at = g->tile + (size_t)(s->role[i] - BNK_INPUTS) * g->pitch,
                                                     .row = (ptrdiff_t)m->k->length};
    m->run(m->arg, s, &t);
    for (int i = 0; i < s->view.arrays; i++) {
        const struct bnk_array *a = &there.array[s->role[i]], *b = &t.array[s->role[i]];
        if (!bn_is_output(s->role[i])) continue;
        for (size_t r = 0; r < rows; r++) {
            char *to = a->at + (ptrdiff_t)r * a->row * (ptrdiff_t)s->kernels->bytes;
            if (mask[row + r] == s->when)
                memcpy(to, b->at + r * bytes, bytes);
            else if (s->fills)
                memset(to, 0, bytes);
        }
    }
}

/* Writes rows whose runs are short. Called, like reduce_picked(). */
static __attribute__((noinline)) void write_rows_by_tiles(const struct masked *m, const unsigned char *mask) {
    struct stage g;
    const size_t n = m->k->rows;
    g.pitch = ROWS_STAGE / 2;
    g.most = g.pitch / (m->k->length * m->s->kernels->bytes);
    for (size_t r = 0; r < n; r += g.most) write_rows_chosen(m, mask, r, n - r < g.most ? n - r : g.most, &g);
}

static void write_rows(const struct masked *m, const unsigned char *mask) {
    const size_t n = m->k->rows, length = m->k->length;
    if (!bn_mask_has_long_runs(mask, n, length < LONG_RUN_IN_ROWS ? LONG_RUN_IN_ROWS / length : 1)) {
        write_rows_by_tiles(m, mask);
        return;
    }
    for (size_t r = 0, end; r < n; r = end) {
        end = bn_mask_find(mask, r, n, !mask[r]);
        struct bnk_call part = some_rows(m, r, end - r);
        part.channels = 1;
        if (mask[r] == m->s->when)
            m->run(m->arg, m->s, &part);
        else if (m->s->fills)
            fill_part(m->s, &part);
    }
}

void bn_masked_rows(const struct bn_sweep *s, const struct bnk_call *k, size_t row, bn_runner *run, void *arg) {
    const struct masked m = {s, k, run, arg};
    if (bn_sweep_reduces(s))
        reduce_rows(&m, s->mask + row);
    else
        write_rows(&m, s->mask + row);
}
