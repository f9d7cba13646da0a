/* SPDX-License-Identifier: MIT */
/* What a contender in C works on. contenders.py compiles helper.c and onednn.c, and has the same struct as `Data`. */
#ifndef BENCH_HELPER_H
#define BENCH_HELPER_H

#include <batchnorm/batchnorm.h>

enum bench_layout { BENCH_PLANAR, BENCH_ROWS, BENCH_BLOCKED };
enum bench_op { BENCH_TRAIN, BENCH_EVAL, BENCH_BACKWARD };

struct bench_data {
    size_t n, c, h, w;
    size_t bytes;                   /* of x, and of each of the other three */
    int layout, op, threads, dtype; /* dtype: a batchnorm_dtype */
    int fused;                      /* y = relu(batch norm + z), by ours alone; only then are there z and dz */
    const void *x, *dy, *z;
    void *y, *dx, *dz;
    void *weight, *bias, *running_mean, *running_var, *dweight, *dbias; /* doubles where x has them, else floats */
    void *mean, *var;                                                   /* statistics of the batch, as oneDNN keeps them */
    double *save_mean, *save_rstd;                                      /* statistics of the batch, as batchnorm keeps them */
    const batchnorm_exec *exec;
};

/* Everything that is timed has this type. 0 is success. */
typedef int bench_run(void *data);

#endif
