/* SPDX-License-Identifier: MIT */
#include "model/sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_same_text(const struct bn_onnx *o, struct bn_slice a, struct bn_slice b) {
    return a.end - a.at == b.end - b.at && memcmp(o->map->base + a.at, o->map->base + b.at, a.end - a.at) == 0;
}

static batchnorm_status no_memory(char *why) {
    snprintf(why, BN_ONNX_BYTES, "no memory for its graph");
    return BATCHNORM_NO_MEMORY;
}

/* Takes */

static bool add_take(struct bn_sites *s, uint32_t node, uint32_t value) {
    if (value == BN_NONE || s->o->values[value].graph != s->graph) return true;
    if (s->take_count == s->take_room) {
        const size_t room = 2 * s->take_room + 256;
        struct bn_take *more = realloc(s->takes, room * sizeof *more);
        if (!more) return false;
        s->takes = more;
        s->take_room = room;
    }
    s->takes[s->take_count++] = (struct bn_take){node, value};
    return true;
}

/* The node of the model's graph that a byte of the file is in; BN_NONE: none. */
static uint32_t node_around(const struct bn_sites *s, size_t at) {
    uint32_t low = s->first, high = s->last;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->o->nodes[middle].field.end <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->last && s->o->nodes[low].field.at <= at ? low : BN_NONE;
}

/* The outputs of a graph in a node may be values of the graph around it. */
static bool take_outputs(struct bn_sites *s, uint32_t graph, uint32_t node) {
    const struct bn_onnx *o = s->o;
    struct bn_wire w = bn_wire_begin(o->map->base, o->graphs[graph].message);
    for (struct bn_field f; bn_wire_next(&w, &f);) {
        if (f.number != 12 || f.type != BN_BYTES) continue;
        struct bn_wire info = bn_wire_begin(o->map->base, f.value);
        for (struct bn_field g; bn_wire_next(&info, &g);)
            if (g.number == 1 && g.type == BN_BYTES && !add_take(s, node, bn_onnx_find(o, graph, g.value))) return false;
    }
    return true;
}

static int compare_takes(const void *a, const void *b) {
    const struct bn_take *p = a, *q = b;
    return p->node < q->node ? -1 : p->node > q->node;
}

static bool find_takes(struct bn_sites *s) {
    const struct bn_onnx *o = s->o;
    bool ok = true;
    for (uint32_t i = 0; i < o->node_count && ok; i++) {
        const struct bn_onnx_node *n = &o->nodes[i];
        const uint32_t node = n->graph == s->graph ? i : node_around(s, n->field.at);
        for (uint32_t k = 0; node != BN_NONE && k < n->inputs && ok; k++) ok = add_take(s, node, o->uses[n->input + k].value);
    }
    for (uint32_t g = 0; g < o->graph_count && ok; g++) {
        const uint32_t node = g == s->graph ? BN_NONE : node_around(s, o->graphs[g].field.at);
        if (node != BN_NONE) ok = take_outputs(s, g, node);
    }
    if (ok && s->take_count) qsort(s->takes, s->take_count, sizeof *s->takes, compare_takes);
    return ok;
}

size_t bn_sites_takes(const struct bn_sites *s, uint32_t node) {
    size_t low = 0, high = s->take_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->takes[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What can be changed, and what not */

uint32_t bn_site_input(const struct bn_sites *s, size_t norm) {
    const struct bn_onnx_node *n = &s->o->nodes[s->norms.at[norm].node];
    return n->inputs ? s->o->uses[n->input].value : BN_NONE;
}

static const char *why_fixed(const struct bn_sites *s, const struct bn_norm *n) {
    const struct bn_onnx_node *node = &s->o->nodes[n->node];
    if (node->graph != s->graph) return "it is in a graph inside an operator (If, Loop, Scan), or in a function";
    if (n->wrong[0]) return n->wrong;
    if (n->is_training) return "it normalizes with the statistics of each batch";
    if (!n->array[BN_MEAN] || !n->array[BN_VAR] || node->outputs == 0) return "it has no mean or no variance";
    return NULL;
}

/* The name of a node is enough, if no other batch norm has it. */
static void find_key(struct bn_sites *s, size_t i) {
    const struct bn_onnx *o = s->o;
    const struct bn_onnx_node *n = &o->nodes[s->norms.at[i].node];
    bool is_only = n->name.at != n->name.end;
    for (size_t k = 0; k < s->norms.count && is_only; k++)
        is_only = k == i || !is_same_text(o, n->name, o->nodes[s->norms.at[k].node].name);
    s->at[i].key = is_only || !n->outputs ? n->name : o->uses[n->output].name;
}

static uint32_t value_of(const struct bn_sites *s, size_t norm, uint32_t input) {
    return s->o->uses[s->o->nodes[s->norms.at[norm].node].input + input].value;
}

static void find_twin(struct bn_sites *s, size_t i) {
    s->at[i].twin = i;
    for (size_t k = 0; k < i && s->at[i].twin == i; k++)
        if (s->at[k].depth > 0 && value_of(s, k, 3) == value_of(s, i, 3) && value_of(s, k, 4) == value_of(s, i, 4))
            s->at[i].twin = k;
}

static void look_at_norms(struct bn_sites *s) {
    for (size_t i = 0; i < s->norms.count; i++) {
        const char *why = why_fixed(s, &s->norms.at[i]);
        s->at[i].twin = i;
        find_key(s, i);
        if (why) snprintf(s->at[i].why, sizeof s->at[i].why, "%s", why);
        if (!why) s->norm_of[s->norms.at[i].node - s->first] = (uint32_t)i;
    }
}

/* Depths */

/* What has no input and is not the same each time counts as data: two parts of the graph must not make it twice. */
static bool is_random(const struct bn_onnx *o, const struct bn_onnx_node *n) {
    return n->op.end - n->op.at >= 6 && memcmp(o->map->base + n->op.at, "Random", 6) == 0;
}

static batchnorm_status find_depths(struct bn_sites *s, char *why) {
    const struct bn_onnx *o = s->o;
    for (uint32_t i = 0; i < o->value_count; i++) {
        const bool is_data = o->values[i].graph == s->graph && o->values[i].is_input && o->values[i].tensor == BN_NONE;
        s->value_depth[i] = is_data ? 0 : BN_DEPTH_CONSTANT;
    }
    for (uint32_t i = s->first; i < s->last; i++) {
        const struct bn_onnx_node *n = &o->nodes[i];
        int32_t depth = is_random(o, n) ? 0 : BN_DEPTH_CONSTANT;
        for (size_t k = bn_sites_takes(s, i); k < s->take_count && s->takes[k].node == i; k++) {
            const struct bn_onnx_value *v = &o->values[s->takes[k].value];
            if (v->node != BN_NONE && v->node >= i && v->node < s->last)
                return bn_onnx_refuse(why, n->field.at, "a node before the one that makes its input");
            if (s->value_depth[s->takes[k].value] > depth) depth = s->value_depth[s->takes[k].value];
        }
        const uint32_t norm = s->norm_of[i - s->first];
        if (norm != BN_NONE && depth >= 0) {
            s->at[norm].depth = ++depth;
            if (depth > s->deepest) s->deepest = depth;
        } else if (norm != BN_NONE) {
            snprintf(s->at[norm].why, sizeof s->at[norm].why, "what it normalizes does not come from the data");
            s->norm_of[i - s->first] = BN_NONE;
        }
        s->node_depth[i - s->first] = depth;
        for (uint32_t k = 0; k < n->outputs; k++)
            if (o->uses[n->output + k].value != BN_NONE) s->value_depth[o->uses[n->output + k].value] = depth;
    }
    return BATCHNORM_OK;
}

/* Backwards from the batch norms. One of the deepest ones is not needed itself: nobody asks for its output. */
static void find_needed(struct bn_sites *s) {
    const struct bn_onnx *o = s->o;
    bool *wanted = s->needed; /* of nodes; a node is wanted where a needed one takes its value */
    for (uint32_t i = 0; i < o->value_count; i++) s->last_use[i] = -1;
    for (uint32_t i = s->last; i-- > s->first;) {
        const uint32_t norm = s->norm_of[i - s->first];
        const int32_t depth = s->node_depth[i - s->first];
        if (norm != BN_NONE) { /* its input is looked at where those of its depth are */
            const uint32_t x = bn_site_input(s, norm);
            const uint32_t maker = x == BN_NONE ? BN_NONE : o->values[x].node;
            if (maker != BN_NONE) wanted[maker - s->first] = true;
        }
        if (!wanted[i - s->first]) continue;
        for (size_t k = bn_sites_takes(s, i); k < s->take_count && s->takes[k].node == i; k++) {
            const uint32_t value = s->takes[k].value, maker = o->values[value].node;
            if (depth > s->last_use[value]) s->last_use[value] = depth;
            if (maker != BN_NONE) wanted[maker - s->first] = true;
        }
    }
}

static bool take_memory(struct bn_sites *s) {
    const size_t nodes = s->last - s->first + 1, values = s->o->value_count + 1;
    s->at = calloc(s->norms.count + 1, sizeof *s->at);
    s->value_depth = malloc(values * sizeof *s->value_depth);
    s->last_use = malloc(values * sizeof *s->last_use);
    s->node_depth = malloc(nodes * sizeof *s->node_depth);
    s->norm_of = malloc(nodes * sizeof *s->norm_of);
    s->needed = calloc(nodes, sizeof *s->needed);
    if (!s->at || !s->value_depth || !s->last_use || !s->node_depth || !s->norm_of || !s->needed) return false;
    memset(s->norm_of, 0xff, nodes * sizeof *s->norm_of); /* BN_NONE */
    return true;
}

batchnorm_status bn_sites_find(struct bn_sites *s, const struct bn_onnx *o, char *why) {
    *s = (struct bn_sites){.o = o};
    while (s->graph < o->graph_count && (o->graphs[s->graph].is_function || o->graphs[s->graph].parent != BN_NONE)) s->graph++;
    while (s->first < o->node_count && o->nodes[s->first].graph != s->graph) s->first++;
    for (s->last = s->first; s->last < o->node_count && o->nodes[s->last].graph == s->graph;) s->last++;
    batchnorm_status status = bn_norms_find(o, &s->norms, why);
    if (status) return status;
    if (!take_memory(s) || !find_takes(s)) return no_memory(why);
    look_at_norms(s);
    status = find_depths(s, why);
    for (size_t i = 0; i < s->norms.count && !status; i++)
        if (s->at[i].depth > 0) find_twin(s, i);
    if (!status) find_needed(s);
    return status;
}

void bn_sites_free(struct bn_sites *s) {
    bn_norms_free(&s->norms);
    void *const memory[] = {s->at, s->takes, s->value_depth, s->node_depth, s->last_use, s->norm_of, s->needed};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) free(memory[i]);
    *s = (struct bn_sites){0};
}
