/* SPDX-License-Identifier: MIT */
/* The tensors of a state that is written again: their bytes, and the numbers of those that are looked at. What is not changed
 * is written as it was read, whatever its type. */
#ifndef TOOLS_SHARED_STATE_TENSORS_H
#define TOOLS_SHARED_STATE_TENSORS_H

#include "batchnorm/safetensors.h"
#include "model_file.h"
#include "src/model/range.h"

/* Element types: of models, of safetensors, and of those into which numbers can go, whose ranges are in range.h. */
struct state_type {
    const char *model, *file;
    size_t bytes;
    bool is_float;
    batchnorm_dtype dtype;
};

struct state_item {
    const char *name;
    char *own_name;    /* that name, where it is none of the file's; freed with the item */
    const char *dtype; /* as safetensors spells it */
    int rank;
    int64_t shape[BATCHNORM_MAX_RANK];
    unsigned char *raw; /* its elements as a file has them */
    size_t bytes;
    size_t index;   /* in the model; NOT_IN_MODEL: */
    double *values; /* of what is looked at */
    size_t count;
    bool gone, is_changed;
};

#define NOT_IN_MODEL SIZE_MAX

struct state {
    const struct model_file *file;
    struct state_item *items; /* the tensors of the file, then those that are new */
    size_t count, room;
    char message[BATCHNORM_MODEL_MESSAGE];
};

/* Notes what is wrong, with two texts, and returns false, as all of these do where something is. */
bool state_fail(struct state *state, const char *format, const char *a, const char *b);

/* The type of the elements; NULL for one that is only passed on. */
const struct state_type *state_type(const struct state_item *item);

/* Reads the bytes of everything, with room for so many tensors that are new; a tensor that could not be written is refused. */
bool state_read(struct state *state, size_t more);
/* Adds a tensor of zeros of rank 1. Takes the name, which may be NULL for want of memory; NULL: a failure. */
struct state_item *state_add(struct state *state, char *name, const char *dtype, size_t count);
/* Makes the numbers of a tensor of floats; NULL has none, which is no fault here. */
bool state_numbers(struct state *state, struct state_item *item);
/* Writes everything that is not gone, with changed numbers rounded to their types. */
bool state_write(struct state *state, const char *path, const batchnorm_safetensors_pair *metadata, size_t pairs);
void state_free(struct state *state);
/* Frees a list of tensors that was taken out of a state. */
void state_free_items(struct state_item *items, size_t count);

#endif
