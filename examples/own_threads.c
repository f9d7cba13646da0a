/* SPDX-License-Identifier: MIT */
/* The caller's own threads: a parallel_for made of POSIX threads that take items from a common counter. The bits of the
 * result are those of one thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <batchnorm/batchnorm.h>

enum { N = 32, C = 64, S = 28 * 28, THREADS = 3 };

static float x[N * C * S], alone[N * C * S], together[N * C * S];

/* One call's work; every thread takes the next item until none is left. */
struct crew {
    batchnorm_task *task;
    void *arg;
    size_t items;
    atomic_size_t next;
};

static void *work(void *p) {
    struct crew *crew = p;
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->items;) crew->task(crew->arg, i);
    return NULL;
}

/* A batchnorm_parallel_for. `user` counts the items. A thread that cannot be started is not missed: the others do its work. */
static void run_on_threads(void *user, size_t items, batchnorm_task *task, void *arg) {
    struct crew crew = {task, arg, items, 0};
    pthread_t thread[THREADS - 1];
    int started = 0;
    while (started < THREADS - 1 && pthread_create(&thread[started], NULL, work, &crew) == 0) started++;
    work(&crew);
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    *(size_t *)user += items;
}

static void check(batchnorm_status status, const char *what) {
    if (status == BATCHNORM_OK) return;
    fprintf(stderr, "own_threads: %s: %s\n", what, batchnorm_status_string(status));
    exit(EXIT_FAILURE);
}

int main(void) {
    for (size_t i = 0; i < N * C * S; i++) x[i] = (float)((double)rand() / RAND_MAX);

    const batchnorm_shape shape = {N, C, S, BATCHNORM_F32};
    const batchnorm_strides nchw = batchnorm_planar(shape);
    batchnorm_forward_call call = {.size = sizeof call, .shape = shape, .x = {x, nchw}, .y = {alone, nchw}};
    batchnorm_exec one = {.size = sizeof(batchnorm_exec), .threads = 1};
    check(batchnorm_forward(&call, &one), "one thread");

    size_t items = 0;
    batchnorm_exec own = {.size = sizeof(batchnorm_exec), .parallel_for = run_on_threads, .user = &items};
    call.y.data = together;
    check(batchnorm_forward(&call, &own), "own threads");

    int same = memcmp(alone, together, sizeof alone) == 0;
    printf("%zu items on %d threads; the bits are %s\n", items, THREADS, same ? "the same" : "different");
    return same && items > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
