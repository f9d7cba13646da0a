/* SPDX-License-Identifier: MIT */
/* Room 3: hand independent items out. It knows nothing of batch norm. */
#ifndef BN_PARALLEL_H
#define BN_PARALLEL_H

#include "batchnorm/batchnorm.h"

/* Run task(arg, i) for every i in [0, items) on the caller's threads, on OpenMP, or in a loop. `work` is the number of elements
 * that all items touch together: little work is not handed to OpenMP. exec may be NULL. */
void bn_parallel(const batchnorm_exec *exec, size_t items, size_t work, batchnorm_task *task, void *arg);

/* How many threads would share that work; 0 if only the caller knows. */
size_t bn_parallel_threads(const batchnorm_exec *exec, size_t work);

#endif
