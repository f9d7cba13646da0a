/* SPDX-License-Identifier: MIT */
/* Values of a graph that are known from the file alone, and the ranks of the others. */
#ifndef BN_CONSTANT_H
#define BN_CONSTANT_H

#include "model/onnx.h"

/* A constant, as doubles, or as it lies in the file. Free `at`. */
struct bn_constant {
    double *at;
    const unsigned char *raw; /* instead: bn_constant_view() */
    size_t count;
    int32_t type; /* TensorProto.DataType */
    int rank;
    int64_t dims[BN_ONNX_RANK];
};

/* Where a constant's value stands in the file. */
struct bn_origin {
    uint32_t tensor;  /* an initializer, or the attribute of a Constant; BN_NONE: it is computed, or an attribute of numbers */
    uint32_t value;   /* that has it, after Identity */
    bool is_runtime;  /* it is no constant at all */
    bool is_override; /* a default that the caller of the graph may replace: an initializer that is an input, too */
};

/* Finds where the value of an initializer or of Constant, ConstantOfShape or Identity stands. */
struct bn_origin bn_origin_of(const struct bn_onnx *onnx, uint32_t value);

/* Reads a constant: OK; BAD_OPTION if the value is none; or what bn_onnx_read() returns. */
batchnorm_status bn_constant_read(const struct bn_onnx *onnx, uint32_t value, struct bn_constant *constant, char *why);

/* Does the same, but leaves what lies in the file as it is where it lies: its elements are bn_constant_element(). */
batchnorm_status bn_constant_view(const struct bn_onnx *onnx, uint32_t value, struct bn_constant *constant, char *why);
double bn_constant_element(const struct bn_constant *constant, size_t i);
/* Reads some elements one after the other. */
void bn_constant_row(const struct bn_constant *constant, size_t first, size_t count, double *to);

/* Reads the axes of a Squeeze or Unsqueeze: an attribute, or from opset 13 on an input. */
batchnorm_status bn_axes_read(const struct bn_onnx *onnx, const struct bn_onnx_node *node, struct bn_constant *axes, char *why);

/* Returns whether a node is that operator of ONNX itself, with attributes that are known; and whatever is known of them. */
bool bn_is_op_of(const struct bn_onnx *onnx, const struct bn_onnx_node *node, const char *op);
bool bn_is_op(const struct bn_onnx *onnx, const struct bn_onnx_node *node, const char *op);

/* Finds the ranks that follow from those of other values, in the order of the nodes; then bn_rank_of() returns how many
 * dimensions a value has, -1 if the file does not tell. */
void bn_ranks_find(struct bn_onnx *onnx);
int bn_rank_of(const struct bn_onnx *onnx, uint32_t value);

#endif
