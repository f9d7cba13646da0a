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

void bn_parallel(const batchnorm_exec *exec, size_t items, bool worth, batchnorm_task *task, void *arg) {
    if (items > 1 && exec && exec->parallel_for) {
        exec->parallel_for(exec->user, items, task, arg);
        return;
    }
#ifdef _OPENMP
    size_t threads = items <= 1 || items > PTRDIFF_MAX ? 1 : bn_parallel_threads(exec, worth);
    if (threads > items) threads = items;
    if (threads > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads((int)threads)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)items; i++) task(arg, (size_t)i);
        return;
    }
#endif
    (void)worth;
    serial(items, task, arg);
}
