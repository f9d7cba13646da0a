/* SPDX-License-Identifier: MIT */
/* The field numbers are those of onnx.proto. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* Tensors */

static void floats_as_bytes(struct proto *tensor, const float *values, size_t count) {
    unsigned char *bytes = malloc(count * 4 + 1);
    if (!bytes) {
        tensor->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int k = 0; k < 4; k++) bytes[4 * i + (size_t)k] = (unsigned char)(bits >> 8 * k);
    }
    proto_bytes(tensor, 9, bytes, 4 * count);
    free(bytes);
}

void onnx_add_tensor(struct proto *graph, const char *name, const float *values, const int64_t *sizes, int rank) {
    struct proto tensor = {0};
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        proto_integer(&tensor, 1, sizes[i]);
        count *= (size_t)sizes[i];
    }
    proto_integer(&tensor, 2, ONNX_FLOAT);
    proto_text(&tensor, 8, name);
    floats_as_bytes(&tensor, values, count);
    proto_message(graph, 5, &tensor);
}

/* Nodes */

struct proto onnx_node(const char *op, const char *name, const char *const *inputs) {
    struct proto node = {0};
    for (; *inputs; inputs++) proto_text(&node, 1, *inputs);
    proto_text(&node, 2, name);
    proto_text(&node, 3, name);
    proto_text(&node, 4, op);
    return node;
}

enum { ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INTEGER = 2, ATTRIBUTE_INTEGERS = 7 };

void onnx_add_float(struct proto *node, const char *name, float value) {
    struct proto a = {0};
    proto_text(&a, 1, name);
    proto_float(&a, 2, value);
    proto_integer(&a, 20, ATTRIBUTE_FLOAT);
    proto_message(node, 5, &a);
}

void onnx_add_integer(struct proto *node, const char *name, int64_t value) {
    struct proto a = {0};
    proto_text(&a, 1, name);
    proto_integer(&a, 3, value);
    proto_integer(&a, 20, ATTRIBUTE_INTEGER);
    proto_message(node, 5, &a);
}

void onnx_add_integers(struct proto *node, const char *name, size_t value, int count) {
    struct proto a = {0};
    proto_text(&a, 1, name);
    for (int i = 0; i < count; i++) proto_integer(&a, 8, (int64_t)value);
    proto_integer(&a, 20, ATTRIBUTE_INTEGERS);
    proto_message(node, 5, &a);
}

void onnx_end_node(struct proto *graph, struct proto *node) { proto_message(graph, 1, node); }

void onnx_add_node(struct proto *graph, const char *op, const char *name, const char *const *inputs) {
    struct proto node = onnx_node(op, name, inputs);
    onnx_end_node(graph, &node);
}
