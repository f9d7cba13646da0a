/* SPDX-License-Identifier: MIT */
/* One kernel verb over one view, one piece of one block of channels at a time. Pieces write to places of their own, so they
 * may run in any order. */
#ifndef BN_SWEEP_H
#define BN_SWEEP_H

#include <math.h>

#include "plan/mask.h"
#include "plan/pairs.h"
#include "plan/view.h"

/* How some work is handed out: items, of which the first `larger` have `each` + 1 portions and the others `each`. */
struct bn_share {
    size_t items, each, larger;
    bool worth; /* waking threads for it */
};

struct bn_sweep {
    enum bnk_verb verb;
    struct bn_view view;
    enum bnk_role role[BN_VIEW_ARRAYS]; /* of the view's arrays */
    const struct bnk_verbs *kernels;
    void (*do_piece)(const struct bn_sweep *s, size_t block, size_t piece); /* bn_plane_alone or bn_rows_piece */
    /* moments, dots: the slot of (channel c, piece p) is slot[c * slot_channel + p * slot_piece]. For moments `shift` is
     * written, too. dots subtracts `mean` (one per channel; in rows padded) if mean_of_x is set, and zeros, which `shift`
     * holds, if not. */
    double *shift, *sums[4];
    const double *mean;
    bool mean_of_x;
    size_t slot_channel, slot_piece;
    size_t repeat; /* rows that are taken as one wide row; 1 if none are */
    /* affine, blend, and dots that are gated: those of channel c are at c */
    struct bnk_coefficients coefficients;
    bool active, without_x, from_y; /* see struct bnk_call */
    struct bnk_act act;
    bool stream;  /* the outputs */
    size_t ahead; /* rows from a fetch of inputs to their use; 0 where nothing is fetched */
    /* Of a pass with a mask: which of its packed masks has the order of this view; whether the sweep goes by it. Then it does
     * the elements where the mask is `when`; where it is not, outputs stay, or become 0 if it `fills`. */
    int packed;
    bool masked, fills;
    unsigned char when;
    const unsigned char *mask; /* NULL: everything is done */
    double *counts;            /* of reductions: how many ones each piece has; NULL: all of its elements count */
    size_t tile_row;           /* bytes of a row up to which streams are made in tiles */
    struct bn_share share;     /* of the work on a sweep alone */
};

/* Channels of a block of planes at most: their sums are kept on the stack. */
enum { BN_BLOCK_MAX = 32 };

/* Some channels of a sweep: a block in the order of blocks that ends at channel `end`. */
struct bn_block {
    const struct bn_sweep *sweep;
    size_t first, count, end;
};

/* How many doubles shift and each of the sums need. */
static inline size_t bn_sweep_slots(const struct bn_view *v) {
    return v->layout == BNK_PLANE ? v->channels * v->pieces : bn_padded(v->channels) * v->pieces;
}

static inline bool bn_sweep_reduces(const struct bn_sweep *s) { return s->verb == BNK_MOMENTS || s->verb == BNK_DOTS; }

/* Returns how many values of a channel a piece has. */
static inline double bn_sweep_count(const struct bn_sweep *s, const struct bn_piece *p, size_t piece) {
    return s->counts ? s->counts[piece] : (double)p->count;
}

static inline bool bn_is_output(enum bnk_role role) { return role >= BNK_INPUTS; }

/* In planes: piece `piece` of a block of one sweep and of a block of another, together where they have as many channels; NULL:
 * nothing to do. */
void bn_plane_piece(const struct bn_block *write, const struct bn_block *reduce, size_t piece);

/* Do piece `piece` of block `block`, in either layout. */
void bn_plane_alone(const struct bn_sweep *s, size_t block, size_t piece);
void bn_rows_piece(const struct bn_sweep *s, size_t block, size_t piece);

/* Returns how many rows make a wide one, as few as give whole steps; 1 if wide rows do not pay or do not exist. It decides in
 * which order sums are added. */
size_t bn_rows_repeat(const struct bn_view *v);

/* Returns the same for what is written to memory, where a wide row is best a page long: as many as there is room for.
 * `coefficient_bytes` is the size of a coefficient. A piece keeps so many wide rows. */
size_t bn_rows_repeat_written(const struct bn_view *v, size_t coefficient_bytes, size_t wide_rows);

/* A second look at the sums of a piece and channel.
 *   far     moments: the mean is so far from the pivot that of `dot` little is left beside it. They are made again about a
 *           pivot at the mean where more than so many times what is left is lost; fewer in F64, which has no digits to spare
 *   spoilt  sums in float that overflowed, or so small that products may have been lost. They are made again in double
 * It follows from the numbers alone. */
enum bn_look { BN_FINE, BN_FAR_OFF = 1, BN_SPOILT = 2 };
enum { BN_FAR = 8, BN_FAR_IN_F64 = 2 };
static inline double bn_far_of(const struct bn_sweep *s) { return s->kernels->keeps_lost ? BN_FAR_IN_F64 : BN_FAR; }

static inline enum bn_look bn_second_look(const struct bn_sweep *s, double sum, double dot, double n, bool was_exact) {
    const bool is_m2 = s->kernels->keeps_lost;
    const bool is_far = s->verb == BNK_MOMENTS && sum - sum == 0 && bnk_is_far(sum, dot, n, bn_far_of(s), is_m2) > 0;
    const bool is_spoilt = s->kernels->in_float && !was_exact && bnk_is_spoilt(sum, dot) > 0;
    return (enum bn_look)((is_far ? BN_FAR_OFF : 0) | (is_spoilt ? BN_SPOILT : 0));
}

/* Returns whether any of some channels, whose slots are `stride` apart, needs a second look. */
static inline bool bn_any_second_look(const struct bn_sweep *s, const double *sum, const double *dot, size_t channels,
                                      size_t stride, double n) {
    const struct bnk_numbers *numbers = bnk_table()->numbers;
    const bool is_m2 = s->kernels->keeps_lost;
    return (s->verb == BNK_MOMENTS && numbers->is_far(sum, dot, n, bn_far_of(s), is_m2, channels, stride)) ||
           (s->kernels->in_float && numbers->is_spoilt(sum, dot, channels, stride));
}

/* How many sums a sweep has. Moments of F64 have two more, of what the first two lost in roundings, and what is kept of all of
 * them in place of the second sum is M2. Only in rows do those two have slots. */
enum { BN_SUMS = 4 };
static inline int bn_sums_of(const struct bn_sweep *s) {
    return s->verb == BNK_MOMENTS && s->kernels->keeps_lost ? BN_SUMS : 2;
}

/* A tile in which elements are staged; a line of the cache. */
enum { BN_STAGE_BYTES = 8192, BN_LINE_BYTES = 64 };

/* For both: a call with the sweep's coefficients for the channels from c on, without arrays. */
static inline void bn_sweep_call(const struct bn_sweep *s, size_t c, struct bnk_call *k) {
    for (int a = 0; a < BNK_ARRAYS; a++) k->array[a] = (struct bnk_array){.at = NULL};
    k->shift = NULL;
    k->sums[0] = k->sums[1] = k->sums[2] = k->sums[3] = NULL;
    k->coefficients = s->coefficients;
    if (c) k->coefficients.at = (const char *)s->coefficients.at + c * s->kernels->coefficient_bytes; /* NULL has no places */
    k->exact = false;
    k->active = s->active;
    k->act = s->act;
    k->without_x = s->without_x;
    k->from_y = s->from_y;
    k->stream = s->stream;
}

/* Whether the activation has a loop of its own, which goes alone. */
static inline bool bn_sweep_is_curved(const struct bn_sweep *s) { return s->active && s->act.curve; }

static inline void bn_sweep_run(const struct bn_sweep *s, enum bnk_layout layout, const struct bnk_call *k) {
    if (bn_sweep_is_curved(s))
        s->kernels->curved(s->kernels, k, s->verb, layout);
    else
        s->kernels->verb[layout][s->verb](k);
}

/* Runs calls of one sweep. */
typedef void bn_runner(void *arg, const struct bn_sweep *s, const struct bnk_call *k);

/* Run a call under the mask of its sweep: in a plane some rows of some channels, from element `first` of row `row` on; in rows
 * some of them. They make calls of the stretches that the mask leaves, or of elements and rows that are staged where those are
 * short. */
void bn_masked_plane(const struct bn_sweep *s, const struct bnk_call *k, size_t row, size_t first, bn_runner *run, void *arg);
void bn_masked_rows(const struct bn_sweep *s, const struct bnk_call *k, size_t row, bn_runner *run, void *arg);

/* The same in planes of a write beside the reduction of other channels of the same rows: what counts for both goes in one loop.
 * The write has the mask of the reduction, and is done where that is 1, or none. */
void bn_masked_pair(const struct bn_sweep *w, const struct bnk_call *written, const struct bn_sweep *s,
                    const struct bnk_call *reduced, size_t row, size_t first, bn_runner *run, void *arg);

/* Elements of a tile of those that a mask chooses. */
enum { BN_TILE = 1024 };

/* In a plane: a call for `count` channels of one row, from channel c on. */
struct bnk_call bn_some_channels(const struct bn_sweep *s, const struct bnk_call *k, size_t row, size_t c, size_t count);

/* Moves to another element of an array, which may not be there. */
static inline void bn_advance(struct bnk_array *a, ptrdiff_t elements, size_t bytes) {
    if (a->at) a->at += elements * (ptrdiff_t)bytes;
}

/* Where array i of the sweep has element `first` of row `row` and channel c. */
static inline char *bn_sweep_at(const struct bn_sweep *s, int i, ptrdiff_t row_offset, size_t first, size_t c) {
    const struct bn_view *v = &s->view;
    ptrdiff_t elements = row_offset + (ptrdiff_t)first * v->spacing[i] + (ptrdiff_t)c * v->array[i].channel;
    return v->array[i].data + elements * (ptrdiff_t)s->kernels->bytes;
}

#endif
