/* SPDX-License-Identifier: MIT */
/* Raw buffers, backward; see raw_forward.c. */
#include "api/raw.h"

/* Without elements the sums are 0. */
static void clear(const struct bn_call *k, void *gradient) {
    const struct bn_output output = {gradient, bn_parameter_dtype(k->g.dtype)};
    for (size_t c = 0; c < k->g.channels; c++) bn_output_set(output, c, 0);
}

static batchnorm_status check_flags(unsigned flags, unsigned known) {
    return flags & ~known ? BATCHNORM_BAD_OPTION : BATCHNORM_OK;
}

/* What is given without need is not there. */
static batchnorm_status start_backward(struct bn_call *k, const batchnorm_backward_call *call, struct bn_needs needs) {
    const unsigned inputs = 1u << BN_X | 1u << BN_Z | 1u << BN_Y | 1u << BN_DY;
    const batchnorm_status status = bn_call_start(k, &call->shape, 1u << BN_DX | 1u << BN_DZ, inputs);
    if (needs.x) bn_call_reads(k, BN_X, call->x);
    if (needs.z) bn_call_reads(k, BN_Z, call->z);
    if (needs.y) bn_call_reads(k, BN_Y, call->y);
    bn_call_reads(k, BN_DY, call->dy);
    bn_call_writes(k, BN_DX, call->dx);
    bn_call_writes(k, BN_DZ, call->dz);
    return status;
}

static batchnorm_status run_backward(const struct bn_raw *r, const batchnorm_backward_call *call) {
    const struct bn_backward job = bn_backward_job(&r->k.g, call);
    if (!bn_geometry_is_empty(&r->k.g)) return bn_raw_end(r, bn_run_backward(&r->k.g, &job, &r->run));
    if (!(call->flags & BATCHNORM_ACCUMULATE)) {
        clear(&r->k, call->dweight);
        clear(&r->k, call->dbias);
    }
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_backward(const batchnorm_backward_call *given, const batchnorm_exec *exec) {
    struct bn_raw r;
    batchnorm_backward_call place;
    batchnorm_status status;
    const batchnorm_backward_call *call = bn_raw_begin(&r, exec, given, &place, sizeof place, &status);
    if (!call) return status;
    const struct bn_needs needs = bn_backward_needs(call);
    const bool lacks_x = needs.x && !(call->x.data && call->save_mean);
    if (bn_has_elements(&call->shape) && needs.anything && (!call->dy.data || !call->save_rstd || lacks_x))
        return bn_raw_missing(&r, needs.x ? "x, dy, save_mean and save_rstd" : "dy and save_rstd");
    struct bn_call *k = &r.k;
    status = start_backward(k, call, needs);
    if (!status) status = bn_check_sizes(&k->g);
    if (!status) status = bn_check_activation(call->activation);
    if (!status) status = check_flags(call->flags, BATCHNORM_FROZEN | BATCHNORM_ACCUMULATE);
    bn_call_parameter(k, "weight", call->weight, false);
    bn_call_parameter(k, "bias", call->bias, false);
    bn_call_statistic(k, "save_mean", call->save_mean, false);
    bn_call_statistic(k, "save_rstd", call->save_rstd, false);
    bn_call_parameter(k, "dweight", call->dweight, true);
    bn_call_parameter(k, "dbias", call->dbias, true);
    if (!status) status = bn_call_check(k, r.exec);
    if (status || !needs.anything) return bn_raw_end(&r, status);
    return run_backward(&r, call);
}

size_t batchnorm_backward_workspace_bytes(const batchnorm_backward_call *given) {
    batchnorm_backward_call place;
    struct bn_call k;
    const batchnorm_backward_call *call = bn_sized(given, &place, sizeof place, sizeof place);
    if (!call) return 0;
    const struct bn_needs needs = bn_backward_needs(call);
    if (start_backward(&k, call, needs) || bn_geometry_is_empty(&k.g) || !needs.anything) return 0;
    bn_call_pretend(&k, 1u << BN_DY | (needs.x ? 1u << BN_X : 0));
    struct bn_backward job = bn_backward_job(&k.g, call);
    return bn_scratch(bn_backward_bytes(&k.g, &job));
}

enum { JVP_NEEDED = 1u << BN_X | 1u << BN_TX | 1u << BN_TY };

static batchnorm_status start_jvp(struct bn_call *k, const batchnorm_jvp_call *call) {
    const batchnorm_status status = bn_call_start(k, &call->shape, 1u << BN_TY, 1u << BN_X | 1u << BN_TX);
    bn_call_reads(k, BN_X, call->x);
    bn_call_reads(k, BN_TX, call->tx);
    bn_call_writes(k, BN_TY, call->ty);
    return status;
}

batchnorm_status batchnorm_jvp(const batchnorm_jvp_call *given, const batchnorm_exec *exec) {
    struct bn_raw r;
    batchnorm_jvp_call place;
    batchnorm_status status;
    const batchnorm_jvp_call *call = bn_raw_begin(&r, exec, given, &place, sizeof place, &status);
    if (!call) return status;
    if (bn_has_elements(&call->shape) &&
        !(call->x.data && call->tx.data && call->ty.data && call->save_mean && call->save_rstd))
        return bn_raw_missing(&r, "x, tx, ty, save_mean and save_rstd");
    struct bn_call *k = &r.k;
    status = start_jvp(k, call);
    if (!status) status = bn_check_sizes(&k->g);
    if (!status) status = check_flags(call->flags, BATCHNORM_FROZEN);
    bn_call_parameter(k, "weight", call->weight, false);
    bn_call_parameter(k, "tweight", call->tweight, false);
    bn_call_parameter(k, "tbias", call->tbias, false);
    bn_call_statistic(k, "save_mean", call->save_mean, false);
    bn_call_statistic(k, "save_rstd", call->save_rstd, false);
    if (!status) status = bn_call_check(k, r.exec);
    if (status || bn_geometry_is_empty(&k->g)) return bn_raw_end(&r, status);
    const struct bn_jvp job = bn_jvp_job(&k->g, call);
    return bn_raw_end(&r, bn_run_jvp(&k->g, &job, &r.run));
}

size_t batchnorm_jvp_workspace_bytes(const batchnorm_jvp_call *given) {
    batchnorm_jvp_call place;
    struct bn_call k;
    const batchnorm_jvp_call *call = bn_sized(given, &place, sizeof place, sizeof place);
    if (!call || start_jvp(&k, call) || bn_geometry_is_empty(&k.g)) return 0;
    bn_call_pretend(&k, JVP_NEEDED);
    const struct bn_jvp job = bn_jvp_job(&k.g, call);
    return bn_scratch(bn_jvp_bytes(&k.g, &job));
}

static batchnorm_status start_double(struct bn_call *k, const batchnorm_double_backward_call *call) {
    const batchnorm_status status = bn_call_start(k, &call->shape, 1u << BN_GX | 1u << BN_GDY, 0);
    bn_call_reads(k, BN_X, call->x);
    bn_call_reads(k, BN_DY, call->dy);
    bn_call_reads(k, BN_VX, call->vx);
    bn_call_writes(k, BN_GX, call->gx);
    bn_call_writes(k, BN_GDY, call->gdy);
    return status;
}

batchnorm_status batchnorm_double_backward(const batchnorm_double_backward_call *given, const batchnorm_exec *exec) {
    struct bn_raw r;
    batchnorm_double_backward_call place;
    batchnorm_status status;
    const batchnorm_double_backward_call *call = bn_raw_begin(&r, exec, given, &place, sizeof place, &status);
    if (!call) return status;
    if (bn_has_elements(&call->shape) && !(call->x.data && call->dy.data && call->save_mean && call->save_rstd))
        return bn_raw_missing(&r, "x, dy, save_mean and save_rstd");
    struct bn_call *k = &r.k;
    status = start_double(k, call);
    if (!status) status = bn_check_sizes(&k->g);
    if (!status) status = check_flags(call->flags, BATCHNORM_FROZEN);
    bn_call_parameter(k, "weight", call->weight, false);
    bn_call_parameter(k, "vweight", call->vweight, false);
    bn_call_parameter(k, "vbias", call->vbias, false);
    bn_call_statistic(k, "save_mean", call->save_mean, false);
    bn_call_statistic(k, "save_rstd", call->save_rstd, false);
    bn_call_parameter(k, "gweight", call->gweight, true);
    if (!status) status = bn_call_check(k, r.exec);
    if (status) return bn_raw_end(&r, status);
    const struct bn_double_backward job = bn_double_backward_job(&k->g, call);
    if (!bn_geometry_is_empty(&k->g)) return bn_raw_end(&r, bn_run_double_backward(&k->g, &job, &r.run));
    clear(k, call->gweight);
    return BATCHNORM_OK;
}

size_t batchnorm_double_backward_workspace_bytes(const batchnorm_double_backward_call *given) {
    batchnorm_double_backward_call place;
    struct bn_call k;
    const batchnorm_double_backward_call *call = bn_sized(given, &place, sizeof place, sizeof place);
    if (!call || start_double(&k, call) || bn_geometry_is_empty(&k.g)) return 0;
    bn_call_pretend(&k, 1u << BN_X | 1u << BN_DY);
    const struct bn_double_backward job = bn_double_backward_job(&k.g, call);
    return bn_scratch(bn_double_backward_bytes(&k.g, &job));
}
