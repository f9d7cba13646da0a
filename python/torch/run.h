/* SPDX-License-Identifier: MIT */
/* The calls of the library on PyTorch's tensors and threads, for the operators and for the layers that call without them.
 * Nothing here knows Python: a call may run without the lock of the interpreter. */
#ifndef BN_TORCH_RUN_H
#define BN_TORCH_RUN_H

#include "batchnorm/sync.h"
#include "batchnorm/tensor.h"

/* What forward and backward have in common. A tensor without data is not there. */
struct run_layer {
    batchnorm_tensor x, z, weight, bias;
    batchnorm_tensor running_mean, running_var;
    double momentum, eps;
    bool frozen;   /* normalizes with running_mean and running_var */
    bool backward; /* has its statistics from a forward, and needs no others */
    batchnorm_activation activation;
    batchnorm_group *group;
    size_t grain, first_sample;
    /* filled in by run_check() */
    batchnorm_shape shape;
    batchnorm_dtype parameters; /* type of those that there are; F32 if there are none and x is not F64 */
};

/* Whether the library does what is asked. Where it does not, PyTorch is asked, which also says what is wrong. */
bool run_check(struct run_layer *layer);

/* y is like x; saved gets the mean and then rstd of each channel. */
batchnorm_status run_forward(const struct run_layer *layer, const batchnorm_tensor *y, double *saved);

/* Arrays without data are not wanted, or not there. `y` stands for v where the activation allows it. */
struct run_gradients {
    batchnorm_tensor dy, y;
    batchnorm_tensor dx, dz, dweight, dbias;
};
batchnorm_status run_backward(const struct run_layer *layer, const double *saved, const struct run_gradients *gradients);

/* Cotangents of dx, dweight and dbias, and what becomes of them. */
struct run_second {
    batchnorm_tensor dy, vx, vweight, vbias;
    batchnorm_tensor gdy, gx, gweight;
};
batchnorm_status run_double_backward(const struct run_layer *layer, const double *saved, const struct run_second *second);

/* Whether an array that comes with x has its sizes and type, and strides that the library takes. */
bool run_fits(const struct run_layer *layer, const batchnorm_tensor *tensor);

/* Elements from which on a call is long enough that others should have the interpreter in the meantime. */
#define RUN_LONG 32768

/* Whether a call is: also one of a group, which waits for others. */
static inline bool run_is_long(const struct run_layer *layer) {
    return layer->group || layer->shape.outer * layer->shape.inner * layer->shape.channels >= RUN_LONG;
}

#endif
