/* SPDX-License-Identifier: MIT */
#include "model/write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/constant.h"
#include "model/round.h"

/* Rounds a number to its type, and counts one that would be subnormal. */
static uint64_t bits_of(struct bn_writer *w, int32_t type, double v) {
    w->counts->flushed += bn_is_flushed(type, v);
    return bn_round_bits(type, v);
}

void bn_write_instead(struct bn_writer *w, struct bn_slice old, size_t message, struct bn_bytes_out *with) {
    w->no_memory = w->no_memory || with->no_memory;
    if (with->no_memory) free(with->at);
    if (!with->no_memory) bn_splice_add(w->splices, old, message, with->at, with->count);
    *with = (struct bn_bytes_out){0};
}

void bn_write_use(struct bn_writer *w, const struct bn_onnx_node *n, const struct bn_onnx_use *u, const void *name,
                  size_t bytes) {
    struct bn_bytes_out field = {0};
    bn_put_field(&field, u < w->o->uses + n->output ? 1 : 2, name, bytes);
    bn_write_instead(w, u->field, n->message.at, &field);
}

/* Puts all of a tensor but its data. */
static void put_head(struct bn_writer *w, const struct bn_onnx_tensor *t, struct bn_bytes_out *out) {
    struct bn_wire walk = bn_wire_begin(w->o->map->base, t->message);
    for (struct bn_field f; bn_wire_next(&walk, &f);) {
        const bool is_data =
            (f.number >= 3 && f.number <= 7) || (f.number >= 9 && f.number <= 11) || f.number == 13 || f.number == 14;
        if (!is_data) bn_put_bytes(out, w->o->map->base + f.tag, f.value.end - f.tag);
    }
}

void bn_row_of_array(const void *of, size_t first, size_t count, double *to) {
    memcpy(to, (const double *)of + first, count * sizeof *to);
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Nearly all weights are floats, and many. */
static void put_floats(struct bn_writer *w, const double *row, size_t count, unsigned char *to) {
    size_t flushed = 0;
    for (size_t i = 0; i < count; i++) {
        const bool is_flushed = bn_is_flushed(BN_ONNX_FLOAT, row[i]);
        const float v = (float)(is_flushed ? copysign(0, row[i]) : row[i]);
        flushed += is_flushed;
        memcpy(to + i * sizeof v, &v, sizeof v);
    }
    w->counts->flushed += flushed;
}
#endif

void bn_write_some(struct bn_writer *w, const struct bn_numbers *n, size_t first, size_t count, unsigned char *to) {
    const size_t each = bn_onnx_type_bytes(n->type);
    double row[BN_TOGETHER];
    n->row(n->of, first, count, row);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (n->type == BN_ONNX_FLOAT) {
        put_floats(w, row, count, to);
        return;
    }
#endif
    for (size_t k = 0; k < count; k++) {
        const uint64_t bits = bits_of(w, n->type, row[k]);
        for (size_t byte = 0; byte < each; byte++) *to++ = (unsigned char)(bits >> 8 * byte);
    }
}

/* Fills in all numbers. */
static void put_numbers(struct bn_writer *w, const struct bn_numbers *n, unsigned char *to) {
    const size_t each = bn_onnx_type_bytes(n->type);
    for (size_t i = 0, some; to && i < n->count; i += some) {
        some = n->count - i < BN_TOGETHER ? n->count - i : BN_TOGETHER;
        bn_write_some(w, n, i, some, to + i * each);
    }
}

/* From so many bytes on they are not kept until the file is written. */
enum { TAIL_BYTES = 1 << 16 };

static bool has_tail(const struct bn_numbers *n) { return n->later && n->count * bn_onnx_type_bytes(n->type) >= TAIL_BYTES; }

/* Replaces fields by a tensor of which the head is there and the numbers follow. */
static void replace_with_tail(struct bn_writer *w, struct bn_slice old, size_t message, struct bn_bytes_out *head,
                              const struct bn_numbers *n) {
    const size_t bytes = n->count * bn_onnx_type_bytes(n->type);
    const struct bn_tail tail = n->later(w, n);
    struct bn_bytes_out out = {0};
    bn_put_opening(head, 9, bytes);
    bn_put_opening(&out, 5, head->count + bytes);
    bn_put_bytes(&out, head->at, head->count);
    w->no_memory = w->no_memory || !tail.of || head->no_memory || out.no_memory;
    free(head->at);
    *head = (struct bn_bytes_out){0};
    if (w->no_memory) {
        free(tail.of);
        free(out.at);
        return;
    }
    bn_splice_add_tail(w->splices, old, message, out.at, out.count, tail);
}

static void put_raw(struct bn_writer *w, const struct bn_numbers *n, struct bn_bytes_out *out) {
    const size_t each = bn_onnx_type_bytes(n->type);
    put_numbers(w, n, bn_put_room(out, 9, n->count * each));
}

/* Where data begin in a file of their own: at pages, so that they can be mapped. */
enum { PAGE = 4096 };

static void put_entry(struct bn_bytes_out *out, const char *key, const char *value) {
    struct bn_bytes_out entry = {0};
    bn_put_field(&entry, 1, key, strlen(key));
    bn_put_field(&entry, 2, value, strlen(value));
    bn_put_field(out, 13, entry.at, entry.count);
    out->no_memory = out->no_memory || entry.no_memory;
    free(entry.at);
}

/* What was external stays so, in the new file: an existing one is never written to. */
static void put_external(struct bn_writer *w, const struct bn_numbers *n, struct bn_bytes_out *out) {
    static const unsigned char zeros[PAGE];
    const size_t each = bn_onnx_type_bytes(n->type);
    char text[24];
    bn_put_bytes(w->data, zeros, (PAGE - w->data->count % PAGE) % PAGE);
    put_entry(out, "location", w->data_name);
    snprintf(text, sizeof text, "%zu", w->data->count);
    put_entry(out, "offset", text);
    snprintf(text, sizeof text, "%zu", n->count * each);
    put_entry(out, "length", text);
    bn_put_number(out, 14, 1); /* EXTERNAL */
    put_numbers(w, n, bn_put_bytes_room(w->data, n->count * each));
    w->no_memory = w->no_memory || w->data->no_memory;
}

/* A tensor of its own, without its numbers. */
static void put_new_head(const struct bn_numbers *n, const char *name, struct bn_bytes_out *out) {
    for (int d = 0; d < n->rank; d++) bn_put_number(out, 1, (uint64_t)n->dims[d]);
    bn_put_number(out, 2, (uint64_t)n->type);
    if (name) bn_put_field(out, 8, name, strlen(name));
}

void bn_put_info(struct bn_bytes_out *out, uint32_t field, const void *name, size_t bytes, int32_t type, int rank,
                 const int64_t *dims) {
    struct bn_bytes_out shape = {0}, tensor = {0}, of = {0}, info = {0};
    for (int d = 0; d < rank; d++) {
        struct bn_bytes_out dim = {0};
        bn_put_number(&dim, 1, (uint64_t)dims[d]);
        bn_put_field(&shape, 1, dim.at, dim.count);
        shape.no_memory = shape.no_memory || dim.no_memory;
        free(dim.at);
    }
    bn_put_number(&tensor, 1, (uint64_t)type);
    if (rank >= 0) bn_put_field(&tensor, 2, shape.at, shape.count);
    bn_put_field(&of, 1, tensor.at, tensor.count);
    bn_put_field(&info, 1, name, bytes);
    if (type) bn_put_field(&info, 2, of.at, of.count);
    bn_put_field(out, field, info.at, info.count);
    out->no_memory = out->no_memory || shape.no_memory || tensor.no_memory || of.no_memory || info.no_memory;
    free(shape.at);
    free(tensor.at);
    free(of.at);
    free(info.at);
}

/* Before IR 4 an initializer is an input of the graph, too. */
static void add_input(struct bn_writer *w, const struct bn_onnx_graph *g, const struct bn_numbers *n, const char *name) {
    struct bn_bytes_out out = {0};
    bn_put_info(&out, 11, name, strlen(name), n->type, n->rank, n->dims);
    bn_write_instead(w, (struct bn_slice){g->message.end, g->message.end}, g->message.at, &out);
}

/* Adds an initializer to a graph. A function has none, and before IR 4 nor has a graph in a node: they get a Constant before
 * their first node. */
void bn_write_value(struct bn_writer *w, uint32_t graph, const struct bn_numbers *n, const char *name) {
    const struct bn_onnx_graph *g = &w->o->graphs[graph];
    struct bn_bytes_out tensor = {0}, out = {0}, attribute = {0}, node = {0};
    const bool is_old = w->o->ir_version < 4, has_initializers = !g->is_function && !(is_old && g->parent != BN_NONE);
    put_new_head(n, has_initializers ? name : NULL, &tensor);
    if (has_initializers && is_old) add_input(w, g, n, name);
    if (has_initializers && has_tail(n)) {
        replace_with_tail(w, (struct bn_slice){g->message.end, g->message.end}, g->message.at, &tensor, n);
        return;
    }
    put_raw(w, n, &tensor);
    if (has_initializers) {
        bn_put_field(&out, 5, tensor.at, tensor.count);
        out.no_memory = out.no_memory || tensor.no_memory;
        bn_write_instead(w, (struct bn_slice){g->message.end, g->message.end}, g->message.at, &out);
        free(tensor.at);
        return;
    }
    bn_put_field(&attribute, 1, "value", 5);
    bn_put_field(&attribute, 5, tensor.at, tensor.count);
    bn_put_number(&attribute, 20, 4); /* TENSOR */
    bn_put_field(&node, 2, name, strlen(name));
    bn_put_field(&node, 4, "Constant", 8);
    bn_put_field(&node, 5, attribute.at, attribute.count);
    bn_put_field(&out, g->is_function ? 7 : 1, node.at, node.count);
    out.no_memory = out.no_memory || tensor.no_memory || attribute.no_memory || node.no_memory;
    size_t first = g->message.end;
    for (uint32_t i = 0; i < w->o->node_count; i++)
        if (w->o->nodes[i].graph == graph && w->o->nodes[i].field.at < first) first = w->o->nodes[i].field.at;
    bn_write_instead(w, (struct bn_slice){first, first}, g->message.at, &out);
    free(tensor.at);
    free(attribute.at);
    free(node.at);
}

const struct bn_onnx_tensor *bn_own_tensor(const struct bn_onnx *o, uint32_t value, const struct bn_numbers *n, uint32_t uses) {
    const struct bn_origin origin = bn_origin_of(o, value);
    if (origin.tensor == BN_NONE || origin.value != value) return NULL;
    const struct bn_onnx_value *v = &o->values[value];
    const struct bn_onnx_tensor *t = &o->tensors[origin.tensor];
    if (v->uses != uses || v->is_output || t->type != n->type || bn_onnx_elements(t) != (int64_t)n->count) return NULL;
    return t;
}

/* The message that a tensor is a field of: a graph, or the attribute of a Constant. */
static size_t around(const struct bn_onnx *o, uint32_t value, const struct bn_onnx_tensor *t) {
    if (o->values[value].tensor != BN_NONE && &o->tensors[o->values[value].tensor] == t)
        return o->graphs[o->values[value].graph].message.at;
    return bn_onnx_attribute(o, &o->nodes[o->values[value].node], "value")->message.at;
}

void bn_write_tensor(struct bn_writer *w, uint32_t value, const struct bn_onnx_tensor *own, const struct bn_numbers *n) {
    struct bn_bytes_out out = {0}, message = {0};
    const size_t at = around(w->o, value, own);
    w->counts->tensors++;
    put_head(w, own, &message);
    if (!own->is_external && has_tail(n)) {
        replace_with_tail(w, own->field, at, &message, n);
        return;
    }
    if (own->is_external && w->data_name)
        put_external(w, n, &message);
    else
        put_raw(w, n, &message);
    bn_put_field(&out, 5, message.at, message.count); /* of a graph and of an attribute alike */
    out.no_memory = out.no_memory || message.no_memory;
    free(message.at);
    bn_write_instead(w, own->field, at, &out);
}

void bn_write_input(struct bn_writer *w, const struct bn_onnx_node *n, uint32_t input, const struct bn_numbers *numbers,
                    const char *end) {
    const struct bn_onnx *o = w->o;
    char name[BN_NAME_BYTES];
    const bool is_there = input < n->inputs;
    const struct bn_onnx_use *u = &o->uses[n->input + (is_there ? input : 1)];
    const bool has_value = is_there && u->value != BN_NONE;
    const struct bn_onnx_tensor *own = has_value ? bn_own_tensor(o, u->value, numbers, 1) : NULL;
    if (own) {
        bn_write_tensor(w, u->value, own, numbers);
        return;
    }
    w->counts->tensors++;
    bn_write_name(w, o->uses[n->input + (has_value ? input : 1)].name, end, name);
    bn_write_value(w, n->graph, numbers, name);
    if (is_there) {
        bn_write_use(w, n, u, name, strlen(name));
        if (has_value && w->left) w->left[u->value]--;
        return;
    }
    struct bn_bytes_out out = {0};
    bn_put_field(&out, 1, name, strlen(name));
    bn_write_instead(w, (struct bn_slice){u->field.end, u->field.end}, n->message.at, &out);
}
