/* SPDX-License-Identifier: MIT */
/*! \file layer.h
 * The layer: nn.BatchNorm1d, nn.BatchNorm2d and nn.BatchNorm3d of PyTorch 2.15, with parameters, gradients, running statistics
 * and modes. docs/semantics.md compares it with PyTorch row by row.
 *
 * A call that fails changes nothing, num_batches_tracked included. A layer may be used by one thread at a time; different
 * layers are independent. Long because it is the documentation.
 */
#ifndef BATCHNORM_LAYER_H
#define BATCHNORM_LAYER_H

#include <stdio.h>

#include "batchnorm/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! A layer; made by batchnorm_layer_create(). */
typedef struct batchnorm_layer batchnorm_layer;

/*! What one forward leaves for its backward: mean, rstd, the weight it used, the shape and the mode. A layer has one of its
 * own; make more where a layer runs forward several times before the backward passes. */
typedef struct batchnorm_saved batchnorm_saved;

/*! Where a layer takes memory from; NULL in its place means malloc and free. */
typedef struct batchnorm_allocator {
    void *(*allocate)(void *user, size_t bytes); /*!< memory aligned for any type, or NULL */
    void (*release)(void *user, void *memory);   /*!< gets what allocate gave */
    void *user;                                  /*!< first argument of both */
} batchnorm_allocator;

/*! The constructor's arguments; batchnorm_layer_defaults() fills in PyTorch's. */
typedef struct batchnorm_layer_options {
    size_t size;                  /*!< sizeof(batchnorm_layer_options) */
    int dims;                     /*!< 1, 2 or 3: BatchNorm1d, BatchNorm2d, BatchNorm3d */
    int64_t num_features;         /*!< channels, >= 0; ignored by a lazy layer */
    batchnorm_options convention; /*!< eps, momentum and the rules of a framework */
    bool cumulative;              /*!< momentum None: running statistics are plain averages over all batches */
    bool affine;                  /*!< has a weight, and a bias if `bias` */
    bool bias;                    /*!< with affine: has a bias */
    bool track_running_stats;     /*!< has running_mean, running_var, num_batches_tracked */
    bool lazy;                    /*!< learns its channels from the first input */
    batchnorm_dtype dtype;        /*!< of parameters and running statistics: F32 (inputs F32, BF16, F16) or F64 (inputs F64) */
    batchnorm_allocator *allocator; /*!< NULL: malloc and free; copied */
    uint64_t reserved[4];           /*!< zeros; members to come take their place, so that the size stays */
} batchnorm_layer_options;

/*! A learnable parameter. The struct and the memory belong to the layer; contents and requires_grad may be changed freely. */
typedef struct batchnorm_parameter {
    batchnorm_tensor value; /*!< [channels], contiguous, the layer's dtype */
    batchnorm_tensor grad;  /*!< same shape and type; zeros at first */
    bool requires_grad;     /*!< true at first; backward leaves grad alone when false */
} batchnorm_parameter;

/*! One entry of a state: PyTorch's state_dict key and a view of the value. */
typedef struct batchnorm_named_tensor {
    const char *name;        /*!< "weight", "bias", "running_mean", "running_var" or "num_batches_tracked" */
    batchnorm_tensor tensor; /*!< rank 1, or rank 0 and I64 for num_batches_tracked */
} batchnorm_named_tensor;

/*! The most entries a state has. */
#define BATCHNORM_STATE_MAX 5

/*! Flags of batchnorm_layer_forward(); combine with |. */
enum {
    BATCHNORM_SKIP_UPDATE = 16, /*!< leave running statistics and num_batches_tracked alone (activation recomputation) */
    BATCHNORM_HOLD_UPDATE = 32  /*!< compute their update but hold it for batchnorm_layer_commit_update() */
};

/*! PyTorch's defaults: eps 1e-5, momentum 0.1, affine, bias, track_running_stats, F32, not lazy. */
BATCHNORM_API batchnorm_layer_options batchnorm_layer_defaults(int dims, int64_t num_features);

/*! Make a layer: weight 1, bias 0, running_mean 0, running_var 1, num_batches_tracked 0, training mode.
 *
 * NULL:    options and layer must not be NULL.
 * Memory:  everything through options->allocator.
 * Returns: OK
 *          NULL_POINTER: options, layer, or a function of the allocator
 *          BAD_OPTION: dims not 1..3, num_features < 0, an unknown rule, a wrong size of a struct
 *          BAD_DTYPE: not F32 or F64
 *          TOO_LARGE
 *          NO_MEMORY
 *          eps and momentum are not checked here, as in PyTorch. On error *layer is NULL.
 * Source:  torch.nn.BatchNorm1d, BatchNorm2d, BatchNorm3d, LazyBatchNorm1d, ...
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_create(const batchnorm_layer_options *options,
                                                                      batchnorm_layer **layer);

/*! Free a layer and everything that belongs to it. NULL is fine. */
BATCHNORM_API void batchnorm_layer_destroy(batchnorm_layer *layer);

/*! Make a place for what one forward saves, with the layer's allocator.
 *
 * Returns: OK
 *          NULL_POINTER: layer or saved
 *          NO_MEMORY
 *          On error *saved is NULL.
 * Memory:  it grows to the layer's channels at its first forward. Destroy it before the layer.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_saved_create(batchnorm_layer *layer, batchnorm_saved **saved);

/*! Free it. NULL is fine. */
BATCHNORM_API void batchnorm_saved_destroy(batchnorm_saved *saved);

/*! What the forward saved: mean and rstd, [channels] doubles, valid until its next forward; NULL before the first
 * and after an input without elements. */
BATCHNORM_API const double *batchnorm_saved_mean(const batchnorm_saved *saved);
/*! See batchnorm_saved_mean(). */
BATCHNORM_API const double *batchnorm_saved_rstd(const batchnorm_saved *saved);

/*! Forward.
 *
 * Formula: y = (x - mean) / sqrt(var + eps) * weight + bias. Batch statistics are used in training mode, and in evaluation
 *          mode if the layer has neither running_mean nor running_var; otherwise the running ones. In training mode with
 *          track_running_stats, num_batches_tracked grows by one and the running statistics move.
 * Shapes:  x: (N, C) or (N, C, L) for 1d, (N, C, H, W) for 2d, (N, C, D, H, W) for 3d; y: the same shape.
 * Units:   flags: BATCHNORM_SKIP_UPDATE, BATCHNORM_HOLD_UPDATE.
 * NULL:    saved = the layer's own; exec = defaults; data may be NULL in a tensor without elements.
 * Alias:   y may be x (same data, same strides), but then a later backward has no x; no other overlap.
 * Memory:  allocates only when a call needs more scratch memory than every call before it.
 * Threads: one call at a time on a layer.
 * Returns: OK: also for an input without elements: num_batches_tracked grows, nothing else changes, and its channels are not
 *          checked; in a group it is a part like others, its channels are checked, and the running statistics move
 *          NOT_COMMITTED: convention.require_finite, and a mean or var is not finite; y was written, running statistics and
 *          num_batches_tracked were not
 *          NULL_POINTER: layer, or data of x or y
 *          BAD_OPTION: both flags, an unknown flag or rule, momentum NaN, a wrong size of a struct
 *          BAD_RANK
 *          ONE_VALUE: with a group, of the whole batch, and last of all
 *          BAD_EPS
 *          BAD_SHAPE: the channels of x
 *          NO_STATISTICS: only one of running_mean and running_var is there, or the one that evaluation needs is missing
 *          BAD_DTYPE
 *          BAD_SHAPE: y unlike x
 *          BAD_OPTION: a first_sample of batchnorm_layer_set_group() that is no multiple of the grain
 *          TOO_LARGE
 *          BAD_STRIDE
 *          OVERLAP
 *          NO_MEMORY
 *          TRANSPORT, MISMATCH, RANK_FAILED: with a group and the statistics of the batch, as in batchnorm_forward()
 *          Checked in this order, but a wrong size of a struct first of all, and what a rank of a group finds about its call
 *          gives way to TRANSPORT and MISMATCH; batchnorm_layer_message() has the details. On error nothing was written.
 * Source:  torch.nn.modules.batchnorm._BatchNorm.forward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_forward(batchnorm_layer *layer, batchnorm_tensor x,
                                                                       batchnorm_tensor y, batchnorm_saved *saved,
                                                                       unsigned flags, const batchnorm_exec *exec);

/*! Backward of the forward that filled `saved`, with the statistics, the mode and the weight that this forward used.
 *
 * Formula: as batchnorm_backward(); the gradients go to the parameters' grad where requires_grad is set.
 * Shapes:  x: the input of that forward; dy, dx: the same shape.
 * Units:   flags: BATCHNORM_ACCUMULATE adds to the parameters' grad instead of overwriting it.
 * NULL:    saved = the layer's own; dx.data = not wanted; x.data where x is not needed, which is after a forward with
 *          running statistics if the weight's gradient is not wanted; exec = defaults.
 * Alias:   dx may be dy or x (same data, same strides); no other overlap. An x (or z) that is needed and that the forward
 *          overwrote with y is refused by its address, with OVERLAP: a copy must be given.
 * Memory:  as batchnorm_layer_forward().
 * Threads: one call at a time on a layer.
 * Returns: OK: after an input without elements the gradients become 0, or stay with BATCHNORM_ACCUMULATE; in a group they are
 *          those of the whole batch
 *          NULL_POINTER: layer
 *          BAD_OPTION: an unknown flag, a wrong size of a struct
 *          NO_FORWARD: also for a forward of another layer
 *          NULL_POINTER: data that is needed
 *          BAD_SHAPE: unlike the forward's
 *          BAD_DTYPE
 *          TOO_LARGE
 *          BAD_STRIDE
 *          OVERLAP
 *          NO_MEMORY
 *          TRANSPORT, MISMATCH, RANK_FAILED: after a forward with a group, as in batchnorm_forward()
 *          Checked in this order, but a wrong size of a struct first of all, and what a rank of a group finds about its call
 *          gives way to TRANSPORT and MISMATCH. On error nothing was written.
 * Source:  torch native_batch_norm_backward.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_backward(batchnorm_layer *layer, batchnorm_saved *saved,
                                                                        batchnorm_tensor x, batchnorm_tensor dy,
                                                                        batchnorm_tensor dx, unsigned flags,
                                                                        const batchnorm_exec *exec);

/*! batchnorm_layer_forward_fused() */
typedef struct batchnorm_layer_forward_call {
    size_t size;                     /*!< sizeof(batchnorm_layer_forward_call) */
    batchnorm_tensor x;              /*!< as in batchnorm_layer_forward() */
    batchnorm_tensor z;              /*!< a residual, of the shape of x, which does not enter the statistics; data NULL: none */
    batchnorm_tensor y;              /*!< may be x or z (same data, same strides) */
    batchnorm_saved *saved;          /*!< NULL: the layer's own */
    batchnorm_activation activation; /*!< zeros: the identity */
    unsigned flags;                  /*!< as in batchnorm_layer_forward() */
    batchnorm_tensor_mask mask;      /*!< which positions count; zeros: all */
} batchnorm_layer_forward_call;

/*! batchnorm_layer_forward() with an activation and a residual in the same pass over memory: y = act(bn(x) + z).
 *
 * Alias:   y may be x or z; no other overlap.
 * Returns: as batchnorm_layer_forward(), and
 *          NULL_POINTER: also for a call that is NULL
 *          BAD_OPTION: also for a wrong size of the struct, an activation outside its range, a mask of data and lengths, a
 *          length that is too large, an unknown flag of the mask
 *          ONE_VALUE: also for a mask of which fewer than two positions count, then last of all
 *          BAD_SHAPE, BAD_DTYPE: also for a z unlike x
 *          On error nothing was written.
 * Source:  see batchnorm_forward(). Everything else is as in batchnorm_layer_forward().
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_forward_fused(batchnorm_layer *layer,
                                                                             const batchnorm_layer_forward_call *call,
                                                                             const batchnorm_exec *exec);

/*! batchnorm_layer_backward_fused() */
typedef struct batchnorm_layer_backward_call {
    size_t size;                /*!< sizeof(batchnorm_layer_backward_call) */
    batchnorm_saved *saved;     /*!< NULL: the layer's own */
    batchnorm_tensor x;         /*!< that of the forward; data may be NULL where it is not needed, see batchnorm_backward() */
    batchnorm_tensor z;         /*!< that of the forward; needed only where there was one and v is computed again */
    batchnorm_tensor y;         /*!< that of the forward; data NULL: v is computed again. In place of x where it can be, which
                                     is without a mask, see batchnorm_backward() */
    batchnorm_tensor dy;        /*!< gradient of y */
    batchnorm_tensor dx;        /*!< gradient of x; data NULL: not wanted */
    batchnorm_tensor dz;        /*!< gradient of z; data NULL: not wanted */
    unsigned flags;             /*!< BATCHNORM_ACCUMULATE */
    batchnorm_tensor_mask mask; /*!< that of the forward */
} batchnorm_layer_backward_call;

/*! Backward of that forward; see batchnorm_backward(). The activation is the one that the forward had.
 *
 * Alias:   dx may be x, y, z or dy, and so may dz, but not both the same.
 * Returns: as batchnorm_layer_backward(), and
 *          NULL_POINTER: also for a call that is NULL, and for a z that the forward had and that is needed
 *          BAD_OPTION: also for a wrong size of the struct, for an x that y does not tell, for a dz where the forward had no
 *          residual, and for a mask where the forward had none, none where it had one, one with other flags, or one that a
 *          forward would refuse. No backward is ONE_VALUE
 *          On error nothing was written. Everything else is as in batchnorm_layer_backward(), which in turn refuses, with
 *          BAD_OPTION, a forward that had an activation, a residual or a mask.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_backward_fused(batchnorm_layer *layer,
                                                                              const batchnorm_layer_backward_call *call,
                                                                              const batchnorm_exec *exec);

/*! batchnorm_layer_jvp() */
typedef struct batchnorm_layer_jvp_call {
    size_t size;            /*!< sizeof(batchnorm_layer_jvp_call) */
    batchnorm_saved *saved; /*!< NULL: the layer's own */
    batchnorm_tensor x;     /*!< that of the forward */
    batchnorm_tensor tx;    /*!< tangent of x */
    batchnorm_tensor ty;    /*!< tangent of y */
    const void *tweight;    /*!< [channels], the layer's dtype, tangent of weight; NULL: 0 */
    const void *tbias;      /*!< [channels], the layer's dtype, tangent of bias; NULL: 0 */
} batchnorm_layer_jvp_call;

/*! Forward-mode derivative of that forward; see batchnorm_jvp(). BAD_OPTION for the tangent of a parameter that the layer does
 * not have. Same rules and statuses as batchnorm_layer_backward_fused(), but all three tensors are needed. */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_jvp(batchnorm_layer *layer, const batchnorm_layer_jvp_call *call,
                                                                   const batchnorm_exec *exec);

/*! batchnorm_layer_double_backward() */
typedef struct batchnorm_layer_double_backward_call {
    size_t size;            /*!< sizeof(batchnorm_layer_double_backward_call) */
    batchnorm_saved *saved; /*!< NULL: the layer's own */
    batchnorm_tensor x;     /*!< that of the forward */
    batchnorm_tensor dy;    /*!< that of the backward */
    batchnorm_tensor vx;    /*!< cotangent of dx; data NULL: 0 */
    batchnorm_tensor gx;    /*!< cotangent of x; data NULL: not wanted */
    batchnorm_tensor gdy;   /*!< cotangent of dy; data NULL: not wanted */
    const void *vweight;    /*!< [channels], the layer's dtype, cotangent of dweight; NULL: 0 */
    const void *vbias;      /*!< [channels], the layer's dtype, cotangent of dbias; NULL: 0 */
    void *gweight;          /*!< [channels], the layer's dtype, cotangent of weight; NULL: not wanted */
} batchnorm_layer_double_backward_call;

/*! Double backward of that forward; see batchnorm_double_backward(). BAD_OPTION for the cotangent of a parameter that the layer
 * does not have. Same rules and statuses as batchnorm_layer_backward_fused(), but no output may overlap another array. */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_double_backward(batchnorm_layer *layer,
                                                                               const batchnorm_layer_double_backward_call *call,
                                                                               const batchnorm_exec *exec);

/*! Look at the update that the last forward with BATCHNORM_HOLD_UPDATE left: what the running statistics would become.
 *
 * Shapes:  running_mean, running_var: receive views of [channels] of the layer's dtype, data NULL where the layer has none;
 *          num_batches_tracked: receives the count after the update.
 * NULL:    each output: not wanted.
 * Memory:  the views are valid until the update is committed or dropped, or the next held forward. What changes the running
 *          statistics otherwise (another forward, a loaded state, a reset, a removal) drops it, and so does a forward with
 *          BATCHNORM_HOLD_UPDATE that has nothing to update or is NOT_COMMITTED.
 * Returns: OK
 *          NULL_POINTER: layer
 *          NO_HELD_UPDATE
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_held_update(const batchnorm_layer *layer,
                                                                           batchnorm_tensor *running_mean,
                                                                           batchnorm_tensor *running_var,
                                                                           int64_t *num_batches_tracked);
/*! Make the held update the layer's running statistics. Statuses as batchnorm_layer_held_update(). */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_commit_update(batchnorm_layer *layer);
/*! Forget the held update, if there is one. */
BATCHNORM_API void batchnorm_layer_drop_update(batchnorm_layer *layer);

/*! Training mode; a new layer is in it. */
BATCHNORM_API void batchnorm_layer_train(batchnorm_layer *layer);
/*! Evaluation mode. */
BATCHNORM_API void batchnorm_layer_eval(batchnorm_layer *layer);
/*! Whether the layer is in training mode. */
BATCHNORM_API bool batchnorm_layer_is_training(const batchnorm_layer *layer);

/*! Flip the flag alone, as assigning layer.track_running_stats does in PyTorch: buffers are neither made nor removed. With the
 * flag off, training leaves them alone; evaluation ignores the flag. */
BATCHNORM_API void batchnorm_layer_set_track_running_stats(batchnorm_layer *layer, bool track);
/*! Replace eps, momentum and rules (NULL: nothing happens). Not checked here; forward checks. */
BATCHNORM_API void batchnorm_layer_set_convention(batchnorm_layer *layer, const batchnorm_options *convention);
/*! Momentum None on or off. */
BATCHNORM_API void batchnorm_layer_set_cumulative(batchnorm_layer *layer, bool cumulative);

/*! Make this layer one of a group (batchnorm/sync.h): from now on its forwards that use the statistics of the batch, and their
 * backwards, are collectives, with the statistics, dweight and dbias of the whole batch. Evaluation is not. The group must
 * stay. Where it stays the same, this tells the next part of a batch alone.
 *
 * Units:   grain and first_sample as in batchnorm_forward_call. They are not checked here: a forward, also in evaluation,
 *          refuses a first_sample that is no multiple of the grain, unless its input has no elements.
 * NULL:    group: none; with a grain, chunks of this layer's own batch.
 * Returns: OK
 *          NULL_POINTER: layer
 *          BAD_OPTION: a group whose size, rank, ranks or gather is not set
 *          On error nothing was changed.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_set_group(batchnorm_layer *layer, batchnorm_group *group,
                                                                         size_t grain, size_t first_sample);
/*! The layer's options as they are now: bias tells whether there is one; num_features is 0 and lazy true in a lazy layer that
 * has seen no input; all zeros for NULL. */
BATCHNORM_API batchnorm_layer_options batchnorm_layer_get_options(const batchnorm_layer *layer);

/*! running_mean 0, running_var 1, num_batches_tracked 0, where the layer has them; as in PyTorch nothing at all happens with
 * track_running_stats off. A held update is dropped. */
BATCHNORM_API void batchnorm_layer_reset_running_stats(batchnorm_layer *layer);
/*! The above, and weight 1, bias 0. Gradients stay. */
BATCHNORM_API void batchnorm_layer_reset_parameters(batchnorm_layer *layer);
/*! Set the gradients to zero. */
BATCHNORM_API void batchnorm_layer_zero_grad(batchnorm_layer *layer);

/*! The weight, or NULL if there is none (affine false, or a lazy layer before its first input). */
BATCHNORM_API batchnorm_parameter *batchnorm_layer_weight(batchnorm_layer *layer);
/*! The bias, or NULL if there is none. */
BATCHNORM_API batchnorm_parameter *batchnorm_layer_bias(batchnorm_layer *layer);
/*! A view of running_mean; data is NULL if there is none. */
BATCHNORM_API batchnorm_tensor batchnorm_layer_running_mean(const batchnorm_layer *layer);
/*! A view of running_var; data is NULL if there is none. */
BATCHNORM_API batchnorm_tensor batchnorm_layer_running_var(const batchnorm_layer *layer);
/*! The counter, or NULL if there is none. A lazy layer has it from the start. */
BATCHNORM_API int64_t *batchnorm_layer_num_batches_tracked(batchnorm_layer *layer);

/*! Remove a parameter or buffer, as assigning None does in PyTorch. BAD_OPTION for a name that is none of the five; OK if it
 * was not there. */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_remove(batchnorm_layer *layer, const char *name);

/*! The state: views of what the layer has, under PyTorch's keys and in its order.
 *
 * Shapes:  entries: room for BATCHNORM_STATE_MAX.
 * Memory:  the views are of the layer's own memory.
 * Returns: how many entries there are; 0 for NULL and for a lazy layer before its first input.
 * Source:  torch.nn.Module.state_dict.
 * Since:   0.1
 */
BATCHNORM_API size_t batchnorm_layer_state(batchnorm_layer *layer, batchnorm_named_tensor *entries);

/*! Copy a state into the layer.
 *
 * Shapes:  entries: [count]; values are converted to the layer's dtype; any strides.
 * Units:   version: 2 as PyTorch writes since 0.4.1; below 2, or 0 for unknown, a missing num_batches_tracked keeps its
 *          value. strict: a missing or an unknown key is an error; otherwise it is left out. A lazy layer takes its channels
 *          from the state.
 * NULL:    entries may be NULL if count is 0.
 * Returns: OK
 *          NULL_POINTER
 *          UNEXPECTED_KEY: given twice
 *          MISSING_KEY
 *          UNEXPECTED_KEY
 *          BAD_SHAPE
 *          BAD_DTYPE: also for a num_batches_tracked that is no int64
 *          TOO_LARGE
 *          NO_MEMORY
 *          Checked in this order; batchnorm_layer_message() names the key. On error nothing was written.
 * Source:  torch.nn.Module.load_state_dict.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_load_state(batchnorm_layer *layer,
                                                                          const batchnorm_named_tensor *entries, size_t count,
                                                                          int version, bool strict);

/*! What went wrong in the last call on this layer that failed, as a sentence with the numbers: "expected 4D input (got 3D
 * input)". Never NULL; "" if nothing did. Valid until the next call. */
BATCHNORM_API const char *batchnorm_layer_message(const batchnorm_layer *layer);

/*! The layer as PyTorch prints it: "BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True,
 * track_running_stats=True)".
 *
 * Shapes:  text: size bytes; always ended with NUL if size > 0.
 * NULL:    text may be NULL if size is 0.
 * Returns: the length of the whole text without the NUL, as snprintf does.
 * Since:   0.1
 */
BATCHNORM_API size_t batchnorm_layer_repr(const batchnorm_layer *layer, char *text, size_t size);

/*! Print everything that PyTorch's vars(layer) shows: mode, parameters with gradients, buffers, options; values included.
 *
 * Returns: OK
 *          NULL_POINTER: layer or file
 *          IO
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_layer_print(const batchnorm_layer *layer, FILE *file);

#ifdef __cplusplus
}
#endif
#endif
