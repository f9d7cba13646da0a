/* SPDX-License-Identifier: MIT */
/* What one forward leaves for its backward. */
#include <string.h>

#include "api/layer.h"

size_t bn_saved_bytes(size_t channels) { return BN_SAVED_ARRAYS * channels * sizeof(double); }

double *bn_saved_array(const batchnorm_saved *saved, size_t channels, int index) {
    return (double *)saved->buffer.data + (size_t)index * channels;
}

batchnorm_status batchnorm_saved_create(batchnorm_layer *layer, batchnorm_saved **saved) {
    if (saved != NULL) *saved = NULL;
    if (layer == NULL) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    if (saved == NULL) return bn_layer_end(layer, BATCHNORM_NULL_POINTER);
    batchnorm_saved *made = bn_allocate(&layer->allocator, sizeof *made);
    if (made == NULL) return bn_layer_end(layer, BATCHNORM_NO_MEMORY);
    memset(made, 0, sizeof *made);
    made->allocator = layer->allocator;
    *saved = made;
    return BATCHNORM_OK;
}

void batchnorm_saved_destroy(batchnorm_saved *saved) {
    if (saved == NULL) return;
    const batchnorm_allocator allocator = saved->allocator;
    bn_release(&allocator, saved->buffer.data);
    bn_release(&allocator, saved);
}

const double *batchnorm_saved_mean(const batchnorm_saved *saved) {
    if (saved == NULL || saved->layer == NULL || saved->empty) return NULL;
    return bn_saved_array(saved, saved->channels, BN_SAVED_MEAN);
}

const double *batchnorm_saved_rstd(const batchnorm_saved *saved) {
    if (saved == NULL || saved->layer == NULL || saved->empty) return NULL;
    return bn_saved_array(saved, saved->channels, BN_SAVED_RSTD);
}
