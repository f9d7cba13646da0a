/* SPDX-License-Identifier: MIT */
/* Several processes that train one network together, each on its part of every batch: ranks of a batchnorm_group. All of them
 * make the same calls in the same order.
 *
 * An error on one rank ends all: the rank that meets one tells it (nn_ranks_settle()), and the others, who are in their next
 * exchange or come to it, get NN_RANK_FAILED or an error of batch norm there. */
#ifndef NN_RANKS_H
#define NN_RANKS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "batchnorm/sync.h"
#include "shards.h"

#define NN_RANK_FAILED "another rank failed"

/* What an exchange is about, so that ranks which do different things are found out. */
typedef enum nn_exchange {
    NN_GRADIENTS = 1,
    NN_STATISTICS,
    NN_SCORES,
    NN_AGREEMENT,
    NN_NUMBERS,
    NN_COPY,
    NN_PLACES,
    NN_PARTS,
    NN_SCATTER
} nn_exchange;

/* What a transport may have beside its gather: every rank gets from each what that has for it. bytes has send[i] bytes for rank
 * i, one after the other; *all is receive[i] bytes from rank i likewise, until the next call. All ranks know how much they get.
 * Returns what a gather does. */
typedef int nn_scatter(void *user, const void *bytes, const size_t *send, const size_t *receive, const void **all);

typedef struct nn_ranks {
    struct batchnorm_group group;            /* the same ranks, for batch norm: over the transport below, which is watched */
    const struct batchnorm_group *transport; /* the caller's, which must stay */
    nn_scatter *scatter;                     /* with the same user; NULL: there is none, and what is for one goes to all */
    bool synchronized;                       /* batch norm takes its statistics from the whole batch */
    int failed;                              /* the first rank that told a failure; -1: none */
    bool broken;                             /* the transport has failed: there are no more exchanges */
    double waited;                           /* seconds in exchanges, which are waiting and sending */
    bool others;                             /* the error that all have met is told by another rank */
    void *message;                           /* of this rank, `bytes` long, in memory of `room` */
    size_t bytes, room;
    const char *all; /* of all ranks */
    const size_t *counts;
    void *scratch, *picked; /* of `scratch_room` and `picked_room` bytes */
    size_t scratch_room, picked_room;
} nn_ranks;

void nn_ranks_init(nn_ranks *ranks, const struct batchnorm_group *transport, nn_scatter *scatter, bool synchronized);
void nn_ranks_free(nn_ranks *ranks);

/* ranks NULL is a rank alone, in all that follows. */

static inline int nn_rank(const nn_ranks *ranks) { return ranks ? ranks->group.rank : 0; }
static inline int nn_rank_count(const nn_ranks *ranks) { return ranks ? ranks->group.ranks : 1; }

/* Memory for what this rank brings to an exchange, aligned for doubles; NULL if there is none. */
void *nn_ranks_message(nn_ranks *ranks, size_t bytes);
/* The exchange. Afterwards every rank's is there, until the next. */
nn_error nn_ranks_gather(nn_ranks *ranks, nn_exchange about);
const void *nn_ranks_message_of(const nn_ranks *ranks, int rank, size_t *bytes);

/* Memory that stays for the next time, aligned for doubles; NULL if there is none. */
void *nn_ranks_scratch(nn_ranks *ranks, size_t bytes);
/* An exchange in which each rank gets what is for it alone. Others that are in it cannot learn that this rank has failed: all
 * that it needs must be there before. *all stays until the next exchange. */
nn_error nn_ranks_scatter(nn_ranks *ranks, const void *bytes, const size_t *send, const size_t *receive, const void **all);

/* Sums in an exchange: what a rank has brought. */
typedef struct nn_brought {
    size_t count;
    const char *sums, *slots; /* [count], and [count] of so many bytes as all have */
} nn_brought;

/* Begins a message with the sums of a pile. Returns where its slots go; NULL if there is no memory. */
void *nn_ranks_bring(nn_ranks *ranks, const nn_pile *pile, size_t slot_bytes);
/* The exchange. It is an error if the sums do not follow each other, or do not fit a pile of `most` slots. */
nn_error nn_ranks_gather_sums(nn_ranks *ranks, nn_exchange about, size_t slot_bytes, size_t most);
nn_brought nn_ranks_brought(const nn_ranks *ranks, int rank, size_t slot_bytes);
nn_sum nn_brought_sum(const nn_brought *brought, size_t i);

/* All of that for small slots: the sums of all ranks; slot i is at slots + i * slot_bytes, and there are NN_PILE_MAX. All is in
 * slot 0 afterwards; pile->add adds it up. A rank alone only folds. */
nn_error nn_ranks_fold(nn_ranks *ranks, nn_exchange about, nn_pile *pile, void *slots, size_t slot_bytes);

/* Whether a number is the same on all ranks; *other, if not, is the first whose number is not that of rank 0. */
nn_error nn_ranks_agree(nn_ranks *ranks, uint64_t number, bool *agree, int *other);
/* Whether it is true on any. */
nn_error nn_ranks_any(nn_ranks *ranks, bool *truth);
/* The sums of numbers. */
nn_error nn_ranks_add(nn_ranks *ranks, uint32_t *numbers, size_t count);
/* Everybody gets what rank 0 has. */
nn_error nn_ranks_copy(nn_ranks *ranks, void *bytes, size_t count);

/* What a call of batch norm in a group has come to. */
nn_error nn_ranks_check(nn_ranks *ranks, batchnorm_status status);

/* After an error, wherever it was met: all ranks know of it then. Returns whether this is the rank that reports it. */
bool nn_ranks_settle(nn_ranks *ranks);

#endif
