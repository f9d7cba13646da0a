/* SPDX-License-Identifier: MIT */
/* What changes of a model have in common: names that are free, tensors with other numbers, nodes that take them. */
#ifndef BN_WRITE_H
#define BN_WRITE_H

#include "model/onnx.h"
#include "model/splice.h"

enum { BN_NAME_BYTES = 200, BN_TOGETHER = 1024 };

struct bn_counts {
    size_t tensors; /* that got other numbers */
    size_t flushed; /* numbers that became 0, because they were subnormal */
};

struct bn_writer {
    const struct bn_onnx *o;
    struct bn_splices *splices;
    struct bn_counts *counts;
    uint32_t *left;               /* uses of each value that are left; NULL: nobody asks */
    char (*names)[BN_NAME_BYTES]; /* that were made, by their hashes; empty: a free place; freed by the caller */
    size_t name_count, name_room;
    uint32_t serial;           /* in names that would be taken */
    const char *data_name;     /* of the new file for external data; NULL: it goes into the model */
    struct bn_bytes_out *data; /* what goes into that file */
    bool no_memory;
};

/* The numbers of a parameter, in `count` elements of a type. */
struct bn_numbers {
    int32_t type;
    size_t count;
    void (*row)(const void *of, size_t first, size_t count, double *to);
    const void *of;
    int rank;
    const int64_t *dims;
    /* Of numbers that may be many: makes what hands them out when the file is written; `of` NULL without memory. */
    struct bn_tail (*later)(struct bn_writer *w, const struct bn_numbers *n);
    void *owner; /* for `later` */
};

/* A row of numbers that are doubles in memory. */
void bn_row_of_array(const void *of, size_t first, size_t count, double *to);

/* Makes a name that no value has: that at `base`, with `end` after it. */
void bn_write_name(struct bn_writer *w, struct bn_slice base, const char *end, char name[BN_NAME_BYTES]);

/* Replaces fields of a message, and takes over what replaces them. */
void bn_write_instead(struct bn_writer *w, struct bn_slice old, size_t message, struct bn_bytes_out *with);
/* Gives an input or output of a node another name. */
void bn_write_use(struct bn_writer *w, const struct bn_onnx_node *n, const struct bn_onnx_use *u, const void *name,
                  size_t bytes);
/* Adds a tensor of that name to a graph. */
void bn_write_value(struct bn_writer *w, uint32_t graph, const struct bn_numbers *n, const char *name);
/* Puts a tensor with other numbers where it stands. */
void bn_write_tensor(struct bn_writer *w, uint32_t value, const struct bn_onnx_tensor *own, const struct bn_numbers *n);
/* Gives a node's input new numbers: where they stand, if nobody else uses them, else under a name that ends so. */
void bn_write_input(struct bn_writer *w, const struct bn_onnx_node *n, uint32_t input, const struct bn_numbers *numbers,
                    const char *end);
/* Puts a ValueInfoProto: a tensor of that type; rank -1: nothing is said of its sizes. */
void bn_put_info(struct bn_bytes_out *out, uint32_t field, const void *name, size_t bytes, int32_t type, int rank,
                 const int64_t *dims);
/* Fills in some numbers, BN_TOGETHER at most, little-endian. */
void bn_write_some(struct bn_writer *w, const struct bn_numbers *n, size_t first, size_t count, unsigned char *to);
/* Returns the tensor of a value that may be changed where it stands, because it has so many uses and no other; NULL: it has
 * others, or is computed, or is of another type or size. */
const struct bn_onnx_tensor *bn_own_tensor(const struct bn_onnx *o, uint32_t value, const struct bn_numbers *n, uint32_t uses);

#endif
