/* SPDX-License-Identifier: MIT */
/* A pass: reductions over arrays, then numbers for each channel, then outputs from them. pass.c builds it, run.c decides how it
 * goes. */
#ifndef BN_PASS_H
#define BN_PASS_H

#include "plan/numbers.h"
#include "plan/sweep.h"

#define BN_PASS_REDUCES 3
#define BN_PASS_WRITES 3

struct bn_pass {
    const struct bn_exec *exec;
    size_t channels, count;
    batchnorm_dtype dtype;
    int reduces, writes;
    struct bn_sweep reduce[BN_PASS_REDUCES], write[BN_PASS_WRITES];
    struct bn_table table[BN_PASS_WRITES]; /* the numbers of the writes */
    bool has_gate;                         /* gated reductions read table 0, which there is even without a write */
    size_t own_doubles;                    /* scratch of its own that the job asked for */
    double *own;
    const double *mean;  /* for reductions with mean_of_x */
    double *padded_mean; /* its copy for rows, which kernels may read in whole steps */
    /* the job's, for some channels: called once for every channel, before the reductions and between them and the writes */
    void (*gate)(const struct bn_pass *pass, size_t channel, size_t channels);
    void (*numbers)(const struct bn_pass *pass, size_t channel, size_t channels);
    const void *job;
    void *memory; /* what must be freed */
};

/* What the caller said of how to run. */
static inline const batchnorm_exec *bn_pass_caller(const struct bn_pass *p) { return p->exec ? p->exec->caller : NULL; }

/* Build: start, then add sweeps in any order. */
void bn_pass_start(struct bn_pass *p, const struct bn_geometry *g);
struct bn_sweep *bn_pass_reduce(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays,
                                const struct bn_use *use);
struct bn_sweep *bn_pass_write(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays,
                               const struct bn_use *use);

/* Scratch that the pass needs; SIZE_MAX when it does not fit. */
size_t bn_pass_bytes(struct bn_pass *p);

/* Take the scratch from exec or from malloc: OK, WORKSPACE_TOO_SMALL, NO_MEMORY, TOO_LARGE. */
batchnorm_status bn_pass_prepare(struct bn_pass *p, const struct bn_exec *exec);

/* Run everything. */
void bn_pass_run(struct bn_pass *p);

/* Give the scratch back. */
void bn_pass_end(struct bn_pass *p);

/* Prepare, run and end. */
batchnorm_status bn_pass_all(struct bn_pass *p, const struct bn_exec *exec);

/* Fold the pieces of some channels, in the order of the pieces; once, before their `numbers`. */
void bn_pass_fold(struct bn_pass *p, size_t channel, size_t channels);

/* For the job's `numbers`: the folded result of reduction i in a channel. */
static inline batchnorm_stat bn_pass_moments(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    return (batchnorm_stat){(double)s->view.count, s->sum[slot], s->dot[slot]};
}

static inline struct bn_sums bn_pass_dots(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    return (struct bn_sums){s->sum[slot], s->dot[slot]};
}

#endif
