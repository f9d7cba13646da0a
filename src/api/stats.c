/* SPDX-License-Identifier: MIT */
#include "batchnorm/stats.h"

#include <math.h>

#include "api/check.h"
#include "api/raw.h"
#include "api/shape.h"
#include "plan/coefficients.h"

void batchnorm_stats_clear(batchnorm_stat *stats, size_t channels) {
    for (size_t c = 0; c < channels; c++) stats[c] = (batchnorm_stat){0, 0, 0};
}

void batchnorm_stats_merge(batchnorm_stat *into, const batchnorm_stat *from, size_t channels) {
    for (size_t c = 0; c < channels; c++) bn_merge(&into[c], from[c]);
}

batchnorm_status batchnorm_stats_accumulate(const batchnorm_shape *shape, const void *x, batchnorm_stat *stats,
                                            const batchnorm_exec *exec) {
    if (!shape || (shape->outer && shape->channels && shape->inner && !(x && stats)))
        return bn_raw_missing(exec, "shape, x and stats");
    struct bn_geometry g;
    batchnorm_status status = bn_geometry_from_shape(shape, &g);
    bn_geometry_add_array(&g, BN_X, x, shape->x);
    if (!status && !bn_geometry_is_empty(&g)) status = bn_check_sizes(&g);
    const struct bn_numbers numbers = {"stats", stats, sizeof *stats, true};
    struct bn_fault fault;
    if (!status) status = bn_check_numbers(&g, 0, &numbers, 1, &fault);
    if (!status) status = bn_check_workspace(&g, &numbers, 1, exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, (const char *const[]){"x"}, &numbers);
    return bn_geometry_is_empty(&g) ? BATCHNORM_OK
                                    : bn_raw_end(exec, bn_run_stats(&g, stats, &(struct bn_exec){.caller = exec}));
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
    batchnorm_options pytorch = batchnorm_convention(BATCHNORM_PYTORCH);
    if (!options) options = &pytorch;
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
