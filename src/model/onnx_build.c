/* SPDX-License-Identifier: MIT */
/* From bytes to the index. Names are looked up when all of a graph is known, because fields come in any order. The field
 * numbers are those of onnx.proto. */
#include "model/onnx_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bn_onnx_more(void *at, uint32_t count, uint32_t *room, size_t bytes) {
    void *old;
    if (count < *room) return true;
    if (count >= BN_ONNX_MOST) return false;
    const uint32_t more = *room ? 2 * *room : 64;
    memcpy(&old, at, sizeof old);
    void *new = more <= PTRDIFF_MAX / bytes ? realloc(old, more * bytes) : NULL;
    if (!new) return false;
    memcpy(at, &new, sizeof new);
    *room = more;
    return true;
}

batchnorm_status bn_onnx_refuse(char *why, size_t at, const char *what) {
    snprintf(why, BN_ONNX_BYTES, "byte %zu: %s", at, what);
    return BATCHNORM_BAD_FILE;
}

batchnorm_status bn_onnx_wrong(const struct bn_onnx_build *b, size_t at, const char *what) {
    return bn_onnx_refuse(b->why, at, what);
}

batchnorm_status bn_onnx_walked(const struct bn_onnx_build *b, const struct bn_wire *w) {
    return w->wrong ? bn_onnx_wrong(b, w->rest.at, w->wrong) : BATCHNORM_OK;
}

batchnorm_status bn_onnx_no_memory(const struct bn_onnx_build *b) {
    snprintf(b->why, BN_ONNX_BYTES, "no memory for its index");
    return BATCHNORM_NO_MEMORY;
}

batchnorm_status bn_onnx_expect(const struct bn_onnx_build *b, const struct bn_field *f, enum bn_wire_type type) {
    return f->type == type ? BATCHNORM_OK : bn_onnx_wrong(b, f->tag, "a field of another wire type than ONNX has there");
}

static batchnorm_status parse_graph(const struct bn_onnx_build *b, const struct bn_field *field, uint32_t parent,
                                    bool is_function, int depth);

/* What a ValueInfoProto says. */
struct info {
    struct bn_slice name;
    int rank;     /* -1: it does not tell */
    int32_t type; /* of the elements; 0: it does not tell */
};

/* Reads TypeProto.tensor_type: elem_type and shape. */
static void read_type(const struct bn_onnx *o, struct bn_slice type, struct info *info) {
    struct bn_wire outer = bn_wire_begin(o->map->base, type);
    for (struct bn_field f; bn_wire_next(&outer, &f);) {
        if (f.number != 1 || f.type != BN_BYTES) continue;
        struct bn_wire w = bn_wire_begin(o->map->base, f.value);
        for (struct bn_field g; bn_wire_next(&w, &g);) {
            if (g.number == 1 && g.type == BN_VARINT) info->type = (int32_t)g.bits;
            if (g.number != 2 || g.type != BN_BYTES) continue;
            struct bn_wire dims = bn_wire_begin(o->map->base, g.value);
            info->rank = 0;
            for (struct bn_field d; bn_wire_next(&dims, &d) && info->rank <= BN_ONNX_RANK;) info->rank += d.number == 1;
        }
    }
}

/* Reads a ValueInfoProto; a function has names alone. */
static batchnorm_status read_info(const struct bn_onnx_build *b, const struct bn_field *field, bool is_function,
                                  struct info *info) {
    *info = (struct info){.rank = -1};
    if (is_function) info->name = field->value;
    batchnorm_status status = bn_onnx_expect(b, field, BN_BYTES);
    if (status || is_function) return status;
    struct bn_wire w = bn_wire_begin(b->onnx->map->base, field->value);
    for (struct bn_field f; bn_wire_next(&w, &f);)
        if (f.number == 1 && f.type == BN_BYTES)
            info->name = f.value;
        else if (f.number == 2 && f.type == BN_BYTES)
            read_type(b->onnx, f.value, info);
    return bn_onnx_walked(b, &w);
}

static batchnorm_status define_input(const struct bn_onnx_build *b, uint32_t graph, const struct bn_field *f) {
    struct info info;
    const batchnorm_status status = read_info(b, f, b->onnx->graphs[graph].is_function, &info);
    if (status) return status;
    const uint32_t value = bn_onnx_define(b->onnx, graph, info.name);
    if (value == BN_NONE) return bn_onnx_no_memory(b);
    struct bn_onnx_value *v = &b->onnx->values[value];
    v->is_input = true;
    v->rank = info.rank;
    v->type = info.type;
    v->input = bn_onnx_whole(f);
    return BATCHNORM_OK;
}

static batchnorm_status define_initializer(const struct bn_onnx_build *b, uint32_t graph, const struct bn_field *f) {
    uint32_t tensor;
    const batchnorm_status status = bn_onnx_add_tensor(b, bn_onnx_whole(f), f->value, &tensor);
    if (status) return status;
    const uint32_t value = bn_onnx_define(b->onnx, graph, b->onnx->tensors[tensor].name);
    if (value == BN_NONE) return bn_onnx_no_memory(b);
    struct bn_onnx_value *v = &b->onnx->values[value];
    if (v->tensor != BN_NONE) v->is_doubtful = true;
    v->tensor = tensor;
    return BATCHNORM_OK;
}

/* A sparse initializer is a value of which nothing is known but its name, that of its numbers. */
static batchnorm_status define_sparse(const struct bn_onnx_build *b, uint32_t graph, const struct bn_field *field) {
    struct bn_wire w = bn_wire_begin(b->onnx->map->base, field->value);
    for (struct bn_field f; bn_wire_next(&w, &f);) {
        if (f.number != 1 || f.type != BN_BYTES) continue;
        struct bn_wire tensor = bn_wire_begin(b->onnx->map->base, f.value);
        for (struct bn_field g; bn_wire_next(&tensor, &g);) {
            if (g.number != 8 || g.type != BN_BYTES || g.value.at == g.value.end) continue;
            const uint32_t value = bn_onnx_define(b->onnx, graph, g.value);
            if (value == BN_NONE) return bn_onnx_no_memory(b);
            b->onnx->values[value].is_doubtful = true;
        }
    }
    return bn_onnx_walked(b, &w);
}

static batchnorm_status define_outputs(const struct bn_onnx_build *b, uint32_t first_node) {
    struct bn_onnx *o = b->onnx;
    for (uint32_t i = first_node; i < o->node_count; i++) {
        const struct bn_onnx_node *n = &o->nodes[i];
        for (uint32_t k = n->output; k < n->output + n->outputs; k++) {
            if (o->uses[k].name.at == o->uses[k].name.end) continue;
            const uint32_t value = o->uses[k].value = bn_onnx_define(o, n->graph, o->uses[k].name);
            if (value == BN_NONE) return bn_onnx_no_memory(b);
            struct bn_onnx_value *v = &o->values[value];
            if (v->node != BN_NONE || v->tensor != BN_NONE || v->is_input) v->is_doubtful = true;
            v->node = i;
        }
    }
    return BATCHNORM_OK;
}

static void resolve_inputs(struct bn_onnx *o, uint32_t first_node, uint32_t last_node) {
    for (uint32_t i = first_node; i < last_node; i++) {
        const struct bn_onnx_node *n = &o->nodes[i];
        for (uint32_t k = n->input; k < n->input + n->inputs; k++) {
            const uint32_t value = o->uses[k].value = bn_onnx_find(o, n->graph, o->uses[k].name);
            if (value == BN_NONE) continue;
            o->values[value].uses++;
            o->values[value].user = i;
        }
    }
}

/* Marks the outputs of a graph, and notes what it declares. An output that it passes on from a graph around it counts
 * there. */
static batchnorm_status mark_values(const struct bn_onnx_build *b, uint32_t graph) {
    struct bn_onnx *o = b->onnx;
    const bool is_function = o->graphs[graph].is_function;
    struct bn_wire w = bn_wire_begin(o->map->base, o->graphs[graph].message);
    batchnorm_status status = BATCHNORM_OK;
    for (struct bn_field f; !status && bn_wire_next(&w, &f);) {
        const bool is_output = f.number == (is_function ? 5 : 12), is_info = !is_function && f.number == 13;
        struct info info;
        if (!is_output && !is_info) continue;
        status = read_info(b, &f, is_function, &info);
        const uint32_t value = status ? BN_NONE : bn_onnx_find(o, graph, info.name);
        if (value == BN_NONE) continue;
        struct bn_onnx_value *v = &o->values[value];
        if (is_output) v->is_output = true;
        if (v->graph != graph) continue;
        if (info.rank >= 0) v->rank = info.rank;
        if (info.type) v->type = info.type;
        if (is_info) v->info = bn_onnx_whole(&f);
    }
    return status ? status : bn_onnx_walked(b, &w);
}

/* Parses the graphs in the attributes of a node. */
static batchnorm_status parse_inner(const struct bn_onnx_build *b, uint32_t node, int depth) {
    struct bn_onnx *o = b->onnx;
    const uint32_t graph = o->nodes[node].graph, first = o->nodes[node].attribute, count = o->nodes[node].attributes;
    batchnorm_status status = BATCHNORM_OK;
    for (uint32_t i = first; !status && i < first + count; i++) {
        struct bn_wire w = bn_wire_begin(o->map->base, o->attributes[i].message);
        for (struct bn_field f; !status && bn_wire_next(&w, &f);)
            if (f.number == 6 || f.number == 11) status = parse_graph(b, &f, graph, false, depth + 1);
    }
    return status;
}

/* An OperatorSetIdProto, of which the one without a domain counts. */
static batchnorm_status read_opset(const struct bn_onnx_build *b, struct bn_slice message, int64_t *opset) {
    struct bn_slice domain = {0, 0};
    int64_t version = 0;
    struct bn_wire w = bn_wire_begin(b->onnx->map->base, message);
    for (struct bn_field f; bn_wire_next(&w, &f);) {
        if (f.number == 1 && f.type == BN_BYTES) domain = f.value;
        if (f.number == 2 && f.type == BN_VARINT) version = (int64_t)f.bits;
    }
    if (bn_onnx_is(b->onnx, domain, "") || bn_onnx_is(b->onnx, domain, "ai.onnx")) *opset = version;
    return bn_onnx_walked(b, &w);
}

/* A GraphProto and a FunctionProto number their fields each in its own way. */
static batchnorm_status parse_fields(const struct bn_onnx_build *b, uint32_t graph) {
    struct bn_onnx *o = b->onnx;
    const bool is_function = o->graphs[graph].is_function;
    struct bn_wire w = bn_wire_begin(o->map->base, o->graphs[graph].message);
    batchnorm_status status = BATCHNORM_OK;
    for (struct bn_field f; !status && bn_wire_next(&w, &f);) {
        if (is_function && f.number == 9 && f.type == BN_BYTES) status = read_opset(b, f.value, &o->graphs[graph].opset);
        const bool is_node = f.number == (is_function ? 7 : 1), is_input = f.number == (is_function ? 4 : 11);
        const bool is_sparse = !is_function && f.number == 15;
        if (!is_node && !is_input && !is_sparse && (is_function || f.number != 5)) continue;
        status = bn_onnx_expect(b, &f, BN_BYTES);
        if (status) break;
        if (is_node)
            status = bn_onnx_add_node(b, graph, &f);
        else if (is_input)
            status = define_input(b, graph, &f);
        else if (is_sparse)
            status = define_sparse(b, graph, &f);
        else
            status = define_initializer(b, graph, &f);
    }
    return status ? status : bn_onnx_walked(b, &w);
}

static batchnorm_status parse_graph(const struct bn_onnx_build *b, const struct bn_field *field, uint32_t parent,
                                    bool is_function, int depth) {
    struct bn_onnx *o = b->onnx;
    batchnorm_status status = bn_onnx_expect(b, field, BN_BYTES);
    if (status) return status;
    if (depth > BN_ONNX_DEPTH) return bn_onnx_wrong(b, field->tag, "more than 64 graphs in each other");
    if (!BN_ONNX_MORE(o->graphs, o->graph_count, o->graph_room)) return bn_onnx_no_memory(b);
    const uint32_t graph = o->graph_count++, first_node = o->node_count;
    o->graphs[graph] = (struct bn_onnx_graph){
        .field = bn_onnx_whole(field), .message = field->value, .parent = parent, .is_function = is_function};
    status = parse_fields(b, graph);
    const uint32_t last_node = o->node_count;
    if (!status) status = define_outputs(b, first_node);
    if (!status) status = mark_values(b, graph);
    if (!status) resolve_inputs(o, first_node, last_node);
    for (uint32_t i = first_node; !status && i < last_node; i++) status = parse_inner(b, i, depth);
    return status;
}

/* A message whose field comes twice is legal protobuf, and would have to be merged. No writer of ONNX makes one. */
static batchnorm_status parse_model(const struct bn_onnx_build *b) {
    struct bn_onnx *o = b->onnx;
    struct bn_wire w = bn_wire_begin(o->map->base, (struct bn_slice){0, o->map->bytes});
    batchnorm_status status = BATCHNORM_OK;
    bool has_graph = false;
    for (struct bn_field f; !status && bn_wire_next(&w, &f);) {
        if (f.number == 1 && !(status = bn_onnx_expect(b, &f, BN_VARINT))) o->ir_version = (int64_t)f.bits;
        if (f.number == 8 && !(status = bn_onnx_expect(b, &f, BN_BYTES))) status = read_opset(b, f.value, &o->opset);
        if (f.number == 7 && has_graph) return bn_onnx_wrong(b, f.tag, "a second graph of the model");
        if (f.number == 7) {
            has_graph = true;
            status = parse_graph(b, &f, BN_NONE, false, 1);
        }
        if (f.number == 25) status = parse_graph(b, &f, BN_NONE, true, 1);
    }
    if (status) return status;
    status = bn_onnx_walked(b, &w);
    if (!status && !has_graph) return bn_onnx_wrong(b, o->map->bytes, "the file ends without a graph: it is no ONNX model");
    return status;
}

batchnorm_status bn_onnx_index(struct bn_onnx *onnx, const struct bn_map *map, char *why) {
    const struct bn_onnx_build b = {onnx, why};
    *onnx = (struct bn_onnx){.map = map};
    return parse_model(&b);
}

void bn_onnx_free(struct bn_onnx *o) {
    void *const memory[] = {o->graphs, o->nodes, o->attributes, o->uses, o->values, o->tensors, o->table};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) free(memory[i]);
    *o = (struct bn_onnx){0};
}
