/* SPDX-License-Identifier: MIT */
/* The running statistics: moved by a forward, or held until they are committed. */
#include <inttypes.h>
#include <string.h>

#include "api/layer.h"

/* Returns num_batches_tracked after one more batch. */
static int64_t next_count(const batchnorm_layer *layer) {
    return layer->has[BN_COUNT] ? (int64_t)((uint64_t)layer->count + 1) : 0;
}

/* Returns the weight of the new batch. Without a counter, momentum None leaves the statistics where they are, as in PyTorch. */
static double factor_of(const batchnorm_layer *layer) {
    if (!layer->options.cumulative) return bn_momentum_of_new(&layer->options.convention);
    return layer->has[BN_COUNT] ? 1 / (double)next_count(layer) : 0;
}

batchnorm_status bn_check_count(batchnorm_layer *layer) {
    if (!layer->options.cumulative || !layer->has[BN_COUNT] || next_count(layer) != 0) return BATCHNORM_OK;
    return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "num_batches_tracked is %" PRId64 ": there is no average of 0 batches",
                         layer->count);
}

static size_t held_bytes(const batchnorm_layer *layer, size_t channels) {
    return 2 * channels * batchnorm_dtype_bytes(layer->options.dtype);
}

batchnorm_status bn_reserve_held(batchnorm_layer *layer, size_t channels) {
    return bn_reserve(&layer->allocator, &layer->held.buffer, held_bytes(layer, channels));
}

/* Returns where the update of running_mean or running_var is held; NULL where the layer has none. */
static void *held_array(const batchnorm_layer *layer, int key) {
    if (!bn_layer_array(layer, key)) return NULL;
    return bn_block_array(layer, layer->held.buffer.data, bn_layer_channels(layer), key - BN_RUNNING_MEAN);
}

static void copy_array(const batchnorm_layer *layer, void *to, const void *from) {
    if (to && from) memcpy(to, from, bn_layer_channels(layer) * batchnorm_dtype_bytes(layer->options.dtype));
}

/* Computes the update into `mean` and `var`. */
static bool move(const batchnorm_layer *layer, const batchnorm_stat *stats, size_t channels, void *mean, void *var) {
    const batchnorm_dtype dtype = layer->options.dtype;
    const struct bn_vector mean_now = {bn_layer_array(layer, BN_RUNNING_MEAN), dtype};
    const struct bn_vector var_now = {bn_layer_array(layer, BN_RUNNING_VAR), dtype};
    if (!stats) {
        if (mean != mean_now.data) copy_array(layer, mean, mean_now.data);
        if (var != var_now.data) copy_array(layer, var, var_now.data);
        return true;
    }
    return bn_update_running(stats, channels, &layer->options.convention, factor_of(layer), mean_now, var_now,
                             (struct bn_output){mean, dtype}, (struct bn_output){var, dtype});
}

static batchnorm_status hold(batchnorm_layer *layer, const batchnorm_stat *stats, size_t channels) {
    layer->held.is_there = move(layer, stats, channels, held_array(layer, BN_RUNNING_MEAN), held_array(layer, BN_RUNNING_VAR));
    layer->held.count = next_count(layer);
    return layer->held.is_there ? BATCHNORM_OK : BATCHNORM_NOT_COMMITTED;
}

batchnorm_status bn_layer_update(batchnorm_layer *layer, const batchnorm_stat *stats, size_t channels, bool hold_it) {
    if (hold_it) return hold(layer, stats, channels);
    if (!move(layer, stats, channels, bn_layer_array(layer, BN_RUNNING_MEAN), bn_layer_array(layer, BN_RUNNING_VAR)))
        return BATCHNORM_NOT_COMMITTED;
    layer->count = next_count(layer);
    batchnorm_layer_drop_update(layer); /* it was made from what is no longer there */
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_layer_held_update(const batchnorm_layer *layer, batchnorm_tensor *running_mean,
                                             batchnorm_tensor *running_var, int64_t *num_batches_tracked) {
    if (!layer) return BATCHNORM_NULL_POINTER;
    if (!layer->held.is_there) return BATCHNORM_NO_HELD_UPDATE;
    const batchnorm_dtype dtype = layer->options.dtype;
    const int64_t *size = &layer->options.num_features;
    if (running_mean) *running_mean = batchnorm_tensor_contiguous(held_array(layer, BN_RUNNING_MEAN), dtype, 1, size);
    if (running_var) *running_var = batchnorm_tensor_contiguous(held_array(layer, BN_RUNNING_VAR), dtype, 1, size);
    if (num_batches_tracked) *num_batches_tracked = layer->held.count;
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_layer_commit_update(batchnorm_layer *layer) {
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    if (!layer->held.is_there) return bn_layer_end(layer, BATCHNORM_NO_HELD_UPDATE);
    for (int key = BN_RUNNING_MEAN; key <= BN_RUNNING_VAR; key++)
        copy_array(layer, bn_layer_array(layer, key), held_array(layer, key));
    layer->count = layer->held.count;
    layer->held.is_there = false;
    return BATCHNORM_OK;
}

void batchnorm_layer_drop_update(batchnorm_layer *layer) {
    if (layer) layer->held.is_there = false;
}
