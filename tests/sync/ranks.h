/* SPDX-License-Identifier: MIT */
/* Ranks as threads: a transport over memory that all of them see. */
#ifndef TESTS_SYNC_RANKS_H
#define TESTS_SYNC_RANKS_H

#include "batchnorm/sync.h"

enum { RANKS_MAX = 8 };

/* Runs `work` for each rank at the same time, and returns when all are done. */
void run_ranks(int ranks, void (*work)(batchnorm_group *group, void *arg), void *arg);

/* The other way of such a transport (nn/ranks.h): each gets what is for it. */
int scatter_ranks(void *user, const void *bytes, const size_t *send, const size_t *receive, const void **all);

/* From now on the transport of every rank fails at its collective number `call`; -1: it works. */
void transport_fails_at(long call);

#endif
