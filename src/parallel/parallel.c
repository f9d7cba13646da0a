/* SPDX-License-Identifier: MIT */
#include "parallel/parallel.h"

#include <limits.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static void serial(size_t items, batchnorm_task *task, void *arg) {
    for (size_t i = 0; i < items; i++) task(arg, i);
}

size_t bn_parallel_threads(const batchnorm_exec *exec, bool worth) {
    int threads = exec ? exec->threads : 0;
    if (exec && exec->parallel_for) return threads > 0 ? (size_t)threads : 0;
#ifdef _OPENMP
    if (worth) return (size_t)(threads > 0 ? threads : omp_get_max_threads());
#else
    (void)worth;
#endif
    return 1;
}

#ifdef _OPENMP
/* Called, so that a call on one thread does not touch OpenMP: clang asks its OpenMP for the number of the thread where a
 * function with a loop begins, and a child of fork() waits there for ever if a thread of its parent was just asking. */
static __attribute__((noinline)) void by_openmp(size_t items, size_t threads, batchnorm_task *task, void *arg) {
#pragma omp parallel for schedule(dynamic, 1) num_threads((int)threads)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)items; i++) task(arg, (size_t)i);
}
#endif

void bn_parallel(const batchnorm_exec *exec, size_t items, bool worth, batchnorm_task *task, void *arg) {
    if (items > 1 && exec && exec->parallel_for) {
        exec->parallel_for(exec->user, items, task, arg);
        return;
    }
#ifdef _OPENMP
    size_t threads = items <= 1 || items > PTRDIFF_MAX ? 1 : bn_parallel_threads(exec, worth);
    if (threads > items) threads = items;
    if (threads > 1) {
        by_openmp(items, threads, task, arg);
        return;
    }
#endif
    (void)worth;
    serial(items, task, arg);
}
