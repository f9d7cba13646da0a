/* SPDX-License-Identifier: MIT */
/* The layer's state out and in, under PyTorch's keys. Loading converts everything into the side before it changes anything. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/float_text.h"
#include "api/layer.h"

static bool is_in_state(const batchnorm_layer *layer, int key) {
    return key == BN_COUNT ? layer->has[key] : bn_layer_array(layer, key) != NULL;
}

size_t batchnorm_layer_state(batchnorm_layer *layer, batchnorm_named_tensor *entries) {
    size_t count = 0;
    if (!layer || !entries || layer->options.lazy) return 0;
    for (int key = 0; key < BN_KEYS; key++) {
        if (!is_in_state(layer, key)) continue;
        const bool is_count = key == BN_COUNT;
        void *data = is_count ? (void *)&layer->count : bn_layer_array(layer, key);
        entries[count].name = bn_key_names[key];
        entries[count].tensor = batchnorm_tensor_contiguous(data, is_count ? BATCHNORM_I64 : layer->options.dtype,
                                                            is_count ? 0 : 1, &layer->options.num_features);
        count++;
    }
    return count;
}

batchnorm_status batchnorm_layer_remove(batchnorm_layer *layer, const char *name) {
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    if (!name) return bn_layer_end(layer, BATCHNORM_NULL_POINTER);
    const enum bn_key key = bn_find_key(name);
    if (key == BN_KEYS) return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "a layer has no \"%s\"", name);
    if (layer->has[key] && key >= BN_RUNNING_MEAN) batchnorm_layer_drop_update(layer);
    layer->has[key] = false;
    return BATCHNORM_OK;
}

struct load {
    batchnorm_layer *layer;
    const batchnorm_tensor *found[BN_KEYS];
    int64_t channels; /* -1: a lazy layer that the state does not tell its channels */
    void *block;      /* where the values are converted to */
    int64_t count;
};

/* Widens a 16-bit float with so many bits of exponent, by hand, so that one function serves both types. */
static double from_half(uint16_t bits, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1), fraction = bits & ((1 << fraction_bits) - 1);
    double value;
    if (exponent == (1 << exponent_bits) - 1)
        value = fraction == 0 ? HUGE_VAL : (double)NAN;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - fraction_bits);
    else
        value = ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    return bits >> 15 ? -value : value;
}

/* Returns one element. memcpy, because a view of a file's bytes need not be aligned. */
static double value_at(const batchnorm_tensor *tensor, int64_t index) {
    const char *at = (const char *)tensor->data;
    double f64;
    float f32;
    uint16_t half;
    int64_t i64;
    if (tensor->rank == 1) at += index * tensor->stride[0] * (int64_t)batchnorm_dtype_bytes(tensor->dtype);
    switch (tensor->dtype) {
    case BATCHNORM_F64:
        memcpy(&f64, at, sizeof f64);
        return f64;
    case BATCHNORM_F32:
        memcpy(&f32, at, sizeof f32);
        return (double)f32;
    case BATCHNORM_BF16:
        memcpy(&half, at, sizeof half);
        return from_half(half, 8);
    case BATCHNORM_F16:
        memcpy(&half, at, sizeof half);
        return from_half(half, 5);
    default:
        memcpy(&i64, at, sizeof i64);
        return (double)i64;
    }
}

/* Reads the count without a detour through double, which does not hold every int64. */
static batchnorm_status read_count(struct load *load, const batchnorm_tensor *tensor) {
    char text[BN_FLOAT_TEXT];
    if (tensor->dtype == BATCHNORM_I64) {
        memcpy(&load->count, tensor->data, sizeof load->count);
        return BATCHNORM_OK;
    }
    const double value = value_at(tensor, 0);
    if (value >= -0x1p63 && value < 0x1p63) {
        load->count = (int64_t)value;
        return BATCHNORM_OK;
    }
    bn_float_text(value, false, text);
    return bn_layer_fail(load->layer, BATCHNORM_BAD_DTYPE, "num_batches_tracked: %s is no int64", text);
}

static bool is_known(const batchnorm_layer *layer, const char *name) {
    const enum bn_key key = bn_find_key(name);
    return key != BN_KEYS && layer->has[key];
}

/* Finds the entry of each key. */
static batchnorm_status find_entries(struct load *load, const batchnorm_named_tensor *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].name) return BATCHNORM_NULL_POINTER;
        if (!is_known(load->layer, entries[i].name)) continue;
        const enum bn_key key = bn_find_key(entries[i].name);
        if (load->found[key])
            return bn_layer_fail(load->layer, BATCHNORM_UNEXPECTED_KEY, "\"%s\" is given twice", bn_key_names[key]);
        load->found[key] = &entries[i].tensor;
    }
    return BATCHNORM_OK;
}

/* Returns whether a state may lack a key: num_batches_tracked, where the state is older than that. */
static bool may_lack(const batchnorm_layer *layer, int key, int version) {
    return key == BN_COUNT && version < 2 && layer->options.track_running_stats;
}

/* A list of names: "a", "b" and 3 more. A long name is cut. */
struct list {
    char text[200];
    size_t used, count, left_out;
};

enum { NAME_MAX_BYTES = 80 };

static void add_name(struct list *list, const char *name) {
    const char *comma = list->count++ == 0 ? "" : ", ", *dots = strlen(name) > NAME_MAX_BYTES ? "..." : "";
    if (list->left_out != 0 ||
        list->used + NAME_MAX_BYTES + sizeof ", \"...\" and 18446744073709551615 more" > sizeof list->text)
        list->left_out++;
    else
        list->used += (size_t)sprintf(list->text + list->used, "%s\"%.*s%s\"", comma, NAME_MAX_BYTES, name, dots);
}

static void end_list(struct list *list) {
    if (list->left_out != 0) snprintf(list->text + list->used, sizeof list->text - list->used, " and %zu more", list->left_out);
}

/* Says, in PyTorch's sentences, every key that is missing and every one that is not known. */
static batchnorm_status check_keys(const struct load *load, const batchnorm_named_tensor *entries, size_t count, int version) {
    struct list missing = {.used = 0}, unexpected = {.used = 0};
    for (int key = 0; key < BN_KEYS; key++)
        if (!load->found[key] && load->layer->has[key] && !may_lack(load->layer, key, version))
            add_name(&missing, bn_key_names[key]);
    for (size_t i = 0; i < count; i++)
        if (!is_known(load->layer, entries[i].name)) add_name(&unexpected, entries[i].name);
    end_list(&missing);
    end_list(&unexpected);
    if (missing.count == 0 && unexpected.count == 0) return BATCHNORM_OK;
    return bn_layer_fail(load->layer, missing.count != 0 ? BATCHNORM_MISSING_KEY : BATCHNORM_UNEXPECTED_KEY, "%s%s%s%s%s%s%s",
                         missing.count != 0 ? "Missing key(s) in state_dict: " : "", missing.text,
                         missing.count != 0 ? "." : "", missing.count != 0 && unexpected.count != 0 ? " " : "",
                         unexpected.count != 0 ? "Unexpected key(s) in state_dict: " : "", unexpected.text,
                         unexpected.count != 0 ? "." : "");
}

/* Returns the channels of the layer. A lazy one has those of the first array that it is given. */
static int64_t channels_of(const struct load *load) {
    if (!load->layer->options.lazy) return load->layer->options.num_features;
    for (int key = 0; key < BN_COUNT; key++)
        if (load->found[key] && load->found[key]->rank == 1) return load->found[key]->shape[0];
    return -1;
}

/* Returns whether a tensor has the shape of its key. num_batches_tracked may be an array of one element, as in PyTorch. */
static bool has_shape(const struct load *load, int key, const batchnorm_tensor *tensor) {
    if (key == BN_COUNT) return tensor->rank == 0 || (tensor->rank == 1 && tensor->shape[0] == 1);
    return tensor->rank == 1 && tensor->shape[0] == load->channels && load->channels >= 0;
}

static batchnorm_status check_shape(const struct load *load, int key) {
    const batchnorm_tensor *tensor = load->found[key];
    char got[BN_SIZES_TEXT], wanted[BN_SIZES_TEXT];
    if (has_shape(load, key, tensor)) return BATCHNORM_OK;
    const batchnorm_tensor model = batchnorm_tensor_contiguous(NULL, BATCHNORM_F32, key == BN_COUNT ? 0 : 1, &load->channels);
    if (tensor->rank < 0 || tensor->rank > BATCHNORM_MAX_RANK || load->channels < 0)
        return bn_layer_fail(load->layer, BATCHNORM_BAD_SHAPE, "size mismatch for %s", bn_key_names[key]);
    return bn_layer_fail(
        load->layer, BATCHNORM_BAD_SHAPE,
        "size mismatch for %s: copying a param with shape %s from checkpoint, the shape in current model is %s.",
        bn_key_names[key], bn_sizes_text(tensor, got), bn_sizes_text(&model, wanted));
}

static batchnorm_status check_entries(const struct load *load) {
    batchnorm_status status = BATCHNORM_OK;
    for (int key = 0; key < BN_KEYS && !status; key++)
        if (load->found[key]) status = check_shape(load, key);
    for (int key = 0; key < BN_KEYS && !status; key++) {
        const batchnorm_tensor *tensor = load->found[key];
        if (!tensor) continue;
        if (!tensor->data && batchnorm_tensor_elements(tensor) > 0)
            status = bn_layer_fail(load->layer, BATCHNORM_NULL_POINTER, "%s: its data is NULL", bn_key_names[key]);
        else if (batchnorm_dtype_bytes(tensor->dtype) == 0)
            status = bn_layer_fail(load->layer, BATCHNORM_BAD_DTYPE, "%s: unknown element type", bn_key_names[key]);
    }
    return status;
}

/* Returns whether an array of any stride lies in the address space. */
static bool has_place(const batchnorm_tensor *tensor) {
    ptrdiff_t span;
    if (tensor->rank != 1 || tensor->shape[0] < 2) return true;
    return !__builtin_mul_overflow(tensor->shape[0] - 1, tensor->stride[0], &span) &&
           !__builtin_mul_overflow(span, batchnorm_dtype_bytes(tensor->dtype), &span);
}

static batchnorm_status check_places(const struct load *load) {
    if (load->channels >= 0 && (uint64_t)load->channels > PTRDIFF_MAX) return BATCHNORM_TOO_LARGE;
    for (int key = 0; key < BN_COUNT; key++)
        if (load->found[key] && !has_place(load->found[key]))
            return bn_layer_fail(load->layer, BATCHNORM_TOO_LARGE, "%s: its stride does not fit the address space",
                                 bn_key_names[key]);
    return BATCHNORM_OK;
}

/* Converts everything into a block on the side, because the entries may be views of this very layer. */
static batchnorm_status convert(struct load *load) {
    const batchnorm_layer *layer = load->layer;
    batchnorm_status status = BATCHNORM_OK;
    load->count = layer->count;
    if (load->found[BN_COUNT]) status = read_count(load, load->found[BN_COUNT]);
    if (!status) status = check_places(load);
    if (!status && load->channels >= 0) status = bn_block_create(layer, (size_t)load->channels, &load->block);
    for (int key = 0; key < BN_COUNT && !status; key++) {
        if (!load->found[key]) continue;
        void *array = bn_block_array(layer, load->block, (size_t)load->channels, key);
        const struct bn_output output = {array, layer->options.dtype};
        for (int64_t c = 0; c < load->channels; c++) bn_output_set(output, (size_t)c, value_at(load->found[key], c));
    }
    return status;
}

static void commit(struct load *load) {
    batchnorm_layer *layer = load->layer;
    const size_t bytes = (size_t)(load->channels < 0 ? 0 : load->channels) * batchnorm_dtype_bytes(layer->options.dtype);
    layer->count = load->count;
    batchnorm_layer_drop_update(layer);
    if (layer->options.lazy) {
        if (load->block) bn_layer_materialize(layer, (size_t)load->channels, load->block);
        return;
    }
    for (int key = 0; key < BN_COUNT; key++)
        if (load->found[key])
            memcpy(bn_layer_array(layer, key), bn_block_array(layer, load->block, (size_t)load->channels, key), bytes);
    bn_release(&layer->allocator, load->block);
}

static batchnorm_status load_state(struct load *load, const batchnorm_named_tensor *entries, size_t count, int version,
                                   bool strict) {
    if (!entries && count > 0) return BATCHNORM_NULL_POINTER;
    batchnorm_status status = find_entries(load, entries, count);
    if (!status && strict) status = check_keys(load, entries, count, version);
    load->channels = channels_of(load);
    if (!status) status = check_entries(load);
    if (!status) status = convert(load);
    if (!status) commit(load);
    return status;
}

batchnorm_status batchnorm_layer_load_state(batchnorm_layer *layer, const batchnorm_named_tensor *entries, size_t count,
                                            int version, bool strict) {
    if (!layer) return BATCHNORM_NULL_POINTER;
    struct load load = {.layer = layer};
    bn_layer_begin(layer);
    return bn_layer_end(layer, load_state(&load, entries, count, version, strict));
}
