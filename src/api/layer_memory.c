/* SPDX-License-Identifier: MIT */
/* What a layer allocates: its block, what grows with the calls, and what one forward saves for its backward. */
#include <stdlib.h>
#include <string.h>

#include "api/layer.h"
#include "api/sized.h"

void *bn_allocate(const batchnorm_allocator *allocator, size_t bytes) {
    if (bytes == 0) bytes = 1;
    return allocator->allocate ? allocator->allocate(allocator->user, bytes) : malloc(bytes);
}

void bn_release(const batchnorm_allocator *allocator, void *memory) {
    if (!memory) return;
    if (!allocator->release)
        free(memory);
    else
        allocator->release(allocator->user, memory);
}

batchnorm_status bn_reserve(const batchnorm_allocator *allocator, struct bn_buffer *buffer, size_t bytes) {
    if (buffer->data && buffer->bytes >= bytes) return BATCHNORM_OK;
    void *data = bn_allocate(allocator, bytes);
    if (!data) return BATCHNORM_NO_MEMORY;
    if (buffer->data) memcpy(data, buffer->data, buffer->bytes);
    bn_release(allocator, buffer->data);
    *buffer = (struct bn_buffer){data, bytes};
    return BATCHNORM_OK;
}

void bn_layer_fill(const batchnorm_layer *layer, void *array, size_t channels, double value) {
    const struct bn_output output = {array, layer->options.dtype};
    for (size_t c = 0; c < channels; c++) bn_output_set(output, c, value);
}

static double initial_value(int index) { return index == BN_WEIGHT || index == BN_RUNNING_VAR ? 1 : 0; }

batchnorm_status bn_block_create(const batchnorm_layer *layer, size_t channels, void **block) {
    const size_t each = BN_LAYER_ARRAYS * batchnorm_dtype_bytes(layer->options.dtype);
    if (channels > PTRDIFF_MAX / each) return BATCHNORM_TOO_LARGE;
    void *made = bn_allocate(&layer->allocator, channels * each);
    if (!made) return BATCHNORM_NO_MEMORY;
    for (int i = 0; i < BN_LAYER_ARRAYS; i++)
        bn_layer_fill(layer, bn_block_array(layer, made, channels, i), channels, initial_value(i));
    *block = made;
    return BATCHNORM_OK;
}

static batchnorm_parameter parameter(const batchnorm_layer *layer, int value, int grad) {
    const int64_t size = layer->options.num_features;
    const size_t channels = (size_t)size;
    const batchnorm_dtype dtype = layer->options.dtype;
    void *values = bn_block_array(layer, layer->block, channels, value);
    void *grads = bn_block_array(layer, layer->block, channels, grad);
    return (batchnorm_parameter){batchnorm_tensor_contiguous(values, dtype, 1, &size),
                                 batchnorm_tensor_contiguous(grads, dtype, 1, &size), true};
}

void bn_layer_materialize(batchnorm_layer *layer, size_t channels, void *block) {
    layer->options.num_features = (int64_t)channels;
    layer->options.lazy = false;
    layer->block = block;
    layer->weight = parameter(layer, BN_WEIGHT, BN_WEIGHT_GRAD);
    layer->bias = parameter(layer, BN_BIAS, BN_BIAS_GRAD);
}

void bn_layer_start(const batchnorm_layer *layer, struct bn_call *k) {
    k->count = 0;
    k->own[0] = (struct bn_bytes){layer->block, layer->block ? bn_block_bytes(layer, bn_layer_channels(layer)) : 0};
    k->own[1] = (struct bn_bytes){layer->held.buffer.data, layer->held.buffer.bytes};
}

static void *reserve_workspace(void *owner, size_t bytes) {
    batchnorm_layer *layer = owner;
    return bn_reserve(&layer->allocator, &layer->workspace, bytes) ? NULL : layer->workspace.data;
}

const void *bn_layer_take(batchnorm_layer *layer, const void *given, void *place, size_t known, size_t first,
                          const batchnorm_exec *exec, struct bn_layer_run *run) {
    const batchnorm_exec *caller = bn_sized(exec, &run->place, sizeof run->place, sizeof run->place);
    const void *call = bn_sized(given, place, known, first);
    run->status = BATCHNORM_OK;
    run->exec = (struct bn_exec){.caller = caller,
                                 .memory = layer->workspace.data,
                                 .bytes = layer->workspace.bytes,
                                 .reserve = reserve_workspace,
                                 .owner = layer};
    if (!given)
        run->status = bn_layer_fail(layer, BATCHNORM_NULL_POINTER, "the call is NULL");
    else if (!call)
        run->status = bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "the call's size must be the sizeof of its struct");
    else if (exec && !caller)
        run->status = bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "the exec's size must be sizeof(batchnorm_exec)");
    return run->status ? NULL : call;
}

batchnorm_status bn_layer_mask(batchnorm_layer *layer, struct bn_geometry *g, const batchnorm_tensor_mask *mask) {
    g->mask = (struct bn_mask){.is_there = mask->data || mask->lengths, .data = mask->data, .lengths = mask->lengths};
    g->mask.outputs = (mask->flags & BATCHNORM_MASK_OUTPUTS) != 0;
    for (int d = 0; d < g->dims && g->mask.is_there; d++) {
        g->mask.stride[d] = (ptrdiff_t)mask->stride[d];
        if (g->mask.stride[d] != mask->stride[d]) return BATCHNORM_TOO_LARGE;
    }
    if (mask->flags & ~(unsigned)BATCHNORM_MASK_OUTPUTS)
        return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "unknown flag of the mask in %#x", mask->flags);
    if (bn_check_mask(g))
        return bn_layer_fail(layer, BATCHNORM_BAD_OPTION,
                             "a mask is either data or lengths, of which none is larger than the last size of the input");
    return BATCHNORM_OK;
}

/* What one forward saves for its backward */
size_t bn_saved_bytes(size_t channels) { return BN_SAVED_ARRAYS * channels * sizeof(double); }

double *bn_saved_array(const batchnorm_saved *saved, size_t channels, int index) {
    return (double *)saved->buffer.data + (size_t)index * channels;
}

batchnorm_status batchnorm_saved_create(batchnorm_layer *layer, batchnorm_saved **saved) {
    if (saved) *saved = NULL;
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    if (!saved) return bn_layer_end(layer, BATCHNORM_NULL_POINTER);
    batchnorm_saved *made = bn_allocate(&layer->allocator, sizeof *made);
    if (!made) return bn_layer_end(layer, BATCHNORM_NO_MEMORY);
    memset(made, 0, sizeof *made);
    made->allocator = layer->allocator;
    *saved = made;
    return BATCHNORM_OK;
}

void batchnorm_saved_destroy(batchnorm_saved *saved) {
    if (!saved) return;
    const batchnorm_allocator allocator = saved->allocator;
    bn_release(&allocator, saved->buffer.data);
    bn_release(&allocator, saved);
}

const double *batchnorm_saved_mean(const batchnorm_saved *saved) {
    if (!saved || !saved->layer || saved->empty) return NULL;
    return bn_saved_array(saved, saved->channels, BN_SAVED_MEAN);
}

const double *batchnorm_saved_rstd(const batchnorm_saved *saved) {
    if (!saved || !saved->layer || saved->empty) return NULL;
    return bn_saved_array(saved, saved->channels, BN_SAVED_RSTD);
}
