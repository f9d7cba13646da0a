/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "ranks.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/machine.h"

/* What a rank tells of itself. */
struct place {
    char host[256];
    int threads; /* that its user has chosen by a variable of OpenMP; 0: none */
    cpu_set_t cores;
};

static struct place own_place(void) {
    const char *chosen = getenv("OMP_NUM_THREADS");
    struct place place;
    memset(&place, 0, sizeof place);
    gethostname(place.host, sizeof place.host - 1);
    place.threads = chosen && *chosen ? nn_default_threads() : 0;
    if (sched_getaffinity(0, sizeof place.cores, &place.cores) != 0)
        for (int i = 0; i < nn_default_threads() && i < CPU_SETSIZE; i++) CPU_SET(i, &place.cores);
    return place;
}

static struct place place_of(const nn_ranks *ranks, int rank) {
    struct place place;
    size_t bytes;
    const void *message = nn_ranks_message_of(ranks, rank, &bytes);
    memset(&place, 0, sizeof place);
    memcpy(&place, message, bytes < sizeof place ? bytes : sizeof place);
    return place;
}

/* The share of a rank in the cores of its host. */
static int share_of(const nn_ranks *ranks, int rank) {
    const struct place own = place_of(ranks, rank);
    cpu_set_t all;
    int sharing = 0;
    CPU_ZERO(&all);
    for (int i = 0; i < ranks->group.ranks; i++) {
        const struct place other = place_of(ranks, i);
        if (strcmp(other.host, own.host) != 0) continue;
        CPU_OR(&all, &all, &other.cores);
        sharing++;
    }
    return own.threads > 0 ? own.threads : CPU_COUNT(&all) / sharing;
}

nn_error ranks_threads(nn_ranks *ranks, int *threads) {
    const struct place place = own_place();
    void *message = nn_ranks_message(ranks, sizeof place);
    if (!message) return NN_NO_MEMORY;
    memcpy(message, &place, sizeof place);
    const nn_error error = nn_ranks_gather(ranks, NN_PLACES);
    if (error) return error;
    *threads = share_of(ranks, 0);
    for (int i = 1; i < ranks->group.ranks; i++)
        if (share_of(ranks, i) < *threads) *threads = share_of(ranks, i);
    if (*threads < 1) *threads = 1;
    return NULL;
}
