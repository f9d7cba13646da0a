/* SPDX-License-Identifier: MIT */
/* The ranks of a training: the processes that mpirun has started, or one alone. ranks_mpi.c or ranks_none.c is linked. */
#ifndef TOOLS_TRAIN_RANKS_H
#define TOOLS_TRAIN_RANKS_H

#include "nn/ranks.h"

/* Finds the other ranks; group->ranks is 1 where there are none, *scatter NULL where there is no such way. False: `message`,
 * NN_MESSAGE_BYTES long, says what is wrong with how this process was started, or is empty where another process says it. */
bool ranks_begin(struct batchnorm_group *group, nn_scatter **scatter, char *message);
/* After all else, unless the process exits before. `lost`: the ranks cannot reach each other any more, and all must end. */
void ranks_end(bool lost, int code);

/* How many threads a rank gets where nothing is said: the cores on which the ranks of its host may run, divided by them, and on
 * all hosts as few as on that which has the fewest, so that the result does not depend on where a rank runs. */
nn_error ranks_threads(nn_ranks *ranks, int *threads);

#endif
