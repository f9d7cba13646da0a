/* SPDX-License-Identifier: MIT */
/* Do elements share memory? The answer is exact for all arrays that are slices of something, and a "no" is never wrong. */
#ifndef BN_OVERLAP_H
#define BN_OVERLAP_H

#include "plan/job.h"

/* Where something lies: the lowest address, and the first one after the highest. An absent array is nowhere. */
struct bn_range {
    uintptr_t low, high;
};

static inline bool bn_ranges_meet(struct bn_range a, struct bn_range b) { return (a.low < b.high) & (b.low < a.high); }

/* Returns the range of an array that is there and has passed bn_check_sizes(). */
static inline struct bn_range bn_range_of(const struct bn_array *a) { return (struct bn_range){a->low, a->high}; }

/* These return the size and the stride of dimension d of an array of g; the channels are the last dimension. */
static inline size_t bn_extent_of(const struct bn_geometry *g, int d) { return d < g->dims ? g->extent[d] : g->channels; }

static inline ptrdiff_t bn_stride_of(const struct bn_geometry *g, const struct bn_array *a, int d) {
    return d < g->dims ? a->stride[d] : a->channel;
}

/* Returns the distance of two neighbours, whatever the direction. */
static inline uintptr_t bn_magnitude(ptrdiff_t stride) { return stride < 0 ? 0 - (uintptr_t)stride : (uintptr_t)stride; }

/* Returns whether two elements of the array share a byte. */
bool bn_overlaps_itself(const struct bn_geometry *g, const struct bn_array *a);

/* Return whether two arrays, or an array and a range, share a byte. Their ranges must meet. */
bool bn_arrays_overlap(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b);
bool bn_array_overlaps(const struct bn_geometry *g, const struct bn_array *a, struct bn_range range);

#endif
