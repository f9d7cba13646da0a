/* SPDX-License-Identifier: MIT */
/* Arrays of floats. */
#ifndef NN_FLOATS_H
#define NN_FLOATS_H

#include <stddef.h>
#include <stdint.h>

/* Floats on a 64-byte boundary, zeroed; free() them. NULL when there is no memory. */
float *nn_floats(size_t count);

/* sums[j] = the sum over i of x[i][j], in an order that no number of threads changes. */
void nn_sum_rows(size_t rows, size_t columns, const float *x, float *sums);

/* sum[i] += x[i], on threads where that pays. */
void nn_add(size_t count, float *restrict sum, const float *restrict x);

/* FNV-1a: goes on from `value`, which is NN_HASH at first. */
#define NN_HASH UINT64_C(0xcbf29ce484222325)
uint64_t nn_hash(uint64_t value, const void *bytes, size_t count);

#endif
