/* SPDX-License-Identifier: MIT */
/* A pass: reductions over arrays, then coefficients of each channel, then outputs from them. pass.c builds it, decide.c decides
 * how it goes, run.c runs it. */
#ifndef BN_PASS_H
#define BN_PASS_H

#include "plan/coefficients.h"
#include "plan/sweep.h"
#include "plan/tuning.h"

enum { BN_PASS_REDUCES = 3, BN_PASS_WRITES = 2, BN_PASS_ENTRIES = 18 };

/* An entry of a job's table: a sweep, which the job has where all facts of `needs` hold and none of `unless`. Arrays that are
 * not there are left out of it. */
struct bn_entry {
    unsigned needs, unless;
    enum bnk_verb verb;
    bool active;
    int uses;
    struct bn_use use[BN_VIEW_ARRAYS];
};

/* What is decided about a pass before it runs, beside what its sweeps have of their own. */
struct bn_way {
    struct bn_machine machine;
    size_t threads, wanted; /* items */
    bool large, far;        /* all arrays together, for the last-level cache and for the second-level cache */
    bool by_blocks, fused;
    struct bn_share blocks, gates, coefficients; /* of the channels or blocks of channels; by blocks, only the first is used */
};

/* A packed mask: in the order of views that begin with that array. */
struct bn_pack {
    int array;
    bool is_used;
    unsigned char *at;
};

struct bn_pass {
    const batchnorm_exec *caller; /* what the caller said of how to run; may be NULL */
    size_t channels, count;
    double valid; /* values of a channel that count: all, or the ones of the mask, once it is packed */
    batchnorm_dtype dtype;
    const struct bn_geometry *mask_of; /* NULL: there is no mask */
    int packs;                         /* of the mask, in the orders of the first so many views that differ */
    struct bn_pack pack[BN_PASS_REDUCES + BN_PASS_WRITES];
    bool needs_two; /* ONE_VALUE if fewer count */
    int reduces, writes;
    struct bn_sweep reduce[BN_PASS_REDUCES], write[BN_PASS_WRITES];
    int at[BN_PASS_ENTRIES]; /* where the sweep of each entry is among `reduce` or `write`; -1: nowhere */
    struct bn_coefficients coefficients[BN_PASS_WRITES]; /* of the writes; reductions that are gated read the first */
    size_t own_doubles;                                  /* scratch of its own that the job asked for */
    double *own;
    const double *mean; /* what reductions of dots with x subtract from x; they are given a copy where they need one */
    double *mean_copy;
    const double *dot_unit; /* of each channel: second sums of dots are divided by it, chunk by chunk; NULL: they are not */
    /* where the nodes of the chunks go, an array of every channel for each number, and then the count of each node; NULL: they
     * are not wanted */
    double *nodes;
    /* the job's: makes `mean`, which is the beginning of `own` then, and `dot_unit`, before everything; may be NULL */
    void (*set_mean)(struct bn_pass *pass);
    /* the job's, for some channels: called once for every channel, before the reductions and between them and the writes */
    void (*set_gates)(const struct bn_pass *pass, size_t channel, size_t channels);
    void (*set_coefficients)(const struct bn_pass *pass, size_t channel, size_t channels);
    void (*done)(const struct bn_pass *pass); /* the job's, after everything */
    const void *job;
    struct bn_way way;
};

static const batchnorm_activation bn_identity = {BATCHNORM_IDENTITY, 0};

/* Builds a pass from the entries that `facts` leave. Jobs set the rest: `set_coefficients`, and what else they need. */
void bn_pass_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_entry *entry, size_t entries, unsigned facts,
                   batchnorm_activation activation);

/* Decides how a pass goes. It must have been built. */
void bn_pass_decide(struct bn_pass *p);

/* Runs everything, as it was decided. */
void bn_pass_run(const struct bn_pass *p);

/* Folds the pieces of some channels, in the order of the pieces; once, before `set_coefficients`. */
void bn_pass_fold(const struct bn_pass *p, size_t channel, size_t channels);

/* Returns the folded result of reduction i in a channel, for the job's `set_coefficients`. */
static inline batchnorm_stat bn_pass_moments(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    return (batchnorm_stat){p->valid, s->sums[0][slot], s->sums[1][slot]};
}

/* Reads the sums of some channels: mean and m2, or sum and dot. */
static inline void bn_pass_read(const struct bn_pass *p, int i, size_t channel, size_t count, double *first, double *second) {
    const struct bn_sweep *s = &p->reduce[i];
    const double *from[] = {s->sums[0] + channel * s->slot_channel, s->sums[1] + channel * s->slot_channel};
    for (size_t c = 0; c < count; c++) first[c] = from[0][c * s->slot_channel];
    for (size_t c = 0; c < count; c++) second[c] = from[1][c * s->slot_channel];
}

static inline struct bn_sums bn_pass_dots(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    return (struct bn_sums){s->sums[0][slot], s->sums[1][slot]};
}

#endif
