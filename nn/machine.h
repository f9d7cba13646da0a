/* SPDX-License-Identifier: MIT */
/* Time and threads. Threads are OpenMP's where the compiler has it. nn's own loops are `#pragma omp parallel for` over
 * independent items, so they give the same bits with and without it. */
#ifndef NN_MACHINE_H
#define NN_MACHINE_H

/* Seconds since some fixed moment; never jumps. */
double nn_seconds(void);

void nn_set_threads(int threads);
/* As many as OpenMP would use; 1 without it. */
int nn_default_threads(void);

#endif
