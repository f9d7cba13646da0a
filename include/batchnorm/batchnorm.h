/* SPDX-License-Identifier: MIT */
/*! \file batchnorm.h
 * Batch normalization over raw buffers, for engines that keep their own tensors. Long because it is the documentation: every
 * block below states what the tests check.
 *
 * A call is one struct: a shape of `outer` (n) x `channels` (c) x `inner` (s) elements, the arrays, each with a stride for
 * each of the three, and the numbers of each channel. Over the M = outer * inner values of a channel:
 *
 *     mean = sum(x) / M        var = sum((x - mean)^2) / M        rstd = 1 / sqrt(var + eps)
 *     y = (x - mean) * rstd * weight + bias
 *
 *     const batchnorm_shape shape = {n, c, s, BATCHNORM_F32};
 *     const batchnorm_strides nchw = batchnorm_planar(shape);
 *     const batchnorm_forward_call call = {.size = sizeof call, .shape = shape, .x = {x, nchw}, .y = {y, nchw}};
 *     batchnorm_status status = batchnorm_forward(&call, NULL);
 *
 * Structs that are handed over by pointer begin with their size, by which a library that knows more members can tell that the
 * caller's header did not have them; members are only ever added at the end. Zero means absent, or the default. A size that no
 * version had, or members beyond those that the library knows that are not zero, are BAD_OPTION. docs/calls.md shows each call.
 *
 * Notation: c is the channel, x and y have the type of the shape, "parameters" (weight, bias, running_mean, running_var,
 * dweight, dbias) are arrays of `channels` numbers of the parameter type: double for F64, float for every other type.
 * Saved statistics are always double. Nothing here prints, exits or keeps state between calls.
 *
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
    X(BAD_FILE, "a file is malformed")                                                                                         \
    X(MISMATCH, "the ranks of a group made calls that do not agree")                                                           \
    X(RANK_FAILED, "another rank of the group failed")                                                                         \
    X(TRANSPORT, "the transport of a group failed")

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

/*! The sizes of a problem, in elements, and the type of all of its arrays. */
typedef struct batchnorm_shape {
    size_t outer;          /*!< n */
    size_t channels;       /*!< c */
    size_t inner;          /*!< s: the product of the spatial sizes; 1 for (N, C) data */
    batchnorm_dtype dtype; /*!< of every array that has strides */
} batchnorm_shape;

/*! An array that a call reads. batchnorm_planar() and batchnorm_channels_last() give the strides of the two usual layouts. */
typedef struct batchnorm_input {
    const void *data;          /*!< its element (0, 0, 0); NULL: not there */
    batchnorm_strides strides; /*!< from there */
} batchnorm_input;

/*! An array that a call writes. */
typedef struct batchnorm_output {
    void *data;                /*!< its element (0, 0, 0); NULL: not wanted */
    batchnorm_strides strides; /*!< from there */
} batchnorm_output;

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
 *          How OpenMP's threads wait for each other is not the library's choice: OMP_WAIT_POLICY is read when the program is
 *          loaded. Mostly they spin at first, which is slow where other programs want the cores; with "passive" they sleep.
 * Memory:  on the stack a call takes less than 96 KB, and so does a task of a parallel_for. */
typedef struct batchnorm_exec {
    size_t size;                          /*!< sizeof(batchnorm_exec) */
    batchnorm_parallel_for *parallel_for; /*!< NULL: OpenMP where the library has it, else a loop */
    void *user;                           /*!< first argument of parallel_for */
    int threads;                          /*!< OpenMP threads at most; 0: as many as OpenMP offers; 1: none are started. With a
                                               parallel_for: how many it has, for the cut into items; 0: it is cut for 64.
                                               Below 0: as 0 */
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

/*! A convention: the numbers and rules in which frameworks differ. It is part of other structs, and so keeps its size: members
 * to come take the place of those that are reserved. Begin with batchnorm_convention(), which fills in everything. */
typedef struct batchnorm_options {
    size_t size;                              /*!< sizeof(batchnorm_options) */
    double eps;                               /*!< added to the variance, inside the root */
    double momentum;                          /*!< any number; see momentum_rule */
    batchnorm_momentum_rule momentum_rule;    /*!< what momentum multiplies */
    batchnorm_variance_rule running_variance; /*!< what running_var averages */
    bool allow_one_value;                     /*!< accept M = 1 in training; the unbiased factor is then 1 */
    bool require_finite;                      /*!< do not commit a batch whose mean or var is not finite in any channel */
    uint64_t reserved[4];                     /*!< zeros */
} batchnorm_options;

/*! Named conventions; batchnorm_convention() returns their options. */
typedef enum batchnorm_framework {
    BATCHNORM_PYTORCH, /*!< eps 1e-5, momentum 0.1 of the new value, unbiased */
    BATCHNORM_ONNX,    /*!< opset 15: eps 1e-5, momentum 0.9 of the old value, biased, one value allowed */
    BATCHNORM_KERAS,   /*!< Keras 3: eps 1e-3, momentum 0.99 of the old value, biased, one value allowed */
    BATCHNORM_FLAX,    /*!< eps 1e-5, momentum 0.99 of the old value, biased, one value allowed */
    BATCHNORM_TF_FUSED /*!< TensorFlow fused op: eps 1e-3, momentum 0.99 of the old value, unbiased, one value allowed */
} batchnorm_framework;

/*! Every activation that the fused calls apply to v = bn(x) + z: X(kind, word, parameter, by_y). The word is what commands and
 * files call it. The parameter is NONE, a SLOPE (finite, >= 0) or a CEILING (> 0). by_y: y tells act'(v), and so may stand in
 * for x and z in batchnorm_backward(). A NaN stays NaN.
 *
 * IDENTITY:     y = v
 * RELU:         y = v, or 0 where v < 0
 * LEAKY_RELU:   y = v, or slope * v where not v > 0
 * CLIPPED_RELU: y = v, or 0 where v < 0, or the ceiling where v > ceiling (ReLU6: ceiling 6)
 * HARDSWISH:    y = v * min(max(v + 3, 0), 6) / 6; 0 for -inf
 * SIGMOID:      y = 1 / (1 + exp(-v))
 * SILU:         y = v / (1 + exp(-v)); 0 for -inf */
#define BATCHNORM_ACTIVATION_LIST(X)                                                                                           \
    X(IDENTITY, "identity", NONE, true)                                                                                        \
    X(RELU, "relu", NONE, true)                                                                                                \
    X(LEAKY_RELU, "leaky_relu", SLOPE, true)                                                                                   \
    X(CLIPPED_RELU, "clipped_relu", CEILING, true)                                                                             \
    X(HARDSWISH, "hardswish", NONE, false)                                                                                     \
    X(SIGMOID, "sigmoid", NONE, false)                                                                                         \
    X(SILU, "silu", NONE, false)

/*! The kinds of BATCHNORM_ACTIVATION_LIST: BATCHNORM_IDENTITY is 0. */
typedef enum batchnorm_activation_kind {
#define BATCHNORM_ACTIVATION_ENUM(kind, word, parameter, by_y) BATCHNORM_##kind,
    BATCHNORM_ACTIVATION_LIST(BATCHNORM_ACTIVATION_ENUM)
#undef BATCHNORM_ACTIVATION_ENUM
} batchnorm_activation_kind;

/*! An activation; zeros are the identity. The functions after it make the others. */
typedef struct batchnorm_activation {
    batchnorm_activation_kind kind; /*!< which function */
    double parameter;               /*!< what the list says; ignored where that is NONE */
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

/*! v * min(max(v + 3, 0), 6) / 6. */
static inline batchnorm_activation batchnorm_hardswish(void) {
    const batchnorm_activation hardswish = {BATCHNORM_HARDSWISH, 0};
    return hardswish;
}

/*! 1 / (1 + exp(-v)). */
static inline batchnorm_activation batchnorm_sigmoid(void) {
    const batchnorm_activation sigmoid = {BATCHNORM_SIGMOID, 0};
    return sigmoid;
}

/*! v / (1 + exp(-v)), which is v times its sigmoid. */
static inline batchnorm_activation batchnorm_silu(void) {
    const batchnorm_activation silu = {BATCHNORM_SILU, 0};
    return silu;
}

/*! Other ranks that have other parts of the batch: batchnorm/sync.h. */
typedef struct batchnorm_group batchnorm_group;

/*! A flag of masks. */
enum {
    BATCHNORM_MASK_OUTPUTS = 1 /*!< y, dx and dz are 0 where the mask is 0, and dy counts as 0 there */
};

/*! Which positions count, where a batch is padded: a 0 or 1 for each (n, s), the same for all channels. With m that number and
 * M the sum of m, the statistics and gradients of a call with a mask are
 *
 *     mean = sum(m * x) / M        var = sum(m * (x - mean)^2) / M
 *     dx = weight * rstd * (g - m * (S[g] / M + xhat * S[g * xhat] / M))
 *
 * where S goes over all positions, and y is that of any x, also where m is 0. An x where m is 0 may be anything, also NaN: it
 * enters no statistic. Forward and backward take the same mask. No output, no workspace and no number that is written may lie
 * between its first and its last byte. Without a 1 a forward is as with one value: an error, or where that is
 * allowed mean and var are 0, and the running statistics stay. Zeros: there is no mask. */
typedef struct batchnorm_mask {
    const uint8_t *data;   /*!< its element (0, 0): a byte for each position, of which any but 0 is a 1; NULL: not there */
    ptrdiff_t outer;       /*!< bytes to the next one along n; 0: the same for all */
    ptrdiff_t inner;       /*!< bytes to the next one along s; 0: the same for all */
    const size_t *lengths; /*!< [outer], in place of data: along s the first so many of each n are ones; at most inner */
    unsigned flags;        /*!< BATCHNORM_MASK_OUTPUTS */
} batchnorm_mask;

/*! Flags of the backward family; combine with |. */
enum {
    BATCHNORM_FROZEN = 1,    /*!< the statistics did not depend on x (evaluation mode) */
    BATCHNORM_ACCUMULATE = 2 /*!< add to dweight and dbias instead of overwriting them */
};

/*! The linked library's version, "MAJOR.MINOR.PATCH". */
BATCHNORM_API const char *batchnorm_version(void);

/*! The instruction set in use: "avx512", "avx2", "neon" or "generic"; chosen once, at the first call. */
BATCHNORM_API const char *batchnorm_isa(void);

/*! The numbers by which calls decide how they go, which were measured on kinds of processors: "zen4 item=32768 ...". The
 * first word is the row of docs/performance.md that was chosen at the first call: that of this processor, or which the
 * environment variable BATCHNORM_TUNING names; with a + if numbers of it were changed. No result depends on them.
 *
 * Shapes:  text: size bytes, always ended with NUL if size > 0.
 * NULL:    text may be NULL if size is 0.
 * Threads: any number of calls may run at once, but none of batchnorm_set_tuning().
 * Returns: the length of the whole text without the NUL, as snprintf does.
 * Since:   0.1
 */
BATCHNORM_API size_t batchnorm_tuning(char *text, size_t size);

/*! Has calls go by other numbers from now on: what batchnorm_tuning() tells, or the name of a row and those that differ from
 * it, as "zen5 fetch_blend=1". For those who measure; `batchnorm bench --tune` does.
 *
 * Units:   values are 1 to 2^30; those of fetch_... may be 0.
 * NULL:    text may be NULL: the row is chosen again.
 * Threads: none may be in a call of the library.
 * Errors:  BAD_OPTION: a word that is no row, no parameter or no value; nothing is changed.
 * Since:   0.1
 */
BATCHNORM_API batchnorm_status batchnorm_set_tuning(const char *text);

/*! One English sentence for a status, without a final period; never NULL, also for a value that is no status. */
BATCHNORM_API const char *batchnorm_status_string(batchnorm_status status);

/*! Bytes of one element: 4, 8, 2, 2, 8; 0 for a value that is no dtype. */
BATCHNORM_API size_t batchnorm_dtype_bytes(batchnorm_dtype dtype);

/*! The options of a framework's convention, with require_finite false; PyTorch's for a value that is no framework. */
BATCHNORM_API batchnorm_options batchnorm_convention(batchnorm_framework framework);

/*! Strides of an array that is contiguous in the order (n, c, s): NCL, NCHW, NCDHW. */
BATCHNORM_API batchnorm_strides batchnorm_planar(batchnorm_shape shape);

/*! Strides of an array that is contiguous in the order (n, s, c): NLC, NHWC, NDHWC. */
BATCHNORM_API batchnorm_strides batchnorm_channels_last(batchnorm_shape shape);

/*! batchnorm_infer() */
typedef struct batchnorm_infer_call {
    size_t size;                      /*!< sizeof(batchnorm_infer_call) */
    batchnorm_shape shape;            /*!< of x, z and y */
    batchnorm_input x;                /*!< needed, if the shape has elements */
    batchnorm_input z;                /*!< a residual; not there: none */
    batchnorm_output y;               /*!< needed, if the shape has elements; may be x or z (same data, same strides) */
    const void *weight;               /*!< [channels], parameter type; NULL: 1 */
    const void *bias;                 /*!< [channels], parameter type; NULL: 0 */
    const void *mean;                 /*!< [channels], parameter type; needed */
    const void *var;                  /*!< [channels], parameter type; needed; the variance, not its root */
    double *save_mean;                /*!< [channels], gets mean; NULL: not wanted */
    double *save_rstd;                /*!< [channels], gets 1 / sqrt(var + eps); NULL: not wanted */
    batchnorm_activation activation;  /*!< zeros: the identity */
    const batchnorm_options *options; /*!< NULL: PyTorch's */
} batchnorm_infer_call;

/*! Normalization with given statistics (evaluation mode), and what follows it.
 *
 * Formula: y = act((x - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c] + z)
 * Units:   with a residual or an activation, F32 and F64 give the bits of the separate steps; BF16 and F16 are computed in
 *          float and rounded once, at the end.
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   y may be x or z; no other overlap with an output.
 * Memory:  batchnorm_infer_workspace_bytes(call) bytes from exec->workspace, or from malloc.
 * Threads: safe to call at once on different outputs.
 * Returns: OK
 *          NULL_POINTER: call is NULL, or what is needed
 *          BAD_DTYPE: I64
 *          TOO_LARGE
 *          BAD_OPTION: a size, an option, an activation outside its range
 *          BAD_EPS: eps < 0 or NaN
 *          BAD_STRIDE
 *          OVERLAP
 *          WORKSPACE_TOO_SMALL
 *          NO_MEMORY
 *          Checked in this order, but a wrong size of the call or of exec first of all. On error nothing was written.
 * Source:  Ioffe and Szegedy 2015, algorithm 2; torch.nn.functional.batch_norm(training=False). He et al. 2016 (the order:
 *          normalize, add, activate).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_infer(const batchnorm_infer_call *call, const batchnorm_exec *exec);

/*! batchnorm_normalize() */
typedef struct batchnorm_normalize_call {
    size_t size;                     /*!< sizeof(batchnorm_normalize_call) */
    batchnorm_shape shape;           /*!< of x, z and y */
    batchnorm_input x;               /*!< needed, if the shape has elements */
    batchnorm_input z;               /*!< a residual; not there: none */
    batchnorm_output y;              /*!< needed, if the shape has elements; may be x or z (same data, same strides) */
    const void *weight;              /*!< [channels], parameter type; NULL: 1 */
    const void *bias;                /*!< [channels], parameter type; NULL: 0 */
    const double *mean;              /*!< [channels]; needed */
    const double *rstd;              /*!< [channels], 1 / sqrt(var + eps); needed */
    batchnorm_activation activation; /*!< zeros: the identity */
} batchnorm_normalize_call;

/*! Normalization with given statistics in double, such as those of batchnorm_stats_finish() or a saved forward. It computes the
 * y of a forward again from what that forward saved.
 *
 * Formula: y = act((x - mean[c]) * rstd[c] * weight[c] + bias[c] + z)
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   as batchnorm_infer().
 * Memory:  batchnorm_normalize_workspace_bytes(call).
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_infer(), without BAD_EPS; on error nothing was written.
 * Source:  the last step of batchnorm_forward(), on its own.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_normalize(const batchnorm_normalize_call *call,
                                                                   const batchnorm_exec *exec);

/*! batchnorm_forward() */
typedef struct batchnorm_forward_call {
    size_t size;                      /*!< sizeof(batchnorm_forward_call) */
    batchnorm_shape shape;            /*!< of x, z and y */
    batchnorm_input x;                /*!< needed, if the shape has elements */
    batchnorm_input z;                /*!< a residual, which does not enter the statistics; not there: none */
    batchnorm_output y;               /*!< needed, if the shape has elements; may be x or z (same data, same strides), but
                                          batchnorm_backward() then gets y alone, where that tells x */
    const void *weight;               /*!< [channels], parameter type; NULL: 1 */
    const void *bias;                 /*!< [channels], parameter type; NULL: 0 */
    void *running_mean;               /*!< [channels], parameter type; NULL: not updated */
    void *running_var;                /*!< [channels], parameter type; NULL: not updated; either may be NULL alone */
    double *save_mean;                /*!< [channels], gets mean; NULL: not wanted */
    double *save_rstd;                /*!< [channels], gets 1 / sqrt(var + eps) of the population variance; NULL: not wanted */
    batchnorm_activation activation;  /*!< zeros: the identity */
    const batchnorm_options *options; /*!< NULL: PyTorch's */
    size_t grain;           /*!< samples (along n) of a chunk: sums are made of each chunk alone and merged in a tree, so
                                          that any cut of the batch between chunks gives the same bits; 0: no chunks */
    size_t first_sample;    /*!< the number of the first sample in the whole batch, of which this is a part; a multiple
                                          of grain; without a grain not looked at */
    batchnorm_group *group; /*!< the ranks that have the other parts; NULL: there are none */
    batchnorm_mask mask;    /*!< which positions count; zeros: all */
} batchnorm_forward_call;

/*! Training forward: statistics of the batch, normalization with them, what follows it, update of the running statistics.
 *
 * Formula: mean, var, rstd as at the top of this file; y = act((x - mean) * rstd * weight + bias + z); with f = momentum of the
 *          new value and v = var or var * M / (M - 1):
 *          running_mean = (1 - f) * running_mean + f * mean;  running_var = (1 - f) * running_var + f * v
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   y may be x or z; no other overlap.
 * Memory:  batchnorm_forward_workspace_bytes(call).
 * Threads: safe to call at once on different outputs.
 * Returns: OK: also for a shape without elements, which changes nothing; in a group it is a part like others, and gets the
 *          saved and running statistics of the whole batch
 *          NOT_COMMITTED: options->require_finite, and mean or var of some channel is not finite; y and the saved statistics
 *          were written, the running statistics were left alone
 *          NULL_POINTER: call is NULL, or what is needed
 *          BAD_DTYPE: I64
 *          TOO_LARGE
 *          ONE_VALUE: M = 1 and not options->allow_one_value; with a mask or a group, M < 2, which is checked last of all
 *          BAD_OPTION: a size, an option, an activation outside its range; a mask with data and lengths, a length above inner,
 *          an unknown flag; with a grain, a first_sample that is no multiple of it, or that plus n does not fit size_t; a
 *          group whose size, rank, ranks or gather is not set
 *          BAD_EPS: not eps > 0
 *          BAD_STRIDE
 *          OVERLAP
 *          WORKSPACE_TOO_SMALL
 *          NO_MEMORY
 *          TRANSPORT: with a group, its transport failed
 *          MISMATCH: with a group, its ranks made calls that do not agree, see batchnorm/sync.h
 *          RANK_FAILED: with a group, another rank has refused its call; the rank that did returns what it found
 *          Checked in this order, but a wrong size of the call or of exec, and then the group's own members, first of all; and
 *          what a rank of a group finds about its call gives way to TRANSPORT and MISMATCH. On error nothing was written.
 * Source:  Ioffe and Szegedy 2015, algorithm 1; torch.nn.functional.batch_norm(training=True).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_forward(const batchnorm_forward_call *call,
                                                                 const batchnorm_exec *exec);

/*! batchnorm_backward(), of a batchnorm_forward(), or with BATCHNORM_FROZEN of a batchnorm_infer() */
typedef struct batchnorm_backward_call {
    size_t size;                     /*!< sizeof(batchnorm_backward_call) */
    batchnorm_shape shape;           /*!< of all of the following */
    batchnorm_input x;               /*!< that of the forward; not needed with FROZEN, without dweight, and if v need not be
                                          computed again, or where y stands in for it, see below */
    batchnorm_input z;               /*!< that of the forward, where v is computed again; otherwise not looked at */
    batchnorm_input y;               /*!< that of the forward, by which an activation gates dy; not there, or not by_y in the
                                          list: v is computed again from x, z, weight and bias. It may have
                                          overwritten x */
    batchnorm_input dy;              /*!< gradient of y; needed, if anything is wanted */
    batchnorm_output dx;             /*!< gradient of x; not there: not wanted */
    batchnorm_output dz;             /*!< gradient of z; not there: not wanted */
    const void *weight;              /*!< [channels], parameter type, that of the forward; NULL: 1 */
    const void *bias;                /*!< [channels], parameter type, that of the forward, where v is computed again; NULL: 0 */
    const double *save_mean;         /*!< [channels], what the forward saved; needed where x is */
    const double *save_rstd;         /*!< [channels], what the forward saved; needed, if anything is wanted */
    void *dweight;                   /*!< [channels], parameter type; NULL: not wanted */
    void *dbias;                     /*!< [channels], parameter type; NULL: not wanted */
    batchnorm_activation activation; /*!< that of the forward; zeros: the identity */
    unsigned flags;                  /*!< BATCHNORM_FROZEN, BATCHNORM_ACCUMULATE */
    size_t grain;                    /*!< as in batchnorm_forward_call */
    size_t first_sample;             /*!< likewise */
    batchnorm_group *group;          /*!< likewise; dweight and dbias are then those of the whole batch */
    const struct batchnorm_sum *sums; /*!< [channels], of the whole batch, from batchnorm_sums_accumulate(), not together with
                                          a group; counts and values are taken as they are and not checked; NULL: those of this
                                          call */
    batchnorm_mask mask;              /*!< that of the forward */
} batchnorm_backward_call;

/*! Gradients.
 *
 * Formula: with g = dy * act'(v), rounded to the type of dy, xhat = (x - mean) * rstd and S[.] the sum over a channel: dz = g;
 *          dbias = S[g];  dweight = S[g * xhat];  dx = weight * rstd * (g - S[g] / M - xhat * S[g * xhat] / M), or with
 *          BATCHNORM_FROZEN weight * rstd * g. act'(v):
 *          RELU 0 where v <= 0;
 *          LEAKY_RELU the slope where not v > 0;
 *          CLIPPED_RELU 0 where v <= 0 or v >= ceiling;
 *          HARDSWISH 0 where v <= -3, v / 3 + 1 / 2 where v < 3;
 *          SIGMOID s * (1 - s) with s = 1 / (1 + exp(-v));
 *          SILU s * (1 + v * (1 - s)) with the same s, and its limits 0 for -inf and 1 for inf;
 *          1 elsewhere
 * Units:   where v lies is read from y, or, without y or where y does not tell, computed again as the forward did.
 *          x is taken from y where x is needed and not there and y is, if the activation keeps sign and size (the identity, or
 *          LEAKY_RELU whose slope and 1 / slope are normal numbers), z and dz are not there (the forward had no residual), and
 *          there is no mask. Elsewhere an x that is needed and not there is NULL_POINTER.
 *          Then xhat = (v - bias) / weight with v = y, or y / slope where y < 0. A channel in which y has less than half of the
 *          digits of xhat is refused: weight is 0 or not finite; abs(bias / weight) is above 2^12 (F64 2^26, F16 2^5, BF16
 *          2^4); abs(weight), times a slope below 1, is below the smallest number above 0 times that.
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   dx may be x, y, z or dy, and so may dz (same data, same strides), but not both the same; no other overlap.
 * Memory:  batchnorm_backward_workspace_bytes(call).
 * Threads: safe to call at once on different outputs.
 * Returns: OK: also for a shape without elements: dweight and dbias become 0, or stay with BATCHNORM_ACCUMULATE; with sums or
 *          a group they get those of the whole batch. Also where the mask has fewer than two ones: without any, dx is
 *          weight * rstd * g. No backward is ONE_VALUE
 *          NULL_POINTER: call is NULL, or what is needed
 *          BAD_DTYPE: I64
 *          TOO_LARGE
 *          BAD_OPTION: a size, an unknown flag, an activation outside its range; a mask, a first_sample or a group as in
 *          batchnorm_forward(); sums together with a group; an x that y does not tell (exec's message has the channel and its
 *          numbers)
 *          BAD_STRIDE
 *          OVERLAP
 *          WORKSPACE_TOO_SMALL
 *          NO_MEMORY
 *          TRANSPORT, MISMATCH, RANK_FAILED: with a group, as in batchnorm_forward()
 *          Checked in this order, but a wrong size of the call or of exec, and then the group's own members, first of all; and
 *          what a rank of a group finds about its call gives way to TRANSPORT and MISMATCH. On error nothing was written.
 * Source:  Ioffe and Szegedy 2015, section 3; torch native_batch_norm_backward; the chain rule with torch threshold_backward,
 *          leaky_relu_backward, hardtanh_backward, hardswish_backward, sigmoid_backward, silu_backward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_backward(const batchnorm_backward_call *call,
                                                                  const batchnorm_exec *exec);

/*! batchnorm_jvp() */
typedef struct batchnorm_jvp_call {
    size_t size;             /*!< sizeof(batchnorm_jvp_call) */
    batchnorm_shape shape;   /*!< of x, tx and ty */
    batchnorm_input x;       /*!< that of the forward; needed, if the shape has elements */
    batchnorm_input tx;      /*!< tangent of x; needed, if the shape has elements */
    batchnorm_output ty;     /*!< tangent of y; needed, if the shape has elements; may be tx or x (same data, same strides) */
    const void *weight;      /*!< [channels], parameter type, that of the forward; NULL: 1 */
    const void *tweight;     /*!< [channels], parameter type, tangent of weight; NULL: 0 */
    const void *tbias;       /*!< [channels], parameter type, tangent of bias; NULL: 0 */
    const double *save_mean; /*!< [channels], what the forward saved; needed */
    const double *save_rstd; /*!< [channels], what the forward saved; needed */
    unsigned flags;          /*!< BATCHNORM_FROZEN */
} batchnorm_jvp_call;

/*! Forward-mode derivative (Jacobian times vector), without activation and residual.
 *
 * Formula: ty = weight * rstd * (tx - S[tx] / M - xhat * S[tx * xhat] / M) + tweight * xhat + tbias; with BATCHNORM_FROZEN
 *          ty = weight * rstd * tx + tweight * xhat + tbias
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   ty may be tx or x; no other overlap with an output.
 * Memory:  batchnorm_jvp_workspace_bytes(call).
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_backward() where that has no activation, mask, grain or group; a shape without elements changes
 *          nothing. On error nothing was written.
 * Source:  differentiation of the formula at the top of this file.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_jvp(const batchnorm_jvp_call *call, const batchnorm_exec *exec);

/*! batchnorm_double_backward() */
typedef struct batchnorm_double_backward_call {
    size_t size;             /*!< sizeof(batchnorm_double_backward_call) */
    batchnorm_shape shape;   /*!< of x, dy, vx, gx and gdy */
    batchnorm_input x;       /*!< that of the backward; needed, if the shape has elements */
    batchnorm_input dy;      /*!< that of the backward; needed, if the shape has elements */
    batchnorm_input vx;      /*!< cotangent of dx; not there: 0 */
    batchnorm_output gx;     /*!< cotangent of x; not there: not wanted */
    batchnorm_output gdy;    /*!< cotangent of dy; not there: not wanted */
    const void *weight;      /*!< [channels], parameter type, that of the backward; NULL: 1 */
    const void *vweight;     /*!< [channels], parameter type, cotangent of dweight; NULL: 0 */
    const void *vbias;       /*!< [channels], parameter type, cotangent of dbias; NULL: 0 */
    const double *save_mean; /*!< [channels], that of the backward; needed */
    const double *save_rstd; /*!< [channels], that of the backward; needed */
    void *gweight;           /*!< [channels], parameter type, cotangent of weight; NULL: not wanted */
    unsigned flags;          /*!< BATCHNORM_FROZEN */
} batchnorm_double_backward_call;

/*! Derivative of batchnorm_backward() without activation and residual.
 *
 * Formula: with G = dy - S[dy]/M - xhat * S[dy*xhat]/M: gdy = weight * rstd * (vx - S[vx]/M - xhat * S[vx*xhat]/M) + vweight
 *          * xhat + vbias;  gweight = S[vx * rstd * G]; gx = weight * rstd^2 * ( xhat/M * (S[dy]S[vx]/M - S[dy*vx] + 3
 *          S[dy*xhat]S[vx*xhat]/M) + S[vx*xhat]/M * (S[dy]/M - dy) + S[dy*xhat]/M * (S[vx]/M - vx) ) + vweight * rstd * G;
 *          with BATCHNORM_FROZEN: gdy = weight * rstd * vx + vweight * xhat + vbias; gweight = rstd * S[vx * dy]; gx =
 *          vweight * rstd * dy
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   none between an output and any other array.
 * Memory:  batchnorm_double_backward_workspace_bytes(call).
 * Threads: safe to call at once on different outputs.
 * Returns: as batchnorm_backward() where that has no activation, mask, grain or group; without elements gweight becomes 0. On
 *          error nothing was written.
 * Source:  own derivation, equal to torch batchnorm_double_backward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_double_backward(const batchnorm_double_backward_call *call,
                                                                         const batchnorm_exec *exec);

/*! Scratch memory that a call takes: exactly so much.
 *
 * Units:   bytes. Depends on the sizes, the type, the strides, the activation, the flags, and on which of the optional arrays
 *          are there; what is needed may still have data NULL. It depends neither on addresses, nor on threads, nor on the
 *          machine. The workspace may have any alignment.
 * NULL:    the result is 0 for NULL, for a wrong size of the struct, and where the bytes do not fit size_t; the call itself
 *          reports it.
 * Threads: any number of calls may run at once.
 * Since:   0.1
 */
BATCHNORM_API size_t batchnorm_infer_workspace_bytes(const batchnorm_infer_call *call);
/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_normalize_workspace_bytes(const batchnorm_normalize_call *call);
/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_forward_workspace_bytes(const batchnorm_forward_call *call);
/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_backward_workspace_bytes(const batchnorm_backward_call *call);
/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_jvp_workspace_bytes(const batchnorm_jvp_call *call);
/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_double_backward_workspace_bytes(const batchnorm_double_backward_call *call);

/*! The same in C for a call of any of these kinds: batchnorm_workspace_bytes(&call). */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define batchnorm_workspace_bytes(call)                                                                                        \
    _Generic(*(call), batchnorm_infer_call                                                                                     \
             : batchnorm_infer_workspace_bytes, batchnorm_normalize_call                                                       \
             : batchnorm_normalize_workspace_bytes, batchnorm_forward_call                                                     \
             : batchnorm_forward_workspace_bytes, batchnorm_backward_call                                                      \
             : batchnorm_backward_workspace_bytes, batchnorm_jvp_call                                                          \
             : batchnorm_jvp_workspace_bytes, batchnorm_double_backward_call                                                   \
             : batchnorm_double_backward_workspace_bytes)(call)
#endif

/*! How a call would go, and from what that is decided: blocks, pieces and items of work, what is fetched ahead and what is
 * written past the caches. docs/performance.md explains the names. It is for people; no result depends on it.
 *
 * Shapes:  text: size bytes; lines of "name: value", always ended with NUL if size > 0.
 * NULL:    text may be NULL if size is 0; call and exec as in batchnorm_infer_workspace_bytes() and batchnorm_infer(). What is
 *          needed may have data NULL.
 * Threads: any number of calls may run at once.
 * Returns: the length of the whole text without the NUL, as snprintf does; 0 for a call that does nothing, or whose
 *          size, options, activation or flags are refused; arrays need not be there, and are not checked.
 * Since:   0.1
 */
BATCHNORM_API size_t batchnorm_infer_explain(const batchnorm_infer_call *call, const batchnorm_exec *exec, char *text,
                                             size_t size);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_normalize_explain(const batchnorm_normalize_call *call, const batchnorm_exec *exec, char *text,
                                                 size_t size);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_forward_explain(const batchnorm_forward_call *call, const batchnorm_exec *exec, char *text,
                                               size_t size);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_backward_explain(const batchnorm_backward_call *call, const batchnorm_exec *exec, char *text,
                                                size_t size);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_jvp_explain(const batchnorm_jvp_call *call, const batchnorm_exec *exec, char *text, size_t size);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_double_backward_explain(const batchnorm_double_backward_call *call, const batchnorm_exec *exec,
                                                       char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
