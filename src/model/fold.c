/* SPDX-License-Identifier: MIT */
#include "model/fold.h"
#include "model/round.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The batch norm as k x + b, in double. */
static struct bn_affine affine_of(const struct bn_norm *n) {
    const size_t bytes = (n->channels ? n->channels : 1) * sizeof(double);
    struct bn_affine a = {n->channels, malloc(bytes), malloc(bytes)};
    for (size_t c = 0; a.k && a.b && c < n->channels; c++) {
        a.k[c] = n->array[BN_SCALE][c] / sqrt(n->array[BN_VAR][c] + n->eps);
        a.b[c] = n->array[BN_SHIFT][c] - n->array[BN_MEAN][c] * a.k[c];
    }
    if (!a.k || !a.b) bn_affine_free(&a);
    return a;
}

/* Returns whether all numbers are finite in a type. */
static bool fits(const struct bn_affine *a, int32_t type) {
    for (size_t c = 0; c < a->channels; c++)
        if (!bn_fits(type, a->k[c]) || !bn_fits(type, a->b[c])) return false;
    return true;
}

static bool is_finite(const struct bn_affine *a) { return fits(a, BN_ONNX_DOUBLE); }

/* Why a batch norm is not touched, whatever is around it; NULL: it may be. */
static const char *refusal(const struct bn_fold *f, const struct bn_norm *n) {
    const struct bn_onnx_node *node = &f->onnx->nodes[n->node];
    if (n->wrong[0]) return n->wrong;
    if (n->is_training) return "it normalizes with the statistics of the batch (training mode)";
    if (n->is_override && !f->options.assume_constant)
        return "its numbers are inputs of the graph, which may be replaced (--assume-constant)";
    if (n->channels == 0) return "it has no channel";
    if (node->inputs < 1 || node->outputs < 1 || f->onnx->uses[node->output].value == BN_NONE ||
        f->onnx->uses[node->input].value == BN_NONE)
        return "it lacks its input or output";
    return NULL;
}

/* Folds into what is before or after, if that is possible as a whole. */
static bool fold_one(struct bn_fold *f, size_t i, bool up) {
    const struct bn_norm *n = &f->norms.at[i];
    const struct bn_onnx_node *node = &f->onnx->nodes[n->node];
    struct bn_folded *done = &f->folded[i];
    const uint32_t value = f->onnx->uses[up ? node->input : node->output].value;
    struct bn_affine a = affine_of(n);
    char why[BN_NORM_TEXT];
    uint32_t target = BN_NONE;
    if (!a.k) return f->no_memory = true, false;
    if (!is_finite(&a)) {
        bn_affine_free(&a);
        snprintf(done->why, sizeof done->why, "its scale or shift is not finite (a variance of -eps or below, a NaN)");
        return false;
    }
    bool ok = up ? bn_fold_up(f, value, &a, false, &target, why) : bn_fold_down(f, value, &a, false, &target, why);
    if (ok && up) ok = bn_fold_up(f, value, &a, true, &target, why);
    if (ok && !up) ok = bn_fold_down(f, value, &a, true, &target, why);
    bn_affine_free(&a);
    if (!ok) {
        const size_t at = strlen(done->why);
        snprintf(done->why + at, sizeof done->why - at, "%s%s", at ? "; " : "", why);
        return false;
    }
    const bool into_norm = bn_is_op(f->onnx, &f->onnx->nodes[target], "BatchNormalization");
    const bool into_parts = bn_is_op(f->onnx, &f->onnx->nodes[target], "Concat");
    done->outcome = into_norm ? BN_INTO_NORM : into_parts ? BN_INTO_PARTS : up ? BN_INTO_BEFORE : BN_INTO_AFTER;
    done->target = target;
    done->why[0] = '\0';
    if (up)
        bn_fold_bypass_up(f, n->node, node->input);
    else
        bn_fold_bypass_down(f, n->node, node->input);
    return true;
}

/* The element type of a value: declared, or that of all parameters, which before opset 15 is the same. 0: not known. */
static int32_t type_of(const struct bn_onnx *o, const struct bn_onnx_node *node) {
    const uint32_t x = o->uses[node->input].value, y = o->uses[node->output].value;
    struct bn_constant scale;
    char why[BN_ONNX_BYTES];
    if (o->values[x].type) return o->values[x].type;
    if (o->values[y].type) return o->values[y].type;
    if (bn_opset_of(o, node->graph) >= 15 || bn_constant_read(o, o->uses[node->input + 1].value, &scale, why)) return 0;
    free(scale.at);
    return scale.type;
}

/* Returns whether what is added can be told in a type: it is finite and not flushed. */
static bool shift_fits(const struct bn_affine *a, int32_t type) {
    for (size_t c = 0; c < a->channels; c++)
        if (!bn_fits(type, a->b[c]) || bn_is_flushed(type, a->b[c])) return false;
    return true;
}

/* Gives the scale alone to a Conv with padding: its zeros get none of it. What is added is added before. */
static void fold_scale(struct bn_fold *f, size_t i) {
    const struct bn_norm *n = &f->norms.at[i];
    const struct bn_onnx_node *node = &f->onnx->nodes[n->node];
    struct bn_folded *done = &f->folded[i];
    const uint32_t value = f->onnx->uses[node->output].value;
    struct bn_affine a = affine_of(n), scale = a.k ? bn_affine_copy(&a) : a;
    char why[BN_NORM_TEXT];
    uint32_t target = BN_NONE;
    bool ok = a.k && scale.k && is_finite(&a);
    f->no_memory = f->no_memory || !a.k || !scale.k;
    for (size_t c = 0; ok && c < a.channels; c++) {
        scale.b[c] = 0;
        a.b[c] /= a.k[c];
        ok = isfinite(a.b[c]);
    }
    const int rank = bn_rank_of(f->onnx, f->onnx->uses[node->input].value);
    ok = ok && rank >= 2 && bn_fold_down(f, value, &scale, false, &target, why) &&
         bn_is_op(f->onnx, &f->onnx->nodes[target], "Conv");
    const struct bn_linear *l = ok ? bn_linear_of(f, target, why) : NULL;
    ok = l && shift_fits(&a, l->weight.type) && bn_fold_down(f, value, &scale, true, &target, why);
    if (ok) {
        free(a.k);
        a.k = NULL;
        f->replaced[n->node] = true;
        *done = (struct bn_folded){BN_AS_ADD, target, a, rank, l->weight.type, ""};
    } else {
        bn_affine_free(&a);
    }
    bn_affine_free(&scale);
}

static void rewrite(struct bn_fold *f, size_t i) {
    const struct bn_norm *n = &f->norms.at[i];
    const struct bn_onnx_node *node = &f->onnx->nodes[n->node];
    struct bn_affine a = affine_of(n);
    const int rank = bn_rank_of(f->onnx, f->onnx->uses[node->input].value);
    const int32_t type = type_of(f->onnx, node);
    f->no_memory = f->no_memory || !a.k;
    if (a.k && rank >= 2 && bn_is_float(type) && fits(&a, type)) {
        f->replaced[n->node] = true;
        f->folded[i] = (struct bn_folded){BN_AS_MUL_ADD, BN_NONE, a, rank, type, ""};
        return;
    }
    bn_affine_free(&a);
}

static batchnorm_status plan(struct bn_fold *f, char *why) {
    const size_t count = f->norms.count;
    const bool is_doubtful = bn_sizes_are_doubtful(f->onnx);
    for (size_t i = 0; i < count; i++) {
        const char *reason = refusal(f, &f->norms.at[i]);
        f->folded[i].target = BN_NONE;
        if (reason) snprintf(f->folded[i].why, sizeof f->folded[i].why, "%s", reason);
        if (!reason) bn_fold_steps(f, i);
    }
    for (int up = 1; up >= 0 && !f->no_memory; up--)
        for (size_t i = 0; i < count && !f->no_memory; i++)
            if (!refusal(f, &f->norms.at[i]) && f->folded[i].outcome == BN_LEFT) fold_one(f, i, up);
    for (size_t i = 0; i < count && !f->no_memory; i++) {
        if (refusal(f, &f->norms.at[i]) || f->folded[i].outcome != BN_LEFT) continue;
        if (is_doubtful && f->options.rewrite)
            snprintf(f->folded[i].why, sizeof f->folded[i].why,
                     "not rewritten: the model has a pool with ceil_mode, whose size ONNX overestimates, and ONNX Runtime may "
                     "refuse a Mul or an Add");
        if (is_doubtful) continue;
        fold_scale(f, i);
        if (f->options.rewrite && f->folded[i].outcome == BN_LEFT) rewrite(f, i);
    }
    if (!f->no_memory) return BATCHNORM_OK;
    snprintf(why, BN_ONNX_BYTES, "no memory for its weights");
    return BATCHNORM_NO_MEMORY;
}

batchnorm_status bn_fold_plan(struct bn_fold *f, struct bn_onnx *onnx, struct bn_fold_options options, char *why) {
    *f = (struct bn_fold){.onnx = onnx, .options = options};
    bn_ranks_find(onnx);
    const batchnorm_status status = bn_norms_find(onnx, &f->norms, why);
    if (status) return status;
    f->folded = calloc(f->norms.count + 1, sizeof *f->folded);
    f->rescaled = calloc(f->norms.count + 1, sizeof *f->rescaled);
    f->gone = calloc(onnx->node_count + 1, sizeof *f->gone);
    f->replaced = calloc(onnx->node_count + 1, sizeof *f->replaced);
    f->linear_of = malloc((onnx->node_count + 1) * sizeof *f->linear_of);
    f->norm_of = malloc((onnx->node_count + 1) * sizeof *f->norm_of);
    f->no_memory = !f->folded || !f->rescaled || !f->gone || !f->replaced || !f->linear_of || !f->norm_of;
    for (uint32_t i = 0; i < onnx->node_count && !f->no_memory; i++) f->linear_of[i] = f->norm_of[i] = BN_NONE;
    for (size_t i = 0; i < f->norms.count && !f->no_memory; i++) f->norm_of[f->norms.at[i].node] = (uint32_t)i;
    if (!f->no_memory) return plan(f, why);
    snprintf(why, BN_ONNX_BYTES, "no memory for a plan");
    return BATCHNORM_NO_MEMORY;
}

void bn_fold_free(struct bn_fold *f) {
    for (size_t i = 0; i < f->linear_count; i++) bn_linear_free(&f->linears[i]);
    for (size_t i = 0; f->folded && i < f->norms.count; i++) bn_affine_free(&f->folded[i].instead);
    bn_norms_free(&f->norms);
    free(f->linears);
    free(f->folded);
    free(f->rescaled);
    free(f->gone);
    free(f->replaced);
    free(f->linear_of);
    free(f->norm_of);
    *f = (struct bn_fold){0};
}
