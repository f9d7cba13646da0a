/* SPDX-License-Identifier: MIT */
/* Room 3: hand independent items out. It knows nothing of batch norm. */
#ifndef BN_PARALLEL_H
#define BN_PARALLEL_H

#include "batchnorm/batchnorm.h"

/* Runs task(arg, i) for every i in [0, items) on the caller's threads, on OpenMP, or in a loop. OpenMP's threads are woken only
 * for what is `worth` the microseconds that this takes. exec may be NULL. */
void bn_parallel(const batchnorm_exec *exec, size_t items, bool worth, batchnorm_task *task, void *arg);

/* Returns how many threads would share that work; 0 if only the caller knows. */
size_t bn_parallel_threads(const batchnorm_exec *exec, bool worth);

#endif
