/* SPDX-License-Identifier: MIT */
/* Where the command was built without MPI. */
#include <stdio.h>

#include "ranks.h"

bool ranks_begin(struct batchnorm_group *group, char *message) {
    int rank, ranks;
    *group = (struct batchnorm_group){.size = sizeof *group, .ranks = 1};
    message[0] = '\0';
    if (!ranks_started(&rank, &ranks) || ranks == 1) return true;
    if (rank == 0)
        snprintf(message, NN_MESSAGE_BYTES,
                 "started as %d processes, of which each would train alone: this batchnorm was built without MPI; install an "
                 "MPI (Debian: libopenmpi-dev) and build again",
                 ranks);
    return false;
}

void ranks_end(bool lost, int code) {
    (void)lost;
    (void)code;
}

const char *ranks_why(void) { return ""; }
