/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "api/layer.h"
#include "api/sized.h"

void *bn_allocate(const batchnorm_allocator *allocator, size_t bytes) {
    if (bytes == 0) bytes = 1;
    return allocator->allocate == NULL ? malloc(bytes) : allocator->allocate(allocator->user, bytes);
}

void bn_release(const batchnorm_allocator *allocator, void *memory) {
    if (memory == NULL) return;
    if (allocator->release == NULL)
        free(memory);
    else
        allocator->release(allocator->user, memory);
}

batchnorm_status bn_reserve(const batchnorm_allocator *allocator, struct bn_buffer *buffer, size_t bytes) {
    if (buffer->data != NULL && buffer->bytes >= bytes) return BATCHNORM_OK;
    void *data = bn_allocate(allocator, bytes);
    if (data == NULL) return BATCHNORM_NO_MEMORY;
    if (buffer->data != NULL) memcpy(data, buffer->data, buffer->bytes);
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
    if (made == NULL) return BATCHNORM_NO_MEMORY;
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

batchnorm_status bn_layer_check_apart(const batchnorm_layer *layer, const struct bn_geometry *g, unsigned outputs,
                                      struct bn_fault *fault) {
    const size_t bytes = bn_block_bytes(layer, bn_layer_channels(layer));
    const struct bn_buffer held = layer->held.buffer;
    const batchnorm_status status = bn_check_apart(g, outputs, layer->block, bytes, BN_FAULT_LAYER, fault);
    return status == BATCHNORM_OK ? bn_check_apart(g, outputs, held.data, held.bytes, BN_FAULT_LAYER, fault) : status;
}

batchnorm_status bn_layer_check_workspace(const batchnorm_layer *layer, const struct bn_geometry *g,
                                          const struct bn_numbers *numbers, int count, const batchnorm_exec *exec,
                                          struct bn_fault *fault) {
    if (exec == NULL || exec->workspace == NULL) return BATCHNORM_OK;
    const size_t bytes = layer->block == NULL ? 0 : bn_block_bytes(layer, bn_layer_channels(layer));
    if (bn_bytes_meet(exec->workspace, exec->workspace_bytes, layer->block, bytes)) {
        *fault = (struct bn_fault){BN_FAULT_WORKSPACE, BN_FAULT_LAYER};
        return BATCHNORM_OVERLAP;
    }
    return bn_check_workspace(g, numbers, count, exec, fault);
}

static void *reserve_workspace(void *owner, size_t bytes) {
    batchnorm_layer *layer = owner;
    return bn_reserve(&layer->allocator, &layer->workspace, bytes) == BATCHNORM_OK ? layer->workspace.data : NULL;
}

const void *bn_layer_take(batchnorm_layer *layer, const void *given, void *place, size_t known, const batchnorm_exec *exec,
                          struct bn_layer_run *run) {
    const batchnorm_exec *caller = exec ? bn_sized(exec, &run->place, sizeof run->place, sizeof run->place) : NULL;
    const void *call = bn_sized(given, place, known, known);
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
