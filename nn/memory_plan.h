/* SPDX-License-Identifier: MIT */
/* Where arrays that are needed at different times may lie in one block of memory. */
#ifndef NN_MEMORY_PLAN_H
#define NN_MEMORY_PLAN_H

#include <stddef.h>

/* An array that is in use from moment `first` to moment `last`, both included. */
typedef struct nn_span {
    size_t size, first, last;
    size_t offset; /* the result */
} nn_span;

/* Gives each span a place where it overlaps no other that is in use at the same time; the size of the block that holds them
 * all. Large ones are placed first, each into the smallest gap that takes it. Sizes, and so offsets, are in any unit.
 * SIZE_MAX when there is no memory to think in. */
size_t nn_memory_plan(nn_span *spans, size_t count);

#endif
