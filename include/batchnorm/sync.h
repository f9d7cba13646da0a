/* SPDX-License-Identifier: MIT */
/*! \file sync.h
 * Synchronized batch normalization: several ranks (processes or threads) each have a part of a batch, and normalize it with the
 * statistics of the whole, over a transport that the caller gives, or the one of batchnorm/mpi.h.
 *
 * A call with a group makes one collective, in the same order on all ranks, and its results are those of one call on the whole
 * batch: y and dx of each part, and on every rank the same dweight, dbias and running statistics, bit for bit. With a grain
 * they are also the same for any number of ranks and any cut of the batch between two chunks, where a chunk is `grain` samples
 * at a multiple of that; without one, parts are merged in the order of the ranks, and bits depend on the cut.
 *
 * Counts travel: parts may have different sizes, and a rank without samples takes part. With a grain the parts follow each
 * other in the order of the ranks: each begins with the number after the last one of the part before it, and so all but the
 * last end where a chunk does. A gap, or another order, is MISMATCH. Ranks without samples may stand anywhere; their
 * first_sample is not looked at.
 *
 * Compared: the protocol, which is another one where the order of bytes is, rank and ranks with what the transport gave, the
 * number of the call, the kind of call (forward or backward), the channels, the element type, the grain, and in backward the
 * flags and which of dweight and dbias are wanted. Where one of them differs, the call is MISMATCH on all ranks. A rank that
 * refuses its call is compared up to the number of the call, and else returns what it found.
 *
 * Not compared, and so for the caller to keep equal: eps, momentum and the other options, the activation, weight and bias, in
 * backward the saved statistics, and the flags of masks. Ranks in which they differ compute different things without a word.
 * The inner size, masks and strides may differ.
 *
 * An error on one rank is an error on all, and nobody has written anything: that rank returns what it found, the others
 * RANK_FAILED. An error that leaves a rank no group to tell it with is returned at once, and the others wait until their
 * transport gives up: a layer or a call that is NULL, a wrong size of the call or, in calls of a layer, of exec, a group whose
 * size, rank, ranks or gather is not set.
 */
#ifndef BATCHNORM_SYNC_H
#define BATCHNORM_SYNC_H

#include "batchnorm/batchnorm.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! The caller's transport: gathers `count` bytes from every rank, where counts may differ. It equals, with a memory that all
 * ranks see and a barrier before and after,
 *
 *     for (int i = 0, at = 0; i < ranks; at += (*counts)[i++]) memcpy((char *)*all + at, bytes of rank i, (*counts)[i]);
 *
 * so that *all has what all ranks gave, one after the other in their order without a gap, and (*counts)[i] says how much rank i
 * gave. Both are the transport's, and stay as they are until its next call. *all is aligned for doubles. Every rank gets the
 * same. Returns 0, or anything else if it failed, on all ranks then. */
typedef int batchnorm_all_gather(void *user, const void *bytes, size_t count, const void **all, const size_t **counts);

/*! Says why the last gather failed, in a sentence for people that is the transport's and stays until its next call. */
typedef const char *batchnorm_transport_message(void *user);

/*! A group as one of its ranks sees it. A group is used by one call at a time. */
struct batchnorm_group {
    size_t size;                          /*!< sizeof(batchnorm_group) */
    int rank;                             /*!< this one, from 0 on */
    int ranks;                            /*!< all of them */
    batchnorm_all_gather *gather;         /*!< needed */
    void *user;                           /*!< first argument of gather and message */
    uint64_t calls;                       /*!< collectives that were made; begins with the same number on all ranks */
    batchnorm_transport_message *message; /*!< NULL: the number that gather returned is all there is to say */
    const char *name; /*!< of whoever calls, such as a layer of a network: messages begin with it; NULL: it has none */
};

#ifdef __cplusplus
}
#endif
#endif
