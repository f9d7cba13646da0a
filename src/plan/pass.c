/* SPDX-License-Identifier: MIT */
#include "plan/pass.h"

#include <stdlib.h>
#include <string.h>

#include "parallel/parallel.h"

/* An item of work is about this many elements, so that handing it out costs nothing beside it. All cuts follow from the shape
 * alone: they decide who does what, never in which order numbers are added. */
enum { ITEM = 32768, CHANNELS_TO_SHARE = 32, CHANNEL_IN_CACHE = 1 << 20 };

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
}

static void add_sweep(struct bn_sweep *s, const struct bn_geometry *g, enum bn_verb verb, int arrays, const int *which) {
    *s = (struct bn_sweep){.verb = verb, .kernels = &bnk_table()->verbs[g->dtype]};
    bn_view_make(&s->view, g, arrays, which);
    bn_sweep_prepare(s);
}

struct bn_sweep *bn_pass_reduce(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays,
                                const int *which) {
    struct bn_sweep *s = &p->reduce[p->reduces++];
    add_sweep(s, g, verb, arrays, which);
    return s;
}

void bn_pass_write(struct bn_pass *p, const struct bn_geometry *g, enum bn_verb verb, int arrays, const int *which) {
    add_sweep(&p->write[p->writes++], g, verb, arrays, which);
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
    for (int i = 0; i < p->writes; i++) {
        void *numbers = take(s, padded * BNK_BLEND_NUMBERS, batchnorm_dtype_bytes(computing));
        p->table[i] = (struct bn_table){numbers, computing, padded};
        p->write[i].numbers = (struct bnk_numbers){numbers, padded};
    }
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

/* Everything of one channel at a time: the second visit finds x in cache. */
static bool by_channel(const struct bn_pass *p) {
    for (int i = 0; i < p->reduces; i++)
        if (p->reduce[i].view.layout != BN_PLANE) return false;
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].view.layout != BN_PLANE) return false;
    size_t bytes = p->count * batchnorm_dtype_bytes(p->dtype);
    if (p->reduces == 0) return false;
    return p->channels * p->count <= ITEM || (p->channels >= CHANNELS_TO_SHARE && bytes <= CHANNEL_IN_CACHE * 8);
}

struct share {
    struct bn_pass *pass;
    const struct bn_sweep *sweep;
    size_t per_item; /* channels or units of an item */
};

static void channel_item(void *arg, size_t item) {
    const struct share *s = arg;
    const struct bn_pass *p = s->pass;
    size_t end = (item + 1) * s->per_item < p->channels ? (item + 1) * s->per_item : p->channels;
    for (size_t c = item * s->per_item; c < end; c++) {
        for (int i = 0; i < p->reduces; i++)
            for (size_t k = 0; k < p->reduce[i].view.pieces; k++) bn_sweep_unit(&p->reduce[i], c, k);
        p->numbers(p, c);
        for (int i = 0; i < p->writes; i++)
            for (size_t k = 0; k < p->write[i].view.pieces; k++) bn_sweep_unit(&p->write[i], c, k);
    }
}

static void numbers_item(void *arg, size_t item) {
    const struct share *s = arg;
    size_t end = (item + 1) * s->per_item < s->pass->channels ? (item + 1) * s->per_item : s->pass->channels;
    for (size_t c = item * s->per_item; c < end; c++) s->pass->numbers(s->pass, c);
}

static void sweep_item(void *arg, size_t item) {
    const struct share *s = arg;
    const struct bn_view *v = &s->sweep->view;
    size_t units = v->blocks * v->pieces;
    size_t end = (item + 1) * s->per_item < units ? (item + 1) * s->per_item : units;
    for (size_t u = item * s->per_item; u < end; u++) {
        /* pieces of a channel follow each other in a plane, blocks of a row in rows: the order of memory */
        if (v->layout == BN_PLANE)
            bn_sweep_unit(s->sweep, u / v->pieces, u % v->pieces);
        else
            bn_sweep_unit(s->sweep, u % v->blocks, u / v->blocks);
    }
}

static void run_items(const struct bn_pass *p, size_t things, size_t elements_each, batchnorm_task *task, struct share *s) {
    s->per_item = elements_each < ITEM ? ITEM / (elements_each + 1) : 1;
    if (s->per_item == 0) s->per_item = 1;
    bn_parallel(p->exec, things / s->per_item + (things % s->per_item != 0), things * elements_each, task, s);
}

static void run_sweep(struct bn_pass *p, const struct bn_sweep *sweep) {
    struct share s = {.pass = p, .sweep = sweep};
    size_t units = sweep->view.blocks * sweep->view.pieces;
    run_items(p, units, p->channels * p->count / units, sweep_item, &s);
}

void bn_pass_run(struct bn_pass *p) {
    struct share s = {.pass = p};
    if (by_channel(p)) {
        run_items(p, p->channels, p->count, channel_item, &s);
    } else {
        size_t slots = 1;
        for (int i = 0; i < p->reduces; i++) {
            run_sweep(p, &p->reduce[i]);
            slots += p->reduce[i].view.pieces;
        }
        run_items(p, p->channels, 8 * slots, numbers_item, &s);
        for (int i = 0; i < p->writes; i++) run_sweep(p, &p->write[i]);
    }
}

void bn_pass_end(struct bn_pass *p) { free(p->memory); }

batchnorm_status bn_pass_all(struct bn_pass *p) {
    batchnorm_status status = bn_pass_prepare(p);
    if (status) return status;
    bn_pass_run(p);
    bn_pass_end(p);
    return BATCHNORM_OK;
}

static double piece_count(const struct bn_sweep *s, size_t piece) {
    return (double)(s->view.pieces == 1 ? s->view.count : bn_view_piece(&s->view, piece).count);
}

/* Merged as offsets from the first shift, which are of the size of the deviations: nothing is lost to a large common mean. */
batchnorm_stat bn_pass_moments(const struct bn_pass *p, int i, size_t channel) {
    const struct bn_sweep *s = &p->reduce[i];
    size_t slot = channel * s->slot_channel;
    double origin = s->shift[slot];
    batchnorm_stat all = {0, 0, 0};
    for (size_t k = 0; k < s->view.pieces; k++, slot += s->slot_piece) {
        double n = piece_count(s, k), offset = s->sum[slot] / n, m2 = s->dot[slot] - s->sum[slot] * offset;
        bn_merge(&all, (batchnorm_stat){n, s->shift[slot] - origin + offset, m2 < 0 ? 0 : m2});
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
