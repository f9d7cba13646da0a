/* SPDX-License-Identifier: MIT */
/* A batchnorm_parallel_for on POSIX threads that start anew for every call: the simplest one that really runs at once. */
#ifndef TESTS_SUPPORT_THREADS_H
#define TESTS_SUPPORT_THREADS_H

#include <pthread.h>
#include <stdatomic.h>

#include "batchnorm/batchnorm.h"

enum { THREADS_MAX = 16 };

struct threads_call {
    batchnorm_task *task;
    void *arg;
    size_t items;
    atomic_size_t next;
};

static void *threads_main(void *p) {
    struct threads_call *call = p;
    for (;;) {
        size_t item = atomic_fetch_add(&call->next, 1);
        if (item >= call->items) return NULL;
        call->task(call->arg, item);
    }
}

/* `user` points to the number of threads, an int of 1 to THREADS_MAX. A thread that cannot be started is done without. */
static void threads_for(void *user, size_t items, batchnorm_task *task, void *arg) {
    struct threads_call call = {.task = task, .arg = arg, .items = items};
    atomic_init(&call.next, 0);
    pthread_t id[THREADS_MAX];
    int started = 0;
    for (int i = 1; i < *(const int *)user; i++) started += pthread_create(&id[started], NULL, threads_main, &call) == 0;
    threads_main(&call);
    for (int i = 0; i < started; i++) pthread_join(id[i], NULL);
}

#endif
