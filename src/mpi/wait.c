/* SPDX-License-Identifier: MIT */
/* Waiting with a clock. MPI does not say which rank a collective lacks. So a rank that has waited for half of the limit asks
 * all others; each that waits, too, answers; and whoever has not answered at the end has not come: it computes, it was stopped,
 * or its machine is gone. What is told at the end goes to all, so that they end together. */
#define _POSIX_C_SOURCE 200809L
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mpi/transport.h"

enum { NOTE_TAG = 1 };

/* Ranks of one computation come within moments. Who waits longer sleeps in between, because a core may be what the late one
 * lacks. */
static const double busy = 1e-3;
static const struct timespec nap = {.tv_nsec = 50000};

/* A note is left out while the last one of its kind has not gone: who takes none learns nothing. */
static void write_note(batchnorm_mpi *mpi, int rank, enum bn_note_kind kind, uint64_t call) {
    struct bn_peer *p = &mpi->peers[rank];
    int done = 0;
    if (MPI_Test(&p->request[kind], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done) return;
    p->note[kind] = (struct bn_note){.kind = kind, .call = call};
    if (kind == BN_NOTE_END) memcpy(p->note[kind].text, mpi->message, sizeof p->note[kind].text);
    MPI_Isend(&p->note[kind], sizeof p->note[kind], MPI_BYTE, rank, NOTE_TAG, mpi->communicator, &p->request[kind]);
}

static void write_to_all(batchnorm_mpi *mpi, enum bn_note_kind kind) {
    for (int i = 0; i < mpi->ranks; i++)
        if (i != mpi->rank) write_note(mpi, i, kind, mpi->calls);
}

/* Takes the next note, if there is one. */
static bool take_note(batchnorm_mpi *mpi, struct bn_note *note, int *from) {
    int there = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, NOTE_TAG, mpi->communicator, &there, &status) != MPI_SUCCESS || !there) return false;
    *from = status.MPI_SOURCE;
    return MPI_Recv(note, sizeof *note, MPI_BYTE, *from, NOTE_TAG, mpi->communicator, MPI_STATUS_IGNORE) == MPI_SUCCESS;
}

/* Reads all notes and answers questions. False with a message, if another rank has given up. */
static bool read_notes(batchnorm_mpi *mpi) {
    struct bn_note note;
    for (int from; take_note(mpi, &note, &from);) {
        if (note.kind == BN_NOTE_END) {
            note.text[sizeof note.text - 1] = '\0';
            bn_mpi_fail(mpi->message, BATCHNORM_TRANSPORT, "rank %d has given up: %s", from, note.text);
            mpi->ended = true;
            return false;
        }
        if (note.kind == BN_NOTE_QUESTION) write_note(mpi, from, BN_NOTE_ANSWER, note.call);
        if (note.kind == BN_NOTE_ANSWER) mpi->peers[from].answered = note.call;
    }
    return true;
}

/* Says which ranks have not come, so many as a line takes. */
static void name_missing(batchnorm_mpi *mpi) {
    enum { NAMED = 8 };
    char names[NAMED * 12 + 1] = "";
    size_t at = 0;
    int missing = 0;
    for (int i = 0; i < mpi->ranks; i++) {
        if (i == mpi->rank || mpi->peers[i].answered == mpi->calls) continue;
        if (missing++ < NAMED) at += (size_t)snprintf(names + at, sizeof names - at, "%s%d", at ? ", " : "", i);
    }
    if (missing == 0)
        bn_mpi_fail(mpi->message, BATCHNORM_TRANSPORT, "all %d ranks have come, but MPI has not ended the call within %g s",
                    mpi->ranks, mpi->limit);
    else if (missing <= NAMED)
        bn_mpi_fail(mpi->message, BATCHNORM_TRANSPORT, "rank%s %s of %d %s not come within %g s", missing > 1 ? "s" : "", names,
                    mpi->ranks, missing > 1 ? "have" : "has", mpi->limit);
    else
        bn_mpi_fail(mpi->message, BATCHNORM_TRANSPORT, "ranks %s and %d others of %d have not come within %g s", names,
                    missing - NAMED, mpi->ranks, mpi->limit);
}

void bn_mpi_pause(double waited) {
    if (waited < busy)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

/* Sees to the others while a collective is not done. False with a message, if this rank gives up. */
static bool watch(batchnorm_mpi *mpi, double begin, double *asked) {
    const double now = MPI_Wtime();
    if (now - begin < busy) return true;
    if (!read_notes(mpi)) return false;
    if (*asked < begin && now - begin > mpi->limit / 2) {
        write_to_all(mpi, BN_NOTE_QUESTION);
        *asked = now;
    }
    /* counted from the question on, because a rank that was stopped itself has not waited until then */
    if (*asked < begin || now - *asked <= mpi->limit / 2) return true;
    name_missing(mpi);
    return false;
}

bool bn_mpi_wait(batchnorm_mpi *mpi, const char *call, int result, MPI_Request *request) {
    const double begin = MPI_Wtime();
    double asked = begin - 1; /* when; before the beginning: not yet */
    int done = 0;
    while (bn_mpi_worked(result, call, mpi->message)) {
        result = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (result == MPI_SUCCESS && done) return true;
        if (result == MPI_SUCCESS && !watch(mpi, begin, &asked)) break;
        bn_mpi_pause(MPI_Wtime() - begin);
    }
    if (!mpi->ended) bn_mpi_end(mpi);
    return false;
}

void bn_mpi_end(batchnorm_mpi *mpi) {
    write_to_all(mpi, BN_NOTE_END);
    mpi->ended = true;
}

bool bn_mpi_notes_are_done(batchnorm_mpi *mpi) {
    struct bn_note note;
    int from, done = 1;
    while (take_note(mpi, &note, &from)) continue;
    for (int i = 0; i < mpi->ranks * BN_NOTE_KINDS && done; i++) {
        MPI_Request *request = &mpi->peers[i / BN_NOTE_KINDS].request[i % BN_NOTE_KINDS];
        if (MPI_Test(request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) done = 0;
    }
    return done;
}
