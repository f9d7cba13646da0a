/* SPDX-License-Identifier: MIT */
/* Linked where zlib was not found. */
#include "idx.h"

#include <stdio.h>

bool nn_idx_read(const char *path, nn_idx *idx, char *message) {
    *idx = (nn_idx){0};
    snprintf(message, NN_MESSAGE_BYTES, "%s: built without zlib, which reads data sets", path);
    return false;
}
