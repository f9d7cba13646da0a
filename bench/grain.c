/* SPDX-License-Identifier: MIT */
/* What a grain costs: training forward and backward in F32 with chunks of 8 samples beside the same without, in turns, for the
 * batch norms of a ResNet-50 at batch 32. Prints the ratio of the medians, above 1 where chunks take longer.
 *
 *     cc -O2 bench/grain.c -Iinclude -Lbuild -lbatchnorm -Wl,-rpath,build -o grain && ./grain [grain] [threads] */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "layer_calls.h"

enum { TURNS = 31, BATCH = 32 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *times) {
    qsort(times, TURNS, sizeof *times, compare);
    return times[TURNS / 2];
}

static double measure(const struct layer *l, int rows, int backward, size_t grain) {
    double times[2][TURNS];
    size_t repeat = 1 + 4000000 / (l->n * l->c * l->s);
    for (int t = -1; t < TURNS; t++)
        for (int k = 0; k < 2; k++) {
            const int with = (t + k) & 1;
            const double begin = now();
            for (size_t i = 0; i < repeat; i++) run_layer(l, rows, backward, with ? grain : 0, (batchnorm_mask){.data = NULL});
            if (t >= 0) times[with][t] = now() - begin;
        }
    return median(times[1]) / median(times[0]);
}

int main(int argc, char **argv) {
    static const size_t layers[][2] = {{64, 112 * 112}, {64, 56 * 56},  {256, 56 * 56}, {128, 56 * 56},
                                       {128, 28 * 28},  {512, 28 * 28}, {256, 28 * 28}, {256, 14 * 14},
                                       {1024, 14 * 14}, {512, 14 * 14}, {512, 7 * 7},   {2048, 7 * 7}};
    const size_t grain = argc > 1 ? (size_t)atoi(argv[1]) : 8, most = (size_t)BATCH * 64 * 112 * 112;
    struct layer l;
    if (!make_layer(&l, most, 2048, argc > 2 ? atoi(argv[2]) : 1)) return EXIT_FAILURE;
    l.n = BATCH;
    printf("| shape | nchw train | nchw backward | nhwc train | nhwc backward |\n|---|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        l.c = layers[i][0];
        l.s = layers[i][1];
        printf("| (%d, %zu, %zu) |", BATCH, l.c, l.s);
        for (int k = 0; k < 4; k++) {
            printf(" %.2f |", measure(&l, k / 2, k % 2, grain));
            fflush(stdout);
        }
        printf("\n");
    }
    return EXIT_SUCCESS;
}
