/* SPDX-License-Identifier: MIT */
/* One verb over one view, a unit at a time. A unit is one piece of one channel (plane) or of one block of channels (rows). Units
 * write to places of their own, so they may run in any order. */
#ifndef BN_SWEEP_H
#define BN_SWEEP_H

#include "plan/view.h"

enum bn_verb { BN_MOMENTS, BN_AFFINE, BN_DOTS, BN_BLEND };

struct bn_sweep {
    enum bn_verb verb;
    struct bn_view view; /* moments: x; affine: x, y; dots: dy, x; blend: dy, x, dx */
    const struct bnk_verbs *kernels;
    /* moments, dots: the slot of (channel c, piece p) is slot[c * slot_channel + p * slot_piece]. For moments `shift` is written,
     * too. dots subtracts `mean` (one per channel, padded) if mean_of_x is set, and zeros, which `shift` holds, if not. */
    double *shift, *sum, *dot;
    const double *mean;
    bool mean_of_x;
    size_t slot_channel, slot_piece;
    size_t repeat; /* rows that are taken as one wide row; 1 if none are */
    /* affine, blend: the numbers of channel c are at c */
    struct bnk_numbers numbers;
};

/* How many doubles each of shift, sum and dot needs. */
size_t bn_sweep_slots(const struct bn_view *v);

/* Set slot_channel, slot_piece and repeat from the view. */
void bn_sweep_prepare(struct bn_sweep *s);

/* Do piece `piece` of channel or block `block`. */
void bn_sweep_unit(const struct bn_sweep *s, size_t block, size_t piece);

#endif
