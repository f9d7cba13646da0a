/* SPDX-License-Identifier: MIT */
#include "state_tensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

bool state_fail(struct state *state, const char *format, const char *a, const char *b) {
    snprintf(state->message, sizeof state->message, format, a, b);
    return false;
}

static const struct state_type types[] = {{"FLOAT", "F32", 4, true, BATCHNORM_F32},
                                          {"DOUBLE", "F64", 8, true, BATCHNORM_F64},
                                          {"FLOAT16", "F16", 2, true, BATCHNORM_F16},
                                          {"BFLOAT16", "BF16", 2, true, BATCHNORM_BF16},
                                          {"INT64", "I64", 8, false, 0},
                                          {"INT32", "I32", 4, false, 0},
                                          {"INT16", "I16", 2, false, 0},
                                          {"INT8", "I8", 1, false, 0},
                                          {"UINT8", "U8", 1, false, 0},
                                          {"BOOL", "BOOL", 1, false, 0},
                                          {"UINT16", "U16", 2, false, 0},
                                          {"UINT32", "U32", 4, false, 0},
                                          {"UINT64", "U64", 8, false, 0},
                                          {"COMPLEX64", "C64", 8, false, 0},
                                          {"FLOAT8E4M3FN", "F8_E4M3", 1, false, 0},
                                          {"FLOAT8E4M3FNUZ", "F8_E4M3FNUZ", 1, false, 0},
                                          {"FLOAT8E5M2", "F8_E5M2", 1, false, 0},
                                          {"FLOAT8E5M2FNUZ", "F8_E5M2FNUZ", 1, false, 0}};

const struct state_type *state_type(const struct state_item *item) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(item->dtype, types[i].file) == 0) return &types[i];
    return NULL;
}

static bool lost(struct state *state, const char *name, const char *type) {
    return state_fail(state, "the tensor \"%.200s\" would be lost: safetensors has no place for its type, %.40s", name, type);
}

/* Reads the bytes of a tensor of the model. */
static bool read_item(struct state *state, size_t index, struct state_item *to) {
    batchnorm_model_tensor t;
    const struct state_type *type = NULL;
    batchnorm_model_tensor_at(state->file->model, index, &t);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(t.type, types[i].model) == 0) type = &types[i];
    if (!type) return lost(state, t.name, t.type);
    *to = (struct state_item){.name = t.name, .dtype = type->file, .rank = t.rank, .count = 1, .index = index};
    for (int d = 0; d < t.rank; d++) to->count *= (size_t)(to->shape[d] = t.shape[d]);
    to->bytes = to->count * type->bytes;
    to->raw = malloc(to->bytes + 1);
    if (!to->raw) return state_fail(state, "no memory for \"%.200s\"%s", t.name, "");
    return !batchnorm_model_tensor_bytes(state->file->model, index, to->raw, to->bytes, state->message);
}

static bool read_other(struct state *state, size_t index, struct state_item *to) {
    const batchnorm_safetensors_entry *e = state->file->others[index];
    if (e->tensor.rank < 0) return lost(state, e->name, "of more than 8 dimensions");
    *to = (struct state_item){
        .name = e->name, .dtype = e->dtype, .rank = e->tensor.rank, .bytes = e->bytes, .count = 1, .index = NOT_IN_MODEL};
    for (int d = 0; d < to->rank; d++) to->count *= (size_t)(to->shape[d] = e->tensor.shape[d]);
    to->raw = malloc(to->bytes + 1);
    if (!to->raw) return state_fail(state, "no memory for \"%.200s\"%s", e->name, "");
    return model_file_other(state->file, index, to->raw, state->message);
}

bool state_read(struct state *state, size_t more) {
    const size_t count = batchnorm_model_tensor_count(state->file->model), others = state->file->other_count;
    for (size_t i = 0; batchnorm_model_skipped(state->file->model, i); i++) {
        const char *type = batchnorm_model_skipped_type(state->file->model, i);
        if (type)
            return state_fail(state, "the tensor \"%.200s\" would be lost: it is not read, %.40s",
                              batchnorm_model_skipped(state->file->model, i), type);
    }
    state->room = count + others + more + 1;
    state->items = calloc(state->room + 1, sizeof *state->items);
    if (!state->items) return state_fail(state, "no memory%s%s", "", "");
    for (; state->count < count; state->count++)
        if (!read_item(state, state->count, &state->items[state->count])) return false;
    for (; state->count < count + others; state->count++)
        if (!read_other(state, state->count - count, &state->items[state->count])) return false;
    return true;
}

bool state_numbers(struct state *state, struct state_item *item) {
    if (!item || item->values) return true;
    const struct state_type *type = state_type(item);
    if (!type || !type->is_float)
        return state_fail(state, "\"%.200s\" is of type %.40s, which is not computed with", item->name, item->dtype);
    item->values = calloc(item->count + 1, sizeof *item->values);
    if (!item->values) return state_fail(state, "no memory for \"%.200s\"%s", item->name, "");
    return !batchnorm_model_tensor_read(state->file->model, item->index, item->values, item->count, state->message);
}

/* Rounds numbers that a pair has changed to their type. */
static bool close_numbers(struct state *state, struct state_item *item) {
    const struct state_type *type = state_type(item);
    unsigned char *raw = malloc(item->count * type->bytes + 1);
    if (!raw) return state_fail(state, "no memory for \"%.200s\"%s", item->name, "");
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

struct state_item *state_add(struct state *state, char *name, const char *dtype, size_t count) {
    struct state_item *item = &state->items[state->count];
    double *values = calloc(count + 1, sizeof *values);
    if (!name || !values || state->count == state->room) {
        free(name);
        free(values);
        return state_fail(state, "no memory for a new tensor%s%s", "", ""), NULL;
    }
    *item = (struct state_item){.name = name,
                                .own_name = name,
                                .dtype = dtype,
                                .rank = 1,
                                .shape = {(int64_t)count},
                                .index = NOT_IN_MODEL,
                                .values = values,
                                .count = count,
                                .is_changed = true};
    state->count++;
    return item;
}

bool state_write(struct state *state, const char *path, const batchnorm_safetensors_pair *metadata, size_t pairs) {
    batchnorm_safetensors_raw *tensors = calloc(state->count + 1, sizeof *tensors);
    size_t kept = 0;
    bool ok = tensors || state_fail(state, "no memory%s%s", "", "");
    for (size_t i = 0; i < state->count && ok; i++) {
        struct state_item *item = &state->items[i];
        if (item->gone) continue;
        ok = !item->is_changed || close_numbers(state, item);
        tensors[kept++] = (batchnorm_safetensors_raw){item->name, item->dtype, item->rank, item->shape, item->raw, item->bytes};
    }
    ok = ok && !batchnorm_safetensors_write_raw(path, tensors, kept, metadata, pairs, state->message);
    free(tensors);
    return ok;
}

void state_free_items(struct state_item *items, size_t count) {
    for (size_t i = 0; items && i < count; i++) {
        free(items[i].values);
        free(items[i].raw);
        free(items[i].own_name);
    }
    free(items);
}

/* One more than were counted: reading it may have failed half-way. The list has room for it. */
void state_free(struct state *state) { state_free_items(state->items, state->count + 1); }
