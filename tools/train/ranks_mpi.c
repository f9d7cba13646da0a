/* SPDX-License-Identifier: MIT */
/* The module: the processes of MPI_COMM_WORLD. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "batchnorm/mpi.h"
#include "ranks_module.h"

static batchnorm_mpi *transport;

/* Also where the process exits with its options: mpirun takes it for a crash otherwise. */
static void finish(void) {
    int over = 0;
    MPI_Finalized(&over);
    if (over) return;
    batchnorm_mpi_destroy(transport);
    MPI_Finalize();
}

/* What a user sets where one process may be long alone; 0: the usual. */
static bool read_limit(double *limit, char message[BATCHNORM_MPI_MESSAGE]) {
    const char *text = getenv("BATCHNORM_MPI_LIMIT");
    char *end;
    *limit = 0;
    if (!text || !*text) return true;
    *limit = strtod(text, &end);
    if (*end == '\0' && *limit > 0) return true; /* infinity, too */
    snprintf(message, BATCHNORM_MPI_MESSAGE, "BATCHNORM_MPI_LIMIT: '%.100s' is not a number of seconds above 0", text);
    return false;
}

static bool begin(struct batchnorm_group *group, int rank, char *message) {
    char why[BATCHNORM_MPI_MESSAGE] = "MPI cannot be begun";
    int level;
    double limit;
    const bool begun = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) == MPI_SUCCESS;
    if (begun) atexit(finish);
    if (!begun || !read_limit(&limit, why) || batchnorm_mpi_check_start(why) ||
        batchnorm_mpi_create(MPI_COMM_WORLD, limit, &transport, why)) {
        if (rank == 0) snprintf(message, NN_MESSAGE_BYTES, "%s", why);
        return false;
    }
    *group = batchnorm_mpi_group(transport, NULL);
    return true;
}

static int scatter(void *user, const void *bytes, const size_t *send, const size_t *receive, const void **all) {
    (void)user;
    return (int)batchnorm_mpi_scatter(transport, bytes, send, receive, all);
}

static void end(bool lost, int code) {
    fflush(NULL);
    if (lost) MPI_Abort(MPI_COMM_WORLD, code);
    finish();
}

__attribute__((visibility("default"))) const struct ranks_module RANKS_MODULE = {RANKS_MODULE_VERSION, begin, scatter, end};
