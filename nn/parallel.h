/* SPDX-License-Identifier: MIT */
/* OpenMP where the compiler has it. Our own loops are `#pragma omp parallel for` over independent items, so they give the same
 * bits with and without it. */
#ifndef NN_PARALLEL_H
#define NN_PARALLEL_H

void nn_set_threads(int threads);
/* As many as OpenMP would use; 1 without it. */
int nn_default_threads(void);

#endif
