/* SPDX-License-Identifier: MIT */
/* Statistics as a value: chunks of a data set, each seen on its own, merged. The result is that of all the data at once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/stats.h>

enum { N = 1000, C = 3, CHUNK = 300 };

static float x[N * C];

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "streaming: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

/* The statistics of `count` rows of (N, C) data. */
static void look(const float *rows, size_t count, batchnorm_stat *stats) {
    const batchnorm_shape shape = {count, C, 1, BATCHNORM_F32};
    const batchnorm_stats_call call = {
        .size = sizeof call, .shape = shape, .x = {rows, batchnorm_planar(shape)}, .stats = stats};
    batchnorm_stats_clear(stats, C);
    check(batchnorm_stats_accumulate(&call, NULL), "accumulate");
}

int main(void) {
    for (int i = 0; i < N * C; i++) x[i] = 1e4f + (float)((double)rand() / RAND_MAX);

    batchnorm_stat all[C], chunk[C], merged[C];
    look(x, N, all);
    batchnorm_stats_clear(merged, C);
    for (size_t first = 0; first < N; first += CHUNK) {
        size_t rows = N - first < CHUNK ? N - first : CHUNK; /* 300, 300, 300, 100: chunks need not be equal */
        look(x + first * C, rows, chunk);
        batchnorm_stats_merge(merged, chunk, C);
        printf("after %4.0f rows: mean[0] = %.9f\n", merged[0].count, merged[0].mean);
    }
    double mean[C], var[C], whole_mean[C], whole_var[C];
    batchnorm_stats_finish(merged, C, 1, 1e-5, mean, var, NULL); /* 1: the unbiased variance */
    batchnorm_stats_finish(all, C, 1, 1e-5, whole_mean, whole_var, NULL);

    bool right = true; /* NaN is not right */
    for (int c = 0; c < C; c++) {
        printf("channel %d: mean %.9f, at once %.9f; var %.9f, at once %.9f\n", c, mean[c], whole_mean[c], var[c],
               whole_var[c]);
        right = right && merged[c].count == N && fabs(mean[c] - whole_mean[c]) <= 1e-10 && fabs(var[c] - whole_var[c]) <= 1e-12;
    }

    float running_mean[C] = {0}, running_var[C] = {1, 1, 1}; /* one update for the whole data set */
    check(batchnorm_stats_update_running(merged, C, BATCHNORM_F32, running_mean, running_var, NULL), "update");
    printf("running_mean[0] = %.3f, running_var[0] = %.5f\n", (double)running_mean[0], (double)running_var[0]);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
