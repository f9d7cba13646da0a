/* SPDX-License-Identifier: MIT */
/* A transport, and how its ranks wait for each other. */
#ifndef BN_MPI_TRANSPORT_H
#define BN_MPI_TRANSPORT_H

#include "batchnorm/mpi.h"

/* Ranks that wait long write notes to each other, beside the collective: a question, an answer, and why one gives up. */
enum bn_note_kind { BN_NOTE_QUESTION, BN_NOTE_ANSWER, BN_NOTE_END, BN_NOTE_KINDS };

struct bn_note {
    uint64_t kind, call; /* in which the rank is that asks, or has asked */
    char text[BATCHNORM_MPI_MESSAGE];
};

/* Another rank, as this one knows it. */
struct bn_peer {
    struct bn_note note[BN_NOTE_KINDS]; /* the last ones to it, which MPI reads until the requests are done */
    MPI_Request request[BN_NOTE_KINDS];
    uint64_t answered; /* the last question, by its call */
};

/* What every rank sends first: the size of its message, and the message itself if it is small enough. */
enum { BN_SLOT = 4096, BN_SLOT_ROOM = BN_SLOT - sizeof(uint64_t) };

struct bn_slot {
    uint64_t count;
    char bytes[BN_SLOT_ROOM];
};

struct batchnorm_mpi {
    MPI_Comm communicator;
    int rank, ranks;
    double limit;
    uint64_t calls; /* that have begun */
    bool ended;     /* a collective was given up: MPI may use all of this as long as the process lives */
    char message[BATCHNORM_MPI_MESSAGE];
    struct bn_slot own;
    struct bn_slot *slots; /* of all ranks */
    struct bn_peer *peers;
    size_t *counts;
    int *sizes, *places; /* of the messages, as MPI wants them: of a scatter what goes, then what comes */
    void *all, *parts;   /* of a gather or a scatter; what this rank has for each, in a scatter */
    size_t room, parts_room;
};

/* Writes a message, if it is wanted. Returns `status`. */
batchnorm_status bn_mpi_fail(char *message, batchnorm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether MPI is there, between its beginning and its end, and whether this thread may call it; else with a message. */
bool bn_mpi_is_ready(char *message);
bool bn_mpi_may_call(char *message);

/* Whether a call of MPI, which has this name, worked; else with a message. */
bool bn_mpi_worked(int result, const char *call, char *message);

/* Lets a rank that has waited for so many seconds wait a little more. */
void bn_mpi_pause(double waited);

/* Waits until a collective is done that this call of MPI has begun, with this result. False with a message, if it was given up;
 * the other ranks are told, and no collective can follow. */
bool bn_mpi_wait(batchnorm_mpi *mpi, const char *call, int result, MPI_Request *request);

/* Gives up likewise. `mpi->message` says why. */
void bn_mpi_end(batchnorm_mpi *mpi);

/* Whether nothing of the notes is under way any more. */
bool bn_mpi_notes_are_done(batchnorm_mpi *mpi);

/* The gather of the group. */
int bn_mpi_gather(void *user, const void *bytes, size_t count, const void **all, const size_t **counts);

#endif
