/* SPDX-License-Identifier: MIT */
/* Raw buffers, forward: each call puts its arrays and numbers in one place, checks them in the documented order, and asks plan
 * for one job. */
#include "api/raw.h"

enum { OUT = 1u << BN_Y, IN = 1u << BN_X | 1u << BN_Z, NEEDED = 1u << BN_X | 1u << BN_Y };

static batchnorm_status start(struct bn_call *k, const batchnorm_shape *shape, batchnorm_input x, batchnorm_input z,
                              batchnorm_output y) {
    const batchnorm_status status = bn_call_start(k, shape, OUT, IN);
    bn_call_reads(k, BN_X, x);
    bn_call_reads(k, BN_Z, z);
    bn_call_writes(k, BN_Y, y);
    return status;
}

static batchnorm_status check_options(const batchnorm_options *options, batchnorm_activation activation, bool batch) {
    batchnorm_status status = bn_check_activation(activation);
    if (!status) status = bn_check_options(options);
    if (!status) status = bn_check_eps(options->eps, batch);
    return status;
}

batchnorm_status batchnorm_infer(const batchnorm_infer_call *given, const batchnorm_exec *exec) {
    struct bn_raw r;
    batchnorm_infer_call place;
    batchnorm_status status;
    const batchnorm_infer_call *call = bn_raw_begin(&r, exec, given, &place, sizeof place, &status);
    if (!call) return status;
    if (bn_raw_options(&r, call->options)) return bn_raw_end(&r, BATCHNORM_BAD_OPTION);
    if (bn_has_elements(&call->shape) && !(call->x.data && call->y.data && call->mean && call->var))
        return bn_raw_missing(&r, "x, y, mean and var");
    struct bn_call *k = &r.k;
    status = start(k, &call->shape, call->x, call->z, call->y);
    if (!status) status = bn_check_sizes(&k->g);
    if (!status) status = check_options(&r.options, call->activation, false);
    bn_call_parameter(k, "weight", call->weight, false);
    bn_call_parameter(k, "bias", call->bias, false);
    bn_call_parameter(k, "mean", call->mean, false);
    bn_call_parameter(k, "var", call->var, false);
    bn_call_statistic(k, "save_mean", call->save_mean, true);
    bn_call_statistic(k, "save_rstd", call->save_rstd, true);
    if (!status) status = bn_call_check(k, r.exec);
    if (status || bn_geometry_is_empty(&k->g)) return bn_raw_end(&r, status);
    const struct bn_infer job = bn_infer_job(&k->g, call, r.options.eps);
    return bn_raw_end(&r, bn_run_infer(&k->g, &job, &r.run));
}

size_t batchnorm_infer_workspace_bytes(const batchnorm_infer_call *given) {
    batchnorm_infer_call place;
    struct bn_call k;
    const batchnorm_infer_call *call = bn_sized(given, &place, sizeof place, sizeof place);
    if (!call || start(&k, &call->shape, call->x, call->z, call->y) || bn_geometry_is_empty(&k.g)) return 0;
    bn_call_pretend(&k, NEEDED);
    const struct bn_infer job = bn_infer_job(&k.g, call, 0);
    return bn_scratch(bn_infer_bytes(&k.g, &job));
}

static struct bn_normalize normalize_job(const struct bn_geometry *g, const batchnorm_normalize_call *call) {
    const batchnorm_dtype dtype = bn_parameter_dtype(g->dtype);
    return (struct bn_normalize){.weight = {call->weight, dtype},
                                 .bias = {call->bias, dtype},
                                 .mean = call->mean,
                                 .rstd = call->rstd,
                                 .activation = call->activation};
}

batchnorm_status batchnorm_normalize(const batchnorm_normalize_call *given, const batchnorm_exec *exec) {
    struct bn_raw r;
    batchnorm_normalize_call place;
    batchnorm_status status;
    const batchnorm_normalize_call *call = bn_raw_begin(&r, exec, given, &place, sizeof place, &status);
    if (!call) return status;
    if (bn_has_elements(&call->shape) && !(call->x.data && call->y.data && call->mean && call->rstd))
        return bn_raw_missing(&r, "x, y, mean and rstd");
    struct bn_call *k = &r.k;
    status = start(k, &call->shape, call->x, call->z, call->y);
    if (!status) status = bn_check_sizes(&k->g);
    if (!status) status = bn_check_activation(call->activation);
    bn_call_parameter(k, "weight", call->weight, false);
    bn_call_parameter(k, "bias", call->bias, false);
    bn_call_statistic(k, "mean", call->mean, false);
    bn_call_statistic(k, "rstd", call->rstd, false);
    if (!status) status = bn_call_check(k, r.exec);
    if (status || bn_geometry_is_empty(&k->g)) return bn_raw_end(&r, status);
    const struct bn_normalize job = normalize_job(&k->g, call);
    return bn_raw_end(&r, bn_run_normalize(&k->g, &job, &r.run));
}

size_t batchnorm_normalize_workspace_bytes(const batchnorm_normalize_call *given) {
    batchnorm_normalize_call place;
    struct bn_call k;
    const batchnorm_normalize_call *call = bn_sized(given, &place, sizeof place, sizeof place);
    if (!call || start(&k, &call->shape, call->x, call->z, call->y) || bn_geometry_is_empty(&k.g)) return 0;
    bn_call_pretend(&k, NEEDED);
    const struct bn_normalize job = normalize_job(&k.g, call);
    return bn_scratch(bn_normalize_bytes(&k.g, &job));
}

struct running {
    const batchnorm_options *options;
    size_t channels;
    struct bn_output mean, var;
    bool committed;
};

static void update_running(void *arg, const batchnorm_stat *stats) {
    struct running *r = arg;
    struct bn_vector mean = {r->mean.data, r->mean.dtype}, var = {r->var.data, r->var.dtype};
    r->committed =
        bn_update_running(stats, r->channels, r->options, bn_momentum_of_new(r->options), mean, var, r->mean, r->var);
}

static batchnorm_status run_forward(struct bn_raw *r, const batchnorm_forward_call *call) {
    const struct bn_geometry *g = &r->k.g;
    const batchnorm_dtype dtype = bn_parameter_dtype(g->dtype);
    struct running running = {&r->options, g->channels, {call->running_mean, dtype}, {call->running_var, dtype}, true};
    struct bn_forward job = bn_forward_job(g, call, r->options.eps);
    job.done = update_running;
    job.arg = &running;
    const batchnorm_status status = bn_run_forward(g, &job, &r->run);
    return bn_raw_end(r, !status && !running.committed ? BATCHNORM_NOT_COMMITTED : status);
}

batchnorm_status batchnorm_forward(const batchnorm_forward_call *given, const batchnorm_exec *exec) {
    struct bn_raw r;
    batchnorm_forward_call place;
    batchnorm_status status;
    const batchnorm_forward_call *call = bn_raw_begin(&r, exec, given, &place, sizeof place, &status);
    if (!call) return status;
    if (bn_raw_options(&r, call->options)) return bn_raw_end(&r, BATCHNORM_BAD_OPTION);
    if (bn_has_elements(&call->shape) && !(call->x.data && call->y.data)) return bn_raw_missing(&r, "x and y");
    struct bn_call *k = &r.k;
    status = start(k, &call->shape, call->x, call->z, call->y);
    if (!status) status = bn_check_sizes(&k->g);
    if (!status && k->g.count == 1 && !r.options.allow_one_value) status = BATCHNORM_ONE_VALUE;
    if (!status) status = check_options(&r.options, call->activation, true);
    bn_call_parameter(k, "weight", call->weight, false);
    bn_call_parameter(k, "bias", call->bias, false);
    bn_call_parameter(k, "running_mean", call->running_mean, true);
    bn_call_parameter(k, "running_var", call->running_var, true);
    bn_call_statistic(k, "save_mean", call->save_mean, true);
    bn_call_statistic(k, "save_rstd", call->save_rstd, true);
    if (!status) status = bn_call_check(k, r.exec);
    if (status || bn_geometry_is_empty(&k->g)) return bn_raw_end(&r, status);
    return run_forward(&r, call);
}

size_t batchnorm_forward_workspace_bytes(const batchnorm_forward_call *given) {
    batchnorm_forward_call place;
    struct bn_call k;
    const batchnorm_forward_call *call = bn_sized(given, &place, sizeof place, sizeof place);
    if (!call || start(&k, &call->shape, call->x, call->z, call->y) || bn_geometry_is_empty(&k.g)) return 0;
    bn_call_pretend(&k, NEEDED);
    struct bn_forward job = bn_forward_job(&k.g, call, 0);
    job.done = update_running;
    return bn_scratch(bn_forward_bytes(&k.g, &job));
}
