/* SPDX-License-Identifier: MIT */
#include "api/geometry.h"

batchnorm_strides batchnorm_planar(batchnorm_shape shape) {
    return (batchnorm_strides){(ptrdiff_t)(shape.channels * shape.inner), (ptrdiff_t)shape.inner, 1};
}

batchnorm_strides batchnorm_channels_last(batchnorm_shape shape) {
    return (batchnorm_strides){(ptrdiff_t)(shape.channels * shape.inner), 1, (ptrdiff_t)shape.channels};
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

static bool is_element_dtype(batchnorm_dtype dtype) { return dtype != BATCHNORM_I64 && batchnorm_dtype_bytes(dtype) != 0; }

/* Returns which dimension of a tensor is dimension d of the geometry: 0, 2, 3, ... */
static int tensor_dim(int d) { return d == 0 ? 0 : d + 1; }

static void put(struct bn_geometry *g, int index, const batchnorm_tensor *tensor) {
    struct bn_array *a = &g->array[index];
    a->data = tensor->data;
    a->channel = (ptrdiff_t)tensor->stride[1];
    for (int d = 0; d < g->dims; d++) a->stride[d] = (ptrdiff_t)tensor->stride[tensor_dim(d)];
}

static bool strides_fit(const batchnorm_tensor *x) {
    for (int d = 0; d < x->rank; d++)
        if ((int64_t)(ptrdiff_t)x->stride[d] != x->stride[d]) return false;
    return true;
}

static bool sizes_fit(const batchnorm_tensor *x) {
    for (int d = 0; d < x->rank; d++)
        if ((uint64_t)x->shape[d] > PTRDIFF_MAX) return false;
    return true;
}

/* Computes the product of all sizes but the channels: 0 where one is 0, although the product of the others might not fit.
 * Returns false when it does not fit, also together with the channels. */
static bool count_values(const struct bn_geometry *g, size_t *count) {
    *count = 1;
    for (int d = 0; d < g->dims; d++)
        if (g->extent[d] == 0) *count = 0;
    for (int d = 0; d < g->dims && *count != 0; d++) {
        if (!bn_multiply(*count, g->extent[d], count)) return false;
    }
    size_t all;
    return bn_multiply(*count, g->channels, &all);
}

batchnorm_status bn_geometry_from_tensor(const batchnorm_tensor *x, struct bn_geometry *g) {
    if (x->rank < 2 || x->rank > BATCHNORM_MAX_RANK) return BATCHNORM_BAD_RANK;
    for (int d = 0; d < x->rank; d++)
        if (x->shape[d] < 0) return BATCHNORM_BAD_SHAPE;
    if (!is_element_dtype(x->dtype)) return BATCHNORM_BAD_DTYPE;
    if (!sizes_fit(x) || !strides_fit(x)) return BATCHNORM_TOO_LARGE;
    bn_geometry_clear(g, x->dtype, (size_t)x->shape[1], x->rank - 1);
    for (int d = 0; d < g->dims; d++) g->extent[d] = (size_t)x->shape[tensor_dim(d)];
    if (!count_values(g, &g->count)) return BATCHNORM_TOO_LARGE;
    put(g, BN_X, x);
    return BATCHNORM_OK;
}

batchnorm_status bn_geometry_add_tensor(struct bn_geometry *g, int index, const batchnorm_tensor *tensor) {
    if (!tensor->data && g->count != 0 && g->channels != 0) return BATCHNORM_OK;
    if (tensor->rank != g->dims + 1 || tensor->shape[1] < 0 || (uint64_t)tensor->shape[1] != g->channels)
        return BATCHNORM_BAD_SHAPE;
    for (int d = 0; d < g->dims; d++) {
        const int64_t size = tensor->shape[tensor_dim(d)];
        if (size < 0 || (uint64_t)size != g->extent[d]) return BATCHNORM_BAD_SHAPE;
    }
    if (tensor->dtype != g->dtype) return BATCHNORM_BAD_DTYPE;
    if (!strides_fit(tensor)) return BATCHNORM_TOO_LARGE;
    put(g, index, tensor);
    return BATCHNORM_OK;
}
