/* SPDX-License-Identifier: MIT */
/* Nodes that compute count, mean and M2 of what a batch norm normalizes: standard ones, for whatever runs the model. The input
 * is first seen as (N, C, all others), so that its rank need not be known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/part.h"

enum { KEY_BYTES = 400, TEXT_BYTES = KEY_BYTES + 40 };

/* Names of values: "batchnorm/KEY/mean". */
struct names {
    char x[TEXT_BYTES], rows[TEXT_BYTES], row[TEXT_BYTES], axes[TEXT_BYTES], channels[TEXT_BYTES], cast[TEXT_BYTES],
        view[TEXT_BYTES], center[TEXT_BYTES], off[TEXT_BYTES], square[TEXT_BYTES], all[TEXT_BYTES], number[TEXT_BYTES],
        var[TEXT_BYTES], mean_in[TEXT_BYTES], var_in[TEXT_BYTES], mean[TEXT_BYTES], m2[TEXT_BYTES], count[TEXT_BYTES];
};

/* A node with one or two inputs and at most one attribute of ints and one of an int. */
struct op {
    const char *op, *a, *b, *y;
    bool has_axes;
    const char *attribute;
    int64_t value;
};

static void put_attribute(struct bn_bytes_out *node, const char *name, const int64_t *ints, size_t count, int64_t type) {
    struct bn_bytes_out attribute = {0};
    bn_put_field(&attribute, 1, name, strlen(name));
    for (size_t i = 0; i < count; i++) bn_put_number(&attribute, type == 2 ? 3 : 8, (uint64_t)ints[i]);
    bn_put_number(&attribute, 20, (uint64_t)type);
    bn_put_field(node, 5, attribute.at, attribute.count);
    node->no_memory = node->no_memory || attribute.no_memory;
    free(attribute.at);
}

static const int64_t axes[] = {0, 2};

static void put_op(struct bn_bytes_out *graph, struct op o) {
    struct bn_bytes_out node = {0};
    bn_put_field(&node, 1, o.a, strlen(o.a));
    if (o.b) bn_put_field(&node, 1, o.b, strlen(o.b));
    bn_put_field(&node, 2, o.y, strlen(o.y));
    bn_put_field(&node, 4, o.op, strlen(o.op));
    if (o.has_axes) put_attribute(&node, "axes", axes, 2, 7);
    if (o.attribute) put_attribute(&node, o.attribute, &o.value, 1, 2);
    bn_put_field(graph, 1, node.at, node.count);
    graph->no_memory = graph->no_memory || node.no_memory;
    free(node.at);
}

/* A Constant of int64: a row of numbers, or with rank 0 one. */
static void put_constant(struct bn_bytes_out *graph, const char *name, const int64_t *values, size_t count, int rank) {
    struct bn_bytes_out tensor = {0}, attribute = {0}, node = {0};
    if (rank) bn_put_number(&tensor, 1, count);
    bn_put_number(&tensor, 2, BN_ONNX_INT64);
    for (size_t i = 0; i < count; i++) bn_put_number(&tensor, 7, (uint64_t)values[i]);
    bn_put_field(&attribute, 1, "value", 5);
    bn_put_field(&attribute, 5, tensor.at, tensor.count);
    bn_put_number(&attribute, 20, 4); /* TENSOR */
    bn_put_field(&node, 2, name, strlen(name));
    bn_put_field(&node, 4, "Constant", 8);
    bn_put_field(&node, 5, attribute.at, attribute.count);
    bn_put_field(graph, 1, node.at, node.count);
    graph->no_memory = graph->no_memory || tensor.no_memory || attribute.no_memory || node.no_memory;
    free(tensor.at);
    free(attribute.at);
    free(node.at);
}

static batchnorm_status refuse(char *why, const char *what) {
    snprintf(why, BN_ONNX_BYTES, "%s", what);
    return BATCHNORM_BAD_OPTION;
}

static batchnorm_status make_names(const struct bn_sites *s, size_t norm, struct names *n, char *why) {
    static const char *const words[] = {"rows",         "row",         "axes",   "channels", "cast",   "view",
                                        "center",       "off",         "square", "all",      "number", "var",
                                        "running_mean", "running_var", "mean",   "m2",       "count"};
    char(*const to[])[TEXT_BYTES] = {&n->rows,    &n->row,    &n->axes,   &n->channels, &n->cast,   &n->view,
                                     &n->center,  &n->off,    &n->square, &n->all,      &n->number, &n->var,
                                     &n->mean_in, &n->var_in, &n->mean,   &n->m2,       &n->count};
    const struct bn_slice key = s->at[norm].key, x = s->o->values[bn_site_input(s, norm)].name;
    const char *base = (const char *)s->o->map->base;
    if (key.end - key.at > KEY_BYTES || x.end - x.at >= TEXT_BYTES) return refuse(why, "a name of more than 400 bytes");
    snprintf(n->x, sizeof n->x, "%.*s", (int)(x.end - x.at), base + x.at);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(*to[i], TEXT_BYTES, "batchnorm/%.*s/%s", (int)(key.end - key.at), base + key.at, words[i]);
        if (bn_onnx_has(s->o, s->graph, *to[i])) return refuse(why, "the model has such outputs already: it is one for them");
    }
    return BATCHNORM_OK;
}

/* Floats of 16 bits have too few digits for sums, doubles stay. */
static int32_t type_of_sums(const struct bn_sites *s, size_t norm) {
    const uint32_t x = bn_site_input(s, norm);
    const bool is_double =
        s->o->values[x].type == BN_ONNX_DOUBLE ||
        (s->o->values[x].type == 0 && bn_opset_of(s->o, s->graph) < 15 && bn_statistics_type(s, norm, 3) == BN_ONNX_DOUBLE);
    return is_double ? BN_ONNX_DOUBLE : BN_ONNX_FLOAT;
}

static void put_sums(const struct bn_sites *s, size_t norm, const struct names *n, int32_t type, struct bn_bytes_out *out) {
    const int64_t opset = bn_opset_of(s->o, s->graph);
    const int64_t rows[] = {0, 0, -1}, row[] = {-1}, channels[] = {(int64_t)s->norms.at[norm].channels};
    const bool mean_takes = opset >= 18, sum_takes = opset >= 13;
    put_constant(out, n->rows, rows, 3, 1);
    put_constant(out, n->row, row, 1, 1);
    put_constant(out, n->channels, channels, 1, 0);
    if (sum_takes) put_constant(out, n->axes, axes, 2, 1);
    put_op(out, (struct op){"Cast", n->x, NULL, n->cast, false, "to", type});
    put_op(out, (struct op){"Reshape", n->cast, n->rows, n->view, false, NULL, 0});
    put_op(out, (struct op){"ReduceMean", n->view, mean_takes ? n->axes : NULL, n->center, !mean_takes, "keepdims", 1});
    put_op(out, (struct op){"Reshape", n->center, n->row, n->mean, false, NULL, 0});
    put_op(out, (struct op){"Sub", n->view, n->center, n->off, false, NULL, 0});
    put_op(out, (struct op){"Mul", n->off, n->off, n->square, false, NULL, 0});
    put_op(out, (struct op){"ReduceSum", n->square, sum_takes ? n->axes : NULL, n->m2, !sum_takes, "keepdims", 0});
    put_op(out, (struct op){"Size", n->x, NULL, n->all, false, NULL, 0});
    put_op(out, (struct op){"Div", n->all, n->channels, n->count, false, NULL, 0});
}

/* The batch norm takes what was just computed. */
static void put_normalizing(const struct bn_sites *s, struct bn_writer *w, size_t norm, const struct names *n, int32_t type,
                            struct bn_bytes_out *out) {
    const struct bn_onnx_node *node = &s->o->nodes[s->norms.at[norm].node];
    put_op(out, (struct op){"Cast", n->count, NULL, n->number, false, "to", type});
    put_op(out, (struct op){"Div", n->m2, n->number, n->var, false, NULL, 0});
    put_op(out, (struct op){"Cast", n->mean, NULL, n->mean_in, false, "to", bn_statistics_type(s, norm, 3)});
    put_op(out, (struct op){"Cast", n->var, NULL, n->var_in, false, "to", bn_statistics_type(s, norm, 4)});
    bn_write_use(w, node, &s->o->uses[node->input + 3], n->mean_in, strlen(n->mean_in));
    bn_write_use(w, node, &s->o->uses[node->input + 4], n->var_in, strlen(n->var_in));
}

batchnorm_status bn_sums_write(const struct bn_part_plan *p, struct bn_writer *w, size_t norm, char *why) {
    const struct bn_sites *s = p->sites;
    const struct bn_onnx_node *node = &s->o->nodes[s->norms.at[norm].node];
    const struct bn_onnx_graph *g = &s->o->graphs[s->graph];
    const int64_t channels = (int64_t)s->norms.at[norm].channels;
    const int32_t type = type_of_sums(s, norm);
    struct bn_bytes_out nodes = {0}, outputs = {0};
    struct names *n = malloc(sizeof *n);
    if (!n) return snprintf(why, BN_ONNX_BYTES, "no memory"), BATCHNORM_NO_MEMORY;
    batchnorm_status status = BATCHNORM_OK;
    if (bn_opset_of(s->o, s->graph) < 7)
        status = refuse(why, "its operators are of a version before 7, which cannot compute them");
    if (!status) status = make_names(s, norm, n, why);
    if (!status) {
        put_sums(s, norm, n, type, &nodes);
        if (p->normalizes && p->selected[s->norms.at[norm].node - s->first]) put_normalizing(s, w, norm, n, type, &nodes);
        bn_write_instead(w, (struct bn_slice){node->field.at, node->field.at}, g->message.at, &nodes);
    }
    if (!status && p->sums) {
        bn_put_info(&outputs, 12, n->count, strlen(n->count), BN_ONNX_INT64, 0, NULL);
        bn_put_info(&outputs, 12, n->mean, strlen(n->mean), type, 1, &channels);
        bn_put_info(&outputs, 12, n->m2, strlen(n->m2), type, 1, &channels);
        bn_write_instead(w, (struct bn_slice){g->message.end, g->message.end}, g->message.at, &outputs);
    }
    free(n);
    return status;
}
