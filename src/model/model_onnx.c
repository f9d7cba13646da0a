/* SPDX-License-Identifier: MIT */
/* What an ONNX file is from outside. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

static const char *text_of(batchnorm_model *m, struct bn_slice slice) {
    return bn_model_text(m, m->map.base ? m->map.base + slice.at : NULL, slice.end - slice.at);
}

/* A node's name, or that of its first output. */
static const char *name_of(batchnorm_model *m, const struct bn_onnx_node *n) {
    if (n->name.at != n->name.end) return text_of(m, n->name);
    return n->outputs ? text_of(m, m->onnx.uses[n->output].name) : "";
}

/* The operator that makes the input, and one that takes the output. */
static void describe_neighbours(batchnorm_model *m, const struct bn_onnx_node *n, batchnorm_model_norm *to) {
    const struct bn_onnx *o = &m->onnx;
    const uint32_t in = n->inputs ? o->uses[n->input].value : BN_NONE, out = n->outputs ? o->uses[n->output].value : BN_NONE;
    if (in != BN_NONE && o->values[in].node != BN_NONE) to->before = text_of(m, o->nodes[o->values[in].node].op);
    if (out != BN_NONE && o->values[out].uses > 0) to->after = text_of(m, o->nodes[o->values[out].user].op);
}

static void describe(batchnorm_model *m, const struct bn_norm *from, batchnorm_model_norm *to) {
    const struct bn_onnx_node *n = &m->onnx.nodes[from->node];
    *to = (batchnorm_model_norm){.name = name_of(m, n),
                                 .channels = from->array[BN_SCALE] ? (int64_t)from->channels : -1,
                                 .eps = from->eps,
                                 .has_eps = from->has_eps,
                                 .is_training = from->is_training,
                                 .num_batches_tracked = -1};
    memcpy(to->ill, from->ill, sizeof to->ill);
    if (from->was_spatial && !from->wrong[0]) to->note = "spatial = 0 with one number for each channel, taken for spatial = 1";
    describe_neighbours(m, n, to);
}

batchnorm_status bn_model_onnx_norms(batchnorm_model *m, char *message) {
    struct bn_norms norms;
    char why[BN_ONNX_BYTES];
    batchnorm_status status = bn_norms_find(&m->onnx, &norms, why);
    m->format = BATCHNORM_MODEL_ONNX;
    m->norms = status ? NULL : calloc(norms.count + 1, sizeof *m->norms);
    if (!status && !m->norms) status = BATCHNORM_NO_MEMORY;
    for (size_t i = 0; !status && i < norms.count; i++) describe(m, &norms.at[i], &m->norms[i]);
    m->norm_count = norms.count;
    bn_norms_free(&norms);
    if (status) return bn_model_fail(message, status, "%s", status == BATCHNORM_NO_MEMORY ? "no memory" : why);
    /* the plan changes its index, which others must see as it was */
    const struct bn_fold_options options = {m->options.assume_constant, m->options.rewrite};
    status = bn_onnx_index(&m->plan_index, &m->map, why);
    m->plan_index.path = m->path;
    m->plan_index.follows_links = m->options.follow_symlinks;
    if (!status) status = bn_fold_plan(&m->plan, &m->plan_index, options, why);
    for (size_t i = 0; !status && i < m->plan.norms.count; i++) {
        const struct bn_folded *f = &m->plan.folded[i];
        m->norms[i].outcome = (batchnorm_fold_outcome)f->outcome;
        if (f->target != BN_NONE) m->norms[i].target = name_of(m, &m->onnx.nodes[f->target]);
        if (f->why[0]) m->norms[i].why = bn_model_text(m, f->why, strlen(f->why));
    }
    if (!status && m->no_memory) status = BATCHNORM_NO_MEMORY;
    return status ? bn_model_fail(message, status, "%s", status == BATCHNORM_NO_MEMORY ? "no memory" : why) : BATCHNORM_OK;
}

batchnorm_status bn_model_onnx_tensors(batchnorm_model *m) {
    m->tensors = calloc(m->onnx.tensor_count + 1, sizeof *m->tensors);
    if (!m->tensors) return BATCHNORM_NO_MEMORY;
    for (m->tensor_count = 0; m->tensor_count < m->onnx.tensor_count; m->tensor_count++) {
        const struct bn_onnx_tensor *t = &m->onnx.tensors[m->tensor_count];
        batchnorm_model_tensor *to = &m->tensors[m->tensor_count];
        *to = (batchnorm_model_tensor){text_of(m, t->name), bn_onnx_type_name(t->type), t->rank, {0}, t->is_external};
        for (int d = 0; d < t->rank; d++) to->shape[d] = t->dims[d];
    }
    return m->no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_OK;
}

/* Reads a StringStringEntryProto: false if it is not whole. */
static bool read_pair(batchnorm_model *m, struct bn_slice message, struct bn_pair *pair) {
    struct bn_wire w = bn_wire_begin(m->map.base, message);
    struct bn_slice key = {0, 0}, value = {0, 0};
    for (struct bn_field f; bn_wire_next(&w, &f);) {
        if (f.number == 1 && f.type == BN_BYTES) key = f.value;
        if (f.number == 2 && f.type == BN_BYTES) value = f.value;
    }
    if (!w.wrong) *pair = (struct bn_pair){text_of(m, key), text_of(m, value)};
    return !w.wrong;
}

batchnorm_status bn_model_onnx_metadata(batchnorm_model *m) {
    struct bn_wire w = bn_wire_begin(m->map.base, (struct bn_slice){0, m->map.bytes});
    size_t room = 0;
    for (struct bn_field f; !m->no_memory && bn_wire_next(&w, &f);) {
        if (f.number != 14 || f.type != BN_BYTES) continue;
        if (m->pair_count == room) {
            struct bn_pair *more = realloc(m->pairs, (room = 2 * room + 16) * sizeof *more);
            if (!more) return BATCHNORM_NO_MEMORY;
            m->pairs = more;
        }
        m->pair_count += read_pair(m, f.value, &m->pairs[m->pair_count]);
    }
    return m->no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_OK;
}

batchnorm_status bn_model_onnx_read(const batchnorm_model *m, size_t index, double *values, size_t count, char *message) {
    char why[BN_ONNX_BYTES];
    double *at;
    size_t got;
    const batchnorm_status status = bn_onnx_read(&m->onnx, &m->onnx.tensors[index], &at, &got, why);
    if (status) return bn_model_fail(message, status, "%s", why);
    memcpy(values, at, (got < count ? got : count) * sizeof *values);
    free(at);
    return BATCHNORM_OK;
}
