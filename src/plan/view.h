/* SPDX-License-Identifier: MIT */
/* Some arrays of a geometry in the order of memory, and how they are cut into pieces. */
#ifndef BN_VIEW_H
#define BN_VIEW_H

#include "kernel/kernel.h"
#include "plan/job.h"

#define BN_VIEW_ARRAYS 5

/* How a chunk of a view is cut into pieces: in a plane each channel into `pieces` = row groups * parts, each of `group` rows
 * (or of a part of one row); in rows into `pieces` groups of `group` rows. */
struct bn_cut {
    size_t rows, length; /* of the chunk */
    size_t group, parts, part, pieces;
};

struct bn_view {
    enum bnk_layout layout;
    size_t channels, count;
    size_t rows;   /* rows of the whole array in BNK_ROWS, rows of one channel in BNK_PLANE */
    size_t length; /* elements of a row */
    int dims;      /* dimensions that count the rows */
    size_t extent[BN_MAX_DIMS];
    int arrays;
    int first; /* the first of them in the geometry */
    struct bn_array array[BN_VIEW_ARRAYS];
    ptrdiff_t spacing[BN_VIEW_ARRAYS]; /* of neighbours in a row; others than 1 are staged */
    bool staged;                       /* some spacing is */
    size_t spread;                     /* of a write in rows: neighbours that belong to one channel; else 1 */
    /* Chunks of samples, in the order of memory: all but the last are cut alike. A chunk is some rows, or where a row has all
     * samples, some elements of each row. Without a grain, and for writing, the whole view is one chunk, the last. */
    size_t chunks;
    bool samples_in_row;
    struct bn_cut cut, last;
    size_t first_chunk; /* the number of the first, among those of all parts of the batch */
    size_t pieces;      /* of all chunks */
    /* `blocks` blocks of `block` channels are done at a time. */
    size_t block, blocks;
};

/* An array of a geometry, and what a kernel takes it for. A write has an output first, and goes in its order. */
struct bn_use {
    int array;
    enum bnk_role role;
};

/* Makes a view of some arrays of g, cut for reductions. The order of dimensions is that of the first of them. */
void bn_view_make(struct bn_view *v, const struct bn_geometry *g, int arrays, const struct bn_use *use);

/* Writes the dims of g in the order in which a view whose first array is `array` goes through its rows and their elements,
 * without those of one index; returns how many there are. */
int bn_view_order(const struct bn_geometry *g, int array, int order[BN_MAX_DIMS]);

/* Makes a view that differs from another view of the same geometry in its arrays only, and returns true, if all arrays of both
 * have the same strides. */
bool bn_view_like(struct bn_view *v, const struct bn_view *like, const struct bn_geometry *g, int arrays,
                  const struct bn_use *use);

/* Cuts a view anew for writing, where a cut changes no bit, into pieces of about `elements`. */
void bn_view_recut(struct bn_view *v, size_t elements);

/* Takes a plane of a write whose channels have few elements, at most `most`, one channel after the other in all arrays, as
 * rows: each element of a sample as a channel of its own, whose coefficients are those of its channel. */
void bn_view_spread(struct bn_view *v, size_t most);

/* Cuts a plane into blocks of `channels` channels. */
void bn_view_set_block(struct bn_view *v, size_t channels);

/* Returns whether two views of the same geometry have the same rows and the same pieces, so that they can be gone through in
 * step. */
bool bn_view_matches(const struct bn_view *a, const struct bn_view *b);

/* The rows and the elements of each row that a piece covers, and how many values of a channel that is. */
struct bn_piece {
    size_t first_row, rows;
    size_t first, length;
    size_t count;
};
static inline struct bn_piece bn_view_piece(const struct bn_view *v, size_t piece) {
    struct bn_piece p = {0};
    const struct bn_cut *c = &v->last;
    size_t row = 0, first = 0; /* of the piece in its chunk */
    if (v->chunks > 1) {
        size_t chunk = v->cut.pieces == 1 ? piece : piece / v->cut.pieces; /* dividing takes long */
        if (chunk >= v->chunks - 1)
            chunk = v->chunks - 1;
        else
            c = &v->cut;
        piece -= chunk * v->cut.pieces;
        if (v->samples_in_row)
            p.first = chunk * v->cut.length;
        else
            p.first_row = chunk * v->cut.rows;
    }
    if (c->pieces > 1) {
        row = piece / c->parts * c->group;
        first = piece % c->parts * c->part;
    }
    p.rows = c->rows - row < c->group ? c->rows - row : c->group;
    p.length = c->length - first < c->part ? c->length - first : c->part;
    p.first_row += row;
    p.first += first;
    p.count = v->layout == BNK_PLANE ? p.rows * p.length : p.rows;
    return p;
}

/* Returns whether a row is cut. */
static inline bool bn_view_cuts_rows(const struct bn_view *v) {
    return v->last.parts > 1 || (v->chunks > 1 && (v->samples_in_row || v->cut.parts > 1));
}

/* Returns how many rows from `row` on, at most `limit`, are equally far from each other, and where each array has the first. */
static inline size_t bn_view_walk(const struct bn_view *v, size_t row, size_t limit, ptrdiff_t *offset) {
    for (int i = 0; i < v->arrays; i++) offset[i] = 0;
    size_t left = 1;
    for (int d = v->dims - 1; d >= 0; d--) {
        size_t above = row < v->extent[d] ? 0 : row / v->extent[d]; /* dividing takes long */
        size_t index = row - above * v->extent[d];
        row = above;
        if (d == v->dims - 1) left = v->extent[d] - index;
        for (int i = 0; i < v->arrays; i++) offset[i] += (ptrdiff_t)index * v->array[i].stride[d];
    }
    return left < limit ? left : limit;
}

/* Returns the distance between the rows that bn_view_walk() found, in array i. */
static inline ptrdiff_t bn_view_pitch(const struct bn_view *v, int i) { return v->dims ? v->array[i].stride[v->dims - 1] : 0; }

/* What lies closer together than the elements of a row, in some array that is staged. */
struct bn_close {
    bool channels, rows;
};
struct bn_close bn_view_close(const struct bn_view *v);

static inline size_t bn_least(size_t a, size_t b) { return a < b ? a : b; }

/* Returns the channels, rounded up to whole steps of the kernels. */
static inline size_t bn_padded(size_t channels) { return (channels + BNK_LANES - 1) / BNK_LANES * BNK_LANES; }

#endif
