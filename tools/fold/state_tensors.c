/* SPDX-License-Identifier: MIT */
#include "state_tensors.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/convert.h"

bool state_fail(struct state *run, const char *format, const char *a, const char *b) {
    snprintf(run->message, sizeof run->message, format, a, b);
    return false;
}

static const struct state_type types[] = {{"FLOAT", "F32", 4, true, BATCHNORM_F32, 0x1p-126, 0x1.ffffffp127},
                                          {"DOUBLE", "F64", 8, true, BATCHNORM_F64, 0x1p-1022, HUGE_VAL},
                                          {"FLOAT16", "F16", 2, true, BATCHNORM_F16, 0, 65520},
                                          {"BFLOAT16", "BF16", 2, true, BATCHNORM_BF16, 0x1p-126, 0x1.ffp127},
                                          {"INT64", "I64", 8, false, 0, 0, 0},
                                          {"INT32", "I32", 4, false, 0, 0, 0},
                                          {"INT16", "I16", 2, false, 0, 0, 0},
                                          {"INT8", "I8", 1, false, 0, 0, 0},
                                          {"UINT8", "U8", 1, false, 0, 0, 0},
                                          {"BOOL", "BOOL", 1, false, 0, 0, 0},
                                          {"UINT16", "U16", 2, false, 0, 0, 0},
                                          {"UINT32", "U32", 4, false, 0, 0, 0},
                                          {"UINT64", "U64", 8, false, 0, 0, 0},
                                          {"COMPLEX64", "C64", 8, false, 0, 0, 0},
                                          {"FLOAT8E4M3FN", "F8_E4M3", 1, false, 0, 0, 0},
                                          {"FLOAT8E4M3FNUZ", "F8_E4M3FNUZ", 1, false, 0, 0, 0},
                                          {"FLOAT8E5M2", "F8_E5M2", 1, false, 0, 0, 0},
                                          {"FLOAT8E5M2FNUZ", "F8_E5M2FNUZ", 1, false, 0, 0, 0}};

const struct state_type *state_type(const struct state_item *item) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(item->dtype, types[i].file) == 0) return &types[i];
    return NULL;
}

static bool lost(struct state *run, const char *name, const char *type) {
    return state_fail(run, "the tensor \"%.200s\" would be lost: safetensors has no place for its type, %.40s", name, type);
}

/* Reads the bytes of a tensor of the model. */
static bool read_item(struct state *run, size_t index, struct state_item *to) {
    batchnorm_model_tensor t;
    const struct state_type *type = NULL;
    batchnorm_model_tensor_at(run->model, index, &t);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(t.type, types[i].model) == 0) type = &types[i];
    if (!type) return lost(run, t.name, t.type);
    *to = (struct state_item){.name = t.name, .dtype = type->file, .rank = t.rank, .count = 1, .index = index};
    for (int d = 0; d < t.rank; d++) to->count *= (size_t)(to->shape[d] = t.shape[d]);
    to->bytes = to->count * type->bytes;
    to->raw = malloc(to->bytes + 1);
    if (!to->raw) return state_fail(run, "no memory for \"%.200s\"%s", t.name, "");
    return !batchnorm_model_tensor_bytes(run->model, index, to->raw, to->bytes, run->message);
}

static bool read_other(struct state *run, size_t index, struct state_item *to) {
    const batchnorm_safetensors_entry *e = run->file->others[index];
    if (e->tensor.rank < 0) return lost(run, e->name, "of more than 8 dimensions");
    *to = (struct state_item){
        .name = e->name, .dtype = e->dtype, .rank = e->tensor.rank, .bytes = e->bytes, .count = 1, .index = NOT_IN_MODEL};
    for (int d = 0; d < to->rank; d++) to->count *= (size_t)(to->shape[d] = e->tensor.shape[d]);
    to->raw = malloc(to->bytes + 1);
    if (!to->raw) return state_fail(run, "no memory for \"%.200s\"%s", e->name, "");
    return model_file_other(run->file, index, to->raw, run->message);
}

bool state_read(struct state *run) {
    const size_t count = batchnorm_model_tensor_count(run->model), others = run->file->other_count;
    for (size_t i = 0; batchnorm_model_skipped(run->model, i); i++) {
        const char *type = batchnorm_model_skipped_type(run->model, i);
        if (type)
            return state_fail(run, "the tensor \"%.200s\" would be lost: it is not read, %.40s",
                              batchnorm_model_skipped(run->model, i), type);
    }
    run->room = 2 * count + others + 1; /* a batch norm brings one bias at most */
    run->items = calloc(run->room, sizeof *run->items);
    if (!run->items) return state_fail(run, "no memory%s%s", "", "");
    for (; run->count < count; run->count++)
        if (!read_item(run, run->count, &run->items[run->count])) return false;
    for (; run->count < count + others; run->count++)
        if (!read_other(run, run->count - count, &run->items[run->count])) return false;
    return true;
}

bool state_numbers(struct state *run, struct state_item *item) {
    if (!item || item->values) return true;
    const struct state_type *type = state_type(item);
    if (!type || !type->is_float)
        return state_fail(run, "\"%.200s\" is of type %.40s, which is not folded", item->name, item->dtype);
    item->values = calloc(item->count + 1, sizeof *item->values);
    if (!item->values) return state_fail(run, "no memory for \"%.200s\"%s", item->name, "");
    return !batchnorm_model_tensor_read(run->model, item->index, item->values, item->count, run->message);
}

/* Rounds numbers that a pair has changed to their type. */
static bool close_numbers(struct state *run, struct state_item *item) {
    const struct state_type *type = state_type(item);
    unsigned char *raw = malloc(item->count * type->bytes + 1);
    if (!raw) return state_fail(run, "no memory for \"%.200s\"%s", item->name, "");
    convert_elements(BATCHNORM_F64, item->values, type->dtype, raw, item->count);
    for (size_t i = 0; i < item->count && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__; i++)
        for (size_t k = 0; k < type->bytes / 2; k++) {
            unsigned char *a = &raw[i * type->bytes + k], *b = &raw[(i + 1) * type->bytes - 1 - k], old = *a;
            *a = *b;
            *b = old;
        }
    free(item->raw);
    item->raw = raw;
    item->bytes = item->count * type->bytes;
    return true;
}

bool state_write(struct state *run) {
    batchnorm_safetensors_raw *tensors = calloc(run->count + 1, sizeof *tensors);
    char eps[32];
    size_t kept = 0;
    bool ok = tensors || state_fail(run, "no memory%s%s", "", "");
    for (size_t i = 0; i < run->count && ok; i++) {
        struct state_item *item = &run->items[i];
        if (item->gone) continue;
        ok = !item->is_changed || close_numbers(run, item);
        tensors[kept++] = (batchnorm_safetensors_raw){item->name, item->dtype, item->rank, item->shape, item->raw, item->bytes};
    }
    snprintf(eps, sizeof eps, "%.17g", run->eps);
    const batchnorm_safetensors_pair metadata[] = {{"format", "pt"}, {"batchnorm.folded_with_eps", eps}};
    ok = ok && !batchnorm_safetensors_write_raw(run->request->output, tensors, kept, metadata, 2, run->message);
    free(tensors);
    return ok;
}

void state_free(struct state *run) {
    const size_t own = batchnorm_model_tensor_count(run->model) + run->file->other_count;
    for (size_t i = 0; run->items && i < run->room; i++) {
        free(run->items[i].values);
        free(run->items[i].raw);
        if (i >= own && i < run->count) free((void *)(uintptr_t)run->items[i].name);
    }
    free(run->items);
}
