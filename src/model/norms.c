/* SPDX-License-Identifier: MIT */
#include "model/norms.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A weight below this leaves nothing of its channel that a float could tell from the bias in most networks. */
#define SMALL_WEIGHT 1e-3

static bool is_subnormal(double v) { return v > 0 && v < (double)FLT_MIN; }

static bool is_finite_at(double *const array[BN_NORM_ARRAYS], size_t c) {
    for (int i = 0; i < BN_NORM_ARRAYS; i++)
        if (array[i] && !isfinite(array[i][c])) return false;
    return true;
}

void bn_count_ills(double *const array[BN_NORM_ARRAYS], size_t channels, double eps, size_t ill[BN_ILLNESSES]) {
    memset(ill, 0, BN_ILLNESSES * sizeof *ill);
    for (size_t c = 0; c < channels; c++) {
        const double *mean = array[BN_MEAN], *var = array[BN_VAR], *scale = array[BN_SCALE];
        ill[BN_NOT_FINITE] += !is_finite_at(array, c);
        if (scale) ill[BN_WEIGHT_SMALL] += fabs(scale[c]) < SMALL_WEIGHT;
        if (!var) continue;
        ill[BN_VAR_NEGATIVE] += var[c] < 0;
        ill[BN_VAR_ZERO] += var[c] == 0;
        ill[BN_VAR_SUBNORMAL] += is_subnormal(var[c]);
        ill[BN_VAR_BELOW_EPS] += var[c] >= 0 && var[c] < eps;
        if (mean) ill[BN_NEVER_MOVED] += mean[c] == 0 && var[c] == 1;
    }
}

__attribute__((format(printf, 2, 3))) static void wrong(struct bn_norm *n, const char *format, ...) {
    va_list arguments;
    if (n->wrong[0]) return; /* the first reason is told */
    va_start(arguments, format);
    vsnprintf(n->wrong, sizeof n->wrong, format, arguments);
    va_end(arguments);
}

/* Returns how many outputs are there: an empty name at the end is none. */
static uint32_t outputs_of(const struct bn_onnx *o, const struct bn_onnx_node *node) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->outputs; i++)
        if (o->uses[node->output + i].name.at != o->uses[node->output + i].name.end) count = i + 1;
    return count;
}

/* Before opset 7 an attribute says which mode it is, then the number of outputs, from 14 on an attribute again. */
static bool is_training(const struct bn_onnx *o, const struct bn_onnx_node *node, int64_t opset) {
    if (opset < 7) return bn_onnx_integer(o, node, "is_test", 0) == 0;
    return opset < 14 ? outputs_of(o, node) > 1 : bn_onnx_integer(o, node, "training_mode", 0) != 0;
}

/* Reads one of the four arrays. Its size says how many channels there are. */
static batchnorm_status read_array(const struct bn_onnx *o, struct bn_norm *n, int i, char *why) {
    static const char *const names[] = {"scale", "bias", "mean", "variance"};
    const struct bn_onnx_node *node = &o->nodes[n->node];
    struct bn_constant c;
    const uint32_t value = (uint32_t)i + 1 < node->inputs ? o->uses[node->input + 1 + (uint32_t)i].value : BN_NONE;
    const struct bn_origin origin = bn_origin_of(o, value);
    if (origin.is_runtime) return wrong(n, "its %s is no constant", names[i]), BATCHNORM_OK;
    if (origin.is_override) n->is_override = true;
    const batchnorm_status status = bn_constant_read(o, value, &c, why);
    if (status == BATCHNORM_NO_MEMORY || status == BATCHNORM_IO) return status;
    if (status) return wrong(n, "its %s: %s", names[i], why), BATCHNORM_OK;
    if (c.rank > 1 || (i > 0 && c.count != n->channels)) {
        if (c.rank > 1)
            wrong(n, "its %s has %d dimensions", names[i], c.rank);
        else
            wrong(n, "its %s has %zu elements, its scale %zu", names[i], c.count, n->channels);
        free(c.at);
        return BATCHNORM_OK;
    }
    if (i == 0) n->channels = c.count;
    n->array[i] = c.at;
    return BATCHNORM_OK;
}

static batchnorm_status describe(const struct bn_onnx *o, struct bn_norm *n, char *why) {
    const struct bn_onnx_node *node = &o->nodes[n->node];
    const struct bn_onnx_attribute *eps = bn_onnx_attribute(o, node, "epsilon");
    const int64_t opset = bn_opset_of(o, node->graph);
    n->has_eps = eps && eps->has_f && !eps->is_reference;
    n->eps = n->has_eps ? eps->f : eps && eps->is_reference ? (double)NAN : (double)1e-5f;
    if (node->refers) wrong(n, "an attribute of it is told by whoever calls its function");
    n->is_training = is_training(o, node, opset);
    batchnorm_status status = BATCHNORM_OK;
    for (int i = 0; i < BN_NORM_ARRAYS && !status; i++) status = read_array(o, n, i, why);
    if (opset < 9 && bn_onnx_integer(o, node, "spatial", 1) == 0) n->was_spatial = true;
    if (n->was_spatial && n->wrong[0]) {
        n->wrong[0] = '\0';
        wrong(n, "spatial = 0: a number for each element, not for each channel");
    }
    bn_count_ills(n->array, n->channels, n->eps, n->ill);
    return status;
}

batchnorm_status bn_norms_find(const struct bn_onnx *o, struct bn_norms *norms, char *why) {
    size_t count = 0;
    *norms = (struct bn_norms){0};
    for (uint32_t i = 0; i < o->node_count; i++) count += bn_is_op_of(o, &o->nodes[i], "BatchNormalization");
    norms->at = calloc(count ? count : 1, sizeof *norms->at);
    if (!norms->at) {
        snprintf(why, BN_ONNX_BYTES, "no memory for %zu batch norms", count);
        return BATCHNORM_NO_MEMORY;
    }
    batchnorm_status status = BATCHNORM_OK;
    for (uint32_t i = 0; i < o->node_count && !status; i++) {
        if (!bn_is_op_of(o, &o->nodes[i], "BatchNormalization")) continue;
        struct bn_norm *n = &norms->at[norms->count++];
        n->node = i;
        status = describe(o, n, why);
    }
    return status;
}

void bn_norms_free(struct bn_norms *norms) {
    for (size_t i = 0; i < norms->count; i++)
        for (int k = 0; k < BN_NORM_ARRAYS; k++) free(norms->at[i].array[k]);
    free(norms->at);
    *norms = (struct bn_norms){0};
}
