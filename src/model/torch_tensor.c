/* SPDX-License-Identifier: MIT */
/* What a value of a pickle is as a tensor: one that can be read, or one that is lost, and why. */
#include <stdio.h>
#include <string.h>

#include "model/torch_state.h"

/* Elements of a tensor that has more of them than its storage. */
enum { EXPANDED_MAX = 1 << 20 };

/* Parameters in parameters at most. */
enum { NESTED_MAX = 4 };

static const struct bn_value *value(const struct bn_reader *r, uint32_t index) { return &r->pickle.values[index]; }

static int64_t integer(const struct bn_reader *r, uint32_t index) {
    const struct bn_value *v = value(r, index);
    return v->kind == BN_P_INT ? v->integer : -1;
}

/* Notes the type of a tensor that is not read; returns false, as those do that find it out. */
static bool lose(struct bn_reader *r, struct bn_slice type, const char *words) {
    if (type.end > type.at)
        snprintf(r->lost, sizeof r->lost, "%.*s", (int)(type.end - type.at), (const char *)r->t->map->base + type.at);
    else
        snprintf(r->lost, sizeof r->lost, "%s", words);
    return false;
}

/* Types */

struct type {
    const char *name;
    int32_t type;
};

int32_t bn_reader_storage_type(const struct bn_reader *r, uint32_t global) {
    static const struct type types[] = {{"FloatStorage", BN_ONNX_FLOAT},
                                        {"DoubleStorage", BN_ONNX_DOUBLE},
                                        {"HalfStorage", BN_ONNX_F16},
                                        {"BFloat16Storage", BN_ONNX_BF16},
                                        {"LongStorage", BN_ONNX_INT64},
                                        {"IntStorage", BN_ONNX_INT32},
                                        {"ShortStorage", BN_ONNX_INT16},
                                        {"CharStorage", BN_ONNX_INT8},
                                        {"ByteStorage", BN_ONNX_UINT8},
                                        {"BoolStorage", BN_ONNX_BOOL},
                                        {"ComplexFloatStorage", BN_TORCH_COMPLEX64},
                                        {"ComplexDoubleStorage", BN_TORCH_COMPLEX128}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (bn_pickle_is(&r->pickle, global, "torch", types[i].name)) return types[i].type;
    return bn_pickle_is(&r->pickle, global, "torch.storage", "UntypedStorage") ? BN_ONNX_UINT8 : 0; /* bytes */
}

/* Of elements in a storage that has no type. */
static int32_t type_of_elements(const struct bn_reader *r, uint32_t global) {
    static const struct type types[] = {{"float32", BN_ONNX_FLOAT},
                                        {"float64", BN_ONNX_DOUBLE},
                                        {"float16", BN_ONNX_F16},
                                        {"bfloat16", BN_ONNX_BF16},
                                        {"int64", BN_ONNX_INT64},
                                        {"int32", BN_ONNX_INT32},
                                        {"int16", BN_ONNX_INT16},
                                        {"int8", BN_ONNX_INT8},
                                        {"uint8", BN_ONNX_UINT8},
                                        {"bool", BN_ONNX_BOOL},
                                        {"uint16", BN_TORCH_UINT16},
                                        {"uint32", BN_TORCH_UINT32},
                                        {"uint64", BN_TORCH_UINT64},
                                        {"complex64", BN_TORCH_COMPLEX64},
                                        {"complex128", BN_TORCH_COMPLEX128},
                                        {"float8_e4m3fn", BN_TORCH_F8_E4M3},
                                        {"float8_e4m3fnuz", BN_TORCH_F8_E4M3FNUZ},
                                        {"float8_e5m2", BN_TORCH_F8_E5M2},
                                        {"float8_e5m2fnuz", BN_TORCH_F8_E5M2FNUZ}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (bn_pickle_is(&r->pickle, global, "torch", types[i].name)) return types[i].type;
    return 0;
}

/* ('storage', type, key, location, elements[, view]) */
static bool read_storage(struct bn_reader *r, uint32_t index, struct bn_torch_tensor *t) {
    static const char absent[] = "whose elements are not in the file";
    const struct bn_slice none = {0, 0};
    const struct bn_value *v = value(r, index);
    if (v->kind != BN_P_PERSISTENT) return lose(r, none, absent);
    const struct bn_value *id = value(r, v->items[0]);
    if (id->kind != BN_P_TUPLE || id->count < 5 || value(r, id->items[2])->kind != BN_P_TEXT) return lose(r, none, absent);
    if (id->count > 5 && value(r, id->items[5])->kind != BN_P_NONE) return lose(r, none, "a view of another storage");
    t->type = bn_reader_storage_type(r, id->items[1]);
    if (t->type == 0) return lose(r, value(r, id->items[1])->text, "of an unknown type");
    const struct bn_place *place = bn_reader_place(r, value(r, id->items[2])->text);
    if (!place || place->bytes.end == 0) return lose(r, none, absent);
    t->storage = place->bytes;
    return true;
}

static bool read_sizes(const struct bn_reader *r, uint32_t sizes, uint32_t strides, struct bn_torch_tensor *t) {
    const struct bn_value *s = value(r, sizes), *d = value(r, strides);
    if (s->kind != BN_P_TUPLE || d->kind != BN_P_TUPLE || s->count != d->count || s->count > BN_ONNX_RANK) return false;
    t->rank = (int)s->count;
    for (uint32_t i = 0; i < s->count; i++) {
        t->dims[i] = integer(r, s->items[i]);
        t->strides[i] = integer(r, d->items[i]);
        if (t->dims[i] < 0 || t->strides[i] < 0) return false;
    }
    return true;
}

/* Returns whether the last element lies in the storage. Strides of 0 make many elements of one; a tensor that has more than
 * its storage must be small, because whoever reads it takes memory for all of them. */
static bool fits(const struct bn_torch_tensor *t) {
    const int64_t stored = (int64_t)((t->storage.end - t->storage.at) / bn_onnx_type_bytes(t->type));
    int64_t last = t->offset, elements = 1, span;
    for (int d = 0; d < t->rank; d++) {
        if (t->dims[d] == 0) return true;
        if (__builtin_mul_overflow(t->dims[d] - 1, t->strides[d], &span) || __builtin_add_overflow(last, span, &last) ||
            __builtin_mul_overflow(elements, t->dims[d], &elements))
            return false;
    }
    return t->offset >= 0 && last < stored && (elements <= stored || elements <= EXPANDED_MAX);
}

/* A view may stand for the negative or the conjugate of what is stored: {'neg': True}. */
static bool read_metadata(struct bn_reader *r, uint32_t index, struct bn_torch_tensor *t) {
    const struct bn_value *v = value(r, index);
    if (v->kind == BN_P_NONE) return true;
    for (uint32_t i = 0; v->kind == BN_P_DICT && i + 1 < v->count; i += 2) {
        const struct bn_value *key = value(r, v->items[i]), *set = value(r, v->items[i + 1]);
        const bool is_neg = key->kind == BN_P_TEXT && key->text.end - key->text.at == 3 &&
                            memcmp(r->t->map->base + key->text.at, "neg", 3) == 0;
        if (set->kind == BN_P_BOOL && set->integer == 0) continue;
        if (!is_neg || !bn_is_float(t->type))
            return lose(r, key->kind == BN_P_TEXT ? key->text : (struct bn_slice){0, 0}, "a view");
        t->is_negative = true;
    }
    return v->kind == BN_P_DICT || lose(r, (struct bn_slice){0, 0}, "a view");
}

/* (storage, offset, sizes, strides, requires_grad, hooks[, type][, metadata]) */
static bool read_arguments(struct bn_reader *r, const struct bn_value *arguments, bool has_type, struct bn_torch_tensor *t) {
    const uint32_t metadata = has_type ? 7 : 6;
    const struct bn_slice none = {0, 0};
    if (arguments->count < (has_type ? 7 : 4)) return lose(r, none, "unreadable");
    if (!read_storage(r, arguments->items[0], t)) return false;
    if (has_type) t->type = type_of_elements(r, arguments->items[6]);
    if (t->type == 0) return lose(r, value(r, arguments->items[6])->text, "of an unknown type");
    t->offset = integer(r, arguments->items[1]);
    if (!read_sizes(r, arguments->items[2], arguments->items[3], t)) return lose(r, none, "of sizes that are not read");
    if (!fits(t)) return lose(r, none, "whose elements are not in the file");
    return arguments->count <= metadata || read_metadata(r, arguments->items[metadata], t);
}

/* Reads what torch._utils._rebuild_...() would make: a tensor, or a parameter around it. */
static bool read_tensor(struct bn_reader *r, uint32_t index, struct bn_torch_tensor *t, int depth) {
    const struct bn_value *v = value(r, index);
    if (v->kind == BN_P_PERSISTENT) return lose(r, (struct bn_slice){0, 0}, "a storage");
    if (v->kind != BN_P_CALL || depth == 0) return false;
    const struct bn_value *callee = value(r, v->items[0]), *arguments = value(r, v->items[1]);
    const unsigned char *name = r->t->map->base + callee->text.at;
    if (callee->kind != BN_P_GLOBAL || callee->text.end - callee->text.at < 9 || memcmp(name, "_rebuild_", 9) != 0)
        return false;
    if (arguments->kind != BN_P_TUPLE || arguments->count == 0) return lose(r, (struct bn_slice){0, 0}, "unreadable");
    if (bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_parameter") ||
        bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_parameter_with_state"))
        return read_tensor(r, arguments->items[0], t, depth - 1);
    const bool has_type = bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_tensor_v3");
    if (has_type || bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_tensor_v2") ||
        bn_pickle_is(&r->pickle, v->items[0], "torch._utils", "_rebuild_tensor"))
        return read_arguments(r, arguments, has_type, t);
    return lose(r, (struct bn_slice){callee->text.at + 9, callee->text.end}, "of an unknown type"); /* qtensor, sparse_tensor */
}

bool bn_reader_tensor(struct bn_reader *r, uint32_t index, struct bn_torch_tensor *t) {
    *t = (struct bn_torch_tensor){0};
    r->lost[0] = '\0';
    return read_tensor(r, index, t, NESTED_MAX);
}
