/* SPDX-License-Identifier: MIT */
/* Running statistics. */
#include <math.h>

#include "plan/job.h"

double bn_momentum_of_new(const batchnorm_options *options) {
    return options->momentum_rule == BATCHNORM_MOMENTUM_OF_NEW ? options->momentum : 1 - options->momentum;
}

static bool all_finite(const batchnorm_stat *stats, size_t channels) {
    for (size_t c = 0; c < channels; c++)
        if (stats[c].count != 0 && !(isfinite(stats[c].mean) && isfinite(stats[c].m2))) return false;
    return true;
}

/* The variance that running_var averages. With one value the unbiased one does not exist; where that is allowed, var is
 * taken. */
static double running_variance(batchnorm_stat s, const batchnorm_options *options) {
    bool biased = options->running_variance == BATCHNORM_VARIANCE_BIASED || (s.count == 1 && options->allow_one_value);
    return s.m2 / (biased ? s.count : s.count - 1);
}

bool bn_update_running(const batchnorm_stat *stats, size_t channels, const batchnorm_options *options, double factor,
                       struct bn_vector mean_from, struct bn_vector var_from, struct bn_output mean, struct bn_output var) {
    if (options->require_finite && !all_finite(stats, channels)) return false;
    for (size_t c = 0; c < channels; c++) {
        double old_mean = bn_vector_get(mean_from, c, 0), old_var = bn_vector_get(var_from, c, 1);
        bool seen = stats[c].count != 0;
        bn_output_set(mean, c, seen ? (1 - factor) * old_mean + factor * stats[c].mean : old_mean);
        bn_output_set(var, c, seen ? (1 - factor) * old_var + factor * running_variance(stats[c], options) : old_var);
    }
    return true;
}
