/* SPDX-License-Identifier: MIT */
/* Statistics, normalization with given statistics, and both in one. */
#include <math.h>

#include "plan/pass.h"

/* The fact on which the table depends: an activation or a residual follows. */
enum { ACTIVE = 1 };

/* Statistics have the first sweep, normalization and evaluation the others. */
static const struct bn_entry sweeps[] = {
    /* needs, unless, verb, active, arrays */
    {0, 0, BN_MOMENTS, false, 1, {{BN_X, BN_AS_X}}},
    {0, ACTIVE, BN_AFFINE, false, 2, {{BN_X, BN_AS_X}, {BN_Y, BN_AS_OUT}}},
    {ACTIVE, 0, BN_AFFINE, true, 3, {{BN_X, BN_AS_X}, {BN_Y, BN_AS_OUT}, {BN_Z, BN_AS_Z}}},
};

static unsigned facts_of(const struct bn_geometry *g, batchnorm_activation activation) {
    return activation.kind != BATCHNORM_IDENTITY || bn_is_there(g, BN_Z) ? ACTIVE : 0;
}

static void stats_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    batchnorm_stat *into = (batchnorm_stat *)(uintptr_t)p->job; /* the job is what it writes */
    for (size_t c = channel; c < channel + channels; c++) bn_merge(&into[c], bn_pass_moments(p, 0, c));
}

void bn_build_stats(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    bn_pass_build(p, g, sweeps, 1, 0, (batchnorm_activation){BATCHNORM_IDENTITY, 0});
    p->numbers = stats_numbers;
    p->job = job;
}

static void normalize_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_normalize *j = p->job;
    for (size_t c = channel; c < channel + channels; c++) {
        double weight = bn_vector_get(j->weight, c, 1), bias = bn_vector_get(j->bias, c, 0);
        bn_set_affine(p->table[0], c, j->mean[c], weight * j->rstd[c], bias, false);
    }
}

void bn_build_normalize(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_normalize *j = job;
    bn_pass_build(p, g, sweeps + 1, 2, facts_of(g, j->activation), j->activation);
    p->numbers = normalize_numbers;
    p->job = job;
}

static void infer_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_infer j = *(const struct bn_infer *)p->job;
    const struct bn_table table = p->table[0];
    for (size_t c = channel; c < channel + channels; c++) {
        double mean = bn_vector_get(j.mean, c, 0), var = bn_vector_get(j.var, c, 1), rstd = 1 / sqrt(var + j.eps);
        double weight = bn_vector_get(j.weight, c, 1), bias = bn_vector_get(j.bias, c, 0);
        bn_set_affine(table, c, mean, weight * rstd, bias, var == 0);
        if (j.save_mean) j.save_mean[c] = mean;
        if (j.save_rstd) j.save_rstd[c] = rstd;
    }
}

void bn_build_infer(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_infer *j = job;
    bn_pass_build(p, g, sweeps + 1, 2, facts_of(g, j->activation), j->activation);
    p->numbers = infer_numbers;
    p->job = job;
}

/* Works on copies, which no store can change. */
static void forward_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_forward j = *(const struct bn_forward *)p->job;
    const struct bn_table table = p->table[0];
    batchnorm_stat *own = (batchnorm_stat *)p->own;
    for (size_t c = channel; c < channel + channels; c++) {
        batchnorm_stat s = bn_pass_moments(p, 0, c);
        double weight = bn_vector_get(j.weight, c, 1), bias = bn_vector_get(j.bias, c, 0), rstd = bn_rstd(s, j.eps);
        bn_set_affine(table, c, s.mean, weight * rstd, bias, s.m2 == 0);
        if (own) own[c] = s;
        if (j.stats) j.stats[c] = s;
        if (j.save_mean) j.save_mean[c] = s.mean;
        if (j.save_rstd) j.save_rstd[c] = rstd;
    }
}

static void forward_done(const struct bn_pass *p) {
    const struct bn_forward *j = p->job;
    j->done(j->arg, (const batchnorm_stat *)p->own);
}

/* Takes scratch of its own for the statistics of every channel, where the job has somebody to hand them to. */
void bn_build_forward(struct bn_pass *p, const struct bn_geometry *g, const void *job) {
    const struct bn_forward *j = job;
    bn_pass_build(p, g, sweeps, 3, facts_of(g, j->activation), j->activation);
    p->numbers = forward_numbers;
    p->job = job;
    if (!j->done) return;
    p->own_doubles = g->channels * (sizeof(batchnorm_stat) / sizeof(double));
    p->done = forward_done;
}
