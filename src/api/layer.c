/* SPDX-License-Identifier: MIT */
/* Making a layer, its modes and options, and the way to what it has. */
#include "api/layer.h"

#include <string.h>

const char *const bn_key_names[BN_KEYS] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

enum bn_key bn_find_key(const char *name) {
    int key = 0;
    while (key < BN_KEYS && strcmp(name, bn_key_names[key]) != 0) key++;
    return (enum bn_key)key;
}

size_t bn_layer_channels(const batchnorm_layer *layer) { return (size_t)layer->options.num_features; }

size_t bn_block_bytes(const batchnorm_layer *layer, size_t channels) {
    return BN_LAYER_ARRAYS * channels * batchnorm_dtype_bytes(layer->options.dtype);
}

void *bn_block_array(const batchnorm_layer *layer, void *block, size_t channels, int index) {
    return (char *)block + (size_t)index * channels * batchnorm_dtype_bytes(layer->options.dtype);
}

void *bn_layer_array(const batchnorm_layer *layer, int index) {
    const int key = index == BN_WEIGHT_GRAD ? BN_WEIGHT : index == BN_BIAS_GRAD ? BN_BIAS : index;
    if (!layer->block || !layer->has[key]) return NULL;
    return bn_block_array(layer, layer->block, bn_layer_channels(layer), index);
}

batchnorm_layer_options batchnorm_layer_defaults(int dims, int64_t num_features) {
    return (batchnorm_layer_options){.size = sizeof(batchnorm_layer_options),
                                     .dims = dims,
                                     .num_features = num_features,
                                     .convention = batchnorm_convention(BATCHNORM_PYTORCH),
                                     .affine = true,
                                     .bias = true,
                                     .track_running_stats = true,
                                     .dtype = BATCHNORM_F32};
}

static batchnorm_status check_options(const batchnorm_layer_options *options) {
    batchnorm_options convention = options->convention;
    convention.momentum = 0; /* any momentum can be stored */
    if (options->size != sizeof *options || convention.size != sizeof convention) return BATCHNORM_BAD_OPTION;
    for (size_t i = 0; i < sizeof options->reserved / sizeof *options->reserved; i++)
        if (options->reserved[i]) return BATCHNORM_BAD_OPTION;
    if (options->dims < 1 || options->dims > 3) return BATCHNORM_BAD_OPTION;
    if (!options->lazy && options->num_features < 0) return BATCHNORM_BAD_OPTION;
    if (bn_check_options(&convention)) return BATCHNORM_BAD_OPTION;
    if (options->dtype != BATCHNORM_F32 && options->dtype != BATCHNORM_F64) return BATCHNORM_BAD_DTYPE;
    if (!options->lazy && (uint64_t)options->num_features > PTRDIFF_MAX) return BATCHNORM_TOO_LARGE;
    return BATCHNORM_OK;
}

static void set_options(batchnorm_layer *layer, const batchnorm_layer_options *options, batchnorm_allocator allocator) {
    layer->allocator = allocator;
    layer->options = *options;
    layer->options.allocator = options->allocator ? &layer->allocator : NULL;
    if (options->lazy) layer->options.num_features = 0;
    layer->training = true;
    layer->own.allocator = allocator;
    layer->has[BN_WEIGHT] = options->affine;
    layer->has[BN_BIAS] = options->affine && options->bias;
    for (int key = BN_RUNNING_MEAN; key < BN_KEYS; key++) layer->has[key] = options->track_running_stats;
}

batchnorm_status batchnorm_layer_create(const batchnorm_layer_options *options, batchnorm_layer **layer) {
    if (layer) *layer = NULL;
    if (!options || !layer) return BATCHNORM_NULL_POINTER;
    const batchnorm_allocator none = {0}, allocator = options->allocator ? *options->allocator : none;
    if (options->allocator && (!allocator.allocate || !allocator.release)) return BATCHNORM_NULL_POINTER;
    batchnorm_status status = check_options(options);
    if (status) return status;
    batchnorm_layer *made = bn_allocate(&allocator, sizeof *made);
    if (!made) return BATCHNORM_NO_MEMORY;
    memset(made, 0, sizeof *made);
    set_options(made, options, allocator);
    void *block = NULL;
    if (!options->lazy) status = bn_block_create(made, bn_layer_channels(made), &block);
    if (block) bn_layer_materialize(made, bn_layer_channels(made), block);
    if (!status)
        *layer = made;
    else
        batchnorm_layer_destroy(made);
    return status;
}

void batchnorm_layer_destroy(batchnorm_layer *layer) {
    if (!layer) return;
    const batchnorm_allocator allocator = layer->allocator;
    void *const memory[] = {layer->block,      layer->held.buffer.data, layer->workspace.data,
                            layer->stats.data, layer->own.buffer.data,  layer};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++) bn_release(&allocator, memory[i]);
}

void batchnorm_layer_train(batchnorm_layer *layer) {
    if (layer) layer->training = true;
}

void batchnorm_layer_eval(batchnorm_layer *layer) {
    if (layer) layer->training = false;
}

bool batchnorm_layer_is_training(const batchnorm_layer *layer) { return layer && layer->training; }

void batchnorm_layer_set_track_running_stats(batchnorm_layer *layer, bool track) {
    if (layer) layer->options.track_running_stats = track;
}

void batchnorm_layer_set_convention(batchnorm_layer *layer, const batchnorm_options *convention) {
    if (layer && convention) layer->options.convention = *convention;
}

void batchnorm_layer_set_cumulative(batchnorm_layer *layer, bool cumulative) {
    if (layer) layer->options.cumulative = cumulative;
}

batchnorm_status batchnorm_layer_set_group(batchnorm_layer *layer, batchnorm_group *group, size_t grain, size_t first_sample) {
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    if (group && !bn_group_is_good(group))
        return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "the group's size, ranks or gather are not set");
    layer->group = group;
    layer->grain = grain;
    layer->first_sample = first_sample;
    return BATCHNORM_OK;
}

batchnorm_layer_options batchnorm_layer_get_options(const batchnorm_layer *layer) {
    if (!layer) return (batchnorm_layer_options){0};
    batchnorm_layer_options options = layer->options;
    options.bias = layer->has[BN_BIAS];
    return options;
}

static void reset(batchnorm_layer *layer, int index, double value) {
    void *array = bn_layer_array(layer, index);
    if (array) bn_layer_fill(layer, array, bn_layer_channels(layer), value);
}

void batchnorm_layer_reset_running_stats(batchnorm_layer *layer) {
    if (!layer || !layer->options.track_running_stats) return;
    reset(layer, BN_RUNNING_MEAN, 0);
    reset(layer, BN_RUNNING_VAR, 1);
    layer->count = 0;
    batchnorm_layer_drop_update(layer);
}

void batchnorm_layer_reset_parameters(batchnorm_layer *layer) {
    if (!layer) return;
    batchnorm_layer_reset_running_stats(layer);
    reset(layer, BN_WEIGHT, 1);
    reset(layer, BN_BIAS, 0);
}

void batchnorm_layer_zero_grad(batchnorm_layer *layer) {
    if (!layer) return;
    reset(layer, BN_WEIGHT_GRAD, 0);
    reset(layer, BN_BIAS_GRAD, 0);
}

batchnorm_parameter *batchnorm_layer_weight(batchnorm_layer *layer) {
    return layer && bn_layer_array(layer, BN_WEIGHT) ? &layer->weight : NULL;
}

batchnorm_parameter *batchnorm_layer_bias(batchnorm_layer *layer) {
    return layer && bn_layer_array(layer, BN_BIAS) ? &layer->bias : NULL;
}

static batchnorm_tensor view(const batchnorm_layer *layer, int index) {
    if (!layer) return (batchnorm_tensor){0};
    return batchnorm_tensor_contiguous(bn_layer_array(layer, index), layer->options.dtype, 1, &layer->options.num_features);
}

batchnorm_tensor batchnorm_layer_running_mean(const batchnorm_layer *layer) { return view(layer, BN_RUNNING_MEAN); }

batchnorm_tensor batchnorm_layer_running_var(const batchnorm_layer *layer) { return view(layer, BN_RUNNING_VAR); }

int64_t *batchnorm_layer_num_batches_tracked(batchnorm_layer *layer) {
    return layer && layer->has[BN_COUNT] ? &layer->count : NULL;
}
