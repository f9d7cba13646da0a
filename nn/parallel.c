/* SPDX-License-Identifier: MIT */
#include "parallel.h"

#ifdef _OPENMP
#include <omp.h>
void nn_set_threads(int threads) { omp_set_num_threads(threads); }
int nn_default_threads(void) { return omp_get_max_threads(); }
#else
void nn_set_threads(int threads) { (void)threads; }
int nn_default_threads(void) { return 1; }
#endif
