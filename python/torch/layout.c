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

/* PyTorch's rule, which must be kept to the letter where sizes of 1 make strides ambiguous: from the channels over the last
 * dimension to the first, no stride is smaller than what lies inside of it, and the samples are farther apart than the
 * channels. */
bool layout_is_channels_last(const batchnorm_tensor *x) {
    if ((x->rank != 4 && x->rank != 5) || x->stride[1] == 0) return false;
    int64_t least = 0;
    for (int step = 0; step < x->rank; step++) {
        const int d = step == 0 ? 1 : step == x->rank - 1 ? 0 : x->rank - step;
        if (x->shape[d] == 0 || x->stride[d] < least) return false;
        if (d == 0 && least == x->stride[1]) return false;
        least = x->shape[d] > 1 ? x->stride[d] * x->shape[d] : x->stride[d];
    }
    return true;
}

batchnorm_tensor layout_like(const batchnorm_tensor *x) {
    return layout_is_channels_last(x) ? batchnorm_tensor_channels_last(NULL, x->dtype, x->rank, x->shape)
                                      : batchnorm_tensor_contiguous(NULL, x->dtype, x->rank, x->shape);
}

bool layout_is_vector(const batchnorm_tensor *tensor, size_t channels) {
    return tensor->rank == 1 && (size_t)tensor->shape[0] == channels && (tensor->stride[0] == 1 || channels == 1);
}
