/* SPDX-License-Identifier: MIT */
/* Statistics, normalization with given statistics, and both in one; running statistics. */
#include <math.h>
#include <string.h>

#include "plan/pass.h"

/* The facts on which the table depends: an activation or a residual follows; the statistics are given. */
enum { ACTIVE = 1, GIVEN = 2 };

/* Statistics have the first sweep, normalization and evaluation the others. */
static const struct bn_entry sweeps[] = {
    /* needs, unless, verb, active, arrays */
    {0, GIVEN, BNK_MOMENTS, false, 1, {{BN_X, BNK_X}}},
    {0, ACTIVE, BNK_AFFINE, false, 2, {{BN_X, BNK_X}, {BN_Y, BNK_OUT}}},
    {ACTIVE, 0, BNK_AFFINE, true, 3, {{BN_X, BNK_X}, {BN_Y, BNK_OUT}, {BN_Z, BNK_Z}}},
};

static unsigned facts_of(const struct bn_geometry *g, batchnorm_activation activation) {
    return activation.kind != BATCHNORM_IDENTITY || bn_is_there(g, BN_Z) ? ACTIVE : 0;
}

static void merge_stats(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_stats *j = p->job;
    for (size_t c = channel; c < channel + channels && j->stats; c++) bn_merge(&j->stats[c], bn_pass_moments(p, 0, c));
}

void bn_build_stats(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    bn_pass_build(p, g, sweeps, 1, 0, (batchnorm_activation){BATCHNORM_IDENTITY, 0});
    p->set_coefficients = merge_stats;
    p->nodes = ((const struct bn_stats *)job)->nodes;
    p->job = job;
}

/* Sets the affines of some channels, at most BN_SOME, with weights and biases that may not be there. */
static void set_affines(const struct bn_pass *p, size_t channel, size_t count, const double *mean, const double *rstd,
                        struct bn_vector weights, struct bn_vector biases, const double *spread) {
    double scale[BN_SOME], bias[BN_SOME];
    bn_vector_read(weights, channel, count, 1, scale);
    bn_vector_read(biases, channel, count, 0, bias);
    for (size_t i = 0; i < count; i++) scale[i] *= rstd[i];
    bn_set_affines(p->coefficients[0], channel, count, (struct bnk_affines){mean, scale, bias, spread});
}

static void normalize_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_normalize *j = p->job;
    for (size_t c = channel, end = channel + channels, count; c < end; c += count) {
        count = bn_least(end - c, BN_SOME);
        set_affines(p, c, count, j->mean + c, j->rstd + c, j->weight, j->bias, NULL);
    }
}

void bn_build_normalize(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_normalize *j = job;
    bn_pass_build(p, g, sweeps + 1, 2, facts_of(g, j->activation), j->activation);
    p->set_coefficients = normalize_coefficients;
    p->job = job;
}

static void infer_some(const struct bn_pass *p, const struct bn_infer *j, size_t c, size_t count) {
    double own[2][BN_SOME], var[BN_SOME];
    double *mean = j->save_mean ? j->save_mean + c : own[0], *rstd = j->save_rstd ? j->save_rstd + c : own[1];
    bn_vector_read(j->mean, c, count, 0, mean);
    bn_vector_read(j->var, c, count, 1, var);
    bnk_table()->numbers->rstd(NULL, var, j->eps, count, rstd);
    set_affines(p, c, count, mean, rstd, j->weight, j->bias, var);
}

static void infer_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    for (size_t c = channel, end = channel + channels; c < end; c += BN_SOME)
        infer_some(p, p->job, c, bn_least(end - c, BN_SOME));
}

void bn_build_infer(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_infer *j = job;
    bn_pass_build(p, g, sweeps + 1, 2, facts_of(g, j->activation), j->activation);
    p->set_coefficients = infer_coefficients;
    p->job = job;
}

static void forward_some(const struct bn_pass *p, const struct bn_forward *j, size_t c, size_t some) {
    batchnorm_stat *const to[] = {p->own ? (batchnorm_stat *)p->own + c : NULL, j->stats ? j->stats + c : NULL};
    double count[BN_SOME], m2[BN_SOME], own[2][BN_SOME];
    double *mean = j->save_mean ? j->save_mean + c : own[0], *rstd = j->save_rstd ? j->save_rstd + c : own[1];
    for (size_t i = 0; i < some; i++) count[i] = p->valid;
    if (!j->given) bn_pass_read(p, 0, c, some, mean, m2);
    for (size_t i = 0; i < some && j->given; i++) {
        count[i] = j->given[c + i].count;
        mean[i] = j->given[c + i].mean;
        m2[i] = j->given[c + i].m2;
    }
    bnk_table()->numbers->rstd(count, m2, j->eps, some, rstd);
    set_affines(p, c, some, mean, rstd, j->weight, j->bias, m2);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < some && to[k]; i++) to[k][i] = (batchnorm_stat){count[i], mean[i], m2[i]};
}

static void forward_coefficients(const struct bn_pass *p, size_t channel, size_t channels) {
    for (size_t c = channel, end = channel + channels; c < end; c += BN_SOME)
        forward_some(p, p->job, c, bn_least(end - c, BN_SOME));
}

static void forward_done(const struct bn_pass *p) {
    const struct bn_forward *j = p->job;
    j->done(j->arg, (const batchnorm_stat *)p->own);
}

/* Takes scratch of its own for the statistics of every channel, where the job has somebody to hand them to. */
void bn_build_forward(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_forward *j = job;
    bn_pass_build(p, g, sweeps, 3, facts_of(g, j->activation) | (j->given ? GIVEN : 0), j->activation);
    p->set_coefficients = forward_coefficients;
    p->job = job;
    p->needs_two = j->needs_two && !j->given && p->mask_of;
    if (!j->done) return;
    p->own_doubles = g->channels * (sizeof(batchnorm_stat) / sizeof(double));
    p->done = forward_done;
}

/* Running statistics */

double bn_momentum_of_new(const batchnorm_options *options) {
    return options->momentum_rule == BATCHNORM_MOMENTUM_OF_NEW ? options->momentum : 1 - options->momentum;
}

static bool all_finite(const batchnorm_stat *stats, size_t channels) {
    for (size_t c = 0; c < channels; c++)
        if (stats[c].count != 0 && !(isfinite(stats[c].mean) && isfinite(stats[c].m2))) return false;
    return true;
}

/* Running_var averages the unbiased variance. With one value that does not exist; where this is allowed, var is taken. Channels
 * without a value stay as they are. */
static void update_some(const batchnorm_stat *stats, size_t count, const batchnorm_options *options, double factor,
                        double *mean, double *var) {
    const bool biased = options->running_variance == BATCHNORM_VARIANCE_BIASED;
    double values[BN_SOME], new_mean[BN_SOME], m2[BN_SOME], divisor[BN_SOME];
    for (size_t i = 0; i < count; i++) {
        values[i] = stats[i].count;
        new_mean[i] = stats[i].mean;
        m2[i] = stats[i].m2;
        divisor[i] = values[i] - (biased || values[i] == 0 || (values[i] == 1 && options->allow_one_value) ? 0 : 1);
    }
    bnk_table()->numbers->running(values, new_mean, m2, divisor, factor, count, mean, var);
}

bool bn_update_running(const batchnorm_stat *stats, size_t channels, const batchnorm_options *options, double factor,
                       struct bn_vector mean_from, struct bn_vector var_from, struct bn_output mean, struct bn_output var) {
    if (options->require_finite && !all_finite(stats, channels)) return false;
    for (size_t c = 0, count; c < channels; c += count) {
        double some_mean[BN_SOME], some_var[BN_SOME];
        count = bn_least(channels - c, BN_SOME);
        bn_vector_read(mean_from, c, count, 0, some_mean);
        bn_vector_read(var_from, c, count, 1, some_var);
        update_some(stats + c, count, options, factor, some_mean, some_var);
        bn_vector_write(mean, c, count, some_mean);
        bn_vector_write(var, c, count, some_var);
    }
    return true;
}
