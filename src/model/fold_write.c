/* SPDX-License-Identifier: MIT */
/* From a plan to changes of the file. New numbers replace those of an initializer, or of a Constant, that nobody else uses;
 * otherwise they get a name of their own. What nobody uses any more goes. Longer than 300 lines, because all of them share one
 * list of changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/fold_write.h"
#include "model/round.h"

enum { NAME_BYTES = 200 };

struct writer {
    struct bn_fold *f;
    const struct bn_onnx *o;
    struct bn_splices *splices;
    struct bn_fold_counts *counts;
    uint32_t *left;            /* uses of each value that are left */
    bool *gone;                /* nodes, of the plan and of what nobody uses any more */
    char (*names)[NAME_BYTES]; /* that were made, by their hashes; empty: a free place */
    size_t name_count, name_room;
    uint32_t serial;           /* in names that would be taken */
    const char *data_name;     /* of the new file for external data */
    struct bn_bytes_out *data; /* what goes into it */
    bool no_memory;
};

/* Rounds a number to its type, and counts one that would be subnormal. */
static uint64_t bits_of(struct writer *w, int32_t type, double v) {
    w->counts->flushed += bn_is_flushed(type, v);
    return bn_round_bits(type, v);
}

/* Names */

/* Returns where a name that was made stands among them, or would stand. */
static size_t slot_of(const struct writer *w, const char *name) {
    size_t at = bn_onnx_hash(0, name, strlen(name)) & (w->name_room - 1);
    while (w->names[at][0] && strcmp(w->names[at], name) != 0) at = (at + 1) & (w->name_room - 1);
    return at;
}

/* Makes room for another name: half of all places stay free. */
static bool grow_names(struct writer *w) {
    if (2 * (w->name_count + 1) <= w->name_room) return true;
    struct writer larger = {.name_room = w->name_room ? 2 * w->name_room : 64};
    larger.names = calloc(larger.name_room, sizeof *larger.names);
    if (!larger.names) return false;
    for (size_t i = 0; i < w->name_room; i++)
        if (w->names[i][0]) memcpy(larger.names[slot_of(&larger, w->names[i])], w->names[i], NAME_BYTES);
    free(w->names);
    w->names = larger.names;
    w->name_room = larger.name_room;
    return true;
}

static bool is_taken(const struct writer *w, const char *name) {
    if (w->names[slot_of(w, name)][0]) return true;
    for (uint32_t i = 0; i < w->o->graph_count; i++)
        if (bn_onnx_has(w->o, i, name)) return true;
    return false;
}

/* Makes a name that no value has. */
static void new_name(struct writer *w, struct bn_slice base, const char *end, char name[NAME_BYTES]) {
    const size_t bytes = base.end - base.at;
    const int kept = bytes < 120 ? (int)bytes : 120;
    const char *text = kept ? (const char *)w->o->map->base + base.at : "";
    snprintf(name, NAME_BYTES, "%.*s%s", kept, text, end);
    w->no_memory = w->no_memory || !grow_names(w);
    if (w->no_memory) return;
    while (is_taken(w, name)) snprintf(name, NAME_BYTES, "%.*s%s_%u", kept, text, end, ++w->serial);
    memcpy(w->names[slot_of(w, name)], name, NAME_BYTES);
    w->name_count++;
}

/* Changes */

static void replace(struct writer *w, struct bn_slice old, size_t message, struct bn_bytes_out *with) {
    w->no_memory = w->no_memory || with->no_memory;
    if (with->no_memory) free(with->at);
    if (!with->no_memory) bn_splice_add(w->splices, old, message, with->at, with->count);
    *with = (struct bn_bytes_out){0};
}

static void rename_use(struct writer *w, const struct bn_onnx_node *n, const struct bn_onnx_use *u, const void *name,
                       size_t bytes) {
    struct bn_bytes_out field = {0};
    bn_put_field(&field, u < w->o->uses + n->output ? 1 : 2, name, bytes);
    replace(w, u->field, n->message.at, &field);
}

/* Puts all of a tensor but its data. */
static void put_head(struct writer *w, const struct bn_onnx_tensor *t, struct bn_bytes_out *out) {
    struct bn_wire walk = bn_wire_begin(w->o->map->base, t->message);
    for (struct bn_field f; bn_wire_next(&walk, &f);) {
        const bool is_data =
            (f.number >= 3 && f.number <= 7) || (f.number >= 9 && f.number <= 11) || f.number == 13 || f.number == 14;
        if (!is_data) bn_put_bytes(out, w->o->map->base + f.tag, f.value.end - f.tag);
    }
}

/* The numbers of a parameter, in `count` elements of a type. */
struct numbers {
    int32_t type;
    size_t count;
    void (*row)(const void *of, size_t first, size_t count, double *to);
    const void *of;
    int rank;
    const int64_t *dims;
};

static void row_of_array(const void *of, size_t first, size_t count, double *to) {
    memcpy(to, (const double *)of + first, count * sizeof *to);
}
static void row_of_weights(const void *of, size_t first, size_t count, double *to) { bn_linear_row(of, first, count, to); }

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Nearly all weights are floats, and many. */
static void put_floats(struct writer *w, const double *row, size_t count, unsigned char *to) {
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

enum { TOGETHER = 1024 };

/* Fills in some numbers, TOGETHER at most, little-endian. */
static void put_some(struct writer *w, const struct numbers *n, size_t first, size_t count, unsigned char *to) {
    const size_t each = bn_onnx_type_bytes(n->type);
    double row[TOGETHER];
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
static void put_numbers(struct writer *w, const struct numbers *n, unsigned char *to) {
    const size_t each = bn_onnx_type_bytes(n->type);
    for (size_t i = 0, some; to && i < n->count; i += some) {
        some = n->count - i < TOGETHER ? n->count - i : TOGETHER;
        put_some(w, n, i, some, to + i * each);
    }
}

/* Weights that are computed when the file is written. */
struct weights {
    struct bn_fold *fold;
    struct bn_linear *linear;
    struct bn_fold_counts *counts;
};

static bool give_weights(void *of, bool (*write)(void *arg, const void *from, size_t bytes), void *arg) {
    const struct weights *weights = of;
    struct bn_linear *l = weights->linear;
    struct writer w = {.counts = weights->counts};
    unsigned char some[TOGETHER * sizeof(double)];
    bool ok = bn_linear_load(weights->fold, l);
    const struct numbers n = {l->weight.type, l->weight.count, row_of_weights, l, l->weight.rank, l->weight.dims};
    const size_t each = bn_onnx_type_bytes(n.type), large = (size_t)1 << 20;
    for (size_t i = 0, count; ok && i < n.count; i += count) {
        count = n.count - i < TOGETHER ? n.count - i : TOGETHER;
        put_some(&w, &n, i, count, some);
        ok = write(arg, some, count * each);
        if (l->weight.raw && (i + count) % large == 0)
            bn_map_forget(weights->fold->onnx->map, l->weight.raw + (i + count - large) * each, large * each);
    }
    bn_linear_unload(weights->fold->onnx, l);
    return ok;
}

/* From so many bytes on they are not kept until then. */
enum { TAIL_BYTES = 1 << 16 };

static bool has_tail(const struct numbers *n) {
    return n->row == row_of_weights && n->count * bn_onnx_type_bytes(n->type) >= TAIL_BYTES;
}

/* Replaces fields by a tensor of which the head is there and the numbers follow. */
static void replace_with_tail(struct writer *w, struct bn_slice old, size_t message, struct bn_bytes_out *head,
                              const struct numbers *n) {
    const size_t bytes = n->count * bn_onnx_type_bytes(n->type);
    struct bn_bytes_out out = {0};
    struct weights *weights = malloc(sizeof *weights);
    bn_put_opening(head, 9, bytes);
    bn_put_opening(&out, 5, head->count + bytes);
    bn_put_bytes(&out, head->at, head->count);
    w->no_memory = w->no_memory || !weights || head->no_memory || out.no_memory;
    free(head->at);
    *head = (struct bn_bytes_out){0};
    if (w->no_memory) {
        free(weights);
        free(out.at);
        return;
    }
    *weights = (struct weights){w->f, (struct bn_linear *)(uintptr_t)n->of, w->counts};
    bn_splice_add_tail(w->splices, old, message, out.at, out.count, (struct bn_tail){bytes, give_weights, weights});
}

static void put_raw(struct writer *w, const struct numbers *n, struct bn_bytes_out *out) {
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
static void put_external(struct writer *w, const struct numbers *n, struct bn_bytes_out *out) {
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
static void put_new_head(const struct numbers *n, const char *name, struct bn_bytes_out *out) {
    for (int d = 0; d < n->rank; d++) bn_put_number(out, 1, (uint64_t)n->dims[d]);
    bn_put_number(out, 2, (uint64_t)n->type);
    if (name) bn_put_field(out, 8, name, strlen(name));
}

/* Before IR 4 an initializer is an input of the graph, too. */
static void add_input(struct writer *w, const struct bn_onnx_graph *g, const struct numbers *n, const char *name) {
    struct bn_bytes_out shape = {0}, tensor = {0}, type = {0}, info = {0}, out = {0};
    for (int d = 0; d < n->rank; d++) {
        struct bn_bytes_out dim = {0};
        bn_put_number(&dim, 1, (uint64_t)n->dims[d]);
        bn_put_field(&shape, 1, dim.at, dim.count);
        shape.no_memory = shape.no_memory || dim.no_memory;
        free(dim.at);
    }
    bn_put_number(&tensor, 1, (uint64_t)n->type);
    bn_put_field(&tensor, 2, shape.at, shape.count);
    bn_put_field(&type, 1, tensor.at, tensor.count);
    bn_put_field(&info, 1, name, strlen(name));
    bn_put_field(&info, 2, type.at, type.count);
    bn_put_field(&out, 11, info.at, info.count);
    out.no_memory = out.no_memory || shape.no_memory || tensor.no_memory || type.no_memory || info.no_memory;
    replace(w, (struct bn_slice){g->message.end, g->message.end}, g->message.at, &out);
    free(shape.at);
    free(tensor.at);
    free(type.at);
    free(info.at);
}

/* Adds an initializer to a graph. A function has none, and before IR 4 nor has a graph in a node: they get a Constant before
 * their first node. */
static void add_value(struct writer *w, uint32_t graph, const struct numbers *n, const char *name) {
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
        replace(w, (struct bn_slice){g->message.end, g->message.end}, g->message.at, &out);
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
    replace(w, (struct bn_slice){first, first}, g->message.at, &out);
    free(tensor.at);
    free(attribute.at);
    free(node.at);
}

/* The tensor that may be changed where it is; NULL: it has other users, or is computed. */
static const struct bn_onnx_tensor *own_tensor(const struct writer *w, uint32_t value, const struct numbers *n) {
    const struct bn_origin origin = bn_origin_of(w->o, value);
    if (origin.tensor == BN_NONE || origin.value != value) return NULL;
    const struct bn_onnx_value *v = &w->o->values[value];
    const struct bn_onnx_tensor *t = &w->o->tensors[origin.tensor];
    if (v->uses != 1 || v->is_output || t->type != n->type || bn_onnx_elements(t) != (int64_t)n->count) return NULL;
    return t;
}

/* The message that a tensor is a field of: a graph, or the attribute of a Constant. */
static size_t around(const struct bn_onnx *o, uint32_t value, const struct bn_onnx_tensor *t) {
    if (o->values[value].tensor != BN_NONE && &o->tensors[o->values[value].tensor] == t)
        return o->graphs[o->values[value].graph].message.at;
    return bn_onnx_attribute(o, &o->nodes[o->values[value].node], "value")->message.at;
}

/* Gives a node's input new numbers. */
static void set_input(struct writer *w, const struct bn_onnx_node *n, uint32_t input, const struct numbers *numbers,
                      const char *end) {
    const struct bn_onnx *o = w->o;
    struct bn_bytes_out out = {0}, message = {0};
    char name[NAME_BYTES];
    const bool is_there = input < n->inputs;
    const struct bn_onnx_use *u = &o->uses[n->input + (is_there ? input : 1)];
    const bool has_value = is_there && u->value != BN_NONE;
    const struct bn_onnx_tensor *own = has_value ? own_tensor(w, u->value, numbers) : NULL;
    w->counts->tensors++;
    if (own) {
        put_head(w, own, &message);
        if (!own->is_external && has_tail(numbers)) {
            replace_with_tail(w, own->field, around(o, u->value, own), &message, numbers);
            return;
        }
        if (own->is_external && w->data_name)
            put_external(w, numbers, &message);
        else
            put_raw(w, numbers, &message);
        bn_put_field(&out, 5, message.at, message.count); /* of a graph and of an attribute alike */
        out.no_memory = out.no_memory || message.no_memory;
        free(message.at);
        replace(w, own->field, around(o, u->value, own), &out);
        return;
    }
    new_name(w, o->uses[n->input + (has_value ? input : 1)].name, end, name);
    add_value(w, n->graph, numbers, name);
    if (is_there) {
        rename_use(w, n, u, name, strlen(name));
        if (has_value) w->left[u->value]--;
        return;
    }
    bn_put_field(&out, 1, name, strlen(name));
    replace(w, (struct bn_slice){u->field.end, u->field.end}, n->message.at, &out);
}

static void write_linear(struct writer *w, struct bn_linear *l) {
    const struct bn_onnx_node *n = &w->o->nodes[l->node];
    const int64_t outs = (int64_t)l->outs;
    double *bias = malloc((l->outs ? l->outs : 1) * sizeof *bias);
    const bool had_bias = l->bias.count > 0;
    bool biased = had_bias;
    w->no_memory = w->no_memory || !bias || !bn_linear_load(w->f, l);
    if (w->no_memory) {
        free(bias);
        return;
    }
    bn_linear_bias(l, bias);
    for (size_t c = 0; c < l->outs; c++) biased = biased || bias[c] != 0;
    const struct numbers weights = {l->weight.type, l->weight.count, row_of_weights, l, l->weight.rank, l->weight.dims};
    const struct numbers biases = {l->weight.type, l->outs, row_of_array, bias, 1, &outs};
    set_input(w, n, 1, &weights, "_folded");
    if (biased) set_input(w, n, 2, &biases, had_bias ? "_folded" : "_bias");
    if (biased && l->kind == BN_MATMUL) { /* which has no place for it */
        struct bn_bytes_out op = {0};
        bn_put_field(&op, 4, "Gemm", 4);
        replace(w, n->op_field, n->message.at, &op);
    }
    bn_linear_unload(w->o, l);
    free(bias);
}

/* Puts a node of two inputs. */
static void put_node(struct bn_bytes_out *out, uint32_t field, const char *op, const char *a, size_t a_bytes, const char *b,
                     const char *y, size_t y_bytes) {
    struct bn_bytes_out node = {0};
    bn_put_field(&node, 1, a, a_bytes);
    bn_put_field(&node, 1, b, strlen(b));
    bn_put_field(&node, 2, y, y_bytes);
    bn_put_field(&node, 4, op, strlen(op));
    bn_put_field(out, field, node.at, node.count);
    out->no_memory = out->no_memory || node.no_memory;
    free(node.at);
}

/* A Mul and an Add, or an Add alone, in the place of a batch norm. Their constants lie along the channels: (C, 1, ...). */
static void write_instead(struct writer *w, size_t i) {
    const struct bn_onnx *o = w->o;
    const struct bn_folded *d = &w->f->folded[i];
    const struct bn_onnx_node *n = &o->nodes[w->f->norms.at[i].node];
    const struct bn_slice x = o->values[o->uses[n->input].value].name, y = o->values[o->uses[n->output].value].name;
    const char *base = (const char *)o->map->base, *in = base + x.at;
    size_t in_bytes = x.end - x.at;
    int64_t dims[BN_ONNX_RANK] = {(int64_t)d->instead.channels, 1, 1, 1, 1, 1, 1, 1};
    struct bn_bytes_out out = {0};
    char k[NAME_BYTES], b[NAME_BYTES], between[NAME_BYTES];
    const struct numbers add = {d->type, d->instead.channels, row_of_array, d->instead.b, d->rank - 1, dims};
    const uint32_t field = o->graphs[n->graph].is_function ? 7 : 1;
    if (d->instead.k) {
        const struct numbers mul = {d->type, d->instead.channels, row_of_array, d->instead.k, d->rank - 1, dims};
        new_name(w, y, "_scale", k);
        new_name(w, y, "_scaled", between);
        add_value(w, n->graph, &mul, k);
        put_node(&out, field, "Mul", in, in_bytes, k, between, strlen(between));
        in = between;
        in_bytes = strlen(between);
    }
    new_name(w, y, "_shift", b);
    add_value(w, n->graph, &add, b);
    put_node(&out, field, "Add", in, in_bytes, b, base + y.at, y.end - y.at);
    replace(w, n->field, o->graphs[n->graph].message.at, &out);
    w->counts->tensors += d->instead.k ? 2 : 1;
    for (uint32_t input = 1; input < n->inputs; input++) {
        const uint32_t value = o->uses[n->input + input].value;
        if (value != BN_NONE && w->left[value] > 0) w->left[value]--;
    }
}

/* A batch norm that took over what followed it. */
static void write_norm(struct writer *w, const struct bn_norm *b) {
    const struct bn_onnx_node *n = &w->o->nodes[b->node];
    const int64_t channels = (int64_t)b->channels;
    for (int i = 0; i < 2; i++) {
        char why[BN_ONNX_BYTES];
        struct bn_constant old;
        if (bn_constant_read(w->o, w->o->uses[n->input + 1 + (uint32_t)i].value, &old, why)) continue;
        const struct numbers numbers = {old.type, b->channels, row_of_array, b->array[i], 1, &channels};
        free(old.at);
        set_input(w, n, (uint32_t)i + 1, &numbers, "_folded");
    }
}

/* Nodes that went take their uses with them. */
static void remove_node(struct writer *w, uint32_t node) {
    const struct bn_onnx_node *n = &w->o->nodes[node];
    const struct bn_slice old = n->field;
    bn_splice_add(w->splices, old, w->o->graphs[n->graph].message.at, NULL, 0);
    for (uint32_t i = 0; i < n->inputs; i++) {
        const uint32_t value = w->o->uses[n->input + i].value;
        if (value != BN_NONE && w->left[value] > 0) w->left[value]--;
    }
}

/* Removes the initializer or Constant of a value that nobody uses any more, and the Identity that hands it on. */
static void remove_unused(struct writer *w) {
    const struct bn_onnx *o = w->o;
    for (uint32_t i = o->value_count; i-- > 0;) {
        const struct bn_onnx_value *v = &o->values[i];
        if (v->uses == 0 || w->left[i] > 0 || v->is_output || v->is_doubtful) continue;
        const size_t graph = o->graphs[v->graph].message.at;
        const struct bn_slice nothing = {0, 0};
        if (v->tensor != BN_NONE) {
            bn_splice_add(w->splices, o->tensors[v->tensor].field, graph, NULL, 0);
            if (v->is_input && v->input.end != nothing.end) bn_splice_add(w->splices, v->input, graph, NULL, 0);
            if (v->info.end != nothing.end) bn_splice_add(w->splices, v->info, graph, NULL, 0);
        } else if (v->node != BN_NONE && !w->gone[v->node] && !bn_origin_of(o, i).is_runtime) {
            w->gone[v->node] = true;
            const struct bn_onnx_node *n = &o->nodes[v->node];
            bn_splice_add(w->splices, n->field, graph, NULL, 0);
            for (uint32_t k = 0; k < n->inputs; k++) {
                const uint32_t value = o->uses[n->input + k].value;
                if (value != BN_NONE && w->left[value] > 0) w->left[value]--;
            }
            if (v->info.end != nothing.end) bn_splice_add(w->splices, v->info, graph, NULL, 0);
        }
    }
}

/* Names of values that are now made or taken by other nodes. */
static void rename_uses(struct writer *w) {
    const struct bn_onnx *o = w->o;
    for (uint32_t i = 0; i < o->node_count; i++) {
        const struct bn_onnx_node *n = &o->nodes[i];
        if (w->gone[i] || w->f->replaced[i]) continue;
        for (uint32_t k = n->input; k < n->output + n->outputs; k++) {
            const struct bn_onnx_use *u = &o->uses[k];
            if (k >= n->input + n->inputs && k < n->output) continue;
            if (u->value == BN_NONE) continue;
            const struct bn_slice name = o->values[u->value].name;
            const size_t bytes = name.end - name.at;
            if (bytes == u->name.end - u->name.at && memcmp(o->map->base + name.at, o->map->base + u->name.at, bytes) == 0)
                continue;
            rename_use(w, n, u, o->map->base + name.at, bytes);
        }
    }
}

/* What value_info says of values that are gone. */
static void remove_infos(struct writer *w) {
    const struct bn_onnx *o = w->o;
    for (uint32_t i = 0; i < o->value_count; i++) {
        const struct bn_onnx_value *v = &o->values[i];
        const bool is_gone = v->node == BN_NONE && v->tensor == BN_NONE && !v->is_input;
        if (is_gone && v->info.end != 0) bn_splice_add(w->splices, v->info, o->graphs[v->graph].message.at, NULL, 0);
    }
}

batchnorm_status bn_fold_changes(struct bn_fold *f, struct bn_splices *splices, struct bn_fold_counts *counts,
                                 const char *data_name, struct bn_bytes_out *data) {
    struct writer w = {.f = f, .o = f->onnx, .splices = splices, .counts = counts, .data_name = data_name, .data = data};
    *splices = (struct bn_splices){0};
    *counts = (struct bn_fold_counts){0};
    w.left = malloc((f->onnx->value_count + 1) * sizeof *w.left);
    w.gone = malloc(f->onnx->node_count + 1);
    if (!w.left || !w.gone) {
        free(w.left);
        free(w.gone);
        return BATCHNORM_NO_MEMORY;
    }
    memcpy(w.gone, f->gone, f->onnx->node_count);
    for (uint32_t i = 0; i < f->onnx->value_count; i++) w.left[i] = f->onnx->values[i].uses;
    rename_uses(&w);
    for (uint32_t i = 0; i < f->onnx->node_count; i++)
        if (w.gone[i]) remove_node(&w, i);
    for (size_t i = 0; i < f->linear_count; i++)
        if (f->linears[i].changes) write_linear(&w, &f->linears[i]);
    for (size_t i = 0; i < f->norms.count; i++)
        if (f->folded[i].instead.b)
            write_instead(&w, i);
        else if (f->rescaled[i] && !w.gone[f->norms.at[i].node])
            write_norm(&w, &f->norms.at[i]);
    remove_unused(&w);
    remove_infos(&w);
    free(w.left);
    free(w.gone);
    free(w.names);
    return w.no_memory || splices->no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_OK;
}
