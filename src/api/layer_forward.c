/* SPDX-License-Identifier: MIT */
/* Forward: every check in PyTorch's order, then all memory, then the work. Nothing is written before the work. Longer than 300
 * lines, because what each check says is PyTorch's sentence. */
#include "api/layer.h"

#include <string.h>

#include "api/float_text.h"

struct forward {
    batchnorm_layer *layer;
    const batchnorm_layer_forward_call *call;
    batchnorm_saved *saved;
    bool batch;  /* normalize with the batch's statistics, not with the running ones */
    bool shared; /* with those of a group */
    bool update; /* move the running statistics and the counter */
    bool empty;
    void *block; /* the layer's, or one that was made for a lazy layer */
    size_t channels;
    struct bn_exec exec;
    struct bn_call k;
};

/* Returns whether PyTorch hands this parameter or buffer to the operator. A flipped flag hides the buffers in training. */
static bool is_used(const struct forward *f, int key) {
    const batchnorm_layer *layer = f->layer;
    const bool is_parameter = key == BN_WEIGHT || key == BN_BIAS;
    return layer->has[key] && (is_parameter || !layer->training || layer->options.track_running_stats);
}

static bool uses_any(const struct forward *f) {
    for (int key = BN_WEIGHT; key <= BN_RUNNING_VAR; key++)
        if (is_used(f, key)) return true;
    return false;
}

static void choose_statistics(struct forward *f) {
    const batchnorm_layer *layer = f->layer;
    f->batch = layer->training || (!layer->has[BN_RUNNING_MEAN] && !layer->has[BN_RUNNING_VAR]);
    f->shared = f->batch && layer->group;
    f->update = layer->training && layer->options.track_running_stats && !(f->call->flags & BATCHNORM_SKIP_UPDATE);
}

static batchnorm_status check_call(const struct forward *f) {
    const unsigned both = BATCHNORM_SKIP_UPDATE | BATCHNORM_HOLD_UPDATE;
    batchnorm_layer *layer = f->layer;
    if (f->call->flags & ~both) return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "unknown flag in %#x", f->call->flags);
    if (f->call->flags == both) return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "an update is either skipped or held");
    if (bn_check_activation(f->call->activation))
        return bn_layer_fail(
            layer, BATCHNORM_BAD_OPTION,
            "unknown activation, or one with a slope that is not finite and >= 0 or a ceiling that is not > 0");
    batchnorm_options convention = layer->options.convention;
    if (!f->update || layer->options.cumulative) convention.momentum = 0; /* it has no say */
    if (bn_check_options(&convention))
        return bn_layer_fail(layer, BATCHNORM_BAD_OPTION, "momentum is NaN, or a rule of the convention is unknown");
    return f->update ? bn_check_count(layer) : BATCHNORM_OK;
}

static batchnorm_status check_rank(const struct forward *f) {
    static const char *const wanted[] = {"2D or 3D", "4D", "5D"};
    const int dims = f->layer->options.dims, rank = f->call->x.rank;
    if (rank == dims + 2 || (dims == 1 && rank == 2)) return BATCHNORM_OK;
    return bn_layer_fail(f->layer, BATCHNORM_BAD_RANK, "expected %s input (got %dD input)", wanted[dims - 1], rank);
}

static batchnorm_status check_one_value(const struct forward *f) {
    char text[BN_SIZES_TEXT];
    bool one = f->batch && !f->shared && !f->layer->options.convention.allow_one_value && f->call->x.shape[0] == 1;
    for (int d = 2; d < f->call->x.rank; d++) one = one && f->call->x.shape[d] == 1;
    if (!one) return BATCHNORM_OK;
    return bn_layer_fail(f->layer, BATCHNORM_ONE_VALUE,
                         "Expected more than 1 value per channel when training, got input size %s",
                         bn_sizes_text(&f->call->x, text));
}

static batchnorm_status check_eps(const struct forward *f) {
    char text[BN_FLOAT_TEXT];
    const double eps = f->layer->options.convention.eps;
    if (!bn_check_eps(eps, f->batch)) return BATCHNORM_OK;
    bn_float_text(eps, false, text);
    return bn_layer_fail(f->layer, BATCHNORM_BAD_EPS, "batch_norm eps must be %s, but got %s",
                         f->batch ? "positive during training" : "non-negative", text);
}

/* Says PyTorch's sentence, and what that leaves out. */
static batchnorm_status refuse_channels(const struct forward *f, const char *name, int64_t wanted, int64_t got) {
    const bool last_fits = f->call->x.rank > 2 && f->call->x.shape[f->call->x.rank - 1] == got;
    return bn_layer_fail(f->layer, BATCHNORM_BAD_SHAPE,
                         "%s should contain %lld elements not %lld (x has %lld channels, the layer %lld%s)", name,
                         (long long)wanted, (long long)got, (long long)wanted, (long long)got,
                         last_fits ? "; its last size would fit: are the channels last?" : "");
}

static batchnorm_status check_channels(const struct forward *f) {
    const int64_t wanted = f->call->x.shape[1], got = f->layer->options.lazy ? wanted : f->layer->options.num_features;
    static const int order[] = {BN_RUNNING_MEAN, BN_RUNNING_VAR, BN_WEIGHT, BN_BIAS};
    for (int i = 0; i < 4; i++) {
        const char *name = bn_key_names[order[i]];
        const bool is_statistic = order[i] == BN_RUNNING_MEAN || order[i] == BN_RUNNING_VAR;
        if (is_used(f, order[i]) && wanted != got) return refuse_channels(f, name, wanted, got);
        if (!f->batch && is_statistic && !is_used(f, order[i]))
            return bn_layer_fail(f->layer, BATCHNORM_NO_STATISTICS, "%s must be defined in evaluation mode", name);
    }
    if (f->batch && is_used(f, BN_RUNNING_MEAN) != is_used(f, BN_RUNNING_VAR))
        return bn_layer_fail(f->layer, BATCHNORM_NO_STATISTICS,
                             "running_mean and running_var must either both be None or neither be None");
    return BATCHNORM_OK;
}

static batchnorm_status check_dtype(const struct forward *f) {
    const batchnorm_dtype x = f->call->x.dtype, own = f->layer->options.dtype;
    if (x == BATCHNORM_I64) return bn_layer_fail(f->layer, BATCHNORM_BAD_DTYPE, "\"batch_norm\" not implemented for 'Long'");
    if (f->empty || batchnorm_dtype_bytes(x) == 0 || bn_parameter_dtype(x) == own || !uses_any(f)) return BATCHNORM_OK;
    return bn_layer_fail(f->layer, BATCHNORM_BAD_DTYPE, "mixed dtype (CPU): %s (the input is %s, the layer is %s)",
                         own == BATCHNORM_F64 ? "expect parameter to have scalar type of Float"
                                              : "all inputs must share same datatype",
                         bn_dtype_name(x), bn_dtype_name(own));
}

static batchnorm_status check_input(const struct forward *f) {
    batchnorm_status status = check_one_value(f);
    if (!status) status = check_eps(f);
    if (!status && (!f->empty || f->shared)) status = check_channels(f);
    if (!status) status = check_dtype(f);
    return status;
}

static batchnorm_status add_tensor(struct forward *f, int index, const batchnorm_tensor *tensor, const char *name) {
    char x[BN_SIZES_TEXT], other[BN_SIZES_TEXT];
    const batchnorm_status status = bn_geometry_add_tensor(&f->k.g, index, tensor);
    if (status != BATCHNORM_BAD_SHAPE || tensor->rank < 0 || tensor->rank > BATCHNORM_MAX_RANK) return status;
    return bn_layer_fail(f->layer, status, "the %s has the size %s, the input %s", name, bn_sizes_text(tensor, other),
                         bn_sizes_text(&f->call->x, x));
}

static batchnorm_status check_memory(struct forward *f) {
    static const char *const names[BN_ARRAYS] = {[BN_X] = "x", [BN_Y] = "y", [BN_Z] = "z"};
    batchnorm_status status = bn_check_sizes(&f->k.g);
    if (!status && f->channels > PTRDIFF_MAX / sizeof(batchnorm_stat)) status = BATCHNORM_TOO_LARGE;
    bn_layer_start(f->layer, &f->k);
    f->k.outputs = 1u << BN_Y;
    f->k.alias = 1u << BN_X | 1u << BN_Z;
    if (!status) status = bn_call_check(&f->k, f->exec.caller);
    return bn_layer_fault(f->layer, status, &f->k.fault, names, NULL);
}

/* Sets which part of a batch the input is. A part without samples is nowhere. */
static batchnorm_status set_part(struct forward *f) {
    const batchnorm_layer *layer = f->layer;
    f->k.g.grain = layer->grain;
    f->k.g.first = layer->grain ? layer->first_sample : 0;
    if (!layer->grain || f->empty || layer->first_sample % layer->grain == 0) return BATCHNORM_OK;
    return bn_layer_fail(f->layer, BATCHNORM_BAD_OPTION, "the first sample has the number %zu, which is no multiple of %zu",
                         layer->first_sample, layer->grain);
}

static batchnorm_status check(struct forward *f) {
    const int64_t elements = batchnorm_tensor_elements(&f->call->x);
    f->empty = elements == 0;
    if (elements > 0 && (!f->call->x.data || !f->call->y.data)) return BATCHNORM_NULL_POINTER;
    batchnorm_status status = check_call(f);
    if (!status) status = check_rank(f);
    if (!status) status = check_input(f);
    if (!status) status = bn_geometry_from_tensor(&f->call->x, &f->k.g);
    if (!status) status = add_tensor(f, BN_Y, &f->call->y, "output");
    if (!status && f->call->z.data) status = add_tensor(f, BN_Z, &f->call->z, "residual");
    f->channels = f->k.g.channels;
    if (!status) status = set_part(f);
    if (!status) status = bn_layer_mask(f->layer, &f->k.g, &f->call->mask);
    if (!status) status = check_memory(f);
    return status;
}

/* Makes room for what an input with elements leaves behind. */
static batchnorm_status prepare_work(struct forward *f) {
    batchnorm_layer *layer = f->layer;
    batchnorm_status status = bn_reserve(&f->saved->allocator, &f->saved->buffer, bn_saved_bytes(f->channels));
    if (!status && f->update) status = bn_reserve(&layer->allocator, &layer->stats, f->channels * sizeof(batchnorm_stat));
    return status;
}

/* Takes all memory that outlives the call, so that nothing can fail once the work is done. The work takes its own before it
 * writes. */
static batchnorm_status prepare(struct forward *f) {
    batchnorm_layer *layer = f->layer;
    batchnorm_status status = f->empty && !f->shared ? BATCHNORM_OK : prepare_work(f);
    if (!status && f->update && (f->call->flags & BATCHNORM_HOLD_UPDATE))
        status = bn_reserve_held(layer, layer->options.lazy ? f->channels : bn_layer_channels(layer));
    if (!status && layer->options.lazy) status = bn_block_create(layer, f->channels, &f->block);
    return status;
}

/* Returns a parameter or buffer, or NULL where the layer has none. */
static void *array_of(const struct forward *f, int key) {
    return f->layer->has[key] ? bn_block_array(f->layer, f->block, f->channels, key) : NULL;
}

/* Runs the job of a forward alone, or with its group. `status` is what is already wrong. */
static batchnorm_status run_batch(const struct forward *f, const struct bn_forward *job, batchnorm_status status) {
    const batchnorm_options *convention = &f->layer->options.convention;
    char why[BN_SYNC_TEXT] = "";
    if (!f->shared) {
        status = bn_run_forward(&f->k.g, job, &f->exec);
        if (status != BATCHNORM_ONE_VALUE) return status;
        return bn_layer_fail(f->layer, status,
                             "Expected more than 1 value per channel when training, and the mask leaves fewer");
    }
    const struct bn_group_call call = {f->layer->group, &f->k.g, f->exec, status, why};
    status = bn_group_forward(&call, job, convention->allow_one_value);
    if (why[0]) return bn_layer_fail(f->layer, status, "%s", why);
    return status;
}

/* Tells the other ranks of a group that this one has nothing for them. */
static batchnorm_status work_failed(const struct forward *f, batchnorm_status status) {
    const struct bn_geometry nothing = {.channels = 0};
    const struct bn_forward job = {.eps = 0};
    char why[BN_SYNC_TEXT] = "";
    const struct bn_group_call call = {f->layer->group, &nothing, f->exec, status, why};
    return bn_group_forward(&call, &job, true);
}

static batchnorm_status work(const struct forward *f) {
    double *mean = bn_saved_array(f->saved, f->channels, BN_SAVED_MEAN),
           *rstd = bn_saved_array(f->saved, f->channels, BN_SAVED_RSTD);
    const void *weight = array_of(f, BN_WEIGHT), *bias = array_of(f, BN_BIAS);
    const double eps = f->layer->options.convention.eps;
    if (f->batch) {
        const batchnorm_forward_call call = {
            .weight = weight, .bias = bias, .save_mean = mean, .save_rstd = rstd, .activation = f->call->activation};
        struct bn_forward job = bn_forward_job(&f->k.g, &call, eps);
        job.needs_two = !f->layer->options.convention.allow_one_value;
        if (f->update) job.stats = f->layer->stats.data;
        return run_batch(f, &job, BATCHNORM_OK);
    }
    const batchnorm_infer_call call = {.weight = weight,
                                       .bias = bias,
                                       .mean = array_of(f, BN_RUNNING_MEAN),
                                       .var = array_of(f, BN_RUNNING_VAR),
                                       .save_mean = mean,
                                       .save_rstd = rstd,
                                       .activation = f->call->activation};
    const struct bn_infer job = bn_infer_job(&f->k.g, &call, eps);
    return bn_run_infer(&f->k.g, &job, &f->exec);
}

static void save(const struct forward *f) {
    batchnorm_saved *saved = f->saved;
    const void *weight = array_of(f, BN_WEIGHT), *bias = array_of(f, BN_BIAS);
    const size_t bytes = f->channels * batchnorm_dtype_bytes(f->layer->options.dtype);
    saved->layer = f->layer;
    saved->empty = f->empty;
    saved->frozen = !f->batch;
    saved->shared = f->shared;
    saved->has_mask = f->k.g.mask.is_there;
    saved->mask_flags = f->call->mask.flags;
    saved->has_weight = weight != NULL;
    saved->has_bias = bias != NULL;
    saved->has_z = f->call->z.data != NULL;
    saved->overwritten = f->call->y.data == f->call->x.data || f->call->y.data == f->call->z.data ? f->call->y.data : NULL;
    saved->activation = f->call->activation;
    saved->dtype = f->call->x.dtype;
    saved->channels = f->channels;
    saved->rank = f->call->x.rank;
    memcpy(saved->shape, f->call->x.shape, sizeof saved->shape);
    const bool is_used = !f->empty || f->shared;
    if (weight && is_used) memcpy(bn_saved_array(saved, f->channels, BN_SAVED_WEIGHT), weight, bytes);
    if (bias && is_used) memcpy(bn_saved_array(saved, f->channels, BN_SAVED_BIAS), bias, bytes);
}

static batchnorm_status finish(const struct forward *f) {
    batchnorm_layer *layer = f->layer;
    save(f);
    if (layer->options.lazy) bn_layer_materialize(layer, f->channels, f->block);
    const bool hold = (f->call->flags & BATCHNORM_HOLD_UPDATE) != 0;
    const batchnorm_stat *stats = layer->stats.data;
    const bool any = f->shared ? f->channels > 0 && stats[0].count > 0 : !f->empty;
    if (f->update) return bn_layer_update(layer, any ? stats : NULL, f->channels, hold);
    if (hold) batchnorm_layer_drop_update(layer);
    return BATCHNORM_OK;
}

static batchnorm_status forward(struct forward *f) {
    choose_statistics(f);
    batchnorm_status status = check(f);
    if (!status) status = prepare(f);
    if (status && f->shared)
        status = work_failed(f, status);
    else if (!status && (!f->empty || f->shared))
        status = work(f);
    if (!status) return finish(f);
    if (f->block != f->layer->block) bn_release(&f->layer->allocator, f->block);
    return status;
}

batchnorm_status batchnorm_layer_forward_fused(batchnorm_layer *layer, const batchnorm_layer_forward_call *given,
                                               const batchnorm_exec *exec) {
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    batchnorm_layer_forward_call place;
    struct bn_layer_run run;
    const batchnorm_layer_forward_call *call =
        bn_layer_take(layer, given, &place, sizeof place, offsetof(batchnorm_layer_forward_call, mask), exec, &run);
    if (!call) return bn_layer_end(layer, run.status);
    struct forward f; /* its geometry is large, and set when the arrays are known */
    f.layer = layer;
    f.call = call;
    f.saved = call->saved ? call->saved : &layer->own;
    f.block = layer->block;
    f.exec = run.exec;
    return bn_layer_end(layer, forward(&f));
}

batchnorm_status batchnorm_layer_forward(batchnorm_layer *layer, batchnorm_tensor x, batchnorm_tensor y, batchnorm_saved *saved,
                                         unsigned flags, const batchnorm_exec *exec) {
    const batchnorm_layer_forward_call call = {.size = sizeof call, .x = x, .y = y, .saved = saved, .flags = flags};
    return batchnorm_layer_forward_fused(layer, &call, exec);
}
