/* SPDX-License-Identifier: MIT */
/* Statistics, normalization with given statistics, and both in one. */
#include <math.h>

#include "plan/pass.h"

static const struct bn_use x_only[] = {{BN_X, BN_AS_X}};
static const struct bn_use x_y_z[] = {{BN_X, BN_AS_X}, {BN_Y, BN_AS_OUT}, {BN_Z, BN_AS_Z}};

/* y, with what follows the normalization. */
static void write_y(struct bn_pass *p, const struct bn_geometry *g, batchnorm_activation activation) {
    bool has_z = bn_is_there(g, BN_Z);
    struct bn_sweep *s = bn_pass_write(p, g, BN_AFFINE, has_z ? 3 : 2, x_y_z);
    s->active = bn_is_active(g, activation);
    s->act = bn_act_of(activation);
}

static void stats_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    batchnorm_stat *const *stats = p->job;
    for (size_t c = channel; c < channel + channels; c++) bn_merge(&(*stats)[c], bn_pass_moments(p, 0, c));
}

static void stats_build(struct bn_pass *p, const struct bn_geometry *g, batchnorm_stat *const *stats) {
    bn_pass_start(p, g);
    bn_pass_reduce(p, g, BN_MOMENTS, 1, x_only);
    p->numbers = stats_numbers;
    p->job = stats;
}

size_t bn_stats_bytes(const struct bn_geometry *g) {
    struct bn_pass p;
    stats_build(&p, g, NULL);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_stats(const struct bn_geometry *g, batchnorm_stat *stats, const struct bn_exec *exec) {
    struct bn_pass p;
    stats_build(&p, g, &stats);
    return bn_pass_all(&p, exec);
}

static void normalize_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_normalize *j = p->job;
    for (size_t c = channel; c < channel + channels; c++) {
        double weight = bn_vector_get(j->weight, c, 1), bias = bn_vector_get(j->bias, c, 0);
        bn_set_affine(p->table[0], c, j->mean[c], weight * j->rstd[c], bias, false);
    }
}

static void normalize_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_normalize *job) {
    bn_pass_start(p, g);
    write_y(p, g, job->activation);
    p->numbers = normalize_numbers;
    p->job = job;
}

size_t bn_normalize_bytes(const struct bn_geometry *g, const struct bn_normalize *job) {
    struct bn_pass p;
    normalize_build(&p, g, job);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_normalize(const struct bn_geometry *g, const struct bn_normalize *job, const struct bn_exec *exec) {
    struct bn_pass p;
    normalize_build(&p, g, job);
    return bn_pass_all(&p, exec);
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

static void infer_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_infer *job) {
    bn_pass_start(p, g);
    write_y(p, g, job->activation);
    p->numbers = infer_numbers;
    p->job = job;
}

size_t bn_infer_bytes(const struct bn_geometry *g, const struct bn_infer *job) {
    struct bn_pass p;
    infer_build(&p, g, job);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_infer(const struct bn_geometry *g, const struct bn_infer *job, const struct bn_exec *exec) {
    struct bn_pass p;
    infer_build(&p, g, job);
    return bn_pass_all(&p, exec);
}

/* On copies, which no store can change. */
static void forward_numbers(const struct bn_pass *p, size_t channel, size_t channels) {
    const struct bn_forward j = *(const struct bn_forward *)p->job;
    const struct bn_table table = p->table[0];
    batchnorm_stat *own = (batchnorm_stat *)p->own;
    for (size_t c = channel; c < channel + channels; c++) {
        batchnorm_stat s = bn_pass_moments(p, 0, c);
        double weight = bn_vector_get(j.weight, c, 1), bias = bn_vector_get(j.bias, c, 0), rstd = bn_rstd(s, j.eps);
        bn_set_affine(table, c, s.mean, weight * rstd, bias, s.m2 == 0);
        own[c] = s;
        if (j.stats) j.stats[c] = s;
        if (j.save_mean) j.save_mean[c] = s.mean;
        if (j.save_rstd) j.save_rstd[c] = rstd;
    }
}

/* Scratch of its own: the statistics of every channel, which the caller may not have room for. */
static void forward_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_forward *job) {
    bn_pass_start(p, g);
    bn_pass_reduce(p, g, BN_MOMENTS, 1, x_only);
    write_y(p, g, job->activation);
    p->own_doubles = g->channels * (sizeof(batchnorm_stat) / sizeof(double));
    p->numbers = forward_numbers;
    p->job = job;
}

size_t bn_forward_bytes(const struct bn_geometry *g, const struct bn_forward *job) {
    struct bn_pass p;
    forward_build(&p, g, job);
    return bn_pass_bytes(&p);
}

batchnorm_status bn_run_forward(const struct bn_geometry *g, const struct bn_forward *job, const struct bn_exec *exec) {
    struct bn_pass p;
    forward_build(&p, g, job);
    batchnorm_status status = bn_pass_prepare(&p, exec);
    if (status) return status;
    bn_pass_run(&p);
    if (job->done) job->done(job->arg, (const batchnorm_stat *)p.own);
    bn_pass_end(&p);
    return BATCHNORM_OK;
}
