/* SPDX-License-Identifier: MIT */
#include "parallel/parallel.h"

#include <limits.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Waking OpenMP's threads costs some microseconds; one core touches this many elements in that time. */
enum { WORTH_THREADS = 65536 };

static void serial(size_t items, batchnorm_task *task, void *arg) {
    for (size_t i = 0; i < items; i++) task(arg, i);
}

#ifdef _OPENMP
static int wanted_threads(const batchnorm_exec *exec, size_t items) {
    int threads = exec && exec->threads > 0 ? exec->threads : omp_get_max_threads();
    return items < (size_t)threads ? (int)items : threads;
}
#endif

void bn_parallel(const batchnorm_exec *exec, size_t items, size_t work, batchnorm_task *task, void *arg) {
    if (items > 1 && exec && exec->parallel_for) {
        exec->parallel_for(exec->user, items, task, arg);
        return;
    }
#ifdef _OPENMP
    int threads = items <= 1 || work < WORTH_THREADS || items > PTRDIFF_MAX ? 1 : wanted_threads(exec, items);
    if (threads > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)items; i++) task(arg, (size_t)i);
        return;
    }
#endif
    (void)work;
    serial(items, task, arg);
}
