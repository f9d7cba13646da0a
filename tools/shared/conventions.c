/* SPDX-License-Identifier: MIT */
#include "conventions.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define WEIGHT(pattern) {ROLE_WEIGHT, pattern}
#define BIAS(pattern) {ROLE_BIAS, pattern}
#define MEAN(pattern) {ROLE_MEAN, pattern}
#define VAR(pattern) {ROLE_VAR, pattern}

const struct convention conventions[CONVENTIONS + 1] = {
    {.name = "pytorch", .format = "pt", .eps = 1e-5, .momentum = 0.1, .momentum_of_new = true, .is_unbiased = true,
     .lacks = LACKS_BIAS, .spelled = {
        {{WEIGHT("%.weight"), BIAS("%.bias"), MEAN("%.running_mean"), VAR("%.running_var"),
          {ROLE_BATCHES, "%.num_batches_tracked"}}}}},
    {.name = "keras", .format = "tf", .eps = 1e-3, .momentum = 0.99, .lacks = LACKS_ANY, .spelled = {
        {{WEIGHT("%/gamma"), BIAS("%/beta"), MEAN("%/moving_mean"), VAR("%/moving_variance")}},
        {{WEIGHT("%/gamma:0"), BIAS("%/beta:0"), MEAN("%/moving_mean:0"), VAR("%/moving_variance:0")}}}},
    {.name = "flax", .format = "flax", .eps = 1e-5, .momentum = 0.99, .lacks = LACKS_ANY, .spelled = {
        {{WEIGHT("params/%/scale"), BIAS("params/%/bias"), MEAN("batch_stats/%/mean"), VAR("batch_stats/%/var")}},
        {{WEIGHT("params.%.scale"), BIAS("params.%.bias"), MEAN("batch_stats.%.mean"), VAR("batch_stats.%.var")}}}},
    {.name = "mxnet", .eps = 1e-3, .momentum = 0.9, .can_fix_gamma = true, .lacks = LACKS_NONE, .spelled = {
        {{WEIGHT("%_gamma"), BIAS("%_beta"), MEAN("%_moving_mean"), VAR("%_moving_var")}},
        {{WEIGHT("arg:%_gamma"), BIAS("arg:%_beta"), MEAN("aux:%_moving_mean"), VAR("aux:%_moving_var")}},
        {{WEIGHT("%.gamma"), BIAS("%.beta"), MEAN("%.running_mean"), VAR("%.running_var")}}}},
    {.name = "paddle", .eps = 1e-5, .momentum = 0.9, .lacks = LACKS_ANY, .spelled = {
        {{WEIGHT("%.weight"), BIAS("%.bias"), MEAN("%._mean"), VAR("%._variance")}}}},
    {.name = "onnx", .eps = 1e-5, .momentum = 0.9, .lacks = LACKS_NONE, .spelled = {
        {{WEIGHT("%.scale"), BIAS("%.B"), MEAN("%.input_mean"), VAR("%.input_var")}},
        {{WEIGHT("%.scale"), BIAS("%.B"), MEAN("%.mean"), VAR("%.var")}}}},
    {.name = "caffe", .eps = 1e-5, .momentum = 0.999, .is_unbiased = true, .lacks = LACKS_BIAS, .spelled = {
        {{MEAN("%/0"), VAR("%/1"), {ROLE_FACTOR, "%/2"}, {ROLE_WRONG, "%/3"}, WEIGHT("%/scale/0"), BIAS("%/scale/1")}}}},
    {.name = "darknet", .eps = 1e-5, .momentum = 0.99, .is_unbiased = true, .is_fixed = true, .lacks = LACKS_NONE, .spelled = {
        {{BIAS("%.biases"), WEIGHT("%.scales"), MEAN("%.rolling_mean"), VAR("%.rolling_variance")}}}},
    {.name = NULL}};
/* clang-format on */

const char *const convention_words[CONVENTIONS + 1] = {"pytorch", "keras", "flax",    "mxnet", "paddle",
                                                       "onnx",    "caffe", "darknet", NULL};

const struct convention *convention_find(const char *name) {
    for (const struct convention *c = conventions; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

const char *spelling_of(const struct spelling *spelling, enum role role) {
    for (size_t i = 0; i < sizeof spelling->names / sizeof *spelling->names; i++)
        if (spelling->names[i].pattern && spelling->names[i].role == role) return spelling->names[i].pattern;
    return NULL;
}

/* What stands after the % and, of a layer without a name, after the separator. */
static const char *tail_of(const char *pattern, bool is_named) { return strchr(pattern, '%') + (is_named ? 1 : 2); }

char *name_make(const char *pattern, const char *layer) {
    const size_t head = (size_t)(strchr(pattern, '%') - pattern), bytes = strlen(layer);
    const char *tail = tail_of(pattern, bytes > 0);
    char *name = malloc(head + bytes + strlen(tail) + 1);
    if (!name) return NULL;
    memcpy(name, pattern, head);
    memcpy(name + head, layer, bytes);
    strcpy(name + head + bytes, tail);
    return name;
}

char *name_match(const char *pattern, const char *name, bool *no_memory) {
    const size_t head = (size_t)(strchr(pattern, '%') - pattern), all = strlen(name);
    if (strncmp(name, pattern, head) != 0) return NULL;
    const char *tail = tail_of(pattern, true);
    const bool is_nameless = strcmp(name + head, tail + 1) == 0;
    const size_t end = is_nameless ? all - head : strlen(tail);
    if (all < head + end || (!is_nameless && (all == head + end || strcmp(name + all - end, tail) != 0))) return NULL;
    char *layer = malloc(all - head - end + 1);
    *no_memory = *no_memory || !layer;
    if (!layer) return NULL;
    memcpy(layer, name + head, all - head - end);
    layer[all - head - end] = '\0';
    return layer;
}
