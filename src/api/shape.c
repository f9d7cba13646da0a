/* SPDX-License-Identifier: MIT */
#include "api/shape.h"

batchnorm_shape batchnorm_planar(batchnorm_dtype dtype, size_t n, size_t c, size_t s) {
    batchnorm_strides strides = {(ptrdiff_t)(c * s), (ptrdiff_t)s, 1};
    return (batchnorm_shape){n, c, s, dtype, strides, strides, strides, strides, strides, strides};
}

batchnorm_shape batchnorm_channels_last(batchnorm_dtype dtype, size_t n, size_t c, size_t s) {
    batchnorm_strides strides = {(ptrdiff_t)(c * s), 1, (ptrdiff_t)c};
    return (batchnorm_shape){n, c, s, dtype, strides, strides, strides, strides, strides, strides};
}

size_t batchnorm_dtype_bytes(batchnorm_dtype dtype) {
    switch (dtype) {
    case BATCHNORM_F32:
        return 4;
    case BATCHNORM_F64:
    case BATCHNORM_I64:
        return 8;
    case BATCHNORM_BF16:
    case BATCHNORM_F16:
        return 2;
    }
    return 0;
}

bool bn_geometry_is_empty(const struct bn_geometry *g) { return g->count == 0 || g->channels == 0; }

void bn_geometry_clear(struct bn_geometry *g, batchnorm_dtype dtype, size_t channels, int dims) {
    g->dtype = dtype;
    g->channels = channels;
    g->count = 0;
    g->dims = dims;
    g->arrays = 0;
    for (int i = 0; i < BN_MAX_ARRAYS; i++) {
        struct bn_array *a = &g->array[i];
        a->data = NULL;
        a->channel = 0;
        for (int d = 0; d < dims; d++) a->stride[d] = 0;
    }
}

batchnorm_status bn_geometry_from_shape(const batchnorm_shape *shape, struct bn_geometry *g) {
    bn_geometry_clear(g, shape->dtype, shape->channels, 2);
    g->extent[0] = shape->outer;
    g->extent[1] = shape->inner;
    if ((unsigned)shape->dtype > BATCHNORM_F16) return BATCHNORM_BAD_DTYPE;
    bool empty = shape->outer == 0 || shape->channels == 0 || shape->inner == 0;
    size_t all, bytes = batchnorm_dtype_bytes(shape->dtype);
    if (!empty && !(bn_multiply(shape->outer, shape->inner, &g->count) && bn_multiply(g->count, shape->channels, &all) &&
                    bn_multiply(all, bytes, &all)))
        return BATCHNORM_TOO_LARGE;
    return BATCHNORM_OK;
}

void bn_geometry_add_array(struct bn_geometry *g, int index, const void *data, batchnorm_strides strides) {
    /* inputs are never written: only kernels' output arguments are */
    struct bn_array *a = &g->array[index];
    a->data = (char *)(uintptr_t)data;
    a->channel = strides.channel;
    a->stride[0] = strides.outer;
    a->stride[1] = strides.inner;
    if (g->arrays <= index) g->arrays = index + 1;
}
