/* SPDX-License-Identifier: MIT */
/* Linked where no convolution library was found: the command still builds, and says what it lacks. */
#include "backend.h"

static const char missing[] = "built without a convolution library";

const char *nn_backend_name(void) { return NULL; }

nn_error nn_backend_create(int threads, nn_backend **backend) {
    (void)threads;
    *backend = NULL;
    return missing;
}

void nn_backend_destroy(nn_backend *backend) { (void)backend; }

nn_error nn_conv_create(nn_backend *backend, const nn_conv_shape *shape, nn_conv **conv) {
    (void)backend, (void)shape;
    *conv = NULL;
    return missing;
}

void nn_conv_destroy(nn_conv *conv) { (void)conv; }

nn_error nn_conv_forward(nn_conv *conv, const float *x, const float *weight, const float *bias, float *y) {
    (void)conv, (void)x, (void)weight, (void)bias, (void)y;
    return missing;
}

nn_error nn_conv_backward_data(nn_conv *conv, const float *dy, const float *weight, float *dx) {
    (void)conv, (void)dy, (void)weight, (void)dx;
    return missing;
}

nn_error nn_conv_backward_weights(nn_conv *conv, const float *x, const float *dy, float *dweight, float *dbias) {
    (void)conv, (void)x, (void)dy, (void)dweight, (void)dbias;
    return missing;
}

nn_error nn_gemm(nn_backend *backend, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
                 const float *b, float beta, float *c) {
    (void)backend, (void)transpose_a, (void)transpose_b, (void)m, (void)n, (void)k, (void)a, (void)b, (void)beta;
    (void)c;
    return missing;
}
