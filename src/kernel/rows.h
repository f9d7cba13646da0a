/* SPDX-License-Identifier: MIT */
/* The verbs on rows: a row is one element of every channel. See steps.h. Some rows are done together, a tile; within it a few
 * channels of all of its rows come first, then the next few channels. So the sums and coefficients of the channels are loaded
 * once for all rows of the tile, and each channel still gets its elements in the order of the rows. Longer than 300 lines,
 * because reductions in runs and others share the tiles.
 *
 *               lead   channels ->
 *     row 0    | .... | 1 2 3 4 | 17 18 19 20 | ... | ....       The numbers are the order of vectors in a tile of 4 rows.
 *     row 1    | .... | 5 6 7 8 | 21 22 23 24 | ... | ....       Partial steps (....) come last: the lead of a stream before
 *     ...                                                        its first aligned address, and the end of each row. */
#ifndef BNK_ROWS_H
#define BNK_ROWS_H

#include "kernel/runs.h"

/* Goes on to the next row. */
BNK_INLINE void advance(const struct bnk_call *k, const struct kind *kind, struct row *row) {
#pragma GCC unroll 8
    for (int a = 0; a < BNK_ARRAYS; a++)
        if (has(kind, *row, (enum bnk_role)a)) row->at[a] += k->array[a].row;
}

/* Whether v is computed again. */
BNK_INLINE bool computes_v(const struct kind *kind, struct row row) {
    return kind->active && !kind->from_y && !has(kind, row, BNK_Y);
}

/* How many steps of a row are reduced together: as many as have their sums in registers. */
enum { STEPS_REDUCED = 2 * 3 * DOUBLES < BNK_REGISTERS ? 2 : 1 };

/* Reduces `steps` steps of one row, and goes on to the next row. */
BNK_INLINE void reduce_row_of_channels(const struct bnk_call *k, struct act act, struct row *row, bnk_vd (*sums)[2][DOUBLES],
                                       bnk_vd one, bnk_vd (*shift)[DOUBLES], struct affine (*forward)[PARTS], size_t steps,
                                       const struct kind *kind) {
#pragma GCC unroll 2
    for (size_t s = 0; s < steps; s++) {
        fetch_row(k, kind, *row, s * BNK_LANES);
        reduce_step(sums[s], one, shift[s], forward[s], act, kind, *row, s * BNK_LANES, BNK_LANES);
    }
    advance(k, kind, row);
}

/* Reduces `steps` steps of channels, from c on, over `rows` rows. `row` begins with channel c of the first. */
BNK_INLINE void reduce_channels(const struct bnk_call *k, struct act act, struct row row, size_t rows, size_t c, size_t steps,
                                const struct kind *kind) {
    bnk_vd sums[STEPS_REDUCED][2][DOUBLES], shift[STEPS_REDUCED][DOUBLES], one = opaque_one();
    struct affine forward[STEPS_REDUCED][PARTS];
#pragma GCC unroll 2
    for (size_t s = 0; s < steps; s++) {
        size_t first = c + s * BNK_LANES;
        load_sums(sums[s], k->sums, first, 2);
#pragma GCC unroll 8
        for (size_t i = 0; i < DOUBLES; i++) shift[s][i] = load_vd(k->shift + first + i * BNK_WD);
#pragma GCC unroll 8
        for (size_t i = 0; i < PARTS; i++)
            forward[s][i] =
                computes_v(kind, row) ? affine_at(k, BNK_GATE, first + i * VEC_LANES, BNK_ROWS) : (struct affine){0};
    }
    if (kind->active) { /* an active step is long: its loop is not unrolled */
        for (size_t i = 0; i < rows; i++) reduce_row_of_channels(k, act, &row, sums, one, shift, forward, steps, kind);
    } else {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; i++) reduce_row_of_channels(k, act, &row, sums, one, shift, forward, steps, kind);
    }
#pragma GCC unroll 2
    for (size_t s = 0; s < steps; s++) {
        size_t first = c + s * BNK_LANES;
        store_sums(k->sums, first, sums[s], 2);
    }
}

/* Reduces the last, partial step of a row. */
static __attribute__((noinline)) void reduce_last(const struct bnk_call *k, size_t r, size_t c, const struct kind *kind) {
    struct copies copies;
    struct act act = act_splat(k);
    struct row row = row_from(row_at(k, kind, r, 0), kind, c);
    struct bnk_call alone = *k; /* without fetches: what is read are copies */
    for (int a = 0; a < BNK_INPUTS; a++) alone.array[a].ahead = 0;
    reduce_channels(&alone, act, take_copies(&copies, kind, row, k->length - c), 1, c, 1, kind);
}

/* How many steps of a row are reduced together in runs. */
enum { STEPS_IN_RUNS = 2 * 4 * PARTS <= BNK_REGISTERS ? 2 : 1 };

/* The same in runs, each of which has all the rows. */
BNK_INLINE void run_row_of_channels(const struct bnk_call *k, struct act act, struct row *row, vec (*run)[2][PARTS], bnk_vd one,
                                    vec (*centre)[2][PARTS], struct affine (*forward)[PARTS], size_t steps,
                                    const struct kind *kind) {
#pragma GCC unroll 2
    for (size_t s = 0; s < steps; s++) {
        fetch_row(k, kind, *row, s * BNK_LANES);
        run_step(run[s], one, centre[s], forward[s], act, kind, *row, s * BNK_LANES, BNK_LANES);
    }
    advance(k, kind, row);
}

BNK_INLINE void run_gates(const struct bnk_call *k, struct affine *forward, struct row row, size_t c, const struct kind *kind) {
#pragma GCC unroll 8
    for (size_t i = 0; i < PARTS; i++)
        forward[i] = computes_v(kind, row) ? affine_at(k, BNK_GATE, c + i * VEC_LANES, BNK_ROWS) : (struct affine){0};
}

BNK_INLINE void run_channels(const struct bnk_call *k, struct act act, struct row row, size_t rows, size_t c, size_t steps,
                             const struct kind *kind) {
    vec run[STEPS_IN_RUNS][2][PARTS], centre[STEPS_IN_RUNS][2][PARTS];
    struct affine forward[STEPS_IN_RUNS][PARTS];
    bnk_vd one = opaque_one();
#pragma GCC unroll 2
    for (size_t s = 0; s < steps; s++) {
        start_run(run[s]);
        centre_of_channels(centre[s], k->shift + c + s * BNK_LANES);
        run_gates(k, forward[s], row, c + s * BNK_LANES, kind);
    }
    if (kind->active) {
        for (size_t i = 0; i < rows; i++) run_row_of_channels(k, act, &row, run, one, centre, forward, steps, kind);
    } else {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; i++) run_row_of_channels(k, act, &row, run, one, centre, forward, steps, kind);
    }
#pragma GCC unroll 2
    for (size_t s = 0; s < steps; s++) add_run(k, c + s * BNK_LANES, one, run[s], kind);
}

/* Reduces the last, partial steps of some rows. What they have beyond the row are sums of nobody. */
static __attribute__((noinline)) void run_last(const struct bnk_call *k, size_t r, size_t rows, size_t c,
                                               const struct kind *kind) {
    struct act act = act_splat(k);
    vec run[2][PARTS], centre[2][PARTS];
    struct affine forward[PARTS];
    const bnk_vd one = opaque_one();
    start_run(run);
    centre_of_channels(centre, k->shift + c);
    run_gates(k, forward, row_at(k, kind, r, 0), c, kind);
    for (size_t i = 0; i < rows; i++) {
        struct copies copies;
        const struct row row = row_from(row_at(k, kind, r + i, 0), kind, c);
        run_step(run, one, centre, forward, act, kind, take_copies(&copies, kind, row, k->length - c), 0, BNK_LANES);
    }
    add_run(k, c, one, run, kind);
}

BNK_INLINE size_t rows_reduced(const struct kind *kind) {
    if (in_runs(kind)) return BNK_RUN;
    return kind->verb == BNK_DOTS ? BNK_ROWS_OF_DOTS : BNK_ROWS_OF_MOMENTS;
}

BNK_INLINE void reduce_rows(const struct bnk_call *call, const struct kind *kind) {
    const struct bnk_call copy = *call, *k = &copy; /* no store can change a copy, so that its members stay in registers */
    struct act act = {0};
    if (kind->active) act = act_splat(k);
    const size_t whole = k->length / BNK_LANES * BNK_LANES, steps = in_runs(kind) ? STEPS_IN_RUNS : STEPS_REDUCED;
    for (size_t r = 0, rows; r < k->rows; r += rows) {
        size_t c = 0;
        rows = k->rows - r < rows_reduced(kind) ? k->rows - r : rows_reduced(kind);
        const struct row row = row_at(k, kind, r, 0);
        for (; c + steps * BNK_LANES <= whole; c += steps * BNK_LANES) {
            if (in_runs(kind))
                run_channels(k, act, row_from(row, kind, c), rows, c, STEPS_IN_RUNS, kind);
            else
                reduce_channels(k, act, row_from(row, kind, c), rows, c, STEPS_REDUCED, kind);
        }
        for (; steps > 1 && c < whole; c += BNK_LANES) {
            if (in_runs(kind))
                run_channels(k, act, row_from(row, kind, c), rows, c, 1, kind);
            else
                reduce_channels(k, act, row_from(row, kind, c), rows, c, 1, kind);
        }
        if (in_runs(kind) && whole < k->length) run_last(call, r, rows, whole, kind);
        for (size_t i = 0; !in_runs(kind) && i < rows && whole < k->length; i++) reduce_last(call, r + i, whole, kind);
    }
}

/* How many vectors of a row are written together: as many as have their coefficients in registers. One that is gated by a v
 * that is computed again has nine of them, others four or five. */
enum { GROUP = 4, GATED_GROUP = 2 };
enum { WIDE = GROUP * VEC_LANES > BNK_LANES ? GROUP *VEC_LANES : BNK_LANES };

/* Writes `group` vectors of one row, and goes on to the next row. */
BNK_INLINE void write_row_of_channels(const struct bnk_call *k, struct act act, struct row *row, const struct affine *affine,
                                      const struct blend *blend, size_t fetched, size_t group, const struct kind *kind,
                                      bool stream) {
#pragma GCC unroll 4
    for (size_t f = 0; f < fetched; f += BNK_LANES) fetch_row(k, kind, *row, f);
#pragma GCC unroll 4
    for (size_t v = 0; v < group; v++) write_vector(affine[v], blend[v], act, kind, *row, v * VEC_LANES, k->without_x, stream);
    advance(k, kind, row);
}

/* Writes `group` vectors of channels, from c on, in `rows` rows. The first group of some channels fetches ahead for all of
 * them, `fetched` elements of each row; `fetched` is 0 in the others. */
BNK_INLINE void write_group(const struct bnk_call *k, struct act act, size_t r, size_t rows, size_t c, size_t fetched,
                            size_t group, const struct kind *kind, bool stream) {
    struct row row = row_from(row_at(k, kind, r, 0), kind, c);
    struct affine affine[GROUP] = {{.m1 = {0}}};
    struct blend blend[GROUP] = {{.m1 = {0}}};
#pragma GCC unroll 4
    for (size_t v = 0; v < group; v++) set_coefficients(affine + v, blend + v, k, kind, row, c + v * VEC_LANES, BNK_ROWS);
    if (kind->active) {
        for (size_t j = 0; j < rows; j++) write_row_of_channels(k, act, &row, affine, blend, fetched, group, kind, stream);
    } else {
#pragma GCC unroll 4
        for (size_t j = 0; j < rows; j++) write_row_of_channels(k, act, &row, affine, blend, fetched, group, kind, stream);
    }
}

/* Writes `width` channels, from c on, in `rows` rows, in whole groups. `width` and `group` are constants. */
BNK_INLINE void write_channels(const struct bnk_call *k, struct act act, size_t r, size_t rows, size_t c, size_t width,
                               size_t group, const struct kind *kind, bool stream) {
    if (kind->active) {
        for (size_t i = 0; i < width; i += group * VEC_LANES)
            write_group(k, act, r, rows, c + i, i == 0 ? width : 0, group, kind, stream);
    } else {
#pragma GCC unroll 8
        for (size_t i = 0; i < width; i += group * VEC_LANES)
            write_group(k, act, r, rows, c + i, i == 0 ? width : 0, group, kind, stream);
    }
}

/* Writes `keep` elements of a row, from c on: a partial step. */
static __attribute__((noinline)) void write_partly(const struct bnk_call *k, size_t r, size_t c, size_t keep,
                                                   const struct kind *kind) {
    struct copies copies;
    struct act act = act_splat(k);
    const struct row there = row_from(row_at(k, kind, r, 0), kind, c);
    struct row row = take_copies(&copies, kind, there, keep);
    for (size_t i = 0; i < BNK_LANES; i += VEC_LANES) {
        struct affine affine = {0};
        struct blend blend = {0};
        set_coefficients(&affine, &blend, k, kind, row, c + i, BNK_ROWS);
        write_vector(affine, blend, act, kind, row, i, k->without_x, false);
    }
    give_copies(&copies, kind, there, keep);
}

/* Writes a tile. `lead` elements of each row come before the first aligned address of a stream. */
BNK_INLINE void write_tile(const struct bnk_call *k, struct act act, size_t r, size_t rows, size_t lead,
                           const struct kind *kind, bool stream) {
    size_t first = lead < k->length ? lead : k->length, c = first;
    const size_t most = kind->verb == BNK_BLEND && kind->active && !(kind->has & Y) ? GATED_GROUP : GROUP,
                 least = most < PARTS ? most : PARTS;
    for (; c + WIDE <= k->length; c += WIDE) write_channels(k, act, r, rows, c, WIDE, most, kind, stream);
    for (; WIDE > BNK_LANES && c + BNK_LANES <= k->length; c += BNK_LANES)
        write_channels(k, act, r, rows, c, BNK_LANES, least, kind, stream);
    for (size_t i = 0; i < rows && first > 0; i++) write_partly(k, r + i, 0, first, kind);
    for (size_t i = 0; i < rows && c < k->length; i++) write_partly(k, r + i, c, k->length - c, kind);
}

/* Returns whether all outputs can be streamed, and tells whether all their rows begin at the same place within a line. */
BNK_INLINE bool streams(const struct bnk_call *k, bool *alike) {
    const struct bnk_array *out = &k->array[BNK_OUT], *dz = &k->array[BNK_DZ], *a = out->at ? out : dz, *b = dz->at ? dz : a;
    *alike = (size_t)a->row * sizeof(elem) % ALIGNED == 0 && (size_t)b->row * sizeof(elem) % ALIGNED == 0;
    bool same = ((uintptr_t)a->at - (uintptr_t)b->at) % ALIGNED == 0 && (a == b || *alike);
    return k->stream && same && (uintptr_t)a->at % sizeof(elem) == 0;
}

/* Whether tiles of two rows have a loop of their own: where a vector is a line and nothing is widened. */
enum { TWO_ROWS = !IS_SHORT && VEC_LANES * sizeof(elem) >= BNK_LINE };

/* Returns how many rows a tile has. Rows that do not begin alike within a line are streamed one by one. Where the
 * coefficients of a row do not stay in the first-level cache until the next row, several rows share one load of them. Where
 * they stay, the number below was the fastest that was measured for each width of vectors and verb. */
BNK_INLINE size_t rows_written(const struct bnk_call *k, const struct kind *kind, bool stream, bool alike) {
    if (stream && !alike) return 1;
    if (!stream || IS_SHORT || k->length > BNK_FEW_COEFFICIENTS / sizeof(num)) return BNK_ROWS_WRITTEN;
    if (!TWO_ROWS) return kind->verb == BNK_BLEND ? BNK_ROWS_WRITTEN : 1;
    return kind->verb == BNK_BLEND ? 1 : 2;
}

BNK_INLINE void write_rows(const struct bnk_call *call, const struct kind *kind) {
    const struct bnk_call copy = *call, *k = &copy; /* as in reduce_rows() */
    const struct bnk_array *out = &k->array[k->array[BNK_OUT].at ? BNK_OUT : BNK_DZ];
    struct act act = {0};
    bool alike, stream = streams(k, &alike);
    size_t most = rows_written(k, kind, stream, alike), lead = 0;
    if (kind->active) act = act_splat(k);
    for (size_t r = 0, rows; r < k->rows; r += rows) {
        rows = k->rows - r < most ? k->rows - r : most;
        if (stream) lead = (0 - (uintptr_t)begin_of(out, r, 0)) % ALIGNED / sizeof(elem);
        if (!kind->active && rows == 1) /* a constant: there is no loop over rows within a group */
            write_tile(k, act, r, 1, lead, kind, stream);
        else if (!kind->active && rows == 2 && TWO_ROWS && kind->verb == BNK_AFFINE)
            write_tile(k, act, r, 2, lead, kind, stream);
        else
            write_tile(k, act, r, rows, lead, kind, stream);
    }
}

static void moments_rows(const struct bnk_call *k) {
    if (IS_SHORT && k->exact)
        reduce_rows(k, &exact_moments);
    else
        reduce_rows(k, &plain_moments);
}

static void dots_rows(const struct bnk_call *k) {
    if (IS_SHORT && k->exact && k->from_y)
        reduce_rows(k, &exact_dots_from_y);
    else if (k->from_y)
        reduce_rows(k, &dots_from_y);
    else if (IS_SHORT && k->exact && k->active)
        reduce_rows(k, &exact_active_dots);
    else if (IS_SHORT && k->exact)
        reduce_rows(k, &exact_dots);
    else if (k->active && has_only_x(k))
        reduce_rows(k, &dots_of_x);
    else if (k->active && has_x_and_y(k))
        reduce_rows(k, &dots_by_y);
    else if (k->active)
        reduce_rows(k, &active_dots);
    else
        reduce_rows(k, &plain_dots);
}

static void affine_rows(const struct bnk_call *k) {
    const bool product = all_products(k, k->length);
    if (product && k->active && has_only_x(k))
        write_rows(k, &product_of_x);
    else if (product && k->active)
        write_rows(k, &active_product);
    else if (product)
        write_rows(k, &plain_product);
    else if (k->active && has_only_x(k))
        write_rows(k, &affine_of_x);
    else if (k->active)
        write_rows(k, &active_affine);
    else
        write_rows(k, &plain_affine);
}

static void blend_rows(const struct bnk_call *k) {
    if (k->from_y)
        write_rows(k, &blend_from_y);
    else if (k->active && has_only_x(k) && k->array[BNK_OUT].at)
        write_rows(k, &blend_of_x);
    else if (k->active && has_x_and_y(k) && k->array[BNK_OUT].at)
        k->array[BNK_DZ].at ? write_rows(k, &blend_by_y_dz) : write_rows(k, &blend_by_y);
    else if (k->active)
        write_rows(k, &active_blend);
    else
        write_rows(k, &plain_blend);
}

#endif
