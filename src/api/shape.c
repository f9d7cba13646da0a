/* SPDX-License-Identifier: MIT */
#include "api/shape.h"

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
