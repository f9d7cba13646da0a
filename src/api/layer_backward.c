/* SPDX-License-Identifier: MIT */
/* What follows a forward: backward, its derivative, and the forward-mode derivative. All use what the forward saved. The file
 * is long because the four share the way from tensors to a job. */
#include "api/layer.h"

struct pass {
    batchnorm_layer *layer;
    const batchnorm_saved *saved;
    struct bn_exec exec;
    struct bn_call k;
};

/* One tensor of a pass. Absent ones that are not needed are fine. */
struct argument {
    const char *name;
    const batchnorm_tensor *tensor;
    int index;
    bool needed, is_forwards; /* an input of the forward */
};

static batchnorm_status check_saved(const struct pass *p) {
    if (!p->saved->layer) return BATCHNORM_NO_FORWARD;
    if (p->saved->layer == p->layer) return BATCHNORM_OK;
    return bn_layer_fail(p->layer, BATCHNORM_NO_FORWARD, "the saved statistics are of another layer");
}

static batchnorm_tensor like_saved(const batchnorm_saved *saved) {
    return batchnorm_tensor_contiguous(NULL, saved->dtype, saved->rank, saved->shape);
}

static batchnorm_status say_what(struct pass *p, batchnorm_status status, const struct argument *a) {
    char got[BN_SIZES_TEXT], wanted[BN_SIZES_TEXT];
    const batchnorm_tensor x = like_saved(p->saved);
    if (status == BATCHNORM_BAD_SHAPE && a->tensor->rank >= 0 && a->tensor->rank <= BATCHNORM_MAX_RANK)
        return bn_layer_fail(p->layer, status, "%s has the size %s, the forward's input had %s", a->name,
                             bn_sizes_text(a->tensor, got), bn_sizes_text(&x, wanted));
    if (status == BATCHNORM_BAD_DTYPE)
        return bn_layer_fail(p->layer, status, "%s is %s, the forward's input was %s", a->name, bn_dtype_name(a->tensor->dtype),
                             bn_dtype_name(x.dtype));
    return status;
}

/* Adds the tensors, which must all be like the forward's input. */
static batchnorm_status add_arguments(struct pass *p, const struct argument *arguments, int count) {
    const batchnorm_tensor like = like_saved(p->saved);
    batchnorm_status status = bn_geometry_from_tensor(&like, &p->k.g);
    p->k.g.grain = p->layer->grain;
    p->k.g.first = p->layer->grain ? p->layer->first_sample : 0;
    for (int i = 0; i < count && !status; i++) {
        const struct argument *a = &arguments[i];
        if (!a->needed || p->saved->empty || a->tensor->data) continue;
        return bn_layer_fail(p->layer, BATCHNORM_NULL_POINTER, "%s is needed and its data is NULL", a->name);
    }
    for (int i = 0; i < count && !status; i++) {
        const struct argument *a = &arguments[i];
        if (!a->tensor->data && !a->needed && p->saved->empty) continue;
        status = say_what(p, bn_geometry_add_tensor(&p->k.g, a->index, a->tensor), a);
    }
    return status;
}

/* Checks that no input of the forward is the array that it overwrote with y: what it got is gone, and the gradients would be
 * wrong without a word. */
static batchnorm_status check_overwritten(const struct pass *p, const struct argument *arguments, int count) {
    if (!p->saved->overwritten || p->saved->empty) return BATCHNORM_OK;
    for (int i = 0; i < count; i++) {
        const struct argument *a = &arguments[i];
        if (!a->is_forwards || !a->needed || a->tensor->data != p->saved->overwritten) continue;
        return bn_layer_fail(p->layer, BATCHNORM_OVERLAP,
                             "%s is the array that the forward overwrote with y; what is needed is what the forward got",
                             a->name);
    }
    return BATCHNORM_OK;
}

/* Says what overlaps what. The names are put together only here, where something is wrong. */
static batchnorm_status say_fault(struct pass *p, batchnorm_status status, const struct argument *arguments, int given) {
    const char *names[BN_ARRAYS] = {NULL};
    for (int i = 0; i < given; i++) names[arguments[i].index] = arguments[i].name;
    return bn_layer_fault(p->layer, status, &p->k.fault, names, p->k.numbers);
}

static batchnorm_status check_memory(struct pass *p, const struct argument *arguments, int given) {
    struct bn_call *k = &p->k;
    batchnorm_status status = bn_check_sizes(&k->g);
    if (!status) status = bn_call_check(k, p->exec.caller);
    return status ? say_fault(p, status, arguments, given) : check_overwritten(p, arguments, given);
}

/* Adds numbers of the layer's type. */
static void add_numbers(struct pass *p, const char *name, const void *data, bool written) {
    const size_t bytes = batchnorm_dtype_bytes(p->layer->options.dtype);
    p->k.numbers[p->k.count++] = (struct bn_numbers){name, data, bytes, written};
}

/* These return what the forward saved; NULL for a weight or bias that it did not have. */
static double *saved_array(const struct pass *p, int index) { return bn_saved_array(p->saved, p->saved->channels, index); }
static const void *saved_weight(const struct pass *p) { return p->saved->has_weight ? saved_array(p, BN_SAVED_WEIGHT) : NULL; }
static const void *saved_bias(const struct pass *p) { return p->saved->has_bias ? saved_array(p, BN_SAVED_BIAS) : NULL; }

static unsigned frozen_flag(const struct pass *p) { return p->saved->frozen ? BATCHNORM_FROZEN : 0; }

/* Returns where a gradient goes; NULL where none is wanted. */
static void *gradient(const batchnorm_layer *layer, int index) {
    const batchnorm_parameter *parameter = index == BN_WEIGHT_GRAD ? &layer->weight : &layer->bias;
    return parameter->requires_grad ? bn_layer_array(layer, index) : NULL;
}

/* Sets a gradient to 0: that of an empty batch, whatever its channels were. */
static void clear_gradient(const batchnorm_layer *layer, void *gradient) {
    if (gradient) bn_layer_fill(layer, gradient, bn_layer_channels(layer), 0);
}

/* Returns the raw call that a backward is; its arrays tell only which of them are there. */
static batchnorm_backward_call raw_backward(const struct pass *p, const batchnorm_layer_backward_call *call) {
    return (batchnorm_backward_call){.shape = {.dtype = p->saved->dtype},
                                     .x = {.data = call->x.data},
                                     .z = {.data = p->saved->has_z ? p->saved : NULL},
                                     .y = {.data = call->y.data},
                                     .dx = {.data = call->dx.data},
                                     .dz = {.data = call->dz.data},
                                     .weight = saved_weight(p),
                                     .bias = saved_bias(p),
                                     .save_mean = saved_array(p, BN_SAVED_MEAN),
                                     .save_rstd = saved_array(p, BN_SAVED_RSTD),
                                     .dweight = gradient(p->layer, BN_WEIGHT_GRAD),
                                     .dbias = gradient(p->layer, BN_BIAS_GRAD),
                                     .activation = p->saved->activation,
                                     .flags = call->flags | frozen_flag(p),
                                     .group = p->saved->shared ? p->layer->group : NULL,
                                     .mask = {.data = p->saved->has_mask ? (const uint8_t *)(const void *)p->saved : NULL}};
}

/* Checks that y tells x, where it must. */
static batchnorm_status check_from_y(struct pass *p, const batchnorm_backward_call *raw) {
    char why[BN_FROM_Y_TEXT];
    if (p->saved->empty || !bn_backward_needs(raw).from_y || !bn_check_from_y(&p->k.g, raw, why)) return BATCHNORM_OK;
    return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "%s", why);
}

/* Takes the mask, which must be one where the forward had one. */
static batchnorm_status add_mask(struct pass *p, const batchnorm_tensor_mask *mask) {
    const bool is_there = mask->data || mask->lengths;
    if (is_there != p->saved->has_mask)
        return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "the forward had %s mask", is_there ? "no" : "a");
    if (is_there && mask->flags != p->saved->mask_flags)
        return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "the forward's mask had the flags %#x, not %#x",
                             p->saved->mask_flags, mask->flags);
    return bn_layer_mask(p->layer, &p->k.g, mask);
}

static batchnorm_status check_backward(struct pass *p, const batchnorm_backward_call *raw, const struct argument arguments[6],
                                       const batchnorm_tensor_mask *mask) {
    const unsigned inputs = 1u << BN_X | 1u << BN_DY | 1u << BN_Z | 1u << BN_Y;
    p->k.outputs = 1u << BN_DX | 1u << BN_DZ;
    p->k.alias = inputs;
    add_numbers(p, "the weight's gradient", gradient(p->layer, BN_WEIGHT_GRAD), true);
    add_numbers(p, "the bias's gradient", gradient(p->layer, BN_BIAS_GRAD), true);
    batchnorm_status status = add_arguments(p, arguments, 6);
    if (!status) status = add_mask(p, mask);
    for (int i = 0; i < 6; i++) /* what is given without need is not there */
        if (!arguments[i].needed && (inputs >> arguments[i].index & 1)) p->k.g.array[arguments[i].index].data = NULL;
    if (!status && bn_is_there(&p->k.g, BN_DZ) && !p->saved->has_z)
        status = bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "dz was given, but the forward had no residual");
    if (!status) status = check_from_y(p, raw);
    return status ? status : check_memory(p, arguments, 6);
}

/* Runs a backward with the group, also where something is wrong already: the other ranks wait. */
static batchnorm_status run_shared(struct pass *p, const batchnorm_backward_call *raw, batchnorm_status status) {
    char why[BN_SYNC_TEXT] = "";
    const struct bn_backward job = bn_backward_job(&p->k.g, raw);
    const struct bn_group_call call = {raw->group, &p->k.g, p->exec, status, why};
    status = bn_group_backward(&call, &job);
    return why[0] ? bn_layer_fail(p->layer, status, "%s", why) : status;
}

/* Tells the group that this rank cannot begin. */
static batchnorm_status share_failure(const struct pass *p, batchnorm_status status) {
    const struct bn_geometry nothing = {.channels = 0};
    const struct bn_backward job = {.flags = 0};
    char why[BN_SYNC_TEXT] = "";
    const struct bn_group_call call = {p->layer->group, &nothing, p->exec, status, why};
    const bool is_shared = p->layer->group && (p->saved->layer == p->layer ? p->saved->shared : p->layer->training);
    return is_shared ? bn_group_backward(&call, &job) : status;
}

static batchnorm_status run_backward(struct pass *p, const batchnorm_layer_backward_call *call) {
    const batchnorm_backward_call raw = raw_backward(p, call);
    const struct bn_needs needs = bn_backward_needs(&raw);
    const struct argument arguments[] = {{"x", &call->x, BN_X, needs.x, true},   {"dy", &call->dy, BN_DY, true, false},
                                         {"dx", &call->dx, BN_DX, false, false}, {"z", &call->z, BN_Z, needs.z, true},
                                         {"y", &call->y, BN_Y, needs.y, false},  {"dz", &call->dz, BN_DZ, false, false}};
    const batchnorm_status status = check_backward(p, &raw, arguments, &call->mask);
    if (raw.group) return run_shared(p, &raw, status);
    if (status) return status;
    if (p->saved->empty) {
        if (call->flags & BATCHNORM_ACCUMULATE) return BATCHNORM_OK;
        clear_gradient(p->layer, raw.dweight);
        clear_gradient(p->layer, raw.dbias);
        return BATCHNORM_OK;
    }
    if (!needs.anything) return BATCHNORM_OK;
    const struct bn_backward job = bn_backward_job(&p->k.g, &raw);
    return bn_run_backward(&p->k.g, &job, &p->exec);
}

static batchnorm_status check_backward_flags(const struct pass *p, unsigned flags) {
    if (flags & ~(unsigned)BATCHNORM_ACCUMULATE)
        return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "unknown flag in %#x", flags);
    return check_saved(p);
}

/* Returns whether nothing followed the normalization in the forward, and all positions counted. */
static bool is_plain(const struct pass *p) {
    return !p->saved->has_z && p->saved->activation.kind == BATCHNORM_IDENTITY && !p->saved->has_mask;
}

/* Starts a pass, member by member: the geometry is large, and set when the arrays are known. */
static void start(struct pass *p, batchnorm_layer *layer, const batchnorm_saved *saved, const struct bn_layer_run *run) {
    p->layer = layer;
    p->saved = saved ? saved : &layer->own;
    p->exec = run->exec;
    bn_layer_start(layer, &p->k);
}

batchnorm_status batchnorm_layer_backward(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                          batchnorm_tensor dy, batchnorm_tensor dx, unsigned flags,
                                          const batchnorm_exec *exec) {
    const batchnorm_layer_backward_call call = {.size = sizeof call, .x = x, .dy = dy, .dx = dx, .flags = flags};
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    struct bn_layer_run run;
    if (!bn_layer_take(layer, &call, NULL, sizeof call, sizeof call, exec, &run)) return bn_layer_end(layer, run.status);
    struct pass p;
    start(&p, layer, saved, &run);
    batchnorm_status status = check_backward_flags(&p, flags);
    if (!status && !is_plain(&p))
        status = bn_layer_fail(
            layer, BATCHNORM_BAD_OPTION,
            "the forward had an activation, a residual or a mask: batchnorm_layer_backward_fused() is its backward");
    status = status ? share_failure(&p, status) : run_backward(&p, &call);
    return bn_layer_end(layer, status);
}

batchnorm_status batchnorm_layer_backward_fused(batchnorm_layer *layer, const batchnorm_layer_backward_call *given,
                                                const batchnorm_exec *exec) {
    batchnorm_layer_backward_call place;
    struct bn_layer_run run;
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    const batchnorm_layer_backward_call *call =
        bn_layer_take(layer, given, &place, sizeof place, offsetof(batchnorm_layer_backward_call, mask), exec, &run);
    if (!call) return bn_layer_end(layer, run.status);
    struct pass p;
    start(&p, layer, call->saved, &run);
    batchnorm_status status = check_backward_flags(&p, call->flags);
    status = status ? share_failure(&p, status) : run_backward(&p, call);
    return bn_layer_end(layer, status);
}

/* Checks that a tangent or cotangent has its parameter: otherwise it would be lost without a word. */
static batchnorm_status check_parameter(const struct pass *p, const char *name, const void *numbers, int key) {
    const bool is_there = key == BN_WEIGHT ? p->saved->has_weight : p->layer->has[key];
    if (!numbers || is_there) return BATCHNORM_OK;
    return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "%s was given, but the layer has no %s", name, bn_key_names[key]);
}

/* Checks that nothing followed the normalization, for the two calls that know no activation. */
static batchnorm_status check_plain(const struct pass *p) {
    const batchnorm_status status = check_saved(p);
    if (status || is_plain(p)) return status;
    return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "the forward had an activation, a residual or a mask");
}

static batchnorm_status check_jvp(struct pass *p, const batchnorm_layer_jvp_call *call) {
    const struct argument arguments[] = {
        {"x", &call->x, BN_X, true, true}, {"tx", &call->tx, BN_TX, true, false}, {"ty", &call->ty, BN_TY, true, false}};
    p->k.outputs = 1u << BN_TY;
    p->k.alias = 1u << BN_X | 1u << BN_TX;
    add_numbers(p, "tweight", call->tweight, false);
    add_numbers(p, "tbias", call->tbias, false);
    batchnorm_status status = check_plain(p);
    if (!status) status = check_parameter(p, "tweight", call->tweight, BN_WEIGHT);
    if (!status) status = check_parameter(p, "tbias", call->tbias, BN_BIAS);
    if (!status) status = add_arguments(p, arguments, 3);
    return status ? status : check_memory(p, arguments, 3);
}

batchnorm_status batchnorm_layer_jvp(batchnorm_layer *layer, const batchnorm_layer_jvp_call *given,
                                     const batchnorm_exec *exec) {
    batchnorm_layer_jvp_call place;
    struct bn_layer_run run;
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    const batchnorm_layer_jvp_call *call = bn_layer_take(layer, given, &place, sizeof place, sizeof place, exec, &run);
    if (!call) return bn_layer_end(layer, run.status);
    struct pass p;
    start(&p, layer, call->saved, &run);
    const batchnorm_status status = check_jvp(&p, call);
    if (status || p.saved->empty) return bn_layer_end(layer, status);
    const batchnorm_jvp_call raw = {.weight = saved_weight(&p),
                                    .tweight = call->tweight,
                                    .tbias = call->tbias,
                                    .save_mean = saved_array(&p, BN_SAVED_MEAN),
                                    .save_rstd = saved_array(&p, BN_SAVED_RSTD),
                                    .flags = frozen_flag(&p)};
    const struct bn_jvp job = bn_jvp_job(&p.k.g, &raw);
    return bn_layer_end(layer, bn_run_jvp(&p.k.g, &job, &p.exec));
}

/* Checks that an output of numbers stays away from what the layer normalizes with. Its gradients are a fine place. */
static batchnorm_status check_own(struct pass *p, const char *name, const void *numbers) {
    const batchnorm_layer *layer = p->layer;
    const size_t bytes = bn_layer_channels(layer) * batchnorm_dtype_bytes(layer->options.dtype);
    struct bn_fault fault;
    const batchnorm_status status = bn_check_bytes(numbers, numbers ? bytes : 0, layer->block, BN_COUNT * bytes, &fault);
    return status ? bn_layer_fail(p->layer, status, "%s overlaps the layer's parameters or statistics", name) : BATCHNORM_OK;
}

static batchnorm_status check_double_backward(struct pass *p, const batchnorm_layer_double_backward_call *call) {
    const struct argument arguments[] = {{"x", &call->x, BN_X, true, true},
                                         {"dy", &call->dy, BN_DY, true, false},
                                         {"vx", &call->vx, BN_VX, false, false},
                                         {"gx", &call->gx, BN_GX, false, false},
                                         {"gdy", &call->gdy, BN_GDY, false, false}};
    p->k.outputs = 1u << BN_GX | 1u << BN_GDY;
    p->k.alias = 0;
    add_numbers(p, "vweight", call->vweight, false);
    add_numbers(p, "vbias", call->vbias, false);
    add_numbers(p, "gweight", call->gweight, true);
    batchnorm_status status = check_plain(p);
    if (!status) status = check_parameter(p, "vweight", call->vweight, BN_WEIGHT);
    if (!status) status = check_parameter(p, "vbias", call->vbias, BN_BIAS);
    if (!status) status = check_parameter(p, "gweight", call->gweight, BN_WEIGHT);
    if (!status) status = add_arguments(p, arguments, 5);
    if (!status) status = check_memory(p, arguments, 5);
    return status ? status : check_own(p, "gweight", call->gweight);
}

static batchnorm_status double_backward(struct pass *p, const batchnorm_layer_double_backward_call *call) {
    if (p->saved->empty) {
        clear_gradient(p->layer, call->gweight);
        return BATCHNORM_OK;
    }
    const batchnorm_double_backward_call raw = {.weight = saved_weight(p),
                                                .vweight = call->vweight,
                                                .vbias = call->vbias,
                                                .save_mean = saved_array(p, BN_SAVED_MEAN),
                                                .save_rstd = saved_array(p, BN_SAVED_RSTD),
                                                .gweight = call->gweight,
                                                .flags = frozen_flag(p)};
    const struct bn_double_backward job = bn_double_backward_job(&p->k.g, &raw);
    return bn_run_double_backward(&p->k.g, &job, &p->exec);
}

batchnorm_status batchnorm_layer_double_backward(batchnorm_layer *layer, const batchnorm_layer_double_backward_call *given,
                                                 const batchnorm_exec *exec) {
    batchnorm_layer_double_backward_call place;
    struct bn_layer_run run;
    if (!layer) return BATCHNORM_NULL_POINTER;
    bn_layer_begin(layer);
    const batchnorm_layer_double_backward_call *call =
        bn_layer_take(layer, given, &place, sizeof place, sizeof place, exec, &run);
    if (!call) return bn_layer_end(layer, run.status);
    struct pass p;
    start(&p, layer, call->saved, &run);
    batchnorm_status status = check_double_backward(&p, call);
    if (!status) status = double_backward(&p, call);
    return bn_layer_end(layer, status);
}
