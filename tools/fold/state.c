/* SPDX-License-Identifier: MIT */
/* A state has no graph: the user says which batch norm follows what. W' = W k along the first dimension, where PyTorch has the
 * output channels of convolutions and linear layers; the keys of the batch norm go. */
#define _POSIX_C_SOURCE 200809L
#include "state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/clean.h"
#include "tools/shared/convert.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/shared/state_tensors.h"

enum { NAME_BYTES = 600 };

/* A state and what became of it. */
struct run {
    struct state state;
    const struct fold_request *request;
    size_t folded, flushed;
    double eps;
};

static struct state_item *find(const struct state *state, const char *prefix, const char *key) {
    const size_t bytes = strlen(prefix);
    for (size_t i = 0; i < state->count; i++) {
        const char *name = state->items[i].name;
        const char *rest = bytes ? name + bytes + 1 : name;
        const bool begins = bytes == 0 || (strncmp(name, prefix, bytes) == 0 && name[bytes] == '.');
        if (begins && !state->items[i].gone && strcmp(rest, key) == 0) return &state->items[i];
    }
    return NULL;
}

/* A bias of zeros for a layer that has none. */
static struct state_item *add_bias(struct state *state, const char *layer, const struct state_item *weight, size_t channels) {
    char *name = malloc(strlen(layer) + sizeof ".bias");
    if (name) sprintf(name, "%s.bias", layer);
    return state_add(state, name, weight->dtype, channels);
}

static double at(const struct state_item *item, size_t c, double absent) { return item ? item->values[c] : absent; }

/* Makes numbers that would be subnormal in their type 0, as in models, and refuses what would be an infinity. */
static bool settle(struct run *run, struct state_item *item, const char *norm) {
    const struct state_type *type = state_type(item);
    for (size_t i = 0; i < item->count; i++) {
        if (!bn_is_finite_as(type->dtype, item->values[i]))
            return state_fail(&run->state, "\"%.200s\" with %.200s would have a number that is not finite in its type",
                              item->name, norm);
        if (!bn_is_flushed_to(type->dtype, item->values[i])) continue;
        item->values[i] = 0;
        run->flushed++;
    }
    item->is_changed = true;
    return true;
}

/* Returns whether rounding takes so much of some channel that it would be another model's: of weights of F16 that are very
 * small. */
static bool loses_digits(const struct state_item *weight, size_t channels) {
    const size_t each = weight->count / channels;
    for (size_t c = 0; c < channels && state_type(weight)->dtype == BATCHNORM_F16; c++) {
        double all = 0, lost = 0;
        for (size_t i = c * each; i < (c + 1) * each; i++) {
            uint16_t rounded;
            double back;
            convert_elements(BATCHNORM_F64, &weight->values[i], BATCHNORM_F16, &rounded, 1);
            convert_elements(BATCHNORM_F16, &rounded, BATCHNORM_F64, &back, 1);
            all += weight->values[i] * weight->values[i];
            lost += (weight->values[i] - back) * (weight->values[i] - back);
        }
        if (bn_loses_digits(all, lost)) return true;
    }
    return false;
}

/* Computes the weights and the bias of one pair. */
static bool fold_arrays(struct run *run, struct state_item *weight, struct state_item *bias, const char *norm) {
    struct state_item *mean = find(&run->state, norm, "running_mean"), *var = find(&run->state, norm, "running_var");
    struct state_item *scale = find(&run->state, norm, "weight"), *shift = find(&run->state, norm, "bias");
    struct state_item *const all[] = {weight, bias, mean, var, scale, shift};
    const size_t channels = var->count, each = weight->count / channels;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!state_numbers(&run->state, all[i])) return false;
    for (size_t c = 0; c < channels; c++) {
        const double k = at(scale, c, 1) / sqrt(var->values[c] + run->eps);
        if (!isfinite(k))
            return state_fail(&run->state, "%.200s: a scale that is not finite (running_var + eps is not above 0)%s", norm, "");
        for (size_t i = c * each; i < (c + 1) * each; i++) weight->values[i] *= k;
        bias->values[c] = (bias->values[c] - mean->values[c]) * k + at(shift, c, 0);
    }
    if (!settle(run, weight, norm) || !settle(run, bias, norm)) return false;
    if (loses_digits(weight, channels))
        return state_fail(&run->state, "\"%.200s\" with %.200s would be too small for the digits of its type", weight->name,
                          norm);
    return true;
}

static bool fold_pair(struct run *run, const char *layer, const char *norm) {
    struct state_item *weight = find(&run->state, layer, "weight"), *bias = find(&run->state, layer, "bias");
    const struct state_item *mean = find(&run->state, norm, "running_mean"), *var = find(&run->state, norm, "running_var");
    static const char *const keys[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};
    if (!weight) return state_fail(&run->state, "--pair %.200s=%.200s: the file has no such layer", layer, norm);
    if (!mean || !var) return state_fail(&run->state, "--pair %.200s=%.200s: the file has no such batch norm", layer, norm);
    const size_t channels = var->count, rank = (size_t)weight->rank;
    if (rank < 2 || channels == 0 || (size_t)weight->shape[0] != channels || mean->count != channels)
        return state_fail(
            &run->state,
            "--pair %.200s=%.200s: the layer has not as many output channels, which are the first dimension of its weight",
            layer, norm);
    for (int i = 0; i < 2; i++) {
        const struct state_item *item = find(&run->state, norm, keys[i]);
        if (item && item->count != channels)
            return state_fail(&run->state, "--pair %.200s=%.200s: its arrays have different sizes", layer, norm);
    }
    if (bias && bias->count != channels)
        return state_fail(&run->state, "--pair %.200s=%.200s: the bias has another size", layer, norm);
    if (!bias && !(bias = add_bias(&run->state, layer, weight, channels))) return false;
    if (!fold_arrays(run, weight, bias, norm)) return false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct state_item *item = find(&run->state, norm, keys[i]);
        if (item) item->gone = true;
    }
    run->folded++;
    if (run->request->explain && !run->request->json) {
        print_clean(stdout, norm);
        printf(": into ");
        print_clean(stdout, layer);
        putchar('\n');
    }
    return true;
}

/* What a * of a pattern stands for in a name; false if it does not fit. */
static bool match(const char *pattern, size_t bytes, const char *name, char star[NAME_BYTES]) {
    const char *place = memchr(pattern, '*', bytes);
    const size_t before = place ? (size_t)(place - pattern) : bytes, after = place ? bytes - before - 1 : 0, all = strlen(name);
    star[0] = '\0';
    if (!place) return all == bytes && strncmp(name, pattern, bytes) == 0;
    if (all < before + after || all - before - after >= NAME_BYTES || strncmp(name, pattern, before) != 0) return false;
    if (strcmp(name + all - after, "") != 0 && strncmp(name + all - after, place + 1, after) != 0) return false;
    memcpy(star, name + before, all - before - after);
    star[all - before - after] = '\0';
    return true;
}

static bool fold_pattern(struct run *run, const char *pair) {
    const char *equal = strchr(pair, '=');
    const size_t layer_bytes = (size_t)(equal - pair);
    const char *star_place = memchr(pair, '*', layer_bytes);
    const bool is_pattern = strchr(equal, '*') != NULL;
    const size_t before = run->folded;
    if (is_pattern != (star_place != NULL))
        return state_fail(&run->state, "--pair %.200s: a * must be on both sides%s", pair, "");
    for (size_t i = 0; i < batchnorm_model_norm_count(run->state.file->model); i++) {
        const char *norm = batchnorm_model_norm_at(run->state.file->model, i)->name;
        char star[NAME_BYTES], layer[2 * NAME_BYTES];
        if (!match(equal + 1, strlen(equal + 1), norm, star)) continue;
        const size_t head = star_place ? (size_t)(star_place - pair) : layer_bytes;
        snprintf(layer, sizeof layer, "%.*s%s%.*s", (int)head, pair, star, star_place ? (int)(layer_bytes - head - 1) : 0,
                 star_place ? star_place + 1 : "");
        if (is_pattern && !find(&run->state, layer, "weight")) continue; /* a prefix that has only one of both */
        if (!fold_pair(run, layer, norm)) return false;
    }
    return run->folded > before || state_fail(&run->state, "--pair %.200s: nothing in the file fits%s", pair, "");
}

/* eps from the command line, or from a file that tells it. */
static bool find_eps(struct run *run, const struct model_file *file) {
    run->eps = run->request->has_eps ? run->request->eps : file->eps;
    return run->eps >= 0 ||
           state_fail(&run->state, "the file does not tell eps: --eps X is missing (PyTorch's default is 1e-5)%s%s", "", "");
}

static bool write_state(struct run *run) {
    char eps[32];
    snprintf(eps, sizeof eps, "%.17g", run->eps);
    const batchnorm_safetensors_pair metadata[] = {{"format", "pt"}, {"batchnorm.folded_with_eps", eps}};
    return state_write(&run->state, run->request->output, metadata, 2);
}

static void print_result(const struct run *run) {
    const struct fold_request *r = run->request;
    const size_t all = batchnorm_model_norm_count(run->state.file->model);
    if (r->json) {
        printf("{\"model\": ");
        print_json_text(r->models.at[0]);
        printf(", \"output\": ");
        print_json_text(r->output);
        printf(", \"count\": %zu, \"left\": %zu, \"flushed\": %zu}\n", all, all - run->folded, run->flushed);
        return;
    }
    print_clean(stdout, r->output);
    printf(": %zu of %zu batch norms are folded, with eps %g\n", run->folded, all, run->eps);
    if (run->flushed) printf("%zu numbers would have been subnormal and are 0\n", run->flushed);
    printf("A state has no graph: that nothing is between the pairs, ");
    printf("and that no LAYER is a transposed convolution, is your word.\n");
}

/* What is wrong about the command line with a state; NULL: nothing. */
static const char *misused(const struct fold_request *r) {
    static const char *const ends[] = {".onnx", ".pth", ".pt"};
    const size_t bytes = strlen(r->output);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (bytes > strlen(ends[i]) && strcmp(r->output + bytes - strlen(ends[i]), ends[i]) == 0)
            return "a state is written as safetensors: -o FILE.safetensors";
    if (r->verify) return "--verify is for ONNX models: a state has no graph that could be run";
    if (r->rewrite) return "--rewrite is for ONNX models: a state has no graph";
    if (r->pair_count == 0) return "a state has no graph, so that it must be told what follows what: --pair LAYER=NORM";
    return NULL;
}

int fold_state(const struct fold_request *r, const struct model_file *file) {
    struct run run = {.state = {.file = file}, .request = r};
    if (misused(r)) return report_usage("%s: %s", input_name(r->models.at[0]), misused(r));
    if (model_file_is(file, r->output))
        return report(EXIT_FAILED, "%s: it is the state that is read; it must go into another file", r->output);
    bool ok = find_eps(&run, file) && state_read(&run.state, batchnorm_model_norm_count(file->model));
    for (int i = 0; i < r->pair_count && ok; i++) ok = fold_pattern(&run, r->pairs[i]);
    ok = ok && write_state(&run);
    if (ok) print_result(&run);
    const int code = ok ? EXIT_DONE : report(EXIT_FAILED, "%s: %s", input_name(r->models.at[0]), run.state.message);
    const bool left = run.folded < batchnorm_model_norm_count(file->model);
    state_free(&run.state);
    return ok && r->require_all && left ? EXIT_FAILED : code;
}
