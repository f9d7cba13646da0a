/* SPDX-License-Identifier: MIT */
/* Raw buffers, forward: what each kind of call has, needs and checks. */
#include "api/raw.h"

static batchnorm_status start(struct bn_raw *r, const batchnorm_shape *shape, batchnorm_input x, batchnorm_input z,
                              batchnorm_output y) {
    const batchnorm_status status = bn_call_start(&r->k, shape, 1u << BN_Y, 1u << BN_X | 1u << BN_Z);
    r->needed = 1u << BN_X | 1u << BN_Y;
    bn_call_reads(&r->k, BN_X, x);
    bn_call_reads(&r->k, BN_Z, z);
    bn_call_writes(&r->k, BN_Y, y);
    return status;
}

static batchnorm_status check_options(struct bn_raw *r, batchnorm_activation activation, bool batch_statistics) {
    batchnorm_status status = bn_raw_check_activation(r, activation);
    if (!status && bn_check_options(&r->options))
        status = bn_raw_fail(r, BATCHNORM_BAD_OPTION,
                             "the options' size, momentum (%g), a rule or a reserved byte is not what it may be",
                             r->options.momentum);
    if (!status) status = bn_check_eps(r->options.eps, batch_statistics);
    return status;
}

/* infer */

static batchnorm_status infer_start(struct bn_raw *r, const void *given) {
    const batchnorm_infer_call *call = given;
    r->missing = "x, y, mean and var";
    r->lacks_numbers = !(call->mean && call->var);
    bn_raw_options(r, call->options);
    return start(r, &call->shape, call->x, call->z, call->y);
}

static batchnorm_status infer_check(struct bn_raw *r, const void *call) {
    return check_options(r, ((const batchnorm_infer_call *)call)->activation, false);
}

static void infer_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_infer_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "bias", call->bias, false);
    bn_call_parameter(&r->k, "mean", call->mean, false);
    bn_call_parameter(&r->k, "var", call->var, false);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, true);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, true);
}

static void infer_fill(struct bn_raw *r, const void *call) { r->job.infer = bn_infer_job(&r->k.g, call, r->options.eps); }

static const struct bn_raw_kind infer = {.bytes = sizeof(batchnorm_infer_call),
                                         .build = bn_build_infer,
                                         .start = infer_start,
                                         .check = infer_check,
                                         .numbers = infer_numbers,
                                         .fill = infer_fill};

/* normalize */

static batchnorm_status normalize_start(struct bn_raw *r, const void *given) {
    const batchnorm_normalize_call *call = given;
    r->missing = "x, y, mean and rstd";
    r->lacks_numbers = !(call->mean && call->rstd);
    return start(r, &call->shape, call->x, call->z, call->y);
}

static batchnorm_status normalize_check(struct bn_raw *r, const void *call) {
    return bn_raw_check_activation(r, ((const batchnorm_normalize_call *)call)->activation);
}

static void normalize_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_normalize_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "bias", call->bias, false);
    bn_call_statistic(&r->k, "mean", call->mean, false);
    bn_call_statistic(&r->k, "rstd", call->rstd, false);
}

static void normalize_fill(struct bn_raw *r, const void *given) {
    const batchnorm_normalize_call *call = given;
    const batchnorm_dtype dtype = bn_parameter_dtype(r->k.g.dtype);
    r->job.normalize = (struct bn_normalize){.weight = {call->weight, dtype},
                                             .bias = {call->bias, dtype},
                                             .mean = call->mean,
                                             .rstd = call->rstd,
                                             .activation = call->activation};
}

static const struct bn_raw_kind normalize = {.bytes = sizeof(batchnorm_normalize_call),
                                             .build = bn_build_normalize,
                                             .start = normalize_start,
                                             .check = normalize_check,
                                             .numbers = normalize_numbers,
                                             .fill = normalize_fill};

/* forward */

static batchnorm_status forward_start(struct bn_raw *r, const void *given) {
    const batchnorm_forward_call *call = given;
    r->missing = "x and y";
    bn_raw_options(r, call->options);
    const batchnorm_status status = start(r, &call->shape, call->x, call->z, call->y);
    bn_raw_part(r, call->grain, call->first_sample, call->group);
    bn_raw_mask(r, &call->mask);
    return status;
}

static batchnorm_status forward_check(struct bn_raw *r, const void *given) {
    const batchnorm_forward_call *call = given;
    if (r->k.g.count == 1 && !r->options.allow_one_value && !r->group) return BATCHNORM_ONE_VALUE;
    const batchnorm_status status = bn_raw_check_part(r);
    return status ? status : check_options(r, call->activation, true);
}

static void forward_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_forward_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "bias", call->bias, false);
    bn_call_parameter(&r->k, "running_mean", call->running_mean, true);
    bn_call_parameter(&r->k, "running_var", call->running_var, true);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, true);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, true);
}

static void update_running(void *arg, const batchnorm_stat *stats) {
    struct bn_raw *r = arg;
    const batchnorm_dtype dtype = bn_parameter_dtype(r->k.g.dtype);
    const struct bn_output mean = r->running_mean, var = r->running_var;
    const struct bn_vector old_mean = {mean.data, dtype}, old_var = {var.data, dtype};
    const double factor = bn_momentum_of_new(&r->options);
    r->not_committed = !bn_update_running(stats, r->k.g.channels, &r->options, factor, old_mean, old_var, mean, var);
}

static void forward_fill(struct bn_raw *r, const void *given) {
    const batchnorm_forward_call *call = given;
    const batchnorm_dtype dtype = bn_parameter_dtype(r->k.g.dtype);
    r->job.forward = bn_forward_job(&r->k.g, call, r->options.eps);
    r->job.forward.needs_two = !r->options.allow_one_value;
    r->job.forward.done = update_running;
    r->job.forward.arg = r;
    r->running_mean = (struct bn_output){call->running_mean, dtype};
    r->running_var = (struct bn_output){call->running_var, dtype};
}

static batchnorm_status forward_group(struct bn_raw *r, const void *given, const batchnorm_exec *exec,
                                      batchnorm_status status) {
    const struct bn_group_call call = {r->group, &r->k.g, {.caller = exec}, status, r->why};
    forward_fill(r, given);
    status = bn_group_forward(&call, &r->job.forward, r->options.allow_one_value);
    return !status && r->not_committed ? BATCHNORM_NOT_COMMITTED : status;
}

static size_t forward_group_bytes(struct bn_raw *r, const void *call) {
    (void)call;
    return bn_group_forward_bytes(&r->k.g, &r->job.forward);
}

static const struct bn_raw_kind forward = {.bytes = sizeof(batchnorm_forward_call),
                                           .first = offsetof(batchnorm_forward_call, grain),
                                           .build = bn_build_forward,
                                           .start = forward_start,
                                           .check = forward_check,
                                           .numbers = forward_numbers,
                                           .fill = forward_fill,
                                           .run_group = forward_group,
                                           .group_bytes = forward_group_bytes};

BN_RAW_CALLS(infer)
BN_RAW_CALLS(normalize)
BN_RAW_CALLS(forward)
