/* SPDX-License-Identifier: MIT */
/* A batch that does not fit memory at once, in micro-batches, with the statistics and gradients of the whole: statistics of
 * all of them, then y of each; sums of all of them, then dx of each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/stats.h>

enum { N = 24, C = 3, L = 5, MICRO = 8, EACH = MICRO * C * L };

static double x[N * C * L], dy[N * C * L], y[N * C * L], dx[N * C * L], whole_dx[N * C * L];

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "micro_batches: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

/* The backward of all samples in one call, to compare with. */
static void backward_at_once(const double *mean, const double *rstd, double *dweight, double *dbias) {
    const batchnorm_shape all = {N, C, L, BATCHNORM_F64};
    const batchnorm_strides s = batchnorm_planar(all);
    const batchnorm_backward_call whole = {.size = sizeof whole,
                                           .shape = all,
                                           .x = {x, s},
                                           .dy = {dy, s},
                                           .dx = {whole_dx, s},
                                           .save_mean = mean,
                                           .save_rstd = rstd,
                                           .dweight = dweight,
                                           .dbias = dbias};
    check(batchnorm_backward(&whole, NULL), "backward of the whole");
}

int main(void) {
    const batchnorm_shape shape = {MICRO, C, L, BATCHNORM_F64};
    const batchnorm_strides s = batchnorm_planar(shape);
    batchnorm_stat stats[C] = {{0}};
    batchnorm_sum sums[C] = {{0}};
    double mean[C], rstd[C], dweight[C], dbias[C], whole_dweight[C], whole_dbias[C], furthest = 0;
    for (int i = 0; i < N * C * L; i++) {
        x[i] = 5 + sin(i);
        dy[i] = cos(3 * i);
    }

    for (int at = 0; at < N * C * L; at += EACH) {
        const batchnorm_stats_call call = {.size = sizeof call, .shape = shape, .x = {x + at, s}, .stats = stats};
        check(batchnorm_stats_accumulate(&call, NULL), "statistics");
    }
    batchnorm_stats_finish(stats, C, 0, 1e-5, mean, NULL, rstd);
    for (int at = 0; at < N * C * L; at += EACH) {
        const batchnorm_normalize_call call = {
            .size = sizeof call, .shape = shape, .x = {x + at, s}, .y = {y + at, s}, .mean = mean, .rstd = rstd};
        check(batchnorm_normalize(&call, NULL), "normalize");
    }

    for (int at = 0; at < N * C * L; at += EACH) {
        const batchnorm_sums_call call = {.size = sizeof call,
                                          .shape = shape,
                                          .x = {x + at, s},
                                          .dy = {dy + at, s},
                                          .save_mean = mean,
                                          .save_rstd = rstd,
                                          .sums = sums};
        check(batchnorm_sums_accumulate(&call, NULL), "sums");
    }
    for (int at = 0; at < N * C * L; at += EACH) {
        const batchnorm_backward_call call = {.size = sizeof call,
                                              .shape = shape,
                                              .x = {x + at, s},
                                              .dy = {dy + at, s},
                                              .dx = {dx + at, s},
                                              .save_mean = mean,
                                              .save_rstd = rstd,
                                              .dweight = dweight,
                                              .dbias = dbias,
                                              .sums = sums};
        check(batchnorm_backward(&call, NULL), "backward");
    }

    backward_at_once(mean, rstd, whole_dweight, whole_dbias);
    for (int i = 0; i < N * C * L; i++) furthest = fmax(furthest, fabs(dx[i] - whole_dx[i]));
    for (int c = 0; c < C; c++)
        printf("channel %d: dweight %.9f, at once %.9f; dbias %.9f, at once %.9f\n", c, dweight[c], whole_dweight[c], dbias[c],
               whole_dbias[c]);
    printf("the largest difference of dx is %.1e\n", furthest);
    return furthest <= 1e-13 ? EXIT_SUCCESS : EXIT_FAILURE;
}
