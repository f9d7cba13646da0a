/* SPDX-License-Identifier: MIT */
/* The names of values. A graph sees its own and those of the graphs around it. */
#include <stdlib.h>
#include <string.h>

#include "model/onnx_build.h"

bool bn_onnx_is(const struct bn_onnx *o, struct bn_slice slice, const char *text) {
    const size_t bytes = slice.end - slice.at;
    return bytes == strlen(text) && (bytes == 0 || memcmp(o->map->base + slice.at, text, bytes) == 0);
}

static bool is_same(const struct bn_onnx *o, struct bn_slice a, struct bn_slice b) {
    const size_t bytes = a.end - a.at;
    return bytes == b.end - b.at && (bytes == 0 || memcmp(o->map->base + a.at, o->map->base + b.at, bytes) == 0);
}

size_t bn_onnx_hash(uint32_t seed, const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(14695981039346656037) ^ seed;
    for (size_t i = 0; i < count; i++) hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

/* Returns where a name of a graph stands in the table, or would stand. */
static size_t slot_of(const struct bn_onnx *o, uint32_t graph, struct bn_slice name) {
    size_t at = bn_onnx_hash(graph, o->map->base + name.at, name.end - name.at) & (o->table_size - 1);
    for (; o->table[at] != BN_NONE; at = (at + 1) & (o->table_size - 1)) {
        const struct bn_onnx_value *v = &o->values[o->table[at]];
        if (v->graph == graph && is_same(o, v->name, name)) return at;
    }
    return at;
}

bool bn_onnx_has(const struct bn_onnx *o, uint32_t graph, const char *name) {
    if (!o->table) return false;
    size_t at = bn_onnx_hash(graph, name, strlen(name)) & (o->table_size - 1);
    for (; o->table[at] != BN_NONE; at = (at + 1) & (o->table_size - 1)) {
        const struct bn_onnx_value *v = &o->values[o->table[at]];
        if (v->graph == graph && bn_onnx_is(o, v->name, name)) return true;
    }
    return false;
}

static bool grow_table(struct bn_onnx *o) {
    if (o->table && o->value_count < o->table_size / 2) return true;
    const size_t size = o->table_size ? 2 * o->table_size : 256;
    uint32_t *table = malloc(size * sizeof *table);
    if (!table) return false;
    memset(table, 0xff, size * sizeof *table);
    free(o->table);
    o->table = table;
    o->table_size = size;
    for (uint32_t i = 0; i < o->value_count; i++) table[slot_of(o, o->values[i].graph, o->values[i].name)] = i;
    return true;
}

uint32_t bn_onnx_define(struct bn_onnx *o, uint32_t graph, struct bn_slice name) {
    if (!grow_table(o)) return BN_NONE;
    const size_t slot = slot_of(o, graph, name);
    if (o->table[slot] != BN_NONE) return o->table[slot];
    if (!BN_ONNX_MORE(o->values, o->value_count, o->value_room)) return BN_NONE;
    o->values[o->value_count] =
        (struct bn_onnx_value){.name = name, .graph = graph, .node = BN_NONE, .tensor = BN_NONE, .user = BN_NONE, .rank = -1};
    o->table[slot] = o->value_count;
    return o->value_count++;
}

uint32_t bn_onnx_find(const struct bn_onnx *o, uint32_t graph, struct bn_slice name) {
    if (!o->table || name.at == name.end) return BN_NONE;
    for (; graph != BN_NONE; graph = o->graphs[graph].parent) {
        const uint32_t value = o->table[slot_of(o, graph, name)];
        if (value != BN_NONE) return value;
    }
    return BN_NONE;
}

const struct bn_onnx_attribute *bn_onnx_attribute(const struct bn_onnx *o, const struct bn_onnx_node *node, const char *name) {
    for (uint32_t i = 0; i < node->attributes; i++)
        if (bn_onnx_is(o, o->attributes[node->attribute + i].name, name)) return &o->attributes[node->attribute + i];
    return NULL;
}

int64_t bn_onnx_integer(const struct bn_onnx *o, const struct bn_onnx_node *node, const char *name, int64_t absent) {
    const struct bn_onnx_attribute *a = bn_onnx_attribute(o, node, name);
    return a && a->has_i ? a->i : absent;
}

int64_t bn_opset_of(const struct bn_onnx *o, uint32_t graph) {
    while (!o->graphs[graph].is_function && o->graphs[graph].parent != BN_NONE) graph = o->graphs[graph].parent;
    return o->graphs[graph].opset ? o->graphs[graph].opset : o->opset;
}
