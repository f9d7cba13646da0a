/* SPDX-License-Identifier: MIT */
/* What a grain costs: training forward and backward in F32 with chunks of 8 samples beside the same without, in turns, for the
 * batch norms of a ResNet-50 at batch 32. Prints the ratio of the medians, above 1 where chunks take longer.
 *
 *     cc -O2 bench/grain.c -Iinclude -Lbuild -lbatchnorm -Wl,-rpath,build -o grain && ./grain [grain] [threads] */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <batchnorm/batchnorm.h>

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

struct layer {
    size_t c, s;
    const float *x, *dy;
    float *y;
    double *save;
    batchnorm_exec exec;
};

static void run(const struct layer *l, int rows, int backward, size_t grain) {
    const batchnorm_shape shape = {BATCH, l->c, l->s, BATCHNORM_F32};
    const batchnorm_strides s = rows ? batchnorm_channels_last(shape) : batchnorm_planar(shape);
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {l->x, s},
                                            .y = {l->y, s},
                                            .save_mean = l->save,
                                            .save_rstd = l->save + l->c,
                                            .grain = grain};
    const batchnorm_backward_call back = {.size = sizeof back,
                                          .shape = shape,
                                          .x = {l->x, s},
                                          .dy = {l->dy, s},
                                          .dx = {l->y, s},
                                          .save_mean = l->save,
                                          .save_rstd = l->save + l->c,
                                          .grain = grain};
    const batchnorm_status status = backward ? batchnorm_backward(&back, &l->exec) : batchnorm_forward(&forward, &l->exec);
    if (status) exit(EXIT_FAILURE);
}

static double measure(const struct layer *l, int rows, int backward, size_t grain) {
    double times[2][TURNS];
    size_t repeat = 1 + 4000000 / (BATCH * l->c * l->s);
    for (int t = -1; t < TURNS; t++)
        for (int k = 0; k < 2; k++) {
            const int with = (t + k) & 1;
            const double begin = now();
            for (size_t i = 0; i < repeat; i++) run(l, rows, backward, with ? grain : 0);
            if (t >= 0) times[with][t] = now() - begin;
        }
    return median(times[1]) / median(times[0]);
}

int main(int argc, char **argv) {
    static const size_t layers[][2] = {{64, 112 * 112}, {64, 56 * 56},  {256, 56 * 56}, {128, 56 * 56},
                                       {128, 28 * 28},  {512, 28 * 28}, {256, 28 * 28}, {256, 14 * 14},
                                       {1024, 14 * 14}, {512, 14 * 14}, {512, 7 * 7},   {2048, 7 * 7}};
    const size_t grain = argc > 1 ? (size_t)atoi(argv[1]) : 8, most = (size_t)BATCH * 64 * 112 * 112;
    struct layer l = {.x = malloc(most * 4), .dy = malloc(most * 4), .y = malloc(most * 4), .save = calloc(2 * 2048, 8)};
    l.exec = (batchnorm_exec){.size = sizeof l.exec, .threads = argc > 2 ? atoi(argv[2]) : 1};
    if (!l.x || !l.dy || !l.y || !l.save) return EXIT_FAILURE;
    for (size_t i = 0; i < most; i++) {
        ((float *)(size_t)l.x)[i] = (float)(i * 2654435761u % 1000) / 1000;
        ((float *)(size_t)l.dy)[i] = (float)(i * 40503u % 1000) / 1000 - 0.5f;
    }
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
