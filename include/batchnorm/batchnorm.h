/* SPDX-License-Identifier: MIT */
/*! \file batchnorm.h
 * Batch normalization over raw buffers, for engines that keep their own tensors.
 *
 * Every call works on one shape: `outer` (n) x `channels` (c) x `inner` (s) elements, with a stride for each of the three
 * in every array. Per channel, over the M = outer * inner values of that channel:
 *
 *     mean = sum(x) / M        var = sum((x - mean)^2) / M        rstd = 1 / sqrt(var + eps)
 *     y = (x - mean) * rstd * weight + bias
 *
 * Notation: c is the channel, x and y have the type of the shape, "parameters" (weight, bias, running_mean, running_var,
 * dweight, dbias) are arrays of `channels` numbers of the parameter type: double for F64, float for every other type.
 * Saved statistics are always double. Nothing here prints, exits or keeps state between calls.
 *
 * This file is long because it is the documentation: every block below states what the tests check.
 * Result bits do not depend on the number of threads nor on the instruction set; see docs/numerics.md.
 */
#ifndef BATCHNORM_BATCHNORM_H
#define BATCHNORM_BATCHNORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batchnorm/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! The version of the headers; batchnorm_version() tells the version of the library that was linked. */
#define BATCHNORM_VERSION_MAJOR 0
#define BATCHNORM_VERSION_MINOR 1 /*!< see BATCHNORM_VERSION_MAJOR */
#define BATCHNORM_VERSION_PATCH 0 /*!< see BATCHNORM_VERSION_MAJOR */

/*! Every status with the sentence that batchnorm_status_string() returns for it. */
#define BATCHNORM_STATUS_LIST(X)                                                                                               \
    X(OK, "success")                                                                                                           \
    X(NOT_COMMITTED, "done, but the batch statistics are not finite and were not committed to the running statistics")         \
    X(NULL_POINTER, "a required pointer is NULL")                                                                              \
    X(BAD_OPTION, "an option or flag is outside its range")                                                                    \
    X(BAD_EPS, "eps must be positive with batch statistics and not negative otherwise")                                        \
    X(BAD_RANK, "the input has a rank this layer does not accept")                                                             \
    X(BAD_SHAPE, "sizes that must agree do not")                                                                               \
    X(BAD_DTYPE, "element types that must agree do not")                                                                       \
    X(BAD_STRIDE, "an output has strides that make two of its elements share memory")                                          \
    X(OVERLAP, "an output overlaps another array in a way that is not allowed")                                                \
    X(TOO_LARGE, "a size in bytes does not fit the address space")                                                             \
    X(ONE_VALUE, "expected more than 1 value per channel when batch statistics are used")                                      \
    X(NO_STATISTICS, "running_mean and running_var must be defined in evaluation mode")                                        \
    X(NO_FORWARD, "backward was called before a forward that saved its statistics")                                            \
    X(NO_HELD_UPDATE, "there is no held update of the running statistics")                                                     \
    X(NO_MEMORY, "memory could not be allocated")                                                                              \
    X(WORKSPACE_TOO_SMALL, "the given workspace is smaller than batchnorm_workspace_bytes() says")                             \
    X(MISSING_KEY, "a state lacks a key the layer has")                                                                        \
    X(UNEXPECTED_KEY, "a state has a key the layer does not have")                                                             \
    X(IO, "reading or writing a file failed")                                                                                  \
    X(BAD_FILE, "a file is malformed")

/*! Result of every function that can fail. BATCHNORM_OK is 0; NOT_COMMITTED is the one other value with which all outputs
 * were written. After any other value nothing was written. */
typedef enum batchnorm_status {
#define BATCHNORM_STATUS_ENUM(name, text) BATCHNORM_##name,
    BATCHNORM_STATUS_LIST(BATCHNORM_STATUS_ENUM)
#undef BATCHNORM_STATUS_ENUM
} batchnorm_status;

/*! Element types. BF16 and F16 are stored as uint16_t. I64 occurs in states only (num_batches_tracked). */
typedef enum batchnorm_dtype { BATCHNORM_F32, BATCHNORM_F64, BATCHNORM_BF16, BATCHNORM_F16, BATCHNORM_I64 } batchnorm_dtype;

/*! Distances between neighbours along n, c and s, in elements; negative and, for inputs, zero are allowed. */
typedef struct batchnorm_strides {
    ptrdiff_t outer;   /*!< along n */
    ptrdiff_t channel; /*!< along c */
    ptrdiff_t inner;   /*!< along s */
} batchnorm_strides;

/*! One problem: sizes in elements, the element type, and the strides of each array. Arrays that a call does not have are
 * ignored. batchnorm_planar() and batchnorm_channels_last() fill it for the two usual layouts. */
typedef struct batchnorm_shape {
    size_t outer;          /*!< n */
    size_t channels;       /*!< c */
    size_t inner;          /*!< s */
    batchnorm_dtype dtype; /*!< of every array below */
    batchnorm_strides x;   /*!< input */
    batchnorm_strides y;   /*!< output */
    batchnorm_strides dy;  /*!< gradient of y */
    batchnorm_strides dx;  /*!< gradient of x */
    batchnorm_strides z;   /*!< residual, in the fused calls */
    batchnorm_strides dz;  /*!< gradient of z */
} batchnorm_shape;

/*! A piece of work that a batchnorm_parallel_for runs: item is in [0, items). Items are independent of each other. */
typedef void batchnorm_task(void *arg, size_t item);

/*! The caller's own threads. It must return only after task(arg, i) has run exactly once for every i in [0, items), on any
 * threads, in any order. It equals: `for (size_t i = 0; i < items; i++) task(arg, i);` */
typedef void batchnorm_parallel_for(void *user, size_t items, batchnorm_task *task, void *arg);

/*! How a call runs; NULL in place of it means all zeros. Results do not depend on it, not on whether two calls have the same:
 * a backward may run otherwise than its forward.
 *
 * Threads: a call of fewer than 65536 elements (65536 itself with OpenMP) is one item of work, runs on the caller's thread and
 *          does not call parallel_for. Larger ones are cut into up to 4 items for every thread, none below 32768 elements.
 * Memory:  on the stack a call takes less than 96 KB, and so does a task of a parallel_for. */
typedef struct batchnorm_exec {
    batchnorm_parallel_for *parallel_for; /*!< NULL: OpenMP where the library has it, else a loop */
    void *user;                           /*!< first argument of parallel_for */
    int threads;                          /*!< OpenMP threads at most; 0: as many as OpenMP offers; 1: none are started. With a
                                               parallel_for: how many it has, for the cut into items; 0: it is cut for 64 */
    void *workspace;                      /*!< scratch memory, any alignment, apart from all arrays; NULL: malloc and free */
    size_t workspace_bytes;               /*!< size of workspace */
    char *message;                        /*!< gets a sentence when a raw call fails, with names; NULL: not wanted */
    size_t message_bytes;                 /*!< size of message; the sentence is cut to fit, 200 are enough */
} batchnorm_exec;

/*! Which factor momentum multiplies in the running update. */
typedef enum batchnorm_momentum_rule {
    BATCHNORM_MOMENTUM_OF_NEW, /*!< running = (1 - momentum) * running + momentum * batch  (PyTorch) */
    BATCHNORM_MOMENTUM_OF_OLD  /*!< running = momentum * running + (1 - momentum) * batch  (ONNX, Keras, flax, TF) */
} batchnorm_momentum_rule;

/*! Which variance enters running_var. The normalization itself always uses the population variance. */
typedef enum batchnorm_variance_rule {
    BATCHNORM_VARIANCE_UNBIASED, /*!< var * M / (M - 1)  (PyTorch, TF fused) */
    BATCHNORM_VARIANCE_BIASED    /*!< var  (ONNX, Keras, flax) */
} batchnorm_variance_rule;

/*! A convention: the numbers and rules in which frameworks differ. */
typedef struct batchnorm_options {
    double eps;                               /*!< added to the variance, inside the root */
    double momentum;                          /*!< any number; see momentum_rule */
    batchnorm_momentum_rule momentum_rule;    /*!< what momentum multiplies */
    batchnorm_variance_rule running_variance; /*!< what running_var averages */
    bool allow_one_value;                     /*!< accept M = 1 in training; the unbiased factor is then 1 */
    bool require_finite;                      /*!< do not commit a batch whose mean or var is not finite in any channel */
} batchnorm_options;

/*! Named conventions; batchnorm_convention() returns their options. */
typedef enum batchnorm_framework {
    BATCHNORM_PYTORCH, /*!< eps 1e-5, momentum 0.1 of the new value, unbiased */
    BATCHNORM_ONNX,    /*!< opset 15: eps 1e-5, momentum 0.9 of the old value, biased, one value allowed */
    BATCHNORM_KERAS,   /*!< Keras 3: eps 1e-3, momentum 0.99 of the old value, biased, one value allowed */
    BATCHNORM_FLAX,    /*!< eps 1e-5, momentum 0.99 of the old value, biased, one value allowed */
    BATCHNORM_TF_FUSED /*!< TensorFlow fused op: eps 1e-3, momentum 0.99 of the old value, unbiased, one value allowed */
} batchnorm_framework;

/*! Functions that the fused calls apply to v = bn(x) + z. A NaN stays NaN; gradients are those of torch's functions. */
typedef enum batchnorm_activation_kind {
    BATCHNORM_IDENTITY,    /*!< y = v */
    BATCHNORM_RELU,        /*!< y = v, or 0 where v < 0 */
    BATCHNORM_LEAKY_RELU,  /*!< y = v, or slope * v where not v > 0 */
    BATCHNORM_CLIPPED_RELU /*!< y = v, or 0 where v < 0, or the ceiling where v > ceiling (ReLU6: ceiling 6) */
} batchnorm_activation_kind;

/*! An activation; zeros are the identity. batchnorm_relu(), batchnorm_leaky_relu() and batchnorm_clipped_relu() make the
 * others. */
typedef struct batchnorm_activation {
    batchnorm_activation_kind kind; /*!< which function */
    double parameter;               /*!< the slope (finite, >= 0) or the ceiling (> 0); ignored by the other two */
} batchnorm_activation;

/*! max(v, 0) as an activation. */
static inline batchnorm_activation batchnorm_relu(void) {
    const batchnorm_activation relu = {BATCHNORM_RELU, 0};
    return relu;
}

/*! v where v > 0, slope * v elsewhere. */
static inline batchnorm_activation batchnorm_leaky_relu(double slope) {
    const batchnorm_activation leaky = {BATCHNORM_LEAKY_RELU, slope};
    return leaky;
}

/*! min(max(v, 0), ceiling): ReLU6 with 6. */
static inline batchnorm_activation batchnorm_clipped_relu(double ceiling) {
    const batchnorm_activation clipped = {BATCHNORM_CLIPPED_RELU, ceiling};
    return clipped;
}

/*! Flags of the backward family; combine with |. */
enum {
    BATCHNORM_FROZEN = 1,    /*!< the statistics did not depend on x (evaluation mode) */
    BATCHNORM_ACCUMULATE = 2 /*!< add to dweight and dbias instead of overwriting them */
};

/*! What batchnorm_workspace_bytes() is asked about. */
typedef enum batchnorm_operation {
    BATCHNORM_OP_STATS,
    BATCHNORM_OP_INFER,
    BATCHNORM_OP_FORWARD,
    BATCHNORM_OP_BACKWARD,
    BATCHNORM_OP_JVP,
    BATCHNORM_OP_DOUBLE_BACKWARD
} batchnorm_operation;

/*! The linked library's version, "MAJOR.MINOR.PATCH". */
BATCHNORM_API const char *batchnorm_version(void);

/*! The instruction set in use: "avx512", "avx2", "neon" or "generic"; chosen once, at the first call. */
BATCHNORM_API const char *batchnorm_isa(void);

/*! One English sentence for a status, without a final period; never NULL, also for a value that is no status. */
BATCHNORM_API const char *batchnorm_status_string(batchnorm_status status);

/*! Bytes of one element: 4, 8, 2, 2, 8; 0 for a value that is no dtype. */
BATCHNORM_API size_t batchnorm_dtype_bytes(batchnorm_dtype dtype);

/*! The options of a framework's convention, with require_finite false; PyTorch's for a value that is no framework. */
BATCHNORM_API batchnorm_options batchnorm_convention(batchnorm_framework framework);

/*! A shape whose arrays are all contiguous in the order (n, c, s): NCL, NCHW, NCDHW, with s the product of the spatial sizes.
 * For (N, C) data use s = 1. */
BATCHNORM_API batchnorm_shape batchnorm_planar(batchnorm_dtype dtype, size_t n, size_t c, size_t s);

/*! A shape whose arrays are all contiguous in the order (n, s, c): NLC, NHWC, NDHWC. */
BATCHNORM_API batchnorm_shape batchnorm_channels_last(batchnorm_dtype dtype, size_t n, size_t c, size_t s);

/*! Scratch memory that a call of `operation` on `shape` needs.
 *
 * Units:   bytes. Depends on the sizes, the type and the strides of the shape, never on threads or on the machine.
 * NULL:    `shape` must not be NULL; then, or when the size does not fit size_t, the result is 0 and the call itself reports
 *          it.
 * Threads: any number of calls may run at once.
 * Since:   0.1
 */
BATCHNORM_API size_t batchnorm_workspace_bytes(const batchnorm_shape *shape, batchnorm_operation operation);

/*! Normalization with given statistics (evaluation mode).
 *
 * Formula: y = (x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]
 * Shapes:  x, y: shape; weight, bias, mean, var: [channels], parameter type; save_mean, save_rstd: [channels], double.
 * Units:   var is the variance, not its root; save_rstd = 1 / sqrt(var + eps).
 * NULL:    weight = 1, bias = 0; save_mean, save_rstd not wanted; options = PyTorch's; exec = defaults. x and y may be NULL
 *          only if the shape has no element.
 * Alias:   y may be x (same pointer, same strides); no other overlap with an output.
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_INFER) bytes from exec->workspace, or from malloc.
 * Threads: safe to call at once on different outputs.
 * Returns: OK; NULL_POINTER; BAD_DTYPE (I64); TOO_LARGE; BAD_OPTION; BAD_EPS (eps < 0 or NaN); BAD_STRIDE; OVERLAP;
 *          WORKSPACE_TOO_SMALL; NO_MEMORY. Checked in this order; on error nothing was written.
 * Source:  Ioffe and Szegedy 2015, algorithm 2; torch.nn.functional.batch_norm(training=False).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_infer(const batchnorm_shape *shape, const void *x, const void *weight,
                                                               const void *bias, const void *mean, const void *var, void *y,
                                                               double *save_mean, double *save_rstd,
                                                               const batchnorm_options *options, const batchnorm_exec *exec);

/*! Normalization with given statistics in double, such as those of batchnorm_stats_finish() or a saved forward.
 *
 * Formula: y = (x - mean[c]) * rstd[c] * weight[c] + bias[c]
 * Shapes:  x, y: shape; weight, bias: [channels], parameter type; mean, rstd: [channels], double.
 * Units:   rstd = 1 / sqrt(var + eps).
 * NULL:    weight = 1, bias = 0; exec = defaults.
 * Alias:   as batchnorm_infer().
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_INFER).
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_infer(), without BAD_OPTION and BAD_EPS; on error nothing was written.
 * Source:  the last step of batchnorm_forward(), on its own.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_normalize(const batchnorm_shape *shape, const void *x,
                                                                   const void *weight, const void *bias, const double *mean,
                                                                   const double *rstd, void *y, const batchnorm_exec *exec);

/*! Training forward: statistics of the batch, normalization with them, update of the running statistics.
 *
 * Formula: mean, var, y as at the top of this file; with f = momentum of the new value and v = var or var * M / (M - 1):
 *          running_mean = (1 - f) * running_mean + f * mean;  running_var = (1 - f) * running_var + f * v
 * Shapes:  x, y: shape; weight, bias, running_mean, running_var: [channels], parameter type; save_mean, save_rstd:
 *          [channels], double.
 * Units:   save_rstd = 1 / sqrt(var + eps) of the population variance.
 * NULL:    weight = 1, bias = 0; running_mean, running_var: not updated (either may be NULL alone); save_mean, save_rstd not
 *          wanted; options = PyTorch's; exec = defaults.
 * Alias:   y may be x (same pointer, same strides), but batchnorm_backward() needs the x that is then gone; no other
 *          overlap.
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_FORWARD).
 * Threads: safe to call at once on different outputs.
 * Returns: OK; NOT_COMMITTED (options->require_finite, and mean or var of some channel is not finite: y and the saved
 *          statistics were written, the running statistics were left alone); NULL_POINTER; BAD_DTYPE; TOO_LARGE; ONE_VALUE
 *          (M = 1 and not options->allow_one_value); BAD_OPTION; BAD_EPS (not eps > 0); BAD_STRIDE; OVERLAP;
 *          WORKSPACE_TOO_SMALL; NO_MEMORY. A shape without elements is OK and changes nothing. On error nothing was written.
 * Source:  Ioffe and Szegedy 2015, algorithm 1; torch.nn.functional.batch_norm(training=True).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_forward(const batchnorm_shape *shape, const void *x,
                                                                 const void *weight, const void *bias, void *y,
                                                                 void *running_mean, void *running_var, double *save_mean,
                                                                 double *save_rstd, const batchnorm_options *options,
                                                                 const batchnorm_exec *exec);

/*! Gradients.
 *
 * Formula: with xhat = (x - mean) * rstd and S[.] the sum over a channel: dbias = S[dy];  dweight = S[dy * xhat]; dx =
 *          weight * rstd * (dy - S[dy] / M - xhat * S[dy * xhat] / M), or weight * rstd * dy with BATCHNORM_FROZEN
 * Shapes:  x, dy, dx: shape; weight, dweight, dbias: [channels], parameter type; save_mean, save_rstd: [channels], double.
 * Units:   save_mean and save_rstd are those the forward saved (batchnorm_forward() or batchnorm_infer()).
 * NULL:    weight = 1; dx, dweight, dbias: each not wanted; x may be NULL where it is not needed, which is with FROZEN and
 *          no dweight; exec = defaults.
 * Alias:   dx may be dy or x (same pointer, same strides); no other overlap with an output.
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_BACKWARD).
 * Threads: safe to call at once on different outputs.
 * Returns: OK; NULL_POINTER; BAD_DTYPE; TOO_LARGE; BAD_OPTION (an unknown flag); BAD_STRIDE; OVERLAP; WORKSPACE_TOO_SMALL;
 *          NO_MEMORY. A shape without elements is OK: dweight and dbias become 0, or stay with BATCHNORM_ACCUMULATE. On
 *          error nothing was written.
 * Source:  Ioffe and Szegedy 2015, section 3; torch native_batch_norm_backward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_backward(const batchnorm_shape *shape, const void *x, const void *dy,
                                                                  const void *weight, const double *save_mean,
                                                                  const double *save_rstd, void *dx, void *dweight, void *dbias,
                                                                  unsigned flags, const batchnorm_exec *exec);

/*! batchnorm_infer() with an activation and a residual in the same pass over memory.
 *
 * Formula: y = act((x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c] + z)
 * Shapes:  z: shape with the strides `z`; the rest as batchnorm_infer().
 * Units:   F32 and F64 give the bits of the separate steps. BF16 and F16 are computed in float and rounded once, at the end.
 * NULL:    z = none; the rest as batchnorm_infer().
 * Alias:   y may be x or z (same pointer, same strides); no other overlap with an output.
 * Memory:  as batchnorm_infer().
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_infer(), and BAD_OPTION for an activation outside its range; on error nothing was written.
 * Source:  He et al. 2016 (the order: normalize, add, activate).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_infer_fused(const batchnorm_shape *shape, const void *x, const void *z,
                                                                     const void *weight, const void *bias, const void *mean,
                                                                     const void *var, void *y, double *save_mean,
                                                                     double *save_rstd, batchnorm_activation activation,
                                                                     const batchnorm_options *options,
                                                                     const batchnorm_exec *exec);

/*! batchnorm_normalize() with an activation and a residual; see batchnorm_infer_fused(). It recomputes the y of a forward from
 * what that forward saved. */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_normalize_fused(const batchnorm_shape *shape, const void *x,
                                                                         const void *z, const void *weight, const void *bias,
                                                                         const double *mean, const double *rstd, void *y,
                                                                         batchnorm_activation activation,
                                                                         const batchnorm_exec *exec);

/*! batchnorm_forward() with an activation and a residual; see batchnorm_infer_fused(). z does not enter the statistics. */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status
batchnorm_forward_fused(const batchnorm_shape *shape, const void *x, const void *z, const void *weight, const void *bias,
                        void *y, void *running_mean, void *running_var, double *save_mean, double *save_rstd,
                        batchnorm_activation activation, const batchnorm_options *options, const batchnorm_exec *exec);

/*! Gradients of batchnorm_forward_fused(), or with BATCHNORM_FROZEN of batchnorm_infer_fused().
 *
 * Formula: g = dy * act'(v), rounded to the type of dy; dz = g; dx, dweight and dbias as batchnorm_backward() with g for dy.
 *          act'(v): RELU 0 where v <= 0; LEAKY_RELU the slope where not v > 0; CLIPPED_RELU 0 where v <= 0 or v >= ceiling;
 *          1 elsewhere
 * Shapes:  z: shape with the strides `z`; dz: with `dz`; y: with `y`; the rest as batchnorm_backward().
 * Units:   where v lies is read from y, or, without y, computed again from x, z, weight and bias as the forward did.
 * NULL:    y = compute again (then z and bias must be those of the forward); z = none; dz = not wanted; weight, bias, dx,
 *          dweight, dbias and exec as batchnorm_backward(). x may be NULL where neither dx nor dweight nor v needs it.
 * Alias:   dx may be x, y, z or dy, and so may dz (same pointer, same strides), but not both the same; no other overlap.
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_BACKWARD).
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_backward(), and BAD_OPTION for an activation outside its range. On error nothing was written.
 * Source:  chain rule; torch threshold_backward, leaky_relu_backward, hardtanh_backward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_backward_fused(
    const batchnorm_shape *shape, const void *x, const void *z, const void *y, const void *dy, const void *weight,
    const void *bias, const double *save_mean, const double *save_rstd, void *dx, void *dz, void *dweight, void *dbias,
    batchnorm_activation activation, unsigned flags, const batchnorm_exec *exec);

/*! Forward-mode derivative (Jacobian times vector).
 *
 * Formula: ty = weight * rstd * (tx - S[tx] / M - xhat * S[tx * xhat] / M) + tweight * xhat + tbias; with BATCHNORM_FROZEN
 *          ty = weight * rstd * tx + tweight * xhat + tbias
 * Shapes:  x: shape; tx: shape with the strides `dx`; ty: shape with the strides `dy`; weight, tweight, tbias: [channels],
 *          parameter type; save_mean, save_rstd: [channels], double.
 * Units:   tangents: tx of x, tweight of weight, tbias of bias, ty of y.
 * NULL:    weight = 1; tweight = 0; tbias = 0; exec = defaults.
 * Alias:   ty may be tx or x (same pointer, same strides); no other overlap with an output.
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_JVP).
 * Threads: safe to call at once on different outputs.
 * Returns: OK; NULL_POINTER; BAD_DTYPE; TOO_LARGE; BAD_OPTION; BAD_STRIDE; OVERLAP; WORKSPACE_TOO_SMALL; NO_MEMORY. On error
 *          nothing was written.
 * Source:  differentiation of the formula at the top of this file.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_jvp(const batchnorm_shape *shape, const void *x, const void *tx,
                                                             const void *weight, const void *tweight, const void *tbias,
                                                             const double *save_mean, const double *save_rstd, void *ty,
                                                             unsigned flags, const batchnorm_exec *exec);

/*! Derivative of batchnorm_backward(): given cotangents vx of dx, vweight of dweight and vbias of dbias.
 *
 * Formula: with G = dy - S[dy]/M - xhat * S[dy*xhat]/M: gdy = weight * rstd * (vx - S[vx]/M - xhat * S[vx*xhat]/M) + vweight
 *          * xhat + vbias;  gweight = S[vx * rstd * G]; gx = weight * rstd^2 * ( xhat/M * (S[dy]S[vx]/M - S[dy*vx] + 3
 *          S[dy*xhat]S[vx*xhat]/M) + S[vx*xhat]/M * (S[dy]/M - dy) + S[dy*xhat]/M * (S[vx]/M - vx) ) + vweight * rstd * G;
 *          with BATCHNORM_FROZEN: gdy = weight * rstd * vx + vweight * xhat + vbias; gweight = rstd * S[vx * dy]; gx =
 *          vweight * rstd * dy
 * Shapes:  x: shape; dy, gdy: strides `dy`; vx: strides `dx`; gx: strides `y`; weight, vweight, vbias, gweight: [channels],
 *          parameter type; save_mean, save_rstd: [channels], double.
 * Units:   g* are cotangents of the inputs x, dy and weight of batchnorm_backward().
 * NULL:    weight = 1; vx, vweight, vbias = 0; gx, gdy, gweight: each not wanted; exec = defaults.
 * Alias:   none between an output and any other array.
 * Memory:  batchnorm_workspace_bytes(shape, BATCHNORM_OP_DOUBLE_BACKWARD).
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_backward(). On error nothing was written.
 * Source:  own derivation, equal to torch batchnorm_double_backward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_double_backward(const batchnorm_shape *shape, const void *x,
                                                                         const void *dy, const void *weight,
                                                                         const double *save_mean, const double *save_rstd,
                                                                         const void *vx, const void *vweight, const void *vbias,
                                                                         void *gx, void *gdy, void *gweight, unsigned flags,
                                                                         const batchnorm_exec *exec);

#ifdef __cplusplus
}
#endif
#endif
