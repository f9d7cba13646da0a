/* SPDX-License-Identifier: MIT */
/* A pool with ceil_mode leaves out a last window that would begin behind its input. Before opset 22 the shape inference of ONNX
 * counts it, and ONNX Runtime decides by that which values take turns in one buffer. A node whose output is not as large as
 * what was there before then fails when it is run ("Shape mismatch attempting to re-use buffer"), wherever in the graph it
 * stands. */
#include <stdlib.h>

#include "model/fold.h"

/* Reads an attribute of ints: at is NULL if there is none, or none that can be read. */
static double *ints_of(const struct bn_onnx *o, const struct bn_onnx_node *n, const char *name, size_t *count) {
    const struct bn_onnx_attribute *a = bn_onnx_attribute(o, n, name);
    char why[BN_ONNX_BYTES];
    double *at = NULL;
    *count = 0;
    if (a && bn_onnx_numbers(o, a, false, &at, count, why)) *count = 0;
    return at;
}

/* Returns whether a last window can begin behind the input: it moves on by more than it reaches into it from the end of the
 * padding. */
static bool may_skip_a_window(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    size_t axes, strides, pads, dilations;
    double *kernel = ints_of(o, n, "kernel_shape", &axes), *stride = ints_of(o, n, "strides", &strides);
    double *pad = ints_of(o, n, "pads", &pads), *dilation = ints_of(o, n, "dilations", &dilations);
    bool may = axes == 0;
    for (size_t d = 0; d < axes && !may; d++) {
        const double reach = (kernel[d] - 1) * (d < dilations ? dilation[d] : 1) + 1;
        may = (d < strides ? stride[d] : 1) > reach - (axes + d < pads ? pad[axes + d] : 0);
    }
    free(kernel);
    free(stride);
    free(pad);
    free(dilation);
    return may;
}

static bool is_overestimated(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    const bool is_pool = bn_is_op(o, n, "AveragePool") || bn_is_op(o, n, "MaxPool") || bn_is_op(o, n, "LpPool");
    if (!is_pool || bn_opset_of(o, n->graph) >= 22 || bn_onnx_integer(o, n, "ceil_mode", 0) == 0) return false;
    const struct bn_onnx_attribute *how = bn_onnx_attribute(o, n, "auto_pad");
    const bool is_explicit = !how || bn_onnx_is(o, how->s, "NOTSET") || bn_onnx_is(o, how->s, "VALID");
    return is_explicit && may_skip_a_window(o, n);
}

bool bn_sizes_are_doubtful(const struct bn_onnx *o) {
    for (uint32_t i = 0; i < o->node_count; i++)
        if (is_overestimated(o, &o->nodes[i])) return true;
    return false;
}
