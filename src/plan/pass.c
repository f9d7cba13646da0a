/* SPDX-License-Identifier: MIT */
#include "plan/pass.h"

#include <stdlib.h>
#include <string.h>

void bn_pass_start(struct bn_pass *p, const struct bn_geometry *g, const batchnorm_exec *exec) {
    /* not the whole struct: its sweeps are large, and set when they are added */
    p->exec = exec;
    p->channels = g->channels;
    p->count = g->count;
    p->dtype = g->dtype;
    p->reduces = p->writes = 0;
    p->own_doubles = 0;
    p->mean = NULL;
    p->memory = NULL;
    p->gate = NULL;
    p->table_for_gate = false;
}

static struct bn_sweep *add_sweep(struct bn_sweep *s, const struct bn_geometry *g, enum bn_verb verb, int arrays,
                                  const struct bn_use *use) {
    s->verb = verb;
    s->kernels = &bnk_table()->verbs[g->dtype];
    s->shift = s->sum = s->dot = NULL;
    s->mean = NULL;
    s->mean_of_x = s->active = s->without_x = s->stream = s->fetch = false;
    s->numbers = (struct bnk_numbers){0};
    s->act = (struct bnk_act){0};
    bn_view_make(&s->view, g, arrays, use);
    for (int i = 0; i < arrays; i++) s->role[i] = use[i].role;
    bn_sweep_prepare(s);
    return s;
}

struct bn_sweep *bn_pass_reduce(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays,
                                const struct bn_use *use) {
    return add_sweep(&p->reduce[p->reduces++], g, verb, arrays, use);
}

struct bn_sweep *bn_pass_write(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays,
                               const struct bn_use *use) {
    return add_sweep(&p->write[p->writes++], g, verb, arrays, use);
}

/* Scratch is handed out in pieces of whole cache lines; a first walk without memory adds them up. Pieces of a whole number of
 * pages are kept from lying at the same place within a page: processors take a load after such a store for a dependence. */
enum { LINE = 64, SKEW = 21 * LINE };

struct scratch {
    char *base;
    size_t used;
    bool overflow;
};

static void *take(struct scratch *s, size_t count, size_t bytes) {
    if (count > (SIZE_MAX / 4 - s->used) / bytes) {
        s->overflow = true;
        return NULL;
    }
    void *at = s->base ? s->base + s->used : NULL;
    s->used += (count * bytes + LINE - 1) / LINE * LINE + SKEW;
    return at;
}

static void lay_out(struct bn_pass *p, struct scratch *s) {
    size_t padded = bn_padded(p->channels);
    batchnorm_dtype computing = bn_computing_dtype(p->dtype);
    for (int i = 0; i < p->reduces; i++) {
        size_t slots = bn_sweep_slots(&p->reduce[i].view);
        p->reduce[i].shift = take(s, slots, sizeof(double));
        p->reduce[i].sum = take(s, slots, sizeof(double));
        p->reduce[i].dot = take(s, slots, sizeof(double));
    }
    for (int i = 0; i < p->writes || (i == 0 && p->table_for_gate); i++) {
        size_t count = p->table_for_gate ? BNK_GATED_NUMBERS : BNK_BLEND_NUMBERS;
        void *numbers = take(s, padded * count, batchnorm_dtype_bytes(computing));
        p->table[i] = (struct bn_table){numbers, computing, padded};
        if (i < p->writes) p->write[i].numbers = (struct bnk_numbers){numbers, padded};
    }
    for (int i = 0; i < p->reduces && p->table_for_gate; i++)
        p->reduce[i].numbers = (struct bnk_numbers){p->table[0].numbers, padded};
    p->own = take(s, p->own_doubles, sizeof(double));
    double *mean = take(s, padded, sizeof(double));
    for (int i = 0; i < p->reduces; i++) p->reduce[i].mean = mean;
    p->padded_mean = mean;
}

size_t bn_pass_bytes(struct bn_pass *p) {
    struct scratch s = {0};
    lay_out(p, &s);
    return s.overflow ? SIZE_MAX : s.used + LINE - 1; /* to align the start */
}

batchnorm_status bn_pass_prepare(struct bn_pass *p) {
    size_t bytes = bn_pass_bytes(p);
    void *memory = p->exec ? p->exec->workspace : NULL;
    if (memory && p->exec->workspace_bytes < bytes) return BATCHNORM_WORKSPACE_TOO_SMALL;
    if (!memory) {
        p->memory = memory = bytes == SIZE_MAX ? NULL : malloc(bytes);
        if (!memory) return BATCHNORM_NO_MEMORY;
    }
    struct scratch s = {.base = (char *)(((uintptr_t)memory + LINE - 1) / LINE * LINE)};
    lay_out(p, &s);
    if (p->mean) memcpy(p->padded_mean, p->mean, p->channels * sizeof(double));
    if (p->mean) memset(p->padded_mean + p->channels, 0, (bn_padded(p->channels) - p->channels) * sizeof(double));
    return BATCHNORM_OK;
}

void bn_pass_end(struct bn_pass *p) { free(p->memory); }

batchnorm_status bn_pass_all(struct bn_pass *p) {
    batchnorm_status status = bn_pass_prepare(p);
    if (status) return status;
    bn_pass_run(p);
    bn_pass_end(p);
    return BATCHNORM_OK;
}

/* A piece as (count, mean, m2), the mean as an offset from `origin`. */
static batchnorm_stat piece_stat(const struct bn_sweep *s, size_t slot, double n, double origin) {
    double offset = s->sum[slot] / n, m2 = s->dot[slot] - s->sum[slot] * offset;
    return (batchnorm_stat){n, s->shift[slot] - origin + offset, m2 < 0 ? 0 : m2};
}

/* Merged as offsets from the first shift, which are of the size of the deviations: nothing is lost to a large common mean. */
batchnorm_stat bn_pass_moments(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    double origin = s->shift[slot];
    batchnorm_stat all = {0, 0, 0};
    if (s->view.pieces == 1) {
        all = piece_stat(s, slot, (double)s->view.count, origin);
    } else {
        for (size_t k = 0; k < s->view.pieces; k++, slot += s->slot_piece)
            bn_merge(&all, piece_stat(s, slot, (double)bn_view_piece(&s->view, k).count, origin));
    }
    all.mean += origin;
    return all;
}

struct bn_sums bn_pass_dots(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    struct bn_sums all = {0, 0};
    for (size_t k = 0; k < s->view.pieces; k++, slot += s->slot_piece) {
        all.sum += s->sum[slot];
        all.dot += s->dot[slot];
    }
    return all;
}

size_t bn_workspace_bytes(const struct bn_geometry *g, batchnorm_operation operation) {
    switch (operation) {
    case BATCHNORM_OP_STATS:
    case BATCHNORM_OP_INFER:
    case BATCHNORM_OP_FORWARD:
        return bn_forward_bytes(g, operation);
    case BATCHNORM_OP_BACKWARD:
    case BATCHNORM_OP_JVP:
        return bn_backward_bytes(g, operation);
    case BATCHNORM_OP_DOUBLE_BACKWARD:
        return bn_double_backward_bytes(g);
    }
    return 0;
}
