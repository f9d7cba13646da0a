/* SPDX-License-Identifier: MIT */
#include "layout.h"

bool layout_merge(const batchnorm_tensor *tensor, batchnorm_shape *shape, batchnorm_strides *strides) {
    int64_t inner = 1, stride = 1;
    for (int d = tensor->rank - 1; d >= 2; d--) {
        if (tensor->shape[d] == 1) continue;
        if (inner == 1)
            stride = tensor->stride[d];
        else if (tensor->stride[d] != stride * inner)
            return false;
        inner *= tensor->shape[d];
    }
    *shape = (batchnorm_shape){(size_t)tensor->shape[0], (size_t)tensor->shape[1], (size_t)inner, tensor->dtype};
    *strides = (batchnorm_strides){(ptrdiff_t)tensor->stride[0], (ptrdiff_t)tensor->stride[1], (ptrdiff_t)stride};
    return true;
}

/* The dimension that is so many steps from the innermost one in channels last: the channels, the last to the third, the
 * samples. */
static int dimension(const batchnorm_tensor *x, int step) { return step == 0 ? 1 : step == x->rank - 1 ? 0 : x->rank - step; }

static bool is_dense_channels_last(const batchnorm_tensor *x) {
    int64_t wanted = 1;
    for (int step = 0; step < x->rank; step++) {
        const int d = dimension(x, step);
        if (x->shape[d] != 1 && x->stride[d] != wanted) return false;
        wanted *= x->shape[d];
    }
    return true;
}

/* From the channels over the last dimension to the first, no stride is smaller than what lies inside of it, and the samples are
 * farther apart than the channels. */
static bool is_like_channels_last(const batchnorm_tensor *x) {
    if (x->stride[1] == 0) return false;
    int64_t least = 0;
    for (int step = 0; step < x->rank; step++) {
        const int d = dimension(x, step);
        if (x->shape[d] == 0 || x->stride[d] < least) return false;
        if (d == 0 && least == x->stride[1]) return false;
        least = x->shape[d] > 1 ? x->stride[d] * x->shape[d] : x->stride[d];
    }
    return true;
}

/* PyTorch's rules, which must be kept to the letter where sizes of 1 make strides ambiguous. What is in row-major order, too,
 * is taken for that by a forward, and for channels last by a backward if the strides look like it. */
bool layout_is_channels_last(const batchnorm_tensor *x) {
    if ((x->rank != 4 && x->rank != 5) || batchnorm_tensor_is_contiguous(x)) return false;
    return is_dense_channels_last(x) || is_like_channels_last(x);
}

static batchnorm_tensor like(const batchnorm_tensor *x, bool channels_last) {
    return channels_last ? batchnorm_tensor_channels_last(NULL, x->dtype, x->rank, x->shape)
                         : batchnorm_tensor_contiguous(NULL, x->dtype, x->rank, x->shape);
}

batchnorm_tensor layout_like(const batchnorm_tensor *x) { return like(x, layout_is_channels_last(x)); }

batchnorm_tensor layout_of_gradient(const batchnorm_tensor *x) {
    const bool is_image = x->rank == 4 || x->rank == 5;
    return like(x, is_image && (layout_is_channels_last(x) || is_like_channels_last(x)));
}

bool layout_is_vector(const batchnorm_tensor *tensor, size_t channels) {
    return tensor->rank == 1 && (size_t)tensor->shape[0] == channels && (tensor->stride[0] == 1 || channels == 1);
}
