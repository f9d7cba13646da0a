/* SPDX-License-Identifier: MIT */
/* How many dimensions values have, as far as it follows from the operators. */
#include "model/constant.h"

#include <stdlib.h>

/* Operators whose output has as many dimensions as their first input. */
static bool keeps_rank(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    static const char *const ops[] = {"BatchNormalization",
                                      "Identity",
                                      "Dropout",
                                      "Relu",
                                      "LeakyRelu",
                                      "PRelu",
                                      "Sigmoid",
                                      "HardSigmoid",
                                      "HardSwish",
                                      "Clip",
                                      "Tanh",
                                      "Elu",
                                      "Selu",
                                      "Softplus",
                                      "AveragePool",
                                      "GlobalAveragePool",
                                      "MaxPool",
                                      "Cast",
                                      "LRN",
                                      "Pad",
                                      "Transpose",
                                      "GlobalMaxPool",
                                      "Concat",
                                      "Slice",
                                      "Conv",
                                      "ConvTranspose",
                                      "InstanceNormalization",
                                      "Resize",
                                      "Upsample",
                                      "Softmax"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (bn_is_op(o, n, ops[i])) return true;
    return false;
}

static int rank_of_input(const struct bn_onnx *o, const struct bn_onnx_node *n, uint32_t i) {
    return i < n->inputs ? bn_rank_of(o, o->uses[n->input + i].value) : -1;
}

/* The rank of a sum or product of two values, which is the larger one; -1 if one is not known. */
static int larger_rank(int a, int b) { return a < 0 || b < 0 ? -1 : a > b ? a : b; }

static int rank_of_output(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    if (bn_is_op(o, n, "Gemm") || bn_is_op(o, n, "Flatten")) return 2;
    const int first = rank_of_input(o, n, 0);
    if (keeps_rank(o, n)) {
        /* weights have the rank of the input */
        const bool is_convolution = bn_is_op(o, n, "Conv") || bn_is_op(o, n, "ConvTranspose");
        return first < 0 && is_convolution ? rank_of_input(o, n, 1) : first;
    }
    if (bn_is_op(o, n, "Add") || bn_is_op(o, n, "Sub") || bn_is_op(o, n, "Mul") || bn_is_op(o, n, "Div"))
        return larger_rank(first, rank_of_input(o, n, 1));
    if (bn_is_op(o, n, "MatMul") && rank_of_input(o, n, 1) == 2) return first;
    const bool fills = bn_is_op(o, n, "ConstantOfShape");
    if ((fills && n->inputs == 1) || (bn_is_op(o, n, "Reshape") && n->inputs == 2)) {
        struct bn_constant shape;
        char why[BN_ONNX_BYTES];
        if (bn_constant_read(o, o->uses[n->input + !fills].value, &shape, why)) return -1;
        free(shape.at);
        return (int)shape.count;
    }
    const bool shrinks = bn_is_op(o, n, "Squeeze"), grows = bn_is_op(o, n, "Unsqueeze");
    if (first < 0 || !(shrinks || grows)) return -1;
    struct bn_constant axes;
    char why[BN_ONNX_BYTES];
    if (bn_axes_read(o, n, &axes, why)) return -1;
    free(axes.at);
    return shrinks ? first - (int)axes.count : first + (int)axes.count;
}

static int rank_of_constant(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, "value");
    return a && a->tensor != BN_NONE ? o->tensors[a->tensor].rank : -1;
}

void bn_ranks_find(struct bn_onnx *o) {
    for (uint32_t i = 0; i < o->value_count; i++)
        if (o->values[i].rank < 0 && o->values[i].tensor != BN_NONE) o->values[i].rank = o->tensors[o->values[i].tensor].rank;
    for (uint32_t i = 0; i < o->node_count; i++) {
        const struct bn_onnx_node *n = &o->nodes[i];
        const uint32_t value = n->outputs ? o->uses[n->output].value : BN_NONE;
        if (value == BN_NONE || o->values[value].rank >= 0) continue;
        o->values[value].rank = bn_is_op(o, n, "Constant") ? rank_of_constant(o, n) : rank_of_output(o, n);
    }
}

int bn_rank_of(const struct bn_onnx *o, uint32_t value) { return value == BN_NONE ? -1 : o->values[value].rank; }
