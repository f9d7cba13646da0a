/* SPDX-License-Identifier: MIT */
/* What follows a forward: backward, its derivative, and the forward-mode derivative. All use what the forward saved. The file
 * is long because the four share the way from tensors to a job. */
#include "api/layer.h"

struct pass {
    batchnorm_layer *layer;
    const batchnorm_saved *saved;
    struct bn_exec exec;
    struct bn_geometry g;
};

/* One tensor of a pass. Absent ones that are not needed are fine. */
struct argument {
    const char *name;
    const batchnorm_tensor *tensor;
    int index;
    bool needed, is_forwards; /* an input of the forward */
};

static batchnorm_status check_saved(const struct pass *p) {
    if (p->saved->layer == NULL) return BATCHNORM_NO_FORWARD;
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

/* Every tensor must be like the forward's input. */
static batchnorm_status add_arguments(struct pass *p, const struct argument *arguments, int count) {
    const batchnorm_tensor like = like_saved(p->saved);
    batchnorm_status status = bn_geometry_from_tensor(&like, &p->g);
    for (int i = 0; i < count && status == BATCHNORM_OK; i++) {
        const struct argument *a = &arguments[i];
        if (!a->needed || p->saved->empty || a->tensor->data != NULL) continue;
        return bn_layer_fail(p->layer, BATCHNORM_NULL_POINTER, "%s is needed and its data is NULL", a->name);
    }
    for (int i = 0; i < count && status == BATCHNORM_OK; i++) {
        const struct argument *a = &arguments[i];
        if (a->tensor->data == NULL && !a->needed && p->saved->empty) continue;
        status = say_what(p, bn_geometry_add_tensor(&p->g, a->index, a->tensor), a);
    }
    return status;
}

/* What of a call may share memory with what. */
struct memory {
    unsigned outputs, alias; /* arrays; see bn_check_outputs() */
    const struct bn_numbers *numbers;
    int count;
};

/* After a forward in place what it got is gone, and only this call would not notice. */
static batchnorm_status check_overwritten(const struct pass *p, const struct argument *arguments, int count) {
    if (p->saved->overwritten == NULL || p->saved->empty) return BATCHNORM_OK;
    for (int i = 0; i < count; i++) {
        const struct argument *a = &arguments[i];
        if (!a->is_forwards || !a->needed || a->tensor->data != p->saved->overwritten) continue;
        return bn_layer_fail(p->layer, BATCHNORM_OVERLAP,
                             "%s is the array that the forward overwrote with y; what is needed is what the forward got",
                             a->name);
    }
    return BATCHNORM_OK;
}

/* Names are put together only where something is wrong. */
static batchnorm_status say_fault(struct pass *p, batchnorm_status status, const struct bn_fault *fault,
                                  const struct argument *arguments, int given, const struct bn_numbers *numbers) {
    const char *names[BN_ARRAYS] = {NULL};
    for (int i = 0; i < given; i++) names[arguments[i].index] = arguments[i].name;
    return bn_layer_fault(p->layer, status, fault, names, numbers);
}

static batchnorm_status check_memory(struct pass *p, const struct argument *arguments, int given, struct memory m,
                                     const batchnorm_exec *exec) {
    struct bn_fault fault;
    batchnorm_status status = bn_check_sizes(&p->g);
    if (status == BATCHNORM_OK) status = bn_check_outputs(&p->g, m.outputs, m.alias, &fault);
    if (status == BATCHNORM_OK) status = bn_layer_check_apart(p->layer, &p->g, m.outputs, &fault);
    if (status == BATCHNORM_OK) status = bn_check_numbers(&p->g, m.outputs, m.numbers, m.count, &fault);
    if (status == BATCHNORM_OK) status = bn_layer_check_workspace(p->layer, &p->g, m.numbers, m.count, exec, &fault);
    if (status == BATCHNORM_OK) return check_overwritten(p, arguments, given);
    return say_fault(p, status, &fault, arguments, given, m.numbers);
}

/* [channels] of the layer's type beside the tensors. */
static struct bn_numbers numbers(const struct pass *p, const char *name, const void *data, bool written) {
    return (struct bn_numbers){name, data, batchnorm_dtype_bytes(p->layer->options.dtype), written};
}

static struct bn_vector saved_weight(const struct pass *p) {
    const batchnorm_saved *saved = p->saved;
    return (struct bn_vector){saved->has_weight ? bn_saved_array(saved, saved->channels, 2) : NULL, p->layer->options.dtype};
}

static const double *saved_mean(const struct pass *p) { return bn_saved_array(p->saved, p->saved->channels, 0); }

static const double *saved_rstd(const struct pass *p) { return bn_saved_array(p->saved, p->saved->channels, 1); }

static unsigned frozen_flag(const struct pass *p) { return p->saved->frozen ? BATCHNORM_FROZEN : 0; }

/* Where a gradient goes; NULL where none is wanted. */
static struct bn_output gradient(const batchnorm_layer *layer, int index) {
    const batchnorm_parameter *parameter = index == BN_WEIGHT_GRAD ? &layer->weight : &layer->bias;
    return (struct bn_output){parameter->requires_grad ? bn_layer_array(layer, index) : NULL, layer->options.dtype};
}

/* An empty batch has zero gradients, whatever its channels were. */
static void clear_gradient(const batchnorm_layer *layer, struct bn_output gradient) {
    if (gradient.data != NULL) bn_layer_fill(layer, gradient.data, bn_layer_channels(layer), 0);
}

static batchnorm_status check_backward(struct pass *p, const struct argument arguments[6], const batchnorm_exec *exec) {
    const batchnorm_saved *saved = p->saved;
    const struct bn_numbers gradients[] = {numbers(p, "the weight's gradient", gradient(p->layer, BN_WEIGHT_GRAD).data, true),
                                           numbers(p, "the bias's gradient", gradient(p->layer, BN_BIAS_GRAD).data, true)};
    const unsigned outputs = 1U << BN_DX | 1U << BN_DZ, inputs = 1U << BN_X | 1U << BN_DY | 1U << BN_Z | 1U << BN_Y;
    batchnorm_status status = add_arguments(p, arguments, 6);
    for (int i = 0; i < 6; i++) /* what is given without need is not there */
        if (!arguments[i].needed && (inputs >> arguments[i].index & 1)) p->g.array[arguments[i].index].data = NULL;
    if (status == BATCHNORM_OK && p->g.array[BN_DZ].data != NULL && !saved->has_z)
        status = bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "dz was given, but the forward had no residual");
    const struct memory m = {outputs, inputs, gradients, 2};
    return status == BATCHNORM_OK ? check_memory(p, arguments, 6, m, exec) : status;
}

static struct bn_vector saved_bias(const struct pass *p) {
    const batchnorm_saved *saved = p->saved;
    return (struct bn_vector){saved->has_bias ? bn_saved_array(saved, saved->channels, 3) : NULL, p->layer->options.dtype};
}

static batchnorm_status backward(struct pass *p, unsigned flags) {
    const batchnorm_layer *layer = p->layer;
    const struct bn_output dweight = gradient(layer, BN_WEIGHT_GRAD), dbias = gradient(layer, BN_BIAS_GRAD);
    const bool dx = p->g.array[BN_DX].data != NULL, dz = p->g.array[BN_DZ].data != NULL;
    if (p->saved->empty) {
        if (flags & BATCHNORM_ACCUMULATE) return BATCHNORM_OK;
        clear_gradient(layer, dweight);
        clear_gradient(layer, dbias);
        return BATCHNORM_OK;
    }
    if (dweight.data == NULL && dbias.data == NULL && !dx && !dz) return BATCHNORM_OK;
    const struct bn_backward job = {.weight = saved_weight(p),
                                    .bias = saved_bias(p),
                                    .mean = saved_mean(p),
                                    .rstd = saved_rstd(p),
                                    .dweight = dweight,
                                    .dbias = dbias,
                                    .activation = p->saved->activation,
                                    .gated = dz || p->saved->activation.kind != BATCHNORM_IDENTITY,
                                    .flags = flags | frozen_flag(p)};
    return bn_run_backward(&p->g, &job, &p->exec);
}

/* Both backwards, z, y and dz being absent in the plain one. */
static batchnorm_status run_backward(struct pass *p, const batchnorm_tensor *x, const batchnorm_tensor *z,
                                     const batchnorm_tensor *y, const batchnorm_tensor *dy, const batchnorm_tensor *dx,
                                     const batchnorm_tensor *dz, unsigned flags, const batchnorm_exec *exec) {
    const batchnorm_saved *saved = p->saved;
    const bool acts = saved->activation.kind != BATCHNORM_IDENTITY, again = acts && y->data == NULL;
    const bool dweight = gradient(p->layer, BN_WEIGHT_GRAD).data != NULL;
    const bool needs_x = dweight || (!saved->frozen && dx->data != NULL) || again;
    const struct argument arguments[] = {{"x", x, BN_X, needs_x, true},         {"dy", dy, BN_DY, true, false},
                                         {"dx", dx, BN_DX, false, false},       {"z", z, BN_Z, again && saved->has_z, true},
                                         {"y", y, BN_Y, acts && !again, false}, {"dz", dz, BN_DZ, false, false}};
    batchnorm_status status = check_backward(p, arguments, exec);
    return status == BATCHNORM_OK ? backward(p, flags) : status;
}

static batchnorm_status start_backward(struct pass *p, unsigned flags) {
    bn_layer_begin(p->layer);
    if (flags & ~(unsigned)BATCHNORM_ACCUMULATE)
        return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "unknown flag in %#x", flags);
    return check_saved(p);
}

batchnorm_status batchnorm_layer_backward(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                          batchnorm_tensor dy, batchnorm_tensor dx, unsigned flags,
                                          const batchnorm_exec *exec) {
    if (layer == NULL) return BATCHNORM_NULL_POINTER;
    struct pass p = {.layer = layer, .saved = saved == NULL ? &layer->own : saved, .exec = bn_layer_exec(layer, exec)};
    const batchnorm_tensor none = {0};
    batchnorm_status status = start_backward(&p, flags);
    if (status == BATCHNORM_OK && (p.saved->has_z || p.saved->activation.kind != BATCHNORM_IDENTITY))
        status = bn_layer_fail(layer, BATCHNORM_BAD_OPTION,
                               "the forward had an activation or a residual: batchnorm_layer_backward_fused() is its backward");
    if (status == BATCHNORM_OK) status = run_backward(&p, &x, &none, &none, &dy, &dx, &none, flags, exec);
    return bn_layer_end(layer, status);
}

batchnorm_status batchnorm_layer_backward_fused(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                                batchnorm_tensor z, batchnorm_tensor y, batchnorm_tensor dy,
                                                batchnorm_tensor dx, batchnorm_tensor dz, unsigned flags,
                                                const batchnorm_exec *exec) {
    if (layer == NULL) return BATCHNORM_NULL_POINTER;
    struct pass p = {.layer = layer, .saved = saved == NULL ? &layer->own : saved, .exec = bn_layer_exec(layer, exec)};
    batchnorm_status status = start_backward(&p, flags);
    if (status == BATCHNORM_OK) status = run_backward(&p, &x, &z, &y, &dy, &dx, &dz, flags, exec);
    return bn_layer_end(layer, status);
}

/* Tangents and cotangents of parameters that the forward did not have would be lost without a word. */
static batchnorm_status check_parameter(const struct pass *p, const char *name, const void *numbers, int key) {
    const bool is_there = key == BN_WEIGHT ? p->saved->has_weight : p->layer->has[key];
    if (numbers == NULL || is_there) return BATCHNORM_OK;
    return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "%s was given, but the layer has no %s", name, bn_key_names[key]);
}

/* These two know no activation. */
static batchnorm_status check_plain(const struct pass *p) {
    const batchnorm_status status = check_saved(p);
    if (status != BATCHNORM_OK || (!p->saved->has_z && p->saved->activation.kind == BATCHNORM_IDENTITY)) return status;
    return bn_layer_fail(p->layer, BATCHNORM_BAD_OPTION, "the forward had an activation or a residual");
}

static batchnorm_status check_jvp(struct pass *p, const struct argument arguments[3], const void *tweight, const void *tbias,
                                  const batchnorm_exec *exec) {
    const struct bn_numbers tangents[] = {numbers(p, "tweight", tweight, false), numbers(p, "tbias", tbias, false)};
    const struct memory m = {1U << BN_TY, 1U << BN_X | 1U << BN_TX, tangents, 2};
    batchnorm_status status = check_plain(p);
    if (status == BATCHNORM_OK) status = check_parameter(p, "tweight", tweight, BN_WEIGHT);
    if (status == BATCHNORM_OK) status = check_parameter(p, "tbias", tbias, BN_BIAS);
    if (status == BATCHNORM_OK) status = add_arguments(p, arguments, 3);
    return status == BATCHNORM_OK ? check_memory(p, arguments, 3, m, exec) : status;
}

batchnorm_status batchnorm_layer_jvp(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x, batchnorm_tensor tx,
                                     const void *tweight, const void *tbias, batchnorm_tensor ty, const batchnorm_exec *exec) {
    if (layer == NULL) return BATCHNORM_NULL_POINTER;
    struct pass p = {.layer = layer, .saved = saved == NULL ? &layer->own : saved, .exec = bn_layer_exec(layer, exec)};
    const struct argument arguments[] = {
        {"x", &x, BN_X, true, true}, {"tx", &tx, BN_TX, true, false}, {"ty", &ty, BN_TY, true, false}};
    const batchnorm_dtype dtype = layer->options.dtype;
    bn_layer_begin(layer);
    batchnorm_status status = check_jvp(&p, arguments, tweight, tbias, exec);
    if (status != BATCHNORM_OK || p.saved->empty) return bn_layer_end(layer, status);
    const struct bn_jvp job = {.weight = saved_weight(&p),
                               .tweight = {tweight, dtype},
                               .tbias = {tbias, dtype},
                               .mean = saved_mean(&p),
                               .rstd = saved_rstd(&p),
                               .flags = frozen_flag(&p)};
    return bn_layer_end(layer, bn_run_jvp(&p.g, &job, &p.exec));
}

struct cotangents {
    const void *vweight, *vbias;
    void *gweight;
};

static batchnorm_status check_double_backward(struct pass *p, const struct argument arguments[5], struct cotangents v,
                                              const batchnorm_exec *exec) {
    const struct bn_numbers given[] = {numbers(p, "vweight", v.vweight, false), numbers(p, "vbias", v.vbias, false),
                                       numbers(p, "gweight", v.gweight, true)};
    const struct memory m = {1U << BN_GX | 1U << BN_GDY, 0, given, 3};
    batchnorm_status status = check_plain(p);
    if (status == BATCHNORM_OK) status = check_parameter(p, "vweight", v.vweight, BN_WEIGHT);
    if (status == BATCHNORM_OK) status = check_parameter(p, "vbias", v.vbias, BN_BIAS);
    if (status == BATCHNORM_OK) status = check_parameter(p, "gweight", v.gweight, BN_WEIGHT);
    if (status == BATCHNORM_OK) status = add_arguments(p, arguments, 5);
    return status == BATCHNORM_OK ? check_memory(p, arguments, 5, m, exec) : status;
}

static batchnorm_status double_backward(struct pass *p, struct cotangents v) {
    const batchnorm_dtype dtype = p->layer->options.dtype;
    const struct bn_output gweight = {v.gweight, dtype};
    if (p->saved->empty) {
        clear_gradient(p->layer, gweight);
        return BATCHNORM_OK;
    }
    const struct bn_double_backward job = {.weight = saved_weight(p),
                                           .vweight = {v.vweight, dtype},
                                           .vbias = {v.vbias, dtype},
                                           .mean = saved_mean(p),
                                           .rstd = saved_rstd(p),
                                           .gweight = gweight,
                                           .flags = frozen_flag(p)};
    return bn_run_double_backward(&p->g, &job, &p->exec);
}

batchnorm_status batchnorm_layer_double_backward(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                                 batchnorm_tensor dy, batchnorm_tensor vx, const void *vweight,
                                                 const void *vbias, batchnorm_tensor gx, batchnorm_tensor gdy, void *gweight,
                                                 const batchnorm_exec *exec) {
    if (layer == NULL) return BATCHNORM_NULL_POINTER;
    struct pass p = {.layer = layer, .saved = saved == NULL ? &layer->own : saved, .exec = bn_layer_exec(layer, exec)};
    const struct cotangents v = {vweight, vbias, gweight};
    const struct argument arguments[] = {{"x", &x, BN_X, true, true},
                                         {"dy", &dy, BN_DY, true, false},
                                         {"vx", &vx, BN_VX, false, false},
                                         {"gx", &gx, BN_GX, false, false},
                                         {"gdy", &gdy, BN_GDY, false, false}};
    bn_layer_begin(layer);
    batchnorm_status status = check_double_backward(&p, arguments, v, exec);
    if (status == BATCHNORM_OK) status = double_backward(&p, v);
    return bn_layer_end(layer, status);
}
