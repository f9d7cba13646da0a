/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "ranks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What one rank brings, and what all get. */
struct world {
    int ranks;
    pthread_barrier_t barrier;
    const void *given[RANKS_MAX];
    size_t counts[RANKS_MAX];
    const size_t *send[RANKS_MAX];
};

struct rank {
    struct world *world;
    batchnorm_group group;
    void *all; /* copies for each rank, as processes have */
    size_t counts[RANKS_MAX];
    long calls;
    void (*work)(batchnorm_group *group, void *arg);
    void *arg;
};

static long fails_at = -1;

void transport_fails_at(long call) { fails_at = call; }

static int gather(void *user, const void *bytes, size_t count, const void **all, const size_t **counts) {
    struct rank *r = user;
    struct world *w = r->world;
    w->given[r->group.rank] = bytes;
    w->counts[r->group.rank] = count;
    pthread_barrier_wait(&w->barrier);
    size_t sum = 0;
    for (int i = 0; i < w->ranks; i++) sum += w->counts[i];
    free(r->all);
    char *at = r->all = malloc(sum ? sum : 1);
    for (int i = 0; i < w->ranks; at += w->counts[i++]) memcpy(at, w->given[i], w->counts[i]);
    memcpy(r->counts, w->counts, sizeof r->counts);
    *all = r->all;
    *counts = r->counts;
    pthread_barrier_wait(&w->barrier);
    return r->calls++ == fails_at ? 7 : 0;
}

int scatter_ranks(void *user, const void *bytes, const size_t *send, const size_t *receive, const void **all) {
    struct rank *r = user;
    struct world *w = r->world;
    const int own = r->group.rank;
    w->given[own] = bytes;
    w->send[own] = send;
    pthread_barrier_wait(&w->barrier);
    size_t sum = 0;
    for (int i = 0; i < w->ranks; i++) sum += receive[i];
    free(r->all);
    char *at = r->all = malloc(sum ? sum : 1);
    for (int i = 0; i < w->ranks; at += receive[i++]) {
        const char *from = w->given[i];
        for (int j = 0; j < own; j++) from += w->send[i][j];
        if (receive[i] != w->send[i][own]) abort();
        memcpy(at, from, receive[i]);
    }
    *all = r->all;
    pthread_barrier_wait(&w->barrier);
    return r->calls++ == fails_at ? 7 : 0;
}

static void *run(void *arg) {
    struct rank *r = arg;
    r->work(&r->group, r->arg);
    return NULL;
}

void run_ranks(int ranks, void (*work)(batchnorm_group *group, void *arg), void *arg) {
    struct world world = {.ranks = ranks};
    struct rank rank[RANKS_MAX];
    pthread_t thread[RANKS_MAX];
    pthread_barrier_init(&world.barrier, NULL, (unsigned)ranks);
    for (int i = 0; i < ranks; i++) {
        rank[i] = (struct rank){.world = &world, .work = work, .arg = arg};
        rank[i].group =
            (batchnorm_group){.size = sizeof rank[i].group, .rank = i, .ranks = ranks, .gather = gather, .user = &rank[i]};
        pthread_create(&thread[i], NULL, run, &rank[i]);
    }
    for (int i = 0; i < ranks; i++) {
        pthread_join(thread[i], NULL);
        free(rank[i].all);
    }
    pthread_barrier_destroy(&world.barrier);
}
