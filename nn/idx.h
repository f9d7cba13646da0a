/* SPDX-License-Identifier: MIT */
/* IDX files, the format of MNIST and its relatives, plain or gzip-compressed:
 *     two zero bytes, type (8 = unsigned byte), number of dimensions, sizes (32 bit, big-endian), then the bytes.
 */
#ifndef NN_IDX_H
#define NN_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "message.h"

enum { NN_IDX_MAX_RANK = 4 };

typedef struct nn_idx {
    int rank;
    size_t shape[NN_IDX_MAX_RANK];
    uint8_t *bytes; /* free() it */
} nn_idx;

/* Reads the whole file and checks that it is exactly as long as its header says. False: `message`, NN_MESSAGE_BYTES long, names
 * the file and what is wrong with it, and nothing is to be freed. */
bool nn_idx_read(const char *path, nn_idx *idx, char *message);

#endif
