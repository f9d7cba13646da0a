/* SPDX-License-Identifier: MIT */
/* Raw buffers, backward; see raw_forward.c. */
#include "api/raw.h"

/* Sets a gradient to 0, the sum of no elements. */
static void clear(const struct bn_raw *r, void *gradient) {
    const struct bn_output output = {gradient, bn_parameter_dtype(r->k.g.dtype)};
    for (size_t c = 0; c < r->k.g.channels; c++) bn_output_set(output, c, 0);
}

/* backward */

/* Starts a backward. An array that is given without need counts as absent. */
static batchnorm_status backward_start(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    const struct bn_needs needs = bn_backward_needs(call);
    const unsigned inputs = 1u << BN_X | 1u << BN_Z | 1u << BN_Y | 1u << BN_DY;
    const batchnorm_status status = bn_call_start(&r->k, &call->shape, 1u << BN_DX | 1u << BN_DZ, inputs);
    bn_raw_part(r, call->grain, call->first_sample, call->group);
    bn_raw_mask(r, &call->mask);
    if (needs.x) bn_call_reads(&r->k, BN_X, call->x);
    if (needs.z) bn_call_reads(&r->k, BN_Z, call->z);
    if (needs.y) bn_call_reads(&r->k, BN_Y, call->y);
    bn_call_reads(&r->k, BN_DY, call->dy);
    bn_call_writes(&r->k, BN_DX, call->dx);
    bn_call_writes(&r->k, BN_DZ, call->dz);
    r->wants_nothing = !needs.anything;
    if (r->wants_nothing) return status;
    r->needed = 1u << BN_DY | (needs.x ? 1u << BN_X : 0) | (needs.from_y ? 1u << BN_Y : 0);
    r->lacks_numbers = !call->save_rstd || (needs.x && !call->save_mean);
    r->missing = needs.x ? "x, dy, save_mean and save_rstd" : "dy and save_rstd";
    return status;
}

static batchnorm_status backward_check(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    batchnorm_status status = bn_raw_check_activation(r, call->activation);
    if (!status) status = bn_raw_check_part(r);
    if (!status && call->group && call->sums)
        status = bn_raw_fail(r, BATCHNORM_BAD_OPTION, "sums are given, but a group makes them itself");
    if (!status) status = bn_raw_check_flags(r, call->flags, BATCHNORM_FROZEN | BATCHNORM_ACCUMULATE);
    if (!status && bn_backward_needs(call).from_y) status = bn_check_from_y(&r->k.g, call, r->why);
    return status;
}

static void backward_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "bias", call->bias, false);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, false);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, false);
    bn_call_parameter(&r->k, "dweight", call->dweight, true);
    bn_call_parameter(&r->k, "dbias", call->dbias, true);
    r->k.numbers[r->k.count++] = (struct bn_numbers){"sums", call->sums, sizeof *call->sums, false};
}

static void backward_fill(struct bn_raw *r, const void *call) { r->job.backward = bn_backward_job(&r->k.g, call); }

static void backward_empty(struct bn_raw *r, const void *given) {
    const batchnorm_backward_call *call = given;
    if (call->sums) {
        const struct bn_backward job = bn_backward_job(&r->k.g, call);
        bn_backward_numbers(&job, r->k.g.channels);
        return;
    }
    if (call->flags & BATCHNORM_ACCUMULATE) return;
    clear(r, call->dweight);
    clear(r, call->dbias);
}

static batchnorm_status backward_group(struct bn_raw *r, const void *given, const batchnorm_exec *exec,
                                       batchnorm_status status) {
    const struct bn_group_call call = {r->group, &r->k.g, {.caller = exec}, status, r->why};
    backward_fill(r, given);
    return bn_group_backward(&call, &r->job.backward);
}

static size_t backward_group_bytes(struct bn_raw *r, const void *call) {
    (void)call;
    return bn_group_backward_bytes(&r->k.g, &r->job.backward);
}

static const struct bn_raw_kind backward = {.bytes = sizeof(batchnorm_backward_call),
                                            .first = offsetof(batchnorm_backward_call, grain),
                                            .build = bn_build_backward,
                                            .start = backward_start,
                                            .check = backward_check,
                                            .numbers = backward_numbers,
                                            .fill = backward_fill,
                                            .empty = backward_empty,
                                            .run_group = backward_group,
                                            .group_bytes = backward_group_bytes};

/* the sums of a backward */

/* Returns the backward of which these are the sums. It has no outputs. */
static batchnorm_backward_call backward_of(const batchnorm_sums_call *call) {
    return (batchnorm_backward_call){.shape = call->shape,
                                     .x = call->x,
                                     .z = call->z,
                                     .y = call->y,
                                     .dy = call->dy,
                                     .weight = call->weight,
                                     .bias = call->bias,
                                     .save_mean = call->save_mean,
                                     .save_rstd = call->save_rstd,
                                     .activation = call->activation,
                                     .mask = call->mask};
}

static batchnorm_status sums_start(struct bn_raw *r, const void *given) {
    const batchnorm_sums_call *call = given;
    const batchnorm_backward_call backward = backward_of(call);
    const struct bn_needs needs = bn_backward_needs(&backward);
    const bool from_y = bn_goes_from_y(&backward);
    const batchnorm_status status = bn_call_start(&r->k, &call->shape, 0, 0);
    bn_raw_part(r, call->grain, call->first_sample, NULL);
    bn_raw_mask(r, &call->mask);
    if (!from_y) bn_call_reads(&r->k, BN_X, call->x);
    bn_call_reads(&r->k, BN_DY, call->dy);
    if (needs.z) bn_call_reads(&r->k, BN_Z, call->z);
    if (needs.y || from_y) bn_call_reads(&r->k, BN_Y, call->y);
    r->needed = 1u << (from_y ? BN_Y : BN_X) | 1u << BN_DY;
    r->lacks_numbers = !((call->save_mean || from_y) && call->save_rstd && call->sums);
    r->missing = "x, dy, save_mean, save_rstd and sums";
    return status;
}

static batchnorm_status sums_check(struct bn_raw *r, const void *given) {
    const batchnorm_sums_call *call = given;
    const batchnorm_backward_call backward = backward_of(call);
    batchnorm_status status = bn_raw_check_activation(r, call->activation);
    if (!status) status = bn_raw_check_part(r);
    if (!status && bn_goes_from_y(&backward)) status = bn_check_from_y(&r->k.g, &backward, r->why);
    return status;
}

static void sums_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_sums_call *call = given;
    bn_call_parameter(&r->k, "weight", call->weight, false);
    bn_call_parameter(&r->k, "bias", call->bias, false);
    bn_call_statistic(&r->k, "save_mean", call->save_mean, false);
    bn_call_statistic(&r->k, "save_rstd", call->save_rstd, false);
    r->k.numbers[r->k.count++] = (struct bn_numbers){"sums", call->sums, sizeof *call->sums, true};
}

static void sums_fill(struct bn_raw *r, const void *given) {
    const batchnorm_sums_call *call = given;
    const batchnorm_backward_call backward = backward_of(call);
    r->job.backward = bn_backward_job(&r->k.g, &backward);
    r->job.backward.mean = call->save_mean;
    r->job.backward.sums = call->sums;
    r->job.backward.from_y = bn_goes_from_y(&backward);
}

static const struct bn_raw_kind sums = {.bytes = sizeof(batchnorm_sums_call),
                                        .first = offsetof(batchnorm_sums_call, mask),
                                        .build = bn_build_backward,
                                        .start = sums_start,
                                        .check = sums_check,
                                        .numbers = sums_numbers,
                                        .fill = sums_fill};

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
    return bn_raw_check_flags(r, ((const batchnorm_jvp_call *)call)->flags, BATCHNORM_FROZEN);
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

static const struct bn_raw_kind jvp = {.bytes = sizeof(batchnorm_jvp_call),
                                       .build = bn_build_jvp,
                                       .start = jvp_start,
                                       .check = jvp_check,
                                       .numbers = jvp_numbers,
                                       .fill = jvp_fill};

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
    return bn_raw_check_flags(r, ((const batchnorm_double_backward_call *)call)->flags, BATCHNORM_FROZEN);
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

static const struct bn_raw_kind double_backward = {.bytes = sizeof(batchnorm_double_backward_call),
                                                   .build = bn_build_double_backward,
                                                   .start = double_backward_start,
                                                   .check = double_backward_check,
                                                   .numbers = double_backward_numbers,
                                                   .fill = double_backward_fill,
                                                   .empty = double_backward_empty};

BN_RAW_CALLS(backward)
BN_RAW_CALLS(jvp)

batchnorm_status batchnorm_sums_accumulate(const batchnorm_sums_call *call, const batchnorm_exec *exec) {
    return bn_raw_run(&sums, call, exec);
}
size_t batchnorm_sums_workspace_bytes(const batchnorm_sums_call *call) { return bn_raw_bytes(&sums, call); }
size_t batchnorm_sums_explain(const batchnorm_sums_call *call, const batchnorm_exec *exec, char *text, size_t size) {
    return bn_raw_explain(&sums, call, exec, text, size);
}
void batchnorm_sums_clear(batchnorm_sum *of, size_t channels) {
    for (size_t c = 0; c < channels; c++) of[c] = (batchnorm_sum){0, 0, 0};
}
void batchnorm_sums_merge(batchnorm_sum *into, const batchnorm_sum *from, size_t channels) {
    for (size_t c = 0; c < channels; c++) {
        into[c].count += from[c].count;
        into[c].dy += from[c].dy;
        into[c].dy_d += from[c].dy_d;
    }
}

BN_RAW_CALLS(double_backward)
