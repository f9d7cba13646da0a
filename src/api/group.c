/* SPDX-License-Identifier: MIT */
#include "api/group.h"

#include <math.h>
#include <stdlib.h>

#include "plan/coefficients.h"

/* The scratch memory of a call: the message, the sums of all, and that of the jobs. It is taken before anything is sent, so
 * that nothing can fail once all ranks have been told. */
struct scratch {
    double *message;
    void *sums;
    batchnorm_exec exec; /* for the jobs: their part is its workspace */
    struct bn_exec run;
    void *own; /* to be freed */
};

enum { LINE = 64 };

static size_t rounded(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

static struct bn_part part_of(const struct bn_geometry *g, enum bn_sync_verb verb, unsigned flags) {
    struct bn_part part = {.verb = verb, .channels = g->channels, .dtype = g->dtype, .grain = g->grain, .flags = flags};
    part.first = g->first;
    part.samples = g->count ? g->extent[0] : 0;
    return part;
}

/* Returns the bytes of everything; SIZE_MAX if they do not fit. */
static size_t all_bytes(const struct bn_part *part, size_t sum_bytes, size_t job_bytes) {
    const size_t doubles = bn_part_doubles(part), most = SIZE_MAX / 8;
    size_t sums;
    if (doubles > most / sizeof(double) || job_bytes > most || __builtin_mul_overflow(part->channels, sum_bytes, &sums) ||
        sums > most)
        return SIZE_MAX;
    return LINE + rounded(doubles * sizeof(double)) + rounded(sums) + job_bytes;
}

/* Hands out memory from its first line on. */
static void lay_out(struct scratch *s, const struct bn_part *part, size_t sum_bytes, size_t job_bytes, void *memory,
                    const batchnorm_exec *caller) {
    char *at = (char *)memory + (LINE - (uintptr_t)memory % LINE) % LINE;
    s->message = (double *)(void *)at;
    at += rounded(bn_part_doubles(part) * sizeof(double));
    s->sums = at;
    at += rounded(part->channels * sum_bytes);
    s->exec = caller ? *caller : (batchnorm_exec){.size = sizeof(batchnorm_exec)};
    s->exec.workspace = at;
    s->exec.workspace_bytes = job_bytes;
    s->run = (struct bn_exec){.caller = &s->exec};
}

static batchnorm_status take(struct scratch *s, const struct bn_exec *exec, const struct bn_part *part, size_t sum_bytes,
                             size_t job_bytes) {
    const batchnorm_exec *caller = exec->caller;
    const size_t bytes = all_bytes(part, sum_bytes, job_bytes);
    void *memory = NULL;
    s->own = NULL;
    if (bytes == SIZE_MAX) return BATCHNORM_TOO_LARGE;
    if (caller && caller->workspace && caller->workspace_bytes >= bytes)
        memory = caller->workspace;
    else if (exec->reserve)
        memory = exec->memory && exec->bytes >= bytes ? exec->memory : exec->reserve(exec->owner, bytes);
    else if (caller && caller->workspace)
        return BATCHNORM_WORKSPACE_TOO_SMALL;
    else
        memory = s->own = malloc(bytes);
    if (!memory) return BATCHNORM_NO_MEMORY;
    lay_out(s, part, sum_bytes, job_bytes, memory, caller);
    return BATCHNORM_OK;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* forward */

static struct bn_stats first_of_forward(double *nodes) { return (struct bn_stats){.nodes = nodes}; }

static struct bn_forward second_of_forward(const struct bn_forward *job, const batchnorm_stat *stats) {
    struct bn_forward second = *job;
    second.given = stats;
    second.done = NULL;
    return second;
}

/* What the jobs take; a part without elements has none. */
static size_t forward_job_bytes(const struct bn_geometry *g, const struct bn_forward *job) {
    static const batchnorm_stat any;
    static double nowhere;
    if (g->count == 0 || g->channels == 0) return 0;
    const struct bn_stats first = first_of_forward(&nowhere);
    const struct bn_forward second = second_of_forward(job, &any);
    return larger(bn_job_bytes(g, bn_build_stats, &first), bn_job_bytes(g, bn_build_forward, &second));
}

size_t bn_group_forward_bytes(const struct bn_geometry *g, const struct bn_forward *job) {
    const struct bn_part part = part_of(g, BN_SYNC_FORWARD, 0);
    return all_bytes(&part, sizeof(batchnorm_stat), forward_job_bytes(g, job));
}

static void save(const struct bn_forward *job, const batchnorm_stat *stats, size_t channels) {
    for (size_t c = 0; c < channels; c++) {
        if (job->save_mean) job->save_mean[c] = stats[c].mean;
        if (job->save_rstd) job->save_rstd[c] = bn_rstd(stats[c], job->eps);
    }
}

/* What follows the collective. Without any value on any rank nothing changes. */
static batchnorm_status finish_forward(const struct bn_group_call *call, const struct bn_forward *job, const struct bn_all *all,
                                       bool allow_one_value, struct scratch *s) {
    const struct bn_geometry *g = call->g;
    batchnorm_stat *stats = s->sums;
    const double count = bn_all_stats(all, stats);
    if (!bn_all_have_values(all)) return BATCHNORM_OK;
    if (count < 2 && !allow_one_value) return BATCHNORM_ONE_VALUE;
    batchnorm_status status = BATCHNORM_OK;
    if (g->count) {
        const struct bn_forward second = second_of_forward(job, stats);
        status = bn_run_forward(g, &second, &s->run);
    } else {
        save(job, stats, g->channels);
    }
    for (size_t c = 0; c < g->channels && job->stats; c++) job->stats[c] = stats[c];
    if (!status && job->done) job->done(job->arg, stats);
    return status;
}

batchnorm_status bn_group_forward(const struct bn_group_call *call, const struct bn_forward *job, bool allow_one_value) {
    double header[BN_SYNC_HEADER];
    struct bn_part part = part_of(call->g, BN_SYNC_FORWARD, 0);
    struct scratch s = {.message = header};
    struct bn_all all;
    batchnorm_status status = call->status;
    if (!status) status = take(&s, &call->exec, &part, sizeof(batchnorm_stat), forward_job_bytes(call->g, job));
    if (!status && part.samples && part.channels) {
        const struct bn_stats first = first_of_forward(s.message + BN_SYNC_HEADER);
        status = bn_run_stats(call->g, &first, &s.run);
    }
    part.status = status;
    status = bn_sync_gather(call->group, &part, s.message ? s.message : header, &all, call->why);
    if (!status) status = finish_forward(call, job, &all, allow_one_value, &s);
    free(s.own);
    return status;
}

/* backward */

static struct bn_backward first_of_backward(const struct bn_backward *job, double *nodes) {
    struct bn_backward first = *job;
    first.dweight.data = first.dbias.data = NULL;
    first.nodes = nodes;
    return first;
}

static struct bn_backward second_of_backward(const struct bn_backward *job, const batchnorm_sum *sums) {
    struct bn_backward second = *job;
    second.given = sums;
    return second;
}

/* The first job has no outputs. */
static void without_outputs(struct bn_geometry *g) { g->array[BN_DX].data = g->array[BN_DZ].data = NULL; }

static size_t backward_job_bytes(const struct bn_geometry *g, const struct bn_backward *job) {
    static const batchnorm_sum any;
    static double nowhere;
    if (g->count == 0 || g->channels == 0) return 0;
    struct bn_geometry inputs = *g;
    without_outputs(&inputs);
    const struct bn_backward first = first_of_backward(job, &nowhere), second = second_of_backward(job, &any);
    return larger(bn_job_bytes(&inputs, bn_build_backward, &first), bn_job_bytes(g, bn_build_backward, &second));
}

/* What all ranks must want alike. */
static unsigned backward_flags(const struct bn_backward *job) {
    return job->flags | (job->dweight.data ? 1u << 16 : 0) | (job->dbias.data ? 1u << 17 : 0);
}

size_t bn_group_backward_bytes(const struct bn_geometry *g, const struct bn_backward *job) {
    const struct bn_part part = part_of(g, BN_SYNC_BACKWARD, backward_flags(job));
    return all_bytes(&part, sizeof(batchnorm_sum), backward_job_bytes(g, job));
}

static batchnorm_status sum_part(const struct bn_group_call *call, const struct bn_backward *job, struct scratch *s) {
    struct bn_geometry inputs = *call->g;
    without_outputs(&inputs);
    const struct bn_backward first = first_of_backward(job, s->message + BN_SYNC_HEADER);
    return bn_run_backward(&inputs, &first, &s->run);
}

static batchnorm_status finish_backward(const struct bn_group_call *call, const struct bn_backward *job,
                                        const struct bn_all *all, struct scratch *s) {
    const struct bn_geometry *g = call->g;
    batchnorm_sum *sums = s->sums;
    bn_all_sums(all, sums);
    const struct bn_backward second = second_of_backward(job, sums);
    if (g->count && g->channels && (bn_is_there(g, BN_DX) || bn_is_there(g, BN_DZ)))
        return bn_run_backward(g, &second, &s->run);
    bn_backward_numbers(&second, g->channels);
    return BATCHNORM_OK;
}

batchnorm_status bn_group_backward(const struct bn_group_call *call, const struct bn_backward *job) {
    double header[BN_SYNC_HEADER];
    struct bn_part part = part_of(call->g, BN_SYNC_BACKWARD, backward_flags(job));
    struct scratch s = {.message = header};
    struct bn_all all;
    batchnorm_status status = call->status;
    if (!status) status = take(&s, &call->exec, &part, sizeof(batchnorm_sum), backward_job_bytes(call->g, job));
    if (!status && part.samples && part.channels) status = sum_part(call, job, &s);
    part.status = status;
    status = bn_sync_gather(call->group, &part, s.message ? s.message : header, &all, call->why);
    if (!status) status = finish_backward(call, job, &all, &s);
    free(s.own);
    return status;
}
