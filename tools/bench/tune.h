/* SPDX-License-Identifier: MIT */
/* Looking for the numbers by which the library is fastest on this machine. */
#ifndef TOOLS_BENCH_TUNE_H
#define TOOLS_BENCH_TUNE_H

#include <signal.h>

#include "request.h"

/* Tries candidates of every number in `memory`, which the largest case fits, and prints the best row, and how far the present
 * one is from it, case by case. Ends early when *stopped. False after a message. */
bool bench_tune(const struct bench_request *request, const struct bench_case *cases, size_t count, void *memory,
                const volatile sig_atomic_t *stopped);

#endif
