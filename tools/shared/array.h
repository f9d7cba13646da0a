/* SPDX-License-Identifier: MIT */
/* Arrays in memory that the command reads or makes. */
#ifndef TOOLS_SHARED_ARRAY_H
#define TOOLS_SHARED_ARRAY_H

#include "batchnorm/safetensors.h"

/* A view and the memory it looks at: a dense block of exactly its elements. The view has the order of dimensions of the
 * file. */
struct array {
    batchnorm_tensor view;
    void *memory;
    batchnorm_safetensors *file; /* instead of memory, if the array is a tensor of that file */
};

/* Functions that fail write a sentence of at most this size, and return false. */
enum { MESSAGE_BYTES = BATCHNORM_MESSAGE_BYTES };

/* Zeros, in row-major order. */
bool array_new(struct array *array, batchnorm_dtype dtype, int rank, const int64_t *shape, char *message);
/* Change the type of the elements; their places stay. */
bool array_convert(struct array *array, batchnorm_dtype dtype, char *message);
void array_free(struct array *array);

/* A view of (N, ..., C) as (N, C, ...). Nothing is moved. */
batchnorm_tensor channels_first(batchnorm_tensor last);

/* "(2, 3, 4)", "(7,)", "()", cut where it does not fit. */
enum { SHAPE_TEXT_BYTES = 22 * BATCHNORM_MAX_RANK + 4 };
const char *shape_text(const batchnorm_tensor *tensor, char text[SHAPE_TEXT_BYTES]);

#endif
