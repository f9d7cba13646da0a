/* SPDX-License-Identifier: MIT */
/* The arrays of a case, and the call that it is about. */
#ifndef TOOLS_BENCH_JOB_H
#define TOOLS_BENCH_JOB_H

#include "cases.h"
#include "copy.h"

/* One case, ready to run. */
struct bench_job {
    struct bench_case what;
    batchnorm_shape shape;
    batchnorm_exec exec;
    struct bench_streams streams; /* its arrays: x, and dy, and z are read; y or dx, and dz are written */
    void *weight, *bias, *mean, *var, *dweight, *dbias, *stats;
    double *save_mean, *save_rstd;
    batchnorm_status status; /* of the last call */
};

/* Bytes of memory that a case takes; 0 if they do not fit size_t. */
size_t bench_job_bytes(const struct bench_case *c);

/* Lay the arrays out in memory of bench_job_bytes(), fill them, and run the case once. One block serves case after case: the
 * first touch of a page costs more than all that follow. */
batchnorm_status bench_job_prepare(struct bench_job *job, const struct bench_case *c, void *memory);

/* What the library would decide for the case: see batchnorm_infer_explain(). Nothing is run. */
size_t bench_job_explain(const struct bench_case *c, char *text, size_t size);

/* The call; its status goes to the job. */
void bench_job_run(struct bench_job *job);

#endif
