/* SPDX-License-Identifier: MIT */
/* Arrays of floats. */
#ifndef NN_FLOATS_H
#define NN_FLOATS_H

#include <stddef.h>

/* Floats on a 64-byte boundary, zeroed; free() them. NULL when there is no memory. */
float *nn_floats(size_t count);

/* sums[j] = the sum over i of x[i][j], in an order that no number of threads changes. */
void nn_sum_rows(size_t rows, size_t columns, const float *x, float *sums);

#endif
