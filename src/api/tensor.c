/* SPDX-License-Identifier: MIT */
#include "batchnorm/tensor.h"

#include <string.h>

/* The binary layout of DLTensor, which dlpack.h has kept from version 0.2 to 1.x. */
struct dl_device {
    int32_t type, id;
};

struct dl_dtype {
    uint8_t code, bits;
    uint16_t lanes;
};

struct dl_tensor {
    void *data;
    struct dl_device device;
    int32_t ndim;
    struct dl_dtype dtype;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
};

/* Devices whose memory a CPU can read: main memory, and what CUDA and ROCm pin or share. */
enum { DL_CPU = 1, DL_CUDA_HOST = 3, DL_ROCM_HOST = 11, DL_CUDA_MANAGED = 13 };

enum { DL_INT = 0, DL_FLOAT = 2, DL_BFLOAT = 4 };

static const struct {
    batchnorm_dtype dtype;
    struct dl_dtype dl;
} dtypes[] = {
    {BATCHNORM_F32, {DL_FLOAT, 32, 1}},   {BATCHNORM_F64, {DL_FLOAT, 64, 1}}, {BATCHNORM_F16, {DL_FLOAT, 16, 1}},
    {BATCHNORM_BF16, {DL_BFLOAT, 16, 1}}, {BATCHNORM_I64, {DL_INT, 64, 1}},
};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* Returns the stride of the next larger dimension. One that does not fit belongs to a tensor too large to exist, and must only
 * not overflow. */
static int64_t next_stride(int64_t stride, int64_t size) {
    if (size <= 1) return stride;
    return stride > INT64_MAX / size ? INT64_MAX : stride * size;
}

static batchnorm_tensor unstrided(void *data, batchnorm_dtype dtype, int rank, const int64_t *shape) {
    batchnorm_tensor t = {.data = data, .dtype = dtype, .rank = -1};
    if (rank < 0 || rank > BATCHNORM_MAX_RANK || (rank > 0 && !shape)) return t;
    t.rank = rank;
    for (int d = 0; d < rank; d++) t.shape[d] = shape[d];
    return t;
}

batchnorm_tensor batchnorm_tensor_contiguous(void *data, batchnorm_dtype dtype, int rank, const int64_t *shape) {
    batchnorm_tensor t = unstrided(data, dtype, rank, shape);
    int64_t stride = 1;
    for (int d = t.rank - 1; d >= 0; d--) {
        t.stride[d] = stride;
        stride = next_stride(stride, t.shape[d]);
    }
    return t;
}

batchnorm_tensor batchnorm_tensor_channels_last(void *data, batchnorm_dtype dtype, int rank, const int64_t *shape) {
    if (rank < 3) return batchnorm_tensor_contiguous(data, dtype, rank, shape);
    batchnorm_tensor t = unstrided(data, dtype, rank, shape);
    if (t.rank < 0) return t;
    t.stride[1] = 1;
    int64_t stride = next_stride(1, t.shape[1]);
    for (int d = t.rank - 1; d >= 0; d--) {
        if (d == 1) continue;
        t.stride[d] = stride;
        stride = next_stride(stride, t.shape[d]);
    }
    return t;
}

batchnorm_tensor_mask batchnorm_tensor_mask_contiguous(const uint8_t *data, const batchnorm_tensor *x, unsigned flags) {
    batchnorm_tensor_mask mask = {.data = data, .flags = flags};
    int64_t stride = 1;
    if (!x || x->rank < 2 || x->rank > BATCHNORM_MAX_RANK) return (batchnorm_tensor_mask){.data = NULL};
    for (int d = x->rank - 1; d >= 0; d--) {
        if (d == 1) continue;
        mask.stride[d ? d - 1 : 0] = stride;
        stride = next_stride(stride, x->shape[d]);
    }
    return mask;
}

int64_t batchnorm_tensor_elements(const batchnorm_tensor *tensor) {
    if (!tensor || tensor->rank < 0 || tensor->rank > BATCHNORM_MAX_RANK) return -1;
    int64_t count = 1;
    for (int d = 0; d < tensor->rank; d++) {
        if (tensor->shape[d] < 0) return -1;
        if (tensor->shape[d] == 0) count = 0;
    }
    for (int d = 0; d < tensor->rank && count != 0; d++) {
        if (tensor->shape[d] > INT64_MAX / count) return -1;
        count *= tensor->shape[d];
    }
    return count;
}

bool batchnorm_tensor_is_contiguous(const batchnorm_tensor *tensor) {
    const int64_t elements = batchnorm_tensor_elements(tensor);
    if (elements <= 0) return elements == 0;
    int64_t stride = 1;
    for (int d = tensor->rank - 1; d >= 0; d--) {
        if (tensor->shape[d] == 1) continue;
        if (tensor->stride[d] != stride) return false;
        stride *= tensor->shape[d];
    }
    return true;
}

static bool is_readable(int32_t device) {
    return device == DL_CPU || device == DL_CUDA_HOST || device == DL_ROCM_HOST || device == DL_CUDA_MANAGED;
}

static int find_dl(struct dl_dtype dl) {
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dl.code == dl.code && dtypes[i].dl.bits == dl.bits && dtypes[i].dl.lanes == dl.lanes) return i;
    return -1;
}

static int find_dtype(batchnorm_dtype dtype) {
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype) return i;
    return -1;
}

batchnorm_status batchnorm_tensor_from_dlpack(const void *dltensor, batchnorm_tensor *tensor) {
    const struct dl_tensor *dl = dltensor;
    if (!dl || !tensor) return BATCHNORM_NULL_POINTER;
    if (!is_readable(dl->device.type)) return BATCHNORM_BAD_OPTION;
    const int i = find_dl(dl->dtype);
    if (i < 0) return BATCHNORM_BAD_DTYPE;
    if (dl->ndim < 0 || dl->ndim > BATCHNORM_MAX_RANK) return BATCHNORM_BAD_RANK;
    if (dl->ndim > 0 && !dl->shape) return BATCHNORM_NULL_POINTER;
    if (dl->data && dl->byte_offset > UINTPTR_MAX - (uintptr_t)dl->data) return BATCHNORM_TOO_LARGE;
    void *data = dl->data ? (char *)dl->data + dl->byte_offset : NULL;
    *tensor = batchnorm_tensor_contiguous(data, dtypes[i].dtype, dl->ndim, dl->shape);
    for (int d = 0; d < dl->ndim && dl->strides; d++) tensor->stride[d] = dl->strides[d];
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_tensor_to_dlpack(batchnorm_tensor *tensor, void *dltensor) {
    if (!tensor || !dltensor) return BATCHNORM_NULL_POINTER;
    if (tensor->rank < 0 || tensor->rank > BATCHNORM_MAX_RANK) return BATCHNORM_BAD_RANK;
    const int i = find_dtype(tensor->dtype);
    if (i < 0) return BATCHNORM_BAD_DTYPE;
    const struct dl_tensor dl = {.data = tensor->data,
                                 .device = {DL_CPU, 0},
                                 .ndim = tensor->rank,
                                 .dtype = dtypes[i].dl,
                                 .shape = tensor->shape,
                                 .strides = tensor->stride};
    memcpy(dltensor, &dl, sizeof dl);
    return BATCHNORM_OK;
}
