/* SPDX-License-Identifier: MIT */
/* Threads that take items from a counter. One call at a time has them: another that comes meanwhile, from another thread of the
 * program, runs on its own, which changes no bit. A child of fork() has no threads but its own, and starts new ones. */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_THREADS = 1024 };

static struct {
    pthread_mutex_t turn; /* held by the call that has the threads, and by whoever changes them */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work, done;
    pthread_t *workers;
    int started, wanted; /* workers that run; threads of a call, 0: not set */
    unsigned long round; /* grows with every call */
    int busy;            /* workers that are not through with this round */
    bool ending, closed;
    batchnorm_task *task;
    void *arg;
    size_t items;
} pool = {.turn = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};
static atomic_size_t next_item;

static void take_items(batchnorm_task *task, void *arg, size_t items) {
    for (size_t i; (i = atomic_fetch_add_explicit(&next_item, 1, memory_order_relaxed)) < items;) task(arg, i);
}

static void *worker(void *seen) {
    unsigned long round = (unsigned long)(uintptr_t)seen;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.round == round && !pool.ending) pthread_cond_wait(&pool.work, &pool.lock);
        if (pool.ending) break;
        round = pool.round;
        pthread_mutex_unlock(&pool.lock);
        take_items(pool.task, pool.arg, pool.items);
        pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0) pthread_cond_signal(&pool.done);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* The turn is held. */
static void end_workers(void) {
    pthread_mutex_lock(&pool.lock);
    pool.ending = true;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < pool.started; i++) pthread_join(pool.workers[i], NULL);
    free(pool.workers);
    pool.workers = NULL;
    pool.started = 0;
    pool.ending = false;
}

/* The turn is held. Starts as many as the system gives. */
static void start_workers(int threads) {
    if (pool.started >= threads - 1 || pool.closed) return;
    pthread_t *workers = realloc(pool.workers, (size_t)(threads - 1) * sizeof *workers);
    if (!workers) return;
    pool.workers = workers;
    pthread_mutex_lock(&pool.lock);
    void *round = (void *)(uintptr_t)pool.round;
    pthread_mutex_unlock(&pool.lock);
    while (pool.started < threads - 1 && pthread_create(&workers[pool.started], NULL, worker, round) == 0) pool.started++;
}

static void run(void *user, size_t items, batchnorm_task *task, void *arg) {
    const int threads = pool_threads();
    (void)user;
    if (items <= 1 || threads <= 1 || pthread_mutex_trylock(&pool.turn) != 0) {
        for (size_t i = 0; i < items; i++) task(arg, i);
        return;
    }
    start_workers(threads);
    pthread_mutex_lock(&pool.lock);
    pool.task = task;
    pool.arg = arg;
    pool.items = items;
    pool.busy = pool.started;
    atomic_store_explicit(&next_item, 0, memory_order_relaxed);
    pool.round++;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    take_items(task, arg, items);
    pthread_mutex_lock(&pool.lock);
    while (pool.busy > 0) pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.turn);
}

/* fork(): no call is under way in the parent while it is copied, so that the child's pool is one at rest, without threads. */
static void before_fork(void) {
    pthread_mutex_lock(&pool.turn);
    pthread_mutex_lock(&pool.lock);
}

static void after_fork(void) {
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.turn);
}

static unsigned forks;

unsigned pool_forks(void) { return forks; }

static void in_child(void) {
    forks++;
    pool.started = 0; /* their handles mean nothing here; the array is used again */
    pool.work = pool.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER; /* the parent's workers wait on these */
    after_fork();
}

__attribute__((constructor)) static void watch_forks(void) { (void)pthread_atfork(before_fork, after_fork, in_child); }

int pool_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN); /* more of them than a cpu_set_t can tell */
    return cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (int)cores;
}

int pool_threads(void) {
    pthread_mutex_lock(&pool.lock);
    if (pool.wanted == 0) pool.wanted = pool_cores();
    const int threads = pool.wanted;
    pthread_mutex_unlock(&pool.lock);
    return threads;
}

void pool_set_threads(int threads) {
    pthread_mutex_lock(&pool.turn);
    if (threads - 1 < pool.started) end_workers();
    pthread_mutex_lock(&pool.lock);
    pool.wanted = threads < MOST_THREADS ? threads : MOST_THREADS;
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.turn);
}

void pool_close(void) {
    pthread_mutex_lock(&pool.turn);
    end_workers();
    pool.closed = true;
    pthread_mutex_unlock(&pool.turn);
}

batchnorm_exec pool_exec(char *message, size_t message_bytes) {
    return (batchnorm_exec){.size = sizeof(batchnorm_exec),
                            .parallel_for = run,
                            .threads = pool_threads(),
                            .message = message,
                            .message_bytes = message_bytes};
}
