/* SPDX-License-Identifier: MIT */
#include "api/call.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "api/geometry.h"

void bn_call_parameter(struct bn_call *k, const char *name, const void *data, bool written) {
    const size_t bytes = bn_element_bytes(bn_parameter_dtype(k->g.dtype));
    k->numbers[k->count++] = (struct bn_numbers){name, data, bytes, written};
}

void bn_call_statistic(struct bn_call *k, const char *name, const double *data, bool written) {
    k->numbers[k->count++] = (struct bn_numbers){name, data, sizeof *data, written};
}

batchnorm_status bn_call_check(struct bn_call *k, const batchnorm_exec *exec) {
    batchnorm_status status = bn_check_outputs(&k->g, k->outputs, k->alias, &k->fault);
    for (int i = 0; i < BN_OWN && !status; i++)
        status = bn_check_apart(&k->g, k->outputs, k->own[i].data, k->own[i].bytes, BN_FAULT_LAYER, &k->fault);
    if (!status) status = bn_check_numbers(&k->g, k->outputs, k->numbers, k->count, &k->fault);
    for (int i = 0; i < BN_OWN && !status && exec; i++)
        status = bn_check_bytes(exec->workspace, exec->workspace_bytes, k->own[i].data, k->own[i].bytes, &k->fault);
    if (!status) status = bn_check_workspace(&k->g, k->numbers, k->count, exec, &k->fault);
    if (!status && k->g.mask.is_there) status = bn_check_mask_apart(&k->g, k->outputs, k->numbers, k->count, exec, &k->fault);
    return status;
}

/* Returns whether y tells act'(v). A kind that is none is refused elsewhere. */
static bool is_told_by_y(batchnorm_activation_kind kind) {
#define BY_Y(kind, word, parameter, by_y) by_y,
    static const bool by_y[] = {BATCHNORM_ACTIVATION_LIST(BY_Y)};
    return (size_t)kind >= sizeof by_y / sizeof *by_y || by_y[kind];
}

struct bn_needs bn_backward_needs(const batchnorm_backward_call *call) {
    const bool acts = call->activation.kind != BATCHNORM_IDENTITY, frozen = (call->flags & BATCHNORM_FROZEN) != 0;
    const bool y = acts && call->y.data && is_told_by_y(call->activation.kind), again = acts && !y;
    const bool group = call->group != NULL; /* its ranks need the sums, whatever is wanted here */
    const bool x = (call->dweight && !call->sums) || (!frozen && (call->dx.data || group)) || again;
    const bool from_y = x && bn_goes_from_y(call);
    return (struct bn_needs){.anything = call->dx.data || call->dz.data || call->dweight || call->dbias || group,
                             .x = x && !from_y,
                             .y = y || from_y,
                             .z = again && call->z.data,
                             .from_y = from_y};
}

static struct bn_vector parameter(const struct bn_geometry *g, const void *data) {
    return (struct bn_vector){data, bn_parameter_dtype(g->dtype)};
}

/* Whether y of an activation keeps the sign and the digits of v: the slope and its inverse are normal numbers. */
static bool keeps_digits(batchnorm_activation activation, batchnorm_dtype dtype) {
    const bool is_double = bn_computing_dtype(dtype) == BATCHNORM_F64;
    const double least = is_double ? DBL_MIN : (double)FLT_MIN, slope = activation.parameter;
    if (activation.kind == BATCHNORM_LEAKY_RELU) return slope >= least && slope <= 1 / least;
    return activation.kind == BATCHNORM_IDENTITY;
}

bool bn_goes_from_y(const batchnorm_backward_call *call) {
    return !call->x.data && call->y.data && !call->z.data && !call->dz.data && !call->mask.data && !call->mask.lengths &&
           keeps_digits(call->activation, call->shape.dtype);
}

/* The digits of a type, and its smallest number above 0, as powers of 2. */
static int digits_of(batchnorm_dtype dtype) {
    return dtype == BATCHNORM_F32 ? 24 : dtype == BATCHNORM_F64 ? 53 : dtype == BATCHNORM_BF16 ? 8 : 11;
}
static int smallest_of(batchnorm_dtype dtype) {
    return dtype == BATCHNORM_F32 ? -149 : dtype == BATCHNORM_F64 ? -1074 : dtype == BATCHNORM_BF16 ? -133 : -24;
}

/* Half of the digits of xhat must be left: y is rounded to 2^-digits of |weight xhat + bias|, and to multiples of the smallest
 * number. A NaN fails every comparison. */
batchnorm_status bn_check_from_y(const struct bn_geometry *g, const batchnorm_backward_call *call, char why[BN_FROM_Y_TEXT]) {
    const struct bn_vector weights = parameter(g, call->weight), biases = parameter(g, call->bias);
    const int half = digits_of(g->dtype) / 2;
    const double leaky = call->activation.kind == BATCHNORM_LEAKY_RELU ? fmin(call->activation.parameter, 1) : 1,
                 most = ldexp(1, half), least = ldexp(1, smallest_of(g->dtype) + half) / leaky;
    for (size_t c = 0; c < g->channels && !bn_geometry_is_empty(g); c++) {
        const double weight = bn_vector_get(weights, c, 1), bias = bn_vector_get(biases, c, 0), size = fabs(weight);
        if (isfinite(weight) && size >= least && fabs(bias) <= most * size) continue;
        snprintf(
            why, BN_FROM_Y_TEXT,
            "x is not there, and y does not tell it in channel %zu: the weight %.9g is too small beside the bias %.9g, or not "
            "finite",
            c, weight, bias);
        return BATCHNORM_BAD_OPTION;
    }
    return BATCHNORM_OK;
}

static struct bn_output gradient(const struct bn_geometry *g, void *data) {
    return (struct bn_output){data, bn_parameter_dtype(g->dtype)};
}

struct bn_infer bn_infer_job(const struct bn_geometry *g, const batchnorm_infer_call *call, double eps) {
    return (struct bn_infer){.weight = parameter(g, call->weight),
                             .bias = parameter(g, call->bias),
                             .mean = parameter(g, call->mean),
                             .var = parameter(g, call->var),
                             .eps = eps,
                             .save_mean = call->save_mean,
                             .save_rstd = call->save_rstd,
                             .activation = call->activation};
}

struct bn_forward bn_forward_job(const struct bn_geometry *g, const batchnorm_forward_call *call, double eps) {
    return (struct bn_forward){.weight = parameter(g, call->weight),
                               .bias = parameter(g, call->bias),
                               .eps = eps,
                               .save_mean = call->save_mean,
                               .save_rstd = call->save_rstd,
                               .activation = call->activation};
}

struct bn_backward bn_backward_job(const struct bn_geometry *g, const batchnorm_backward_call *call) {
    const struct bn_needs needs = bn_backward_needs(call);
    const bool acts = call->activation.kind != BATCHNORM_IDENTITY;
    return (struct bn_backward){.weight = parameter(g, call->weight),
                                .bias = parameter(g, call->bias),
                                .mean = needs.x ? call->save_mean : NULL,
                                .rstd = call->save_rstd,
                                .dweight = gradient(g, call->dweight),
                                .dbias = gradient(g, call->dbias),
                                .activation = call->activation,
                                .gated = acts || bn_is_there(g, BN_DZ),
                                .from_y = needs.from_y,
                                .flags = call->flags,
                                .given = call->sums};
}

struct bn_jvp bn_jvp_job(const struct bn_geometry *g, const batchnorm_jvp_call *call) {
    return (struct bn_jvp){.weight = parameter(g, call->weight),
                           .tweight = parameter(g, call->tweight),
                           .tbias = parameter(g, call->tbias),
                           .mean = call->save_mean,
                           .rstd = call->save_rstd,
                           .flags = call->flags};
}

struct bn_double_backward bn_double_backward_job(const struct bn_geometry *g, const batchnorm_double_backward_call *call) {
    return (struct bn_double_backward){.weight = parameter(g, call->weight),
                                       .vweight = parameter(g, call->vweight),
                                       .vbias = parameter(g, call->vbias),
                                       .mean = call->save_mean,
                                       .rstd = call->save_rstd,
                                       .gweight = gradient(g, call->gweight),
                                       .flags = call->flags};
}
