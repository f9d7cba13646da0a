/* SPDX-License-Identifier: MIT */
/* The threads of the Python package: every item runs once, whatever other callers, changes of the number of threads and closing
 * come meanwhile. Children of fork() are python.threads. */
#include "python/core/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CALLERS = 4, ITEMS = 500, CALLS = 1500 };

static void count(void *arg, size_t item) { ((int *)arg)[item]++; }

/* Returns how many items did not run as often as they should. */
static long call_often(void) {
    int *counts = calloc(ITEMS, sizeof *counts);
    long wrong = 0;
    for (int r = 0; r < CALLS; r++) {
        const batchnorm_exec exec = pool_exec(NULL, 0);
        exec.parallel_for(exec.user, (size_t)(r % ITEMS), count, counts);
    }
    for (int i = 0; i < ITEMS; i++) {
        int wanted = 0;
        for (int r = 0; r < CALLS; r++) wanted += i < r % ITEMS;
        wrong += counts[i] != wanted;
    }
    free(counts);
    return wrong;
}

static void *caller(void *wrong) {
    *(long *)wrong = call_often();
    return NULL;
}

int main(void) {
    pthread_t callers[CALLERS];
    long wrong[CALLERS], all = pool_threads() != pool_cores();
    for (int i = 0; i < CALLERS; i++)
        if (pthread_create(&callers[i], NULL, caller, &wrong[i])) return EXIT_FAILURE;
    for (int i = 0; i < 200; i++) {
        pool_set_threads(1 + i % 5);
        usleep(500);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i], NULL);
        all += wrong[i];
    }
    pool_set_threads(3);
    all += call_often();
    pool_close();
    all += call_often(); /* on the caller's thread */
    printf("%ld items did not run once in each call\n", all);
    return all == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
