/* SPDX-License-Identifier: MIT */
/* The items of work that a training forward in F32 hands out, for several shapes and numbers of threads, the bytes of x that
 * each covers, and the predicted balance: the table of docs/performance.md. What is handed out as a single item does not show.
 *
 *     cc -O2 bench/items.c -Iinclude -Lbuild -lbatchnorm -Wl,-rpath,build -o items && ./items */
#include <stdio.h>
#include <stdlib.h>

#include <batchnorm/batchnorm.h>

enum { HAND_OUTS = 8 };

struct seen {
    size_t items[HAND_OUTS];
    int count;
};

/* Not parallel: an item is run after the other, and how many there were is kept. */
static void count_items(void *user, size_t items, batchnorm_task *task, void *arg) {
    struct seen *seen = user;
    if (seen->count < HAND_OUTS) seen->items[seen->count++] = items;
    for (size_t i = 0; i < items; i++) task(arg, i);
}

/* What is busy on average while the items last, if they take equally long. */
static double balance(size_t items, size_t threads) {
    return (double)items / (double)((items + threads - 1) / threads * threads);
}

static void report(batchnorm_shape shape, batchnorm_strides strides, const char *layout, const float *x, float *y) {
    const size_t n = shape.outer, c = shape.channels, s = shape.inner;
    const batchnorm_forward_call call = {.size = sizeof call, .shape = shape, .x = {x, strides}, .y = {y, strides}};
    static const int threads[] = {1, 8, 64, 128};
    printf("| (%zu, %zu, %zu) | %s |", n, c, s, layout);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        struct seen seen = {.count = 0};
        batchnorm_exec exec = {
            .size = sizeof(batchnorm_exec), .parallel_for = count_items, .user = &seen, .threads = threads[t]};
        if (batchnorm_forward(&call, &exec) != BATCHNORM_OK) exit(EXIT_FAILURE);
        for (int i = 0; i < seen.count; i++) {
            double kilobytes = (double)(n * c * s * sizeof *x) / (double)seen.items[i] / 1024;
            printf("%s %zu x %.0f KB: %.2f", i ? ";" : "", seen.items[i], kilobytes,
                   balance(seen.items[i], (size_t)threads[t]));
        }
        printf("%s |", seen.count ? "" : " 1");
    }
    printf("\n");
}

int main(void) {
    static const size_t shapes[][3] = {{32, 64, 112 * 112}, {32, 256, 56 * 56}, {32, 512, 28 * 28}, {32, 1024, 14 * 14},
                                       {32, 2048, 7 * 7},   {128, 512, 1},      {100, 16, 28 * 28}};
    size_t most = (size_t)32 * 256 * 56 * 56;
    float *x = calloc(most, sizeof *x), *y = calloc(most, sizeof *y);
    if (!x || !y) return EXIT_FAILURE;
    printf("| x | layout | threads: 1 | 8 | 64 | 128 |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t n = shapes[i][0], c = shapes[i][1], s = shapes[i][2];
        const batchnorm_shape shape = {n, c, s, BATCHNORM_F32};
        if (s > 1) report(shape, batchnorm_planar(shape), "nchw", x, y);
        report(shape, batchnorm_channels_last(shape), s > 1 ? "nhwc" : "nc", x, y);
    }
    free(x);
    free(y);
    return EXIT_SUCCESS;
}
