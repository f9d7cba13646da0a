/* SPDX-License-Identifier: MIT */
/* Rows of few channels. Where rows follow each other without a gap, `repeat` of them are one wide row of whole kernel steps:
 * three channels become 48. The sums of the repetitions are added at the end, in order. */
#ifndef BN_NARROW_H
#define BN_NARROW_H

#include "plan/view.h"

/* Channels of a wide row at most, in doubles: its sums and numbers live on the stack. In floats, twice as many. */
#define BN_NARROW_LANES 512

/* How many rows make a wide one, as few as give whole steps; 1 if wide rows do not pay or do not exist. It decides in which
 * order sums are added. */
size_t bn_narrow_repeat(const struct bn_view *v);

/* The same for what is written to memory, where a wide row is best a page long: as many as there is room for. `number_bytes` is
 * the size of a number. A piece must keep so many wide rows. */
size_t bn_narrow_most(const struct bn_view *v, size_t number_bytes, size_t wide_rows);

/* Sums of a wide row; `lanes` is a multiple of BNK_LANES. Each array is longer than a page, so that what is stored to one never
 * lies at the same place within a page as what is loaded from another. */
struct bn_narrow {
    size_t channels, lanes;
    double shift[BN_NARROW_LANES + BNK_LANES], sum[BN_NARROW_LANES + BNK_LANES], dot[BN_NARROW_LANES + BNK_LANES];
};

/* Start with zero sums, and with `shift`, one per channel, repeated. */
void bn_narrow_start(struct bn_narrow *n, size_t channels, size_t repeat, const double *shift);

/* Add the sums of the repetitions to sum and dot, one per channel. */
void bn_narrow_finish(const struct bn_narrow *n, double *sum, double *dot);

/* Numbers for a wide row: `count` numbers of each channel, repeated, in `out`, which has room for BN_NARROW_NUMBERS
 * doubles. `bytes` is the size of one. */
#define BN_NARROW_NUMBERS (BNK_GATED_NUMBERS * (BN_NARROW_LANES + BNK_LANES))
struct bnk_numbers bn_narrow_numbers(struct bnk_numbers k, int count, size_t channels, size_t repeat, size_t bytes, void *out);

#endif
