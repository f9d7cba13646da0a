/* SPDX-License-Identifier: MIT */
/* Whether this process is one of several. */
#ifndef TOOLS_SHARED_STARTED_H
#define TOOLS_SHARED_STARTED_H

#include <stdbool.h>

/* What the environment tells of a process that mpirun, of whatever MPI, or srun has started. False: nothing. */
bool started_with_others(int *rank, int *ranks);

#endif
