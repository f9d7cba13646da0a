/* SPDX-License-Identifier: MIT */
/*! \file mpi.h
 * The transport of batchnorm/sync.h over MPI: the processes of a communicator are the ranks of a group. In its own library,
 * libbatchnorm-mpi, because it needs an MPI (3.0 or later); a program is compiled with the one that the library was built with.
 *
 *     batchnorm_mpi *mpi;
 *     if (batchnorm_mpi_create(MPI_COMM_WORLD, 0, &mpi, message) != BATCHNORM_OK) ... // after MPI_Init()
 *     batchnorm_group group = batchnorm_mpi_group(mpi, "bn1");
 *     batchnorm_layer_set_group(layer, &group, 8, first_sample);
 *
 * Nobody waits for ever: where a rank does not come to a call that the others have made, they return TRANSPORT after a while,
 * with its number in the message. MPI knows no way back from there. What is left to do is to print the message and to call
 * MPI_Abort(), which ends all processes; the library never does.
 */
#ifndef BATCHNORM_MPI_H
#define BATCHNORM_MPI_H

#include <mpi.h>

#include "batchnorm/sync.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! A transport over a communicator of its own. */
typedef struct batchnorm_mpi batchnorm_mpi;

/*! How many seconds ranks wait for each other, where nothing else is said. */
#define BATCHNORM_MPI_LIMIT 300

/*! Room for the text of an error. */
#define BATCHNORM_MPI_MESSAGE 256

/*! Make a transport. All processes of the communicator call it, in the same order as their other calls of that kind, between
 * MPI_Init() and MPI_Finalize(). The communicator is duplicated, so that nothing meets the caller's own messages; it may be any
 * but one between two groups of processes, for example a part that MPI_Comm_split() has made.
 *
 * Units:   limit: seconds that a rank waits for the others in a call, and here; 0 is BATCHNORM_MPI_LIMIT, INFINITY is for
 *          ever. When half of them have passed, it asks the others whether they have come. message: BATCHNORM_MPI_MESSAGE
 *          bytes, written on error.
 * NULL:    message: not wanted.
 * Memory:  destroy it with batchnorm_mpi_destroy(). It keeps 9 KB for each rank, and as much as the messages of a call have
 *          taken, if that is more.
 * Threads: those of the calls that use it, one at a time. If MPI was initialized with MPI_THREAD_SINGLE or
 *          MPI_THREAD_FUNNELED, only the thread that has done so; with MPI_THREAD_SERIALIZED the caller sees to it that no
 *          other thread calls MPI meanwhile. The threads that compute never call MPI.
 * Returns: OK
 *          NULL_POINTER: mpi
 *          BAD_OPTION: a limit that is negative or no number; MPI_COMM_NULL
 *          TRANSPORT: MPI was not initialized yet, or finalized already; the wrong thread
 *          BAD_OPTION: also a communicator between two groups
 *          NO_MEMORY
 *          TRANSPORT: also where MPI failed, or not all processes have come within the limit
 *          On error *mpi is NULL.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_mpi_create(MPI_Comm communicator, double limit, batchnorm_mpi **mpi,
                                                                    char *message);
/*! Free it, on all ranks and before MPI_Finalize(). After a call that was given up it frees nothing, because MPI may use it
 * yet. NULL is fine. */
BATCHNORM_API void batchnorm_mpi_destroy(batchnorm_mpi *mpi);

/*! A group over the transport, as batchnorm/sync.h has it: for all layers, or one for each, so that messages say which. All
 * ranks make the same calls in the same order, whatever the groups.
 *
 * NULL:    name: messages do without. All zeros for mpi = NULL, which every call refuses.
 * Memory:  the name and the transport must stay as long as the group is used.
 * Since:   0.1
 */
BATCHNORM_API batchnorm_group batchnorm_mpi_group(batchnorm_mpi *mpi, const char *name);

/*! Give each rank what is for it. For what a program sums up over ranks beside batch norm, such as gradients, in an order of
 * its own: each rank gets the same part of what all have, adds it up, and the sums are gathered (`gather` of a group). So
 * each sends and gets about twice what it has, however many there are, where a gather of all would be once for each of them.
 * All ranks call it, in the same order as their other calls.
 *
 * Shapes:  send, receive: [ranks]; bytes: send[0] for rank 0, then send[1] for rank 1, ...; *all: receive[0] from rank 0, then
 *          receive[1] from rank 1, .... What one rank sends another is what that receives from it; each knows its own sizes.
 * Units:   bytes
 * NULL:    bytes where nothing is sent.
 * Memory:  *all is the transport's, and stays until the next call over it.
 * Threads: as batchnorm_mpi_create() says.
 * Returns: OK
 *          NULL_POINTER: mpi, send, receive or all
 *          TRANSPORT: a rank has not come within the limit or has given up, MPI failed, there is no memory, or more than
 *          INT_MAX bytes go or come; `message` of a group says which, and no call can follow
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_mpi_scatter(batchnorm_mpi *mpi, const void *bytes, const size_t *send,
                                                                     const size_t *receive, const void **all);

/*! Tell whether this process was started by the mpirun of another MPI, or by a srun that does not know this one: then each
 * process believes to be the only one, and would do all of the work. What is compared is the size of MPI_COMM_WORLD with what
 * those tell in the environment: OMPI_COMM_WORLD_SIZE, PMI_SIZE, SLURM_STEP_NUM_TASKS.
 *
 * Units:   message: BATCHNORM_MPI_MESSAGE bytes, written on error.
 * NULL:    message: not wanted.
 * Returns: OK
 *          TRANSPORT: so it is, and the message says which MPI this is; or MPI was not initialized, or finalized already
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_mpi_check_start(char *message);

#ifdef __cplusplus
}
#endif

#endif
