/* SPDX-License-Identifier: MIT */
/*! \file tensor.h
 * A by-value strided view of somebody else's memory.
 */
#ifndef BATCHNORM_TENSOR_H
#define BATCHNORM_TENSOR_H

#include "batchnorm/batchnorm.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! The most dimensions a tensor has. */
#define BATCHNORM_MAX_RANK 8

/*! A view: it owns nothing and is copied by assignment. The element (i0, i1, ...) is i0 * stride[0] + i1 * stride[1] + ...
 * elements after data. An input may have any strides, zero (broadcast) and negative ones included; an output may not have two
 * elements at one address. */
typedef struct batchnorm_tensor {
    void *data;                         /*!< the element (0, 0, ...); NULL means no tensor, or one without elements */
    batchnorm_dtype dtype;              /*!< element type */
    int rank;                           /*!< number of dimensions, 0 to BATCHNORM_MAX_RANK */
    int64_t shape[BATCHNORM_MAX_RANK];  /*!< sizes, in elements */
    int64_t stride[BATCHNORM_MAX_RANK]; /*!< distances, in elements */
} batchnorm_tensor;

/*! A contiguous view in row-major order (the last dimension is the fastest): NCL, NCHW, NCDHW.
 *
 * Shapes:  shape: [rank], each >= 0.
 * NULL:    shape may be NULL if rank is 0. A rank outside 0..BATCHNORM_MAX_RANK gives a view of rank -1, which every call
 *          refuses.
 * Since:   0.1
 */
BATCHNORM_API batchnorm_tensor batchnorm_tensor_contiguous(void *data, batchnorm_dtype dtype, int rank, const int64_t *shape);

/*! The same logical shape (N, C, ...) in memory order (N, ..., C): PyTorch's channels_last. For rank below 3 it is the
 * contiguous view.
 *
 * Since:   0.1
 */
BATCHNORM_API batchnorm_tensor batchnorm_tensor_channels_last(void *data, batchnorm_dtype dtype, int rank,
                                                              const int64_t *shape);

/*! Which positions of an input count: batchnorm_mask for tensors, with a stride for each dimension but the channels. Zeros: all
 * count. */
typedef struct batchnorm_tensor_mask {
    const uint8_t *data;                    /*!< a byte for each position, of which any but 0 is a 1; NULL: not there */
    int64_t stride[BATCHNORM_MAX_RANK - 1]; /*!< in bytes, along the dimensions 0, 2, 3, ... of x; 0: the same for all */
    const size_t *lengths; /*!< [N], in place of data: the first so many along the last dimension are ones, at most its
                                                 size; of (N, C) data 0 or 1 */
    unsigned flags;        /*!< BATCHNORM_MASK_OUTPUTS; it is the one part of a mask that evaluation looks at */
} batchnorm_tensor_mask;

/*! A mask that is contiguous in row-major order: (N), (N, L), (N, H, W) or (N, D, H, W) for x. A rank of x outside
 * 0..BATCHNORM_MAX_RANK gives zeros. */
BATCHNORM_API batchnorm_tensor_mask batchnorm_tensor_mask_contiguous(const uint8_t *data, const batchnorm_tensor *x,
                                                                     unsigned flags);

/*! Number of elements; 1 for rank 0; -1 if a size is negative, the rank is out of range or the product does not fit int64_t. */
BATCHNORM_API int64_t batchnorm_tensor_elements(const batchnorm_tensor *tensor);

/*! Whether the elements lie in row-major order without gaps (dimensions of size 1 have no say). */
BATCHNORM_API bool batchnorm_tensor_is_contiguous(const batchnorm_tensor *tensor);

/*! A view of a DLPack tensor, without copying.
 *
 * Shapes:  dltensor: a pointer to a `DLTensor` as dlpack.h (version 0.2 to 1.x) defines it. Its strides may be NULL (row-
 *          major).
 * NULL:    neither may be NULL.
 * Memory:  the view borrows data; the caller keeps the DLPack object alive.
 * Returns: OK
 *          NULL_POINTER: dltensor, tensor, or the shape of one with dimensions
 *          BAD_OPTION: not on a device whose memory a CPU can read
 *          BAD_DTYPE: not a one-lane float16, bfloat16, float32, float64 or int64
 *          BAD_RANK: more than BATCHNORM_MAX_RANK dimensions
 *          TOO_LARGE: byte_offset
 *          On error nothing was written.
 * Source:  https://dmlc.github.io/dlpack
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_tensor_from_dlpack(const void *dltensor, batchnorm_tensor *tensor);

/*! A DLPack tensor of a view, without copying.
 *
 * Shapes:  dltensor: a pointer to a `DLTensor` that is filled in; device CPU 0, byte_offset 0.
 * NULL:    neither may be NULL.
 * Memory:  its shape and strides point into `tensor`, which must outlive it.
 * Returns: OK
 *          NULL_POINTER
 *          BAD_RANK
 *          BAD_DTYPE
 *          On error nothing was written.
 * Source:  https://dmlc.github.io/dlpack
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_tensor_to_dlpack(batchnorm_tensor *tensor, void *dltensor);

#ifdef __cplusplus
}
#endif
#endif
