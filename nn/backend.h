/* SPDX-License-Identifier: MIT */
/* The one door to a convolution library: convolution and matrix product. Everything else in nn/ is our own.
 *
 * One of backend_onednn.c, backend_cblas.c and backend_none.c is linked. All arrays are float and contiguous:
 *     x, dx  [batch][height][width][in]     y, dy  [batch][out height][out width][out]      (channels last, "NHWC")
 *     weight, dweight  [out][kernel][kernel][in]      bias, dbias  [out]
 * Channels last because it measured fastest for the whole training step, and because the values of one pixel lie together:
 * pooling and batch norm then run over contiguous channels.
 *
 * Same inputs and same number of threads give the same bits.
 */
#ifndef NN_BACKEND_H
#define NN_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "message.h"

/* What went wrong, as one English sentence in static memory; NULL means that nothing did. */
typedef const char *nn_error;

typedef struct nn_backend nn_backend;

/* A convolution for one batch size: whatever the library wants to prepare once and use in every step. */
typedef struct nn_conv nn_conv;

/* height and width are those of x. The kernel is 1 or 3 pixels square, the stride 1 or 2, the padding kernel / 2. */
typedef struct nn_conv_shape {
    size_t batch, height, width, in, out, kernel, stride;
    bool bias;
} nn_conv_shape;

static inline size_t nn_conv_out_height(const nn_conv_shape *shape) { return (shape->height - 1) / shape->stride + 1; }
static inline size_t nn_conv_out_width(const nn_conv_shape *shape) { return (shape->width - 1) / shape->stride + 1; }

/* "oneDNN 2.6.3" or "CBLAS"; NULL when the trainer was built without a convolution library. */
const char *nn_backend_name(void);

/* `threads` holds for the whole process, as OpenMP and BLAS libraries have it; at least 1. */
nn_error nn_backend_create(int threads, nn_backend **backend);
void nn_backend_destroy(nn_backend *backend);

/* The backend must outlive its convolutions. */
nn_error nn_conv_create(nn_backend *backend, const nn_conv_shape *shape, nn_conv **conv);
void nn_conv_destroy(nn_conv *conv);

/* y = x * weight + bias. bias is not read when the shape has none. */
nn_error nn_conv_forward(nn_conv *conv, const float *x, const float *weight, const float *bias, float *y);
/* dx = the gradient of the loss with respect to x, given that with respect to y. */
nn_error nn_conv_backward_data(nn_conv *conv, const float *dy, const float *weight, float *dx);
/* dweight, dbias: likewise; overwritten. dbias is not written when the shape has none. */
nn_error nn_conv_backward_weights(nn_conv *conv, const float *x, const float *dy, float *dweight, float *dbias);

/* C = op(A) op(B) + beta C, all row-major without gaps; op(A) is m x k, op(B) is k x n, op transposes where asked. */
nn_error nn_gemm(nn_backend *backend, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
                 const float *b, float beta, float *c);

#endif
