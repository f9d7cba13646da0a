/* SPDX-License-Identifier: MIT */
/* What one part of a model gives and a later one takes, for every batch: in memory, and what is too much for it in files that
 * have no name, so that nothing is left behind, whatever ends the process. */
#ifndef TOOLS_RECALIBRATE_STORE_H
#define TOOLS_RECALIBRATE_STORE_H

#include "tools/shared/runtime.h"

struct kept; /* a value */

struct store {
    struct kept *values;
    size_t count, batches;
    uint64_t room, used; /* of memory, in bytes */
    uint64_t in_files;
};

void store_open(struct store *store, size_t batches, uint64_t room);
void store_close(struct store *store);

/* Keeps an array of a batch under its name, and takes over its data; until after the part `last_use`. False: message,
 * RUNTIME_MESSAGE bytes long, says why not. */
bool store_put(struct store *store, const char *name, int64_t last_use, size_t batch, struct runtime_array *array,
               char *message);

/* The type of a value; 0 if it is not kept. */
int store_type(const struct store *store, const char *name);

/* Hands out what was kept: store_done() gives it back. The name is not that of the array. */
bool store_get(const struct store *store, const char *name, size_t batch, struct runtime_array *array, char *message);
void store_done(const struct store *store, const char *name, size_t batch, struct runtime_array *array);

/* The part was run with this batch, or with all: what nobody takes any more goes. */
void store_drop(struct store *store, int64_t part, size_t batch);
void store_drop_all(struct store *store, int64_t part);

#endif
