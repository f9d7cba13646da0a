/* SPDX-License-Identifier: MIT */
/* What the files that build an index share. */
#ifndef BN_ONNX_BUILD_H
#define BN_ONNX_BUILD_H

#include "model/onnx.h"

/* Items of one kind at most: far more than any model has, and few enough for memory. */
enum { BN_ONNX_MOST = 1 << 22 };

/* Makes room for one more item of the array whose pointer is at `at`; returns false without memory. */
bool bn_onnx_more(void *at, uint32_t count, uint32_t *room, size_t bytes);
#define BN_ONNX_MORE(at, count, room) bn_onnx_more(&(at), count, &(room), sizeof *(at))

/* Returns the value of a name that a graph defines, a new one the first time; BN_NONE without memory. */
uint32_t bn_onnx_define(struct bn_onnx *onnx, uint32_t graph, struct bn_slice name);

/* The state of an indexing. */
struct bn_onnx_build {
    struct bn_onnx *onnx;
    char *why;
};

/* Writes what is wrong, and at which byte, and returns BAD_FILE. */
batchnorm_status bn_onnx_wrong(const struct bn_onnx_build *b, size_t at, const char *what);
/* Returns OK, or why a walk ended. */
batchnorm_status bn_onnx_walked(const struct bn_onnx_build *b, const struct bn_wire *w);
/* Returns OK, or refuses a field that is of another wire type. */
batchnorm_status bn_onnx_expect(const struct bn_onnx_build *b, const struct bn_field *f, enum bn_wire_type type);
/* Writes that there is no memory, and returns NO_MEMORY. */
batchnorm_status bn_onnx_no_memory(const struct bn_onnx_build *b);

/* Returns a field with its tag. */
static inline struct bn_slice bn_onnx_whole(const struct bn_field *f) { return (struct bn_slice){f->tag, f->value.end}; }

/* Adds a NodeProto of a graph, with its inputs, outputs and attributes, but without the graphs in them. */
batchnorm_status bn_onnx_add_node(const struct bn_onnx_build *b, uint32_t graph, const struct bn_field *field);

/* Adds a TensorProto: its number is *tensor. */
batchnorm_status bn_onnx_add_tensor(const struct bn_onnx_build *b, struct bn_slice field, struct bn_slice message,
                                    uint32_t *tensor);

#endif
