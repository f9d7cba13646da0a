/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "machine.h"

#include <time.h>

double nn_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#ifdef _OPENMP
#include <omp.h>
void nn_set_threads(int threads) { omp_set_num_threads(threads); }
int nn_default_threads(void) { return omp_get_max_threads(); }
#else
void nn_set_threads(int threads) { (void)threads; }
int nn_default_threads(void) { return 1; }
#endif
