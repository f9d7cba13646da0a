/* SPDX-License-Identifier: MIT */
/* Masks. Before a pass begins, the mask of its geometry is packed: a byte of 0 or 1 for each position, in the order in which a
 * view goes through rows and their elements. So whatever its strides are, a sweep finds the mask of a stretch as one run of
 * bytes. */
#ifndef BN_MASK_H
#define BN_MASK_H

#include "plan/job.h"

/* Packs the mask of g in the order of a view whose first array is `array`. */
void bn_mask_pack(const struct bn_geometry *g, int array, unsigned char *packed);

/* Returns how many of n bytes are 1; the others are 0. */
size_t bn_mask_ones(const unsigned char *packed, size_t n);

/* Returns the place of the first byte with this value, from `at` on; n if there is none. */
size_t bn_mask_find(const unsigned char *packed, size_t at, size_t n, unsigned char value);

/* Returns the place of the one before which there are `rank` ones; there must be that many. */
size_t bn_mask_place(const unsigned char *packed, size_t n, size_t rank);

/* Returns whether the runs of equal bytes are at least `least` long, on average. */
bool bn_mask_has_long_runs(const unsigned char *packed, size_t n, size_t least);

#endif
