/* SPDX-License-Identifier: MIT */
/* Timing a case and the copies of the same bytes, in turns. */
#ifndef TOOLS_BENCH_MEASURE_H
#define TOOLS_BENCH_MEASURE_H

#include "job.h"

enum bench_copy_kind { BENCH_NORMAL, BENCH_NON_TEMPORAL, BENCH_READING, BENCH_COPY_KINDS };
/* "normal", "non-temporal", "reading" */
extern const char *const bench_copy_kind_names[BENCH_COPY_KINDS];

/* Medians. */
struct bench_result {
    struct bench_case what;
    double seconds;            /* of one call */
    double copy_seconds;       /* of the fastest copy of the same bytes */
    enum bench_copy_kind copy; /* which one that was */
    int copy_threads;          /* for little data one thread may be the fastest */
    size_t rounds;
};

/* Sorts the samples. */
double bench_median(double *samples, size_t count);

double bench_share(const struct bench_result *result);
/* GB/s, with 1 GB = 1e9 bytes. */
double bench_rate(const struct bench_result *result);
double bench_copy_rate(const struct bench_result *result);

/* Called after every round: the share of the case's time that is over, and GB/s of its last call. false: stop here. */
typedef bool bench_progress(void *user, double share, double rate);

/* Time it for about so many seconds, filling and warming up not counted. A status other than OK is that of the job's call.
 * Where progress stopped it, the result has no rounds and nothing else. */
batchnorm_status bench_measure(struct bench_job *job, double seconds, bench_progress *progress, void *user,
                               struct bench_result *result);

#endif
