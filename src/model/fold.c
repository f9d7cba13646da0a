/* SPDX-License-Identifier: MIT */
#include "model/fold.h"

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

static bool is_finite(const struct bn_affine *a) {
    for (size_t c = 0; c < a->channels; c++)
        if (!isfinite(a->k[c]) || !isfinite(a->b[c])) return false;
    return true;
}

/* Why a batch norm is not touched, whatever is around it; NULL: it may be. */
static const char *refusal(const struct bn_fold *f, const struct bn_norm *n) {
    const struct bn_onnx_node *node = &f->onnx->nodes[n->node];
    if (n->wrong[0]) return n->wrong;
    if (n->is_training) return "it normalizes with the statistics of the batch (training mode)";
    if (n->was_spatial && f->onnx->values[f->onnx->uses[node->input].value].is_doubtful) return "its input is defined twice";
    if (n->is_override && !f->options.assume_constant)
        return "its numbers are inputs of the graph, which may be replaced (--assume-constant)";
    if (n->channels == 0) return "it has no channel";
    if (node->outputs < 1 || f->onnx->uses[node->output].value == BN_NONE || f->onnx->uses[node->input].value == BN_NONE)
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

static batchnorm_status plan(struct bn_fold *f, char *why) {
    const size_t count = f->norms.count;
    for (size_t i = 0; i < count; i++) {
        const char *reason = refusal(f, &f->norms.at[i]);
        f->folded[i].target = BN_NONE;
        if (reason) snprintf(f->folded[i].why, sizeof f->folded[i].why, "%s", reason);
        if (!reason) bn_fold_steps(f, i);
    }
    for (int up = 1; up >= 0 && !f->no_memory; up--)
        for (size_t i = 0; i < count && !f->no_memory; i++)
            if (!refusal(f, &f->norms.at[i]) && f->folded[i].outcome == BN_LEFT) fold_one(f, i, up);
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
    f->no_memory = !f->folded || !f->rescaled || !f->gone;
    if (!f->no_memory) return plan(f, why);
    snprintf(why, BN_ONNX_BYTES, "no memory for a plan");
    return BATCHNORM_NO_MEMORY;
}

void bn_fold_free(struct bn_fold *f) {
    for (size_t i = 0; i < f->linear_count; i++) bn_linear_free(&f->linears[i]);
    bn_norms_free(&f->norms);
    free(f->linears);
    free(f->folded);
    free(f->rescaled);
    free(f->gone);
    *f = (struct bn_fold){0};
}
