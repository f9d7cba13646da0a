/* SPDX-License-Identifier: MIT */
/* Gather: a collective of slots, which have the sizes and all of the small messages; and where one is larger than a slot, a
 * second one of the messages as they are. All ranks see all sizes, so that they decide alike.
 * Scatter: one collective, of whose sizes each rank knows its own. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/transport.h"

/* Exchanges the slots. */
static bool gather_slots(batchnorm_mpi *mpi, const void *bytes, size_t count) {
    MPI_Request request;
    mpi->own.count = count;
    if (count <= BN_SLOT_ROOM && count) memcpy(mpi->own.bytes, bytes, count);
    mpi->calls++;
    const int result = MPI_Iallgather(&mpi->own, BN_SLOT, MPI_BYTE, mpi->slots, BN_SLOT, MPI_BYTE, mpi->communicator, &request);
    return bn_mpi_wait(mpi, "MPI_Iallgather", result, &request);
}

/* Makes room for all messages. A rank that has none tells the others, who wait for its part. */
static bool make_room(batchnorm_mpi *mpi, void **memory, size_t *room, size_t bytes) {
    if (bytes <= *room) return true;
    void *more = realloc(*memory, bytes);
    if (!more) {
        bn_mpi_fail(mpi->message, BATCHNORM_NO_MEMORY, "no memory for the messages of all ranks, %zu bytes", bytes);
        bn_mpi_end(mpi);
        return false;
    }
    *memory = more;
    *room = bytes;
    return true;
}

/* Exchanges the messages. MPI reads ours where it writes the others', because the caller's memory goes away where the call is
 * given up. */
static bool gather_messages(batchnorm_mpi *mpi, const void *bytes, size_t count) {
    MPI_Request request;
    size_t at = 0;
    for (int i = 0; i < mpi->ranks; at += mpi->counts[i++]) {
        mpi->sizes[i] = (int)mpi->counts[i];
        mpi->places[i] = (int)at;
    }
    if (count) memcpy((char *)mpi->all + mpi->places[mpi->rank], bytes, count);
    const int result =
        MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_BYTE, mpi->all, mpi->sizes, mpi->places, MPI_BYTE, mpi->communicator, &request);
    return bn_mpi_wait(mpi, "MPI_Iallgatherv", result, &request);
}

static bool gather(batchnorm_mpi *mpi, const void *bytes, size_t count) {
    size_t sum = 0;
    bool is_small = true;
    if (!gather_slots(mpi, bytes, count)) return false;
    for (int i = 0; i < mpi->ranks; i++) {
        mpi->counts[i] = (size_t)mpi->slots[i].count;
        is_small = is_small && mpi->counts[i] <= BN_SLOT_ROOM;
        if (mpi->slots[i].count > INT_MAX - sum) { /* and so on every rank */
            bn_mpi_fail(mpi->message, BATCHNORM_TRANSPORT,
                        "the messages of ranks 0 to %d together are longer than %d bytes, which MPI counts to", i, INT_MAX);
            return false;
        }
        sum += mpi->counts[i];
    }
    if (!make_room(mpi, &mpi->all, &mpi->room, sum)) return false;
    if (!is_small) return gather_messages(mpi, bytes, count);
    char *to = mpi->all;
    for (int i = 0; i < mpi->ranks; to += mpi->counts[i++]) memcpy(to, mpi->slots[i].bytes, mpi->counts[i]);
    return true;
}

int bn_mpi_gather(void *user, const void *bytes, size_t count, const void **all, const size_t **counts) {
    batchnorm_mpi *const mpi = user;
    if (mpi->ended) return -1; /* its message is that of the call that ended it */
    if (!bn_mpi_may_call(mpi->message) || !gather(mpi, bytes, count)) return -1;
    *all = mpi->all;
    *counts = mpi->counts;
    return 0;
}

/* Sizes as MPI wants them. False with a message, if they are too much for it; the others, who may have less, are told. */
static bool place(batchnorm_mpi *mpi, const size_t *counts, int *sizes, int *places, size_t *sum) {
    *sum = 0;
    for (int i = 0; i < mpi->ranks; *sum += counts[i++]) {
        if (counts[i] > INT_MAX - *sum) {
            bn_mpi_fail(mpi->message, BATCHNORM_TRANSPORT, "parts of more than %d bytes, which MPI counts to", INT_MAX);
            bn_mpi_end(mpi);
            return false;
        }
        sizes[i] = (int)counts[i];
        places[i] = (int)*sum;
    }
    return true;
}

/* MPI reads a copy, and writes into memory of the transport, because the caller's goes away where the call is given up. */
batchnorm_status batchnorm_mpi_scatter(batchnorm_mpi *mpi, const void *bytes, const size_t *send, const size_t *receive,
                                       const void **all) {
    MPI_Request request;
    size_t sent, received;
    if (!mpi || !send || !receive || !all) return BATCHNORM_NULL_POINTER;
    int *const places = mpi->places + mpi->ranks, *const sizes = mpi->sizes + mpi->ranks;
    if (mpi->ended || !bn_mpi_may_call(mpi->message)) return BATCHNORM_TRANSPORT;
    mpi->calls++;
    if (!place(mpi, send, mpi->sizes, mpi->places, &sent) || !place(mpi, receive, sizes, places, &received) ||
        !make_room(mpi, &mpi->parts, &mpi->parts_room, sent) || !make_room(mpi, &mpi->all, &mpi->room, received))
        return BATCHNORM_TRANSPORT;
    if (sent) memcpy(mpi->parts, bytes, sent);
    const int result = MPI_Ialltoallv(mpi->parts, mpi->sizes, mpi->places, MPI_BYTE, mpi->all, sizes, places, MPI_BYTE,
                                      mpi->communicator, &request);
    if (!bn_mpi_wait(mpi, "MPI_Ialltoallv", result, &request)) return BATCHNORM_TRANSPORT;
    *all = mpi->all;
    return BATCHNORM_OK;
}
