/* SPDX-License-Identifier: MIT */
#include "batchnorm/stats.h"

#include <math.h>

#include "api/raw.h"
#include "plan/coefficients.h"

void batchnorm_stats_clear(batchnorm_stat *stats, size_t channels) {
    for (size_t c = 0; c < channels; c++) stats[c] = (batchnorm_stat){0, 0, 0};
}

void batchnorm_stats_merge(batchnorm_stat *into, const batchnorm_stat *from, size_t channels) {
    for (size_t c = 0; c < channels; c++) bn_merge(&into[c], from[c]);
}

static batchnorm_status stats_start(struct bn_raw *r, const void *given) {
    const batchnorm_stats_call *call = given;
    const batchnorm_status status = bn_call_start(&r->k, &call->shape, 0, 0);
    bn_raw_part(r, call->grain, call->first_sample, NULL);
    bn_raw_mask(r, &call->mask);
    bn_call_reads(&r->k, BN_X, call->x);
    r->needed = 1u << BN_X;
    r->lacks_numbers = !call->stats;
    r->missing = "x and stats";
    return status;
}

static void stats_numbers(struct bn_raw *r, const void *given) {
    const batchnorm_stats_call *call = given;
    r->k.numbers[r->k.count++] = (struct bn_numbers){"stats", call->stats, sizeof *call->stats, true};
}

static batchnorm_status stats_check(struct bn_raw *r, const void *call) {
    (void)call;
    return bn_raw_check_part(r);
}

static void stats_fill(struct bn_raw *r, const void *call) {
    r->job.stats = (struct bn_stats){.stats = ((const batchnorm_stats_call *)call)->stats};
}

static const struct bn_raw_kind stats_kind = {.bytes = sizeof(batchnorm_stats_call),
                                              .first = offsetof(batchnorm_stats_call, grain),
                                              .build = bn_build_stats,
                                              .start = stats_start,
                                              .check = stats_check,
                                              .numbers = stats_numbers,
                                              .fill = stats_fill};

batchnorm_status batchnorm_stats_accumulate(const batchnorm_stats_call *call, const batchnorm_exec *exec) {
    return bn_raw_run(&stats_kind, call, exec);
}

size_t batchnorm_stats_workspace_bytes(const batchnorm_stats_call *call) { return bn_raw_bytes(&stats_kind, call); }

size_t batchnorm_stats_explain(const batchnorm_stats_call *call, const batchnorm_exec *exec, char *text, size_t size) {
    return bn_raw_explain(&stats_kind, call, exec, text, size);
}

void batchnorm_stats_finish(const batchnorm_stat *stats, size_t channels, double correction, double eps, double *mean,
                            double *var, double *rstd) {
    for (size_t c = 0; c < channels; c++) {
        batchnorm_stat s = stats[c];
        bool seen = s.count > 0;
        if (mean) mean[c] = seen ? s.mean : NAN;
        if (var) var[c] = s.count > correction ? s.m2 / (s.count - correction) : NAN;
        if (rstd) rstd[c] = seen ? bn_rstd(s, eps) : NAN;
    }
}

batchnorm_status batchnorm_stats_update_running(const batchnorm_stat *stats, size_t channels, batchnorm_dtype dtype,
                                                void *running_mean, void *running_var, const batchnorm_options *options) {
    if (channels && !stats) return BATCHNORM_NULL_POINTER;
    if ((unsigned)dtype > BATCHNORM_F16) return BATCHNORM_BAD_DTYPE;
    const batchnorm_options pytorch = batchnorm_convention(BATCHNORM_PYTORCH);
    if (!options) options = &pytorch;
    if (options->size != sizeof *options) return BATCHNORM_BAD_OPTION;
    for (size_t c = 0; c < channels && !options->allow_one_value; c++)
        if (stats[c].count == 1) return BATCHNORM_ONE_VALUE;
    batchnorm_status status = bn_check_options(options);
    struct bn_output mean = {running_mean, bn_parameter_dtype(dtype)}, var = {running_var, bn_parameter_dtype(dtype)};
    const size_t bytes = batchnorm_dtype_bytes(mean.dtype);
    const struct bn_numbers numbers[] = {{"stats", stats, sizeof *stats, false},
                                         {"running_mean", running_mean, bytes, true},
                                         {"running_var", running_var, bytes, true}};
    struct bn_fault fault;
    const struct bn_geometry alone = {.channels = channels, .count = 1};
    if (!status) status = bn_check_numbers(&alone, 0, numbers, 3, &fault);
    if (status) return status;
    struct bn_vector old_mean = {running_mean, mean.dtype}, old_var = {running_var, var.dtype};
    bool committed = bn_update_running(stats, channels, options, bn_momentum_of_new(options), old_mean, old_var, mean, var);
    return committed ? BATCHNORM_OK : BATCHNORM_NOT_COMMITTED;
}
