/* SPDX-License-Identifier: MIT */
/* The parts of an ONNX graph: tensors and nodes. */
#ifndef TOOLS_EXPORT_PARTS_H
#define TOOLS_EXPORT_PARTS_H

#include "proto.h"

enum { ONNX_FLOAT = 1 }; /* the type of all tensors */

/* A constant of floats. */
void onnx_add_tensor(struct proto *graph, const char *name, const float *values, const int64_t *sizes, int rank);

/* A node of one output, which has the node's name; inputs end with NULL. It gets attributes until its end. */
struct proto onnx_node(const char *op, const char *name, const char *const *inputs);
void onnx_add_float(struct proto *node, const char *name, float value);
void onnx_add_integer(struct proto *node, const char *name, int64_t value);
/* The same number so many times. */
void onnx_add_integers(struct proto *node, const char *name, size_t value, int count);
void onnx_end_node(struct proto *graph, struct proto *node);
/* One without attributes. */
void onnx_add_node(struct proto *graph, const char *op, const char *name, const char *const *inputs);

#endif
