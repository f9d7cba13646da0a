/* SPDX-License-Identifier: MIT */
/* A state has no graph: the user says which batch norm follows what. W' = W k along the first dimension, where PyTorch has the
 * output channels of convolutions and linear layers; the keys of the batch norm go. */
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

enum { NAME_BYTES = 600 };

struct item {
    batchnorm_named_tensor entry;
    double *values;
    size_t count;
    bool gone;
};

struct run {
    const struct fold_request *request;
    const batchnorm_model *model;
    struct item *items; /* the tensors of the file, then biases that are new */
    size_t count, room;
    size_t folded, flushed;
    double eps;
    char message[BATCHNORM_MODEL_MESSAGE];
};

static bool fail(struct run *run, const char *format, const char *a, const char *b) {
    snprintf(run->message, sizeof run->message, format, a, b);
    return false;
}

static bool dtype_of(const char *type, batchnorm_dtype *dtype) {
    static const struct {
        const char *name;
        batchnorm_dtype dtype;
    } types[] = {{"FLOAT", BATCHNORM_F32},
                 {"DOUBLE", BATCHNORM_F64},
                 {"FLOAT16", BATCHNORM_F16},
                 {"BFLOAT16", BATCHNORM_BF16},
                 {"INT64", BATCHNORM_I64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i].name) != 0) continue;
        *dtype = types[i].dtype;
        return true;
    }
    return false;
}

/* Reads a tensor as doubles, which hold all of its types but integers beyond 2^53. */
static bool read_item(struct run *run, size_t index, struct item *to) {
    batchnorm_model_tensor t;
    batchnorm_dtype dtype;
    batchnorm_model_tensor_at(run->model, index, &t);
    if (!dtype_of(t.type, &dtype)) return fail(run, "\"%.200s\" is of type %.40s, which cannot be written", t.name, t.type);
    to->entry = (batchnorm_named_tensor){t.name, batchnorm_tensor_contiguous(NULL, dtype, t.rank, t.shape)};
    to->count = (size_t)batchnorm_tensor_elements(&to->entry.tensor);
    to->values = calloc(to->count + 1, sizeof *to->values);
    if (!to->values) return fail(run, "no memory for \"%.200s\"%s", t.name, "");
    if (batchnorm_model_tensor_read(run->model, index, to->values, to->count, run->message)) return false;
    for (size_t i = 0; i < to->count && dtype == BATCHNORM_I64; i++)
        if (!(fabs(to->values[i]) <= 0x1p53)) return fail(run, "\"%.200s\" has integers beyond 2^53%s", t.name, "");
    return true;
}

static bool read_all(struct run *run) {
    const size_t count = batchnorm_model_tensor_count(run->model);
    run->room = 2 * count + 1; /* a batch norm brings one bias at most */
    run->items = calloc(run->room, sizeof *run->items);
    if (!run->items) return fail(run, "no memory%s%s", "", "");
    for (; run->count < count; run->count++)
        if (!read_item(run, run->count, &run->items[run->count])) return false;
    return true;
}

static struct item *find(const struct run *run, const char *prefix, const char *key) {
    const size_t bytes = strlen(prefix);
    for (size_t i = 0; i < run->count; i++) {
        const char *name = run->items[i].entry.name;
        const char *rest = bytes ? name + bytes + 1 : name;
        const bool begins = bytes == 0 || (strncmp(name, prefix, bytes) == 0 && name[bytes] == '.');
        if (begins && !run->items[i].gone && strcmp(rest, key) == 0) return &run->items[i];
    }
    return NULL;
}

/* A bias of zeros for a layer that has none. */
static struct item *add_bias(struct run *run, const char *layer, const struct item *weight, size_t channels) {
    struct item *bias = &run->items[run->count];
    const int64_t size = (int64_t)channels;
    char *name = malloc(strlen(layer) + sizeof ".bias");
    bias->values = calloc(channels + 1, sizeof *bias->values);
    if (!name || !bias->values) {
        free(name);
        free(bias->values);
        bias->values = NULL;
        return NULL;
    }
    sprintf(name, "%s.bias", layer);
    bias->entry = (batchnorm_named_tensor){name, batchnorm_tensor_contiguous(NULL, weight->entry.tensor.dtype, 1, &size)};
    bias->count = channels;
    run->count++;
    return bias;
}

static double at(const struct item *item, size_t c, double absent) { return item ? item->values[c] : absent; }

/* Makes numbers that would be subnormal in their type 0, as in models, and refuses what would be an infinity. */
static bool settle(struct run *run, struct item *item, const char *norm) {
    static const struct {
        double smallest, too_large; /* the smallest normal number; what rounds to an infinity */
    } ranges[] = {[BATCHNORM_F32] = {0x1p-126, 0x1.ffffffp127},
                  [BATCHNORM_F64] = {0x1p-1022, HUGE_VAL},
                  [BATCHNORM_F16] = {0x1p-14, 65520},
                  [BATCHNORM_BF16] = {0x1p-126, 0x1.ffp127}};
    const batchnorm_dtype dtype = item->entry.tensor.dtype;
    if (dtype == BATCHNORM_I64)
        return fail(run, "\"%.200s\" has integers, into which %.200s cannot go", item->entry.name, norm);
    for (size_t i = 0; i < item->count; i++) {
        const double v = fabs(item->values[i]);
        if (!(v < ranges[dtype].too_large))
            return fail(run, "\"%.200s\" with %.200s would have a number that is not finite in its type", item->entry.name,
                        norm);
        if (v == 0 || v >= ranges[dtype].smallest) continue;
        item->values[i] = 0;
        run->flushed++;
    }
    return true;
}

/* Computes the weights and the bias of one pair. */
static bool fold_arrays(struct run *run, struct item *weight, struct item *bias, const char *norm) {
    const struct item *mean = find(run, norm, "running_mean"), *var = find(run, norm, "running_var");
    const struct item *scale = find(run, norm, "weight"), *shift = find(run, norm, "bias");
    const size_t channels = var->count, each = weight->count / channels;
    for (size_t c = 0; c < channels; c++) {
        const double k = at(scale, c, 1) / sqrt(var->values[c] + run->eps);
        if (!isfinite(k)) return fail(run, "%.200s: a scale that is not finite (running_var + eps is not above 0)%s", norm, "");
        for (size_t i = c * each; i < (c + 1) * each; i++) weight->values[i] *= k;
        bias->values[c] = (bias->values[c] - mean->values[c]) * k + at(shift, c, 0);
    }
    return settle(run, weight, norm) && settle(run, bias, norm);
}

static bool fold_pair(struct run *run, const char *layer, const char *norm) {
    struct item *weight = find(run, layer, "weight"), *bias = find(run, layer, "bias");
    const struct item *mean = find(run, norm, "running_mean"), *var = find(run, norm, "running_var");
    static const char *const keys[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};
    if (!weight) return fail(run, "--pair %.200s=%.200s: the file has no such layer", layer, norm);
    if (!mean || !var) return fail(run, "--pair %.200s=%.200s: the file has no such batch norm", layer, norm);
    const size_t channels = var->count, rank = (size_t)weight->entry.tensor.rank;
    if (rank < 2 || channels == 0 || (size_t)weight->entry.tensor.shape[0] != channels || mean->count != channels)
        return fail(
            run, "--pair %.200s=%.200s: the layer has not as many output channels, which are the first dimension of its weight",
            layer, norm);
    for (int i = 0; i < 2; i++) {
        const struct item *item = find(run, norm, keys[i]);
        if (item && item->count != channels)
            return fail(run, "--pair %.200s=%.200s: its arrays have different sizes", layer, norm);
    }
    if (bias && bias->count != channels) return fail(run, "--pair %.200s=%.200s: the bias has another size", layer, norm);
    if (!bias && !(bias = add_bias(run, layer, weight, channels))) return fail(run, "no memory%s%s", "", "");
    if (!fold_arrays(run, weight, bias, norm)) return false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct item *item = find(run, norm, keys[i]);
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
    if (is_pattern != (star_place != NULL)) return fail(run, "--pair %.200s: a * must be on both sides%s", pair, "");
    for (size_t i = 0; i < batchnorm_model_norm_count(run->model); i++) {
        const char *norm = batchnorm_model_norm_at(run->model, i)->name;
        char star[NAME_BYTES], layer[2 * NAME_BYTES];
        if (!match(equal + 1, strlen(equal + 1), norm, star)) continue;
        const size_t head = star_place ? (size_t)(star_place - pair) : layer_bytes;
        snprintf(layer, sizeof layer, "%.*s%s%.*s", (int)head, pair, star, star_place ? (int)(layer_bytes - head - 1) : 0,
                 star_place ? star_place + 1 : "");
        if (is_pattern && !find(run, layer, "weight")) continue; /* a prefix that has only one of both */
        if (!fold_pair(run, layer, norm)) return false;
    }
    return run->folded > before || fail(run, "--pair %.200s: nothing in the file fits%s", pair, "");
}

/* Rounds everything to its type and writes it. */
static bool write_all(struct run *run) {
    batchnorm_named_tensor *entries = calloc(run->count + 1, sizeof *entries);
    char eps[32];
    size_t kept = 0;
    bool ok = entries != NULL;
    for (size_t i = 0; i < run->count && ok; i++) {
        struct item *item = &run->items[i];
        if (item->gone) continue;
        batchnorm_tensor t = item->entry.tensor;
        t.data = malloc(item->count * batchnorm_dtype_bytes(t.dtype) + 1);
        ok = t.data != NULL;
        if (ok && t.dtype == BATCHNORM_I64)
            for (size_t k = 0; k < item->count; k++) ((int64_t *)t.data)[k] = (int64_t)item->values[k];
        else if (ok)
            convert_elements(BATCHNORM_F64, item->values, t.dtype, t.data, item->count);
        entries[kept++] = (batchnorm_named_tensor){item->entry.name, t};
    }
    snprintf(eps, sizeof eps, "%.17g", run->eps);
    const batchnorm_safetensors_pair metadata[] = {{"format", "pt"}, {"batchnorm.folded_with_eps", eps}};
    if (!ok) fail(run, "no memory%s%s", "", "");
    ok = ok && !batchnorm_safetensors_write(run->request->output, entries, kept, metadata, 2, run->message);
    for (size_t i = 0; i < kept; i++) free(entries[i].tensor.data);
    free(entries);
    return ok;
}

/* eps from the command line, or from a file that tells it. */
static bool find_eps(struct run *run, const struct model_file *file) {
    run->eps = run->request->has_eps ? run->request->eps : file->eps;
    return run->eps >= 0 || fail(run, "the file does not tell eps: --eps X is missing (PyTorch's default is 1e-5)%s%s", "", "");
}

static void print_result(const struct run *run) {
    const struct fold_request *r = run->request;
    const size_t all = batchnorm_model_norm_count(run->model);
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
    printf("A state has no graph: that nothing is between the pairs is your word.\n");
}

int fold_state(const struct fold_request *r, const struct model_file *file) {
    struct run run = {.request = r, .model = file->model};
    const size_t own = batchnorm_model_tensor_count(file->model);
    bool ok = r->pair_count > 0 ||
              fail(&run, "a state has no graph, so that it must be told what follows what: --pair LAYER=NORM%s%s", "", "");
    if (ok && file->skipped) ok = fail(&run, "it has tensors of types that cannot be written%s%s", "", "");
    ok = ok && find_eps(&run, file) && read_all(&run);
    for (int i = 0; i < r->pair_count && ok; i++) ok = fold_pattern(&run, r->pairs[i]);
    ok = ok && write_all(&run);
    if (ok) print_result(&run);
    const int code = ok ? EXIT_DONE : report(EXIT_FAILED, "%s: %s", r->models.at[0], run.message);
    const bool left = run.folded < batchnorm_model_norm_count(file->model);
    for (size_t i = 0; i < run.count; i++) {
        free(run.items[i].values);
        if (i >= own) free((void *)(uintptr_t)run.items[i].entry.name);
    }
    free(run.items);
    return ok && r->require_all && left ? EXIT_FAILED : code;
}
