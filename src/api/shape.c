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

static bool fits(size_t a, size_t b, size_t limit) { return a == 0 || b <= limit / a; }

batchnorm_status bn_geometry_from_shape(const batchnorm_shape *shape, struct bn_geometry *g) {
    *g = (struct bn_geometry){.dtype = shape->dtype, .channels = shape->channels, .dims = 2};
    if ((unsigned)shape->dtype > BATCHNORM_F16) return BATCHNORM_BAD_DTYPE;
    size_t limit = PTRDIFF_MAX / batchnorm_dtype_bytes(shape->dtype);
    bool empty = shape->outer == 0 || shape->channels == 0 || shape->inner == 0;
    if (!empty && (!fits(shape->outer, shape->inner, limit) || !fits(shape->outer * shape->inner, shape->channels, limit)))
        return BATCHNORM_TOO_LARGE;
    g->extent[0] = shape->outer;
    g->extent[1] = shape->inner;
    g->count = empty ? 0 : shape->outer * shape->inner;
    return BATCHNORM_OK;
}

void bn_geometry_add_array(struct bn_geometry *g, int index, const void *data, batchnorm_strides strides) {
    /* inputs are never written: only kernels' output arguments are */
    g->array[index] = (struct bn_array){(char *)(uintptr_t)data, strides.channel, {strides.outer, strides.inner}};
    if (g->arrays <= index) g->arrays = index + 1;
}
