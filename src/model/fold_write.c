/* SPDX-License-Identifier: MIT */
/* From a plan to changes of the file. New numbers replace those of an initializer, or of a Constant, that nobody else uses;
 * otherwise they get a name of their own. What nobody uses any more goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/fold_write.h"

struct writer {
    struct bn_writer base;
    struct bn_fold *f;
    bool *gone; /* nodes, of the plan and of what nobody uses any more */
};

static void row_of_weights(const void *of, size_t first, size_t count, double *to) { bn_linear_row(of, first, count, to); }

/* Weights that are computed when the file is written. */
struct weights {
    struct bn_fold *fold;
    struct bn_linear *linear;
    struct bn_counts *counts;
};

static bool give_weights(void *of, bool (*write)(void *arg, const void *from, size_t bytes), void *arg) {
    const struct weights *weights = of;
    struct bn_linear *l = weights->linear;
    struct bn_writer w = {.counts = weights->counts};
    unsigned char some[BN_TOGETHER * sizeof(double)];
    bool ok = bn_linear_load(weights->fold, l);
    const struct bn_numbers n = {l->weight.type, l->weight.count, row_of_weights, l,
                                 l->weight.rank, l->weight.dims,  NULL,           NULL};
    const size_t each = bn_onnx_type_bytes(n.type), large = (size_t)1 << 20;
    for (size_t i = 0, count; ok && i < n.count; i += count) {
        count = n.count - i < BN_TOGETHER ? n.count - i : BN_TOGETHER;
        bn_write_some(&w, &n, i, count, some);
        ok = write(arg, some, count * each);
        if (l->weight.raw && (i + count) % large == 0)
            bn_map_forget(weights->fold->onnx->map, l->weight.raw + (i + count - large) * each, large * each);
    }
    bn_linear_unload(weights->fold->onnx, l);
    return ok;
}

static struct bn_tail later_weights(struct bn_writer *w, const struct bn_numbers *n) {
    struct weights *weights = malloc(sizeof *weights);
    if (weights) *weights = (struct weights){n->owner, (struct bn_linear *)(uintptr_t)n->of, w->counts};
    return (struct bn_tail){n->count * bn_onnx_type_bytes(n->type), give_weights, weights};
}

static void write_linear(struct writer *w, struct bn_linear *l) {
    const struct bn_onnx_node *n = &w->base.o->nodes[l->node];
    const int64_t outs = (int64_t)l->outs;
    double *bias = malloc((l->outs ? l->outs : 1) * sizeof *bias);
    const bool had_bias = l->bias.count > 0;
    bool biased = had_bias;
    w->base.no_memory = w->base.no_memory || !bias || !bn_linear_load(w->f, l);
    if (w->base.no_memory) {
        free(bias);
        return;
    }
    bn_linear_bias(l, bias);
    for (size_t c = 0; c < l->outs; c++) biased = biased || bias[c] != 0;
    const struct bn_numbers weights = {l->weight.type, l->weight.count, row_of_weights, l,
                                       l->weight.rank, l->weight.dims,  later_weights,  w->f};
    const struct bn_numbers biases = {l->weight.type, l->outs, bn_row_of_array, bias, 1, &outs, NULL, NULL};
    bn_write_input(&w->base, n, 1, &weights, "_folded");
    if (biased) bn_write_input(&w->base, n, 2, &biases, had_bias ? "_folded" : "_bias");
    if (biased && l->kind == BN_MATMUL) { /* which has no place for it */
        struct bn_bytes_out op = {0};
        bn_put_field(&op, 4, "Gemm", 4);
        bn_write_instead(&w->base, n->op_field, n->message.at, &op);
    }
    bn_linear_unload(w->base.o, l);
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
    const struct bn_onnx *o = w->base.o;
    const struct bn_folded *d = &w->f->folded[i];
    const struct bn_onnx_node *n = &o->nodes[w->f->norms.at[i].node];
    const struct bn_slice x = o->values[o->uses[n->input].value].name, y = o->values[o->uses[n->output].value].name;
    const char *base = (const char *)o->map->base, *in = base + x.at;
    size_t in_bytes = x.end - x.at;
    int64_t dims[BN_ONNX_RANK] = {(int64_t)d->instead.channels, 1, 1, 1, 1, 1, 1, 1};
    struct bn_bytes_out out = {0};
    char k[BN_NAME_BYTES], b[BN_NAME_BYTES], between[BN_NAME_BYTES];
    const struct bn_numbers add = {d->type, d->instead.channels, bn_row_of_array, d->instead.b, d->rank - 1, dims, NULL, NULL};
    const uint32_t field = o->graphs[n->graph].is_function ? 7 : 1;
    if (d->instead.k) {
        const struct bn_numbers mul = {d->type, d->instead.channels, bn_row_of_array, d->instead.k, d->rank - 1, dims, NULL,
                                       NULL};
        bn_write_name(&w->base, y, "_scale", k);
        bn_write_name(&w->base, y, "_scaled", between);
        bn_write_value(&w->base, n->graph, &mul, k);
        put_node(&out, field, "Mul", in, in_bytes, k, between, strlen(between));
        in = between;
        in_bytes = strlen(between);
    }
    bn_write_name(&w->base, y, "_shift", b);
    bn_write_value(&w->base, n->graph, &add, b);
    put_node(&out, field, "Add", in, in_bytes, b, base + y.at, y.end - y.at);
    bn_write_instead(&w->base, n->field, o->graphs[n->graph].message.at, &out);
    w->base.counts->tensors += d->instead.k ? 2 : 1;
    for (uint32_t input = 1; input < n->inputs; input++) {
        const uint32_t value = o->uses[n->input + input].value;
        if (value != BN_NONE && w->base.left[value] > 0) w->base.left[value]--;
    }
}

/* A batch norm that took over what followed it. */
static void write_norm(struct writer *w, const struct bn_norm *b) {
    const struct bn_onnx_node *n = &w->base.o->nodes[b->node];
    const int64_t channels = (int64_t)b->channels;
    for (int i = 0; i < 2; i++) {
        char why[BN_ONNX_BYTES];
        struct bn_constant old;
        if (bn_constant_read(w->base.o, w->base.o->uses[n->input + 1 + (uint32_t)i].value, &old, why)) continue;
        const struct bn_numbers numbers = {old.type, b->channels, bn_row_of_array, b->array[i], 1, &channels, NULL, NULL};
        free(old.at);
        bn_write_input(&w->base, n, (uint32_t)i + 1, &numbers, "_folded");
    }
}

/* Nodes that went take their uses with them. */
static void remove_node(struct writer *w, uint32_t node) {
    const struct bn_onnx_node *n = &w->base.o->nodes[node];
    const struct bn_slice old = n->field;
    bn_splice_add(w->base.splices, old, w->base.o->graphs[n->graph].message.at, NULL, 0);
    for (uint32_t i = 0; i < n->inputs; i++) {
        const uint32_t value = w->base.o->uses[n->input + i].value;
        if (value != BN_NONE && w->base.left[value] > 0) w->base.left[value]--;
    }
}

/* Removes the initializer or Constant of a value that nobody uses any more, and the Identity that hands it on. */
static void remove_unused(struct writer *w) {
    const struct bn_onnx *o = w->base.o;
    for (uint32_t i = o->value_count; i-- > 0;) {
        const struct bn_onnx_value *v = &o->values[i];
        if (v->uses == 0 || w->base.left[i] > 0 || v->is_output || v->is_doubtful) continue;
        const size_t graph = o->graphs[v->graph].message.at;
        const struct bn_slice nothing = {0, 0};
        if (v->tensor != BN_NONE) {
            bn_splice_add(w->base.splices, o->tensors[v->tensor].field, graph, NULL, 0);
            if (v->is_input && v->input.end != nothing.end) bn_splice_add(w->base.splices, v->input, graph, NULL, 0);
            if (v->info.end != nothing.end) bn_splice_add(w->base.splices, v->info, graph, NULL, 0);
        } else if (v->node != BN_NONE && !w->gone[v->node] && !bn_origin_of(o, i).is_runtime) {
            w->gone[v->node] = true;
            const struct bn_onnx_node *n = &o->nodes[v->node];
            bn_splice_add(w->base.splices, n->field, graph, NULL, 0);
            for (uint32_t k = 0; k < n->inputs; k++) {
                const uint32_t value = o->uses[n->input + k].value;
                if (value != BN_NONE && w->base.left[value] > 0) w->base.left[value]--;
            }
            if (v->info.end != nothing.end) bn_splice_add(w->base.splices, v->info, graph, NULL, 0);
        }
    }
}

/* Names of values that are now made or taken by other nodes. */
static void rename_uses(struct writer *w) {
    const struct bn_onnx *o = w->base.o;
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
            bn_write_use(&w->base, n, u, o->map->base + name.at, bytes);
        }
    }
}

/* What value_info says of values that are gone. */
static void remove_infos(struct writer *w) {
    const struct bn_onnx *o = w->base.o;
    for (uint32_t i = 0; i < o->value_count; i++) {
        const struct bn_onnx_value *v = &o->values[i];
        const bool is_gone = v->node == BN_NONE && v->tensor == BN_NONE && !v->is_input;
        if (is_gone && v->info.end != 0) bn_splice_add(w->base.splices, v->info, o->graphs[v->graph].message.at, NULL, 0);
    }
}

batchnorm_status bn_fold_changes(struct bn_fold *f, struct bn_splices *splices, struct bn_counts *counts, const char *data_name,
                                 struct bn_bytes_out *data) {
    struct writer w = {.base = {.o = f->onnx, .splices = splices, .counts = counts, .data_name = data_name, .data = data},
                       .f = f};
    *splices = (struct bn_splices){0};
    *counts = (struct bn_counts){0};
    w.base.left = malloc((f->onnx->value_count + 1) * sizeof *w.base.left);
    w.gone = malloc(f->onnx->node_count + 1);
    if (!w.base.left || !w.gone) {
        free(w.base.left);
        free(w.gone);
        return BATCHNORM_NO_MEMORY;
    }
    memcpy(w.gone, f->gone, f->onnx->node_count);
    for (uint32_t i = 0; i < f->onnx->value_count; i++) w.base.left[i] = f->onnx->values[i].uses;
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
    free(w.base.left);
    free(w.gone);
    free(w.base.names);
    return w.base.no_memory || splices->no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_OK;
}
