/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/transport.h"

batchnorm_status bn_mpi_fail(char *message, batchnorm_status status, const char *format, ...) {
    if (message) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message, BATCHNORM_MPI_MESSAGE, format, arguments);
        va_end(arguments);
    }
    return status;
}

bool bn_mpi_is_ready(char *message) {
    int begun = 0, over = 0;
    MPI_Initialized(&begun);
    MPI_Finalized(&over);
    if (begun && !over) return true;
    bn_mpi_fail(message, BATCHNORM_TRANSPORT, over ? "MPI_Finalize() was called already" : "MPI_Init() was not called yet");
    return false;
}

bool bn_mpi_may_call(char *message) {
    int level = MPI_THREAD_SINGLE, is_main = 0;
    if (!bn_mpi_is_ready(message)) return false;
    MPI_Query_thread(&level);
    MPI_Is_thread_main(&is_main);
    if (level > MPI_THREAD_FUNNELED || is_main) return true;
    bn_mpi_fail(message, BATCHNORM_TRANSPORT,
                "this is not the thread that initialized MPI, and no other may call it; MPI_THREAD_SERIALIZED would do");
    return false;
}

bool bn_mpi_worked(int result, const char *call, char *message) {
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (result == MPI_SUCCESS) return true;
    MPI_Error_string(result, text, &length);
    text[strcspn(text, "\n")] = '\0';
    bn_mpi_fail(message, BATCHNORM_TRANSPORT, "%s: %.200s", call, text);
    return false;
}

static void release(batchnorm_mpi *mpi) {
    free(mpi->slots);
    free(mpi->peers);
    free(mpi->counts);
    free(mpi->sizes);
    free(mpi->places);
    free(mpi->all);
    free(mpi->parts);
    free(mpi);
}

static batchnorm_mpi *allocate(int rank, int ranks) {
    batchnorm_mpi *mpi = calloc(1, sizeof *mpi);
    const size_t n = (size_t)ranks;
    if (!mpi) return NULL;
    mpi->rank = rank;
    mpi->ranks = ranks;
    mpi->slots = malloc(n * sizeof *mpi->slots);
    mpi->room = n * BN_SLOT_ROOM; /* so that calls of small messages need no more */
    mpi->all = malloc(mpi->room);
    mpi->peers = calloc(n, sizeof *mpi->peers);
    mpi->counts = malloc(n * sizeof *mpi->counts);
    mpi->sizes = malloc(2 * n * sizeof *mpi->sizes);
    mpi->places = malloc(2 * n * sizeof *mpi->places);
    if (!mpi->slots || !mpi->all || !mpi->peers || !mpi->counts || !mpi->sizes || !mpi->places) {
        release(mpi);
        return NULL;
    }
    for (int i = 0; i < ranks; i++)
        for (int kind = 0; kind < BN_NOTE_KINDS; kind++) mpi->peers[i].request[kind] = MPI_REQUEST_NULL;
    return mpi;
}

/* Makes the communicator of the transport. What MPI has begun it may end as long as the process lives, so that `mpi` stays
 * where this was given up. */
static batchnorm_status duplicate(MPI_Comm communicator, batchnorm_mpi *mpi, char *message) {
    MPI_Request request;
    const double begin = MPI_Wtime();
    int result = MPI_Comm_idup(communicator, &mpi->communicator, &request), done = 0;
    for (double waited; result == MPI_SUCCESS && !done; bn_mpi_pause(waited)) {
        result = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        waited = MPI_Wtime() - begin;
        if (result == MPI_SUCCESS && !done && waited > mpi->limit)
            return bn_mpi_fail(message, BATCHNORM_TRANSPORT, "not all %d ranks have called batchnorm_mpi_create() within %g s",
                               mpi->ranks, mpi->limit);
    }
    if (!bn_mpi_worked(result, "MPI_Comm_idup", message)) return BATCHNORM_TRANSPORT;
    return bn_mpi_worked(MPI_Comm_set_errhandler(mpi->communicator, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", message)
               ? BATCHNORM_OK
               : BATCHNORM_TRANSPORT;
}

batchnorm_status batchnorm_mpi_create(MPI_Comm communicator, double limit, batchnorm_mpi **mpi, char *message) {
    int between = 0, rank = 0, ranks = 0;
    if (!mpi) return bn_mpi_fail(message, BATCHNORM_NULL_POINTER, "mpi is NULL: it is where the transport goes");
    *mpi = NULL;
    if (!(limit >= 0)) return bn_mpi_fail(message, BATCHNORM_BAD_OPTION, "the limit is %g s; it must be 0 or more", limit);
    if (communicator == MPI_COMM_NULL)
        return bn_mpi_fail(message, BATCHNORM_BAD_OPTION, "the communicator is MPI_COMM_NULL: this process is not one of its");
    if (!bn_mpi_may_call(message)) return BATCHNORM_TRANSPORT;
    MPI_Comm_test_inter(communicator, &between);
    if (between)
        return bn_mpi_fail(message, BATCHNORM_BAD_OPTION,
                           "the communicator is one between two groups; MPI_Intercomm_merge() makes one of both");
    MPI_Comm_rank(communicator, &rank);
    MPI_Comm_size(communicator, &ranks);
    batchnorm_mpi *made = allocate(rank, ranks);
    if (!made) return bn_mpi_fail(message, BATCHNORM_NO_MEMORY, "no memory for a transport of %d ranks", ranks);
    made->limit = limit > 0 ? limit : BATCHNORM_MPI_LIMIT;
    const batchnorm_status status = duplicate(communicator, made, message);
    if (!status) *mpi = made;
    return status;
}

void batchnorm_mpi_destroy(batchnorm_mpi *mpi) {
    if (!mpi || mpi->ended) return;
    if (bn_mpi_is_ready(mpi->message)) {
        if (!bn_mpi_notes_are_done(mpi)) return;
        MPI_Comm_free(&mpi->communicator);
    }
    release(mpi);
}

static const char *say(void *user) { return ((batchnorm_mpi *)user)->message; }

batchnorm_group batchnorm_mpi_group(batchnorm_mpi *mpi, const char *name) {
    if (!mpi) return (batchnorm_group){.size = 0};
    return (batchnorm_group){.size = sizeof(batchnorm_group),
                             .rank = mpi->rank,
                             .ranks = mpi->ranks,
                             .gather = bn_mpi_gather,
                             .user = mpi,
                             .message = say,
                             .name = name};
}

batchnorm_status batchnorm_mpi_check_start(char *message) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    int size = 0, length = 0;
    char version[MPI_MAX_LIBRARY_VERSION_STRING + 1] = "";
    if (!bn_mpi_is_ready(message)) return BATCHNORM_TRANSPORT;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size > 1) return BATCHNORM_OK;
    MPI_Get_library_version(version, &length);
    version[strcspn(version, "\n,")] = '\0';
    for (char *tab; (tab = strchr(version, '\t'));) *tab = ' ';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        const long started = text ? strtol(text, NULL, 10) : 0;
        if (started > 1)
            return bn_mpi_fail(message, BATCHNORM_TRANSPORT,
                               "%s says that %ld processes were started, but each is alone for this MPI, which is %.80s: start "
                               "them with its own mpirun",
                               names[i], started, version);
    }
    return BATCHNORM_OK;
}
