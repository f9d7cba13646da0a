/* SPDX-License-Identifier: MIT */
/* The tensors of a state that is folded: their bytes, and the numbers of those that are looked at. What is not changed is
 * written as it was read, whatever its type. */
#ifndef TOOLS_FOLD_STATE_TENSORS_H
#define TOOLS_FOLD_STATE_TENSORS_H

#include "request.h"
#include "tools/shared/model_file.h"

/* Element types: of models, of safetensors, and of those into which numbers can go. */
struct state_type {
    const char *model, *file;
    size_t bytes;
    bool is_float;
    batchnorm_dtype dtype;
    double smallest, too_large; /* of floats: what is not flushed, the smallest normal number but of F16; what rounds to inf */
};

struct state_item {
    const char *name;
    const char *dtype; /* as safetensors spells it */
    int rank;
    int64_t shape[BATCHNORM_MAX_RANK];
    unsigned char *raw; /* its elements as a file has them */
    size_t bytes;
    size_t index;   /* in the model; NOT_IN_MODEL: */
    double *values; /* of what is looked at by a pair */
    size_t count;
    bool gone, is_changed;
};

#define NOT_IN_MODEL SIZE_MAX

struct state {
    const struct fold_request *request;
    const struct model_file *file;
    const batchnorm_model *model;
    struct state_item *items; /* the tensors of the file, then biases that are new */
    size_t count, room;
    size_t folded, flushed;
    double eps;
    char message[BATCHNORM_MODEL_MESSAGE];
};

/* Notes what is wrong, with two texts, and returns false, as all of these do where something is. */
bool state_fail(struct state *run, const char *format, const char *a, const char *b);

/* The type of the elements; NULL for one that is only passed on. */
const struct state_type *state_type(const struct state_item *item);

/* Reads the bytes of everything; a tensor that could not be written is refused. */
bool state_read(struct state *run);
/* Makes the numbers of a tensor that a pair names; NULL has none, which is no fault here. */
bool state_numbers(struct state *run, struct state_item *item);
/* Writes everything that is not gone, with changed numbers rounded to their types. */
bool state_write(struct state *run);
void state_free(struct state *run);

#endif
