/* SPDX-License-Identifier: MIT */
/* What a mask costs: training forward and backward in F32 with masks beside the same without one, in turns, on one thread.
 * Prints the speed for each element that counts, as a part of the speed without a mask, from the least times of each:
 *
 *     (time without / elements) / (time with / elements that count)
 *
 * The masks are of padded sequences, a run of ones at the front of each sample, .7 of it on average, and of single positions,
 * .6 of which are ones at random; "outputs" are with BATCHNORM_MASK_OUTPUTS.
 *
 *     cc -O2 bench/mask.c -Iinclude -Lbuild -lbatchnorm -Wl,-rpath,build -o mask && ./mask */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "layer_calls.h"

enum { TURNS = 15, MASKS = 4 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The two kinds of masks, and their ones. */
struct masks {
    unsigned char *ones[2];
    size_t count[2];
};

static double random_number(void) { return (double)rand() / ((double)RAND_MAX + 1); }

static void make_masks(const struct layer *l, struct masks *m) {
    m->count[0] = m->count[1] = 0;
    for (size_t n = 0; n < l->n; n++) {
        const size_t length = (size_t)((.4 + .6 * random_number()) * (double)l->s + .5);
        for (size_t i = 0; i < l->s; i++) {
            m->count[0] += m->ones[0][n * l->s + i] = i < length;
            m->count[1] += m->ones[1][n * l->s + i] = random_number() < .6;
        }
    }
}

/* 0: none, then front, front with outputs, random, random with outputs. */
static batchnorm_mask mask_of(const struct layer *l, const struct masks *m, int which) {
    if (which == 0) return (batchnorm_mask){.data = NULL};
    return (batchnorm_mask){.data = m->ones[(which - 1) / 2],
                            .outer = (ptrdiff_t)l->s,
                            .inner = 1,
                            .flags = (which - 1) % 2 ? BATCHNORM_MASK_OUTPUTS : 0};
}

static void measure(const struct layer *l, const struct masks *m, int rows, int backward) {
    double least[1 + MASKS];
    const size_t all = l->n * l->s, repeat = 1 + 3000000 / (all * l->c);
    for (int t = -1; t < TURNS; t++)
        for (int k = 0; k <= MASKS; k++) {
            const double begin = now();
            for (size_t i = 0; i < repeat; i++) run_layer(l, rows, backward, 0, mask_of(l, m, k));
            const double time = now() - begin;
            if (t <= 0 || time < least[k]) least[k] = time;
        }
    printf("| (%zu, %zu, %zu) | %s | %s |", l->n, l->c, l->s, rows ? "rows" : "planes", backward ? "backward" : "train");
    for (int k = 1; k <= MASKS; k++) printf(" %.2f |", least[0] / (double)all / (least[k] / (double)m->count[(k - 1) / 2]));
    printf(" %.0f |\n", least[0] / (double)repeat * 1e6);
    fflush(stdout);
}

int main(void) {
    static const size_t layers[][3] = {{32, 80, 1000}, {32, 256, 500}, {64, 512, 100}, {16, 64, 56 * 56}, {32, 3, 4096}};
    const size_t most = (size_t)32 * 256 * 500;
    struct layer l;
    struct masks m = {{malloc(1 << 20), malloc(1 << 20)}, {0, 0}};
    if (!make_layer(&l, most, 2048, 1) || !m.ones[0] || !m.ones[1]) return EXIT_FAILURE;
    printf("| shape | layout | | front | outputs | random | outputs | us without |\n|---|---|---|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        l.n = layers[i][0];
        l.c = layers[i][1];
        l.s = layers[i][2];
        make_masks(&l, &m);
        for (int k = 0; k < 4; k++) measure(&l, &m, k / 2, k % 2);
    }
    return EXIT_SUCCESS;
}
