/* SPDX-License-Identifier: MIT */
/* NumPy's .npz files: a zip file with an .npy file for each array. */
#ifndef TOOLS_SHARED_NPZ_H
#define TOOLS_SHARED_NPZ_H

#include "array.h"

struct npz_member {
    char *name; /* of the array, without ".npy" */
    const void *bytes;
    size_t count;
};

struct npz {
    void *memory;
    struct npz_member *members;
    size_t count;
};

/* Opens a file that numpy.savez() wrote; compressed ones are refused. false: message, MESSAGE_BYTES long, says what is wrong.
 * Close it in any case. */
bool npz_open(struct npz *npz, const char *path, char *message);
void npz_close(struct npz *npz);

/* Reads an array as doubles. */
bool npz_read(const struct npz_member *member, struct array *array, char *message);

#endif
