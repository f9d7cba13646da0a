/* SPDX-License-Identifier: MIT */
/* Raw buffers, backward; see raw_forward.c. */
#include "api/raw.h"

/* Sets a gradient to 0, the sum of no elements. */
static void clear(const struct bn_raw *r, void *gradient) {
    const struct bn_output output = {gradient, bn_parameter_dtype(r->k.g.dtype)};
    for (size_t c = 0; c < r->k.g.channels; c++) bn_output_set(output, c, 0);
}

static batchnorm_status check_flags(unsigned flags, unsigned known) {
    return flags & ~known ? BATCHNORM_BAD_OPTION : BATCHNORM_OK;
}

/* backward */

/* Starts a backward. An array that is given without need counts as absent. */
static batchnorm_status backward_start(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    const struct bn_needs needs = bn_backward_needs(call);
    const unsigned inputs = 1u << BN_X | 1u << BN_Z | 1u << BN_Y | 1u << BN_DY;
    const batchnorm_status status = bn_call_start(&r->k, &call->shape, 1u << BN_DX | 1u << BN_DZ, inputs);
    if (needs.x) bn_call_reads(&r->k, BN_X, call->x);
    if (needs.z) bn_call_reads(&r->k, BN_Z, call->z);
    if (needs.y) bn_call_reads(&r->k, BN_Y, call->y);
    bn_call_reads(&r->k, BN_DY, call->dy);
    bn_call_writes(&r->k, BN_DX, call->dx);
    bn_call_writes(&r->k, BN_DZ, call->dz);
    r->wants_nothing = !needs.anything;
    if (r->wants_nothing) return status;
    r->needed = 1u << BN_DY | (needs.x ? 1u << BN_X : 0);
    r->lacks_numbers = !call->save_rstd || (needs.x && !call->save_mean);
    r->missing = needs.x ? "x, dy, save_mean and save_rstd" : "dy and save_rstd";
    return status;
}

static batchnorm_status backward_check(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    (void)r;
    const batchnorm_status status = bn_check_activation(call->activation);
    return status ? status : check_flags(call->flags, BATCHNORM_FROZEN | BATCHNORM_ACCUMULATE);
}

static void backward_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "bias", call->bias, false);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, false);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, false);
    bn_call_parameter(&r->k, "dweight", call->dweight, true);
    bn_call_parameter(&r->k, "dbias", call->dbias, true);
}

static void backward_fill(struct bn_raw *r, const void *call) { r->job.backward = bn_backward_job(&r->k.g, call); }

static void backward_empty(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    if (call->flags & BATCHNORM_ACCUMULATE) return;
    clear(r, call->dweight);
    clear(r, call->dbias);
}

static const struct bn_raw_kind backward = {sizeof(batchnorm_backward_call),
                                            bn_build_backward,
                                            backward_start,
                                            backward_check,
                                            backward_numbers,
                                            backward_fill,
                                            backward_empty};

/* jvp */

static batchnorm_status jvp_start(struct bn_raw *r, const void *given) {
    const batchnorm_jvp_call *call = given;
    const batchnorm_status status = bn_call_start(&r->k, &call->shape, 1u << BN_TY, 1u << BN_X | 1u << BN_TX);
    bn_call_reads(&r->k, BN_X, call->x);
    bn_call_reads(&r->k, BN_TX, call->tx);
    bn_call_writes(&r->k, BN_TY, call->ty);
    r->needed = 1u << BN_X | 1u << BN_TX | 1u << BN_TY;
    r->lacks_numbers = !(call->save_mean && call->save_rstd);
    r->missing = "x, tx, ty, save_mean and save_rstd";
    return status;
}

static batchnorm_status jvp_check(struct bn_raw *r, const void *call) {
    (void)r;
    return check_flags(((const batchnorm_jvp_call *)call)->flags, BATCHNORM_FROZEN);
}

static void jvp_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_jvp_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "tweight", call->tweight, false);
    bn_call_parameter(&r->k, "tbias", call->tbias, false);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, false);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, false);
}

static void jvp_fill(struct bn_raw *r, const void *call) { r->job.jvp = bn_jvp_job(&r->k.g, call); }

static const struct bn_raw_kind jvp = {
    sizeof(batchnorm_jvp_call), bn_build_jvp, jvp_start, jvp_check, jvp_numbers, jvp_fill, NULL};

/* double backward */

static batchnorm_status double_backward_start(struct bn_raw *r, const void *given) {
    const batchnorm_double_backward_call *call = given;
    const batchnorm_status status = bn_call_start(&r->k, &call->shape, 1u << BN_GX | 1u << BN_GDY, 0);
    bn_call_reads(&r->k, BN_X, call->x);
    bn_call_reads(&r->k, BN_DY, call->dy);
    bn_call_reads(&r->k, BN_VX, call->vx);
    bn_call_writes(&r->k, BN_GX, call->gx);
    bn_call_writes(&r->k, BN_GDY, call->gdy);
    r->needed = 1u << BN_X | 1u << BN_DY;
    r->lacks_numbers = !(call->save_mean && call->save_rstd);
    r->missing = "x, dy, save_mean and save_rstd";
    return status;
}

static batchnorm_status double_backward_check(struct bn_raw *r, const void *call) {
    (void)r;
    return check_flags(((const batchnorm_double_backward_call *)call)->flags, BATCHNORM_FROZEN);
}

static void double_backward_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_double_backward_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "vweight", call->vweight, false);
    bn_call_parameter(&r->k, "vbias", call->vbias, false);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, false);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, false);
    bn_call_parameter(&r->k, "gweight", call->gweight, true);
}

static void double_backward_fill(struct bn_raw *r, const void *call) {
    r->job.double_backward = bn_double_backward_job(&r->k.g, call);
}

static void double_backward_empty(struct bn_raw *r, const void *call) {
    clear(r, ((const batchnorm_double_backward_call *)call)->gweight);
}

static const struct bn_raw_kind double_backward = {sizeof(batchnorm_double_backward_call),
                                                   bn_build_double_backward,
                                                   double_backward_start,
                                                   double_backward_check,
                                                   double_backward_numbers,
                                                   double_backward_fill,
                                                   double_backward_empty};

BN_RAW_CALLS(backward)
BN_RAW_CALLS(jvp)
BN_RAW_CALLS(double_backward)
