/* SPDX-License-Identifier: MIT */
#include "plan/pass.h"

#include <stdlib.h>
#include <string.h>

void bn_pass_start(struct bn_pass *p, const struct bn_geometry *g, const struct bn_exec *exec) {
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
    s->kernels = bnk_table()->verbs[g->dtype];
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
    uintptr_t base; /* 0: none yet */
    size_t used;
    bool overflow;
};

static void *take(struct scratch *s, size_t count, size_t bytes) {
    /* no element is larger than a double; dividing by a variable takes long */
    if (s->used > SIZE_MAX / 4 || count > (SIZE_MAX / 4 - s->used) / sizeof(double)) {
        s->overflow = true;
        return NULL;
    }
    void *at = s->base ? (void *)(s->base + s->used) : NULL;
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
        const bool has_gate = p->table_for_gate || (p->write[i].verb == BN_BLEND && p->write[i].active);
        size_t count = has_gate ? BNK_GATED_NUMBERS : BNK_BLEND_NUMBERS;
        void *numbers = take(s, padded * count, bn_element_bytes(computing));
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

/* Lay out from an aligned address in memory on; what that takes in all, or SIZE_MAX when it does not fit. */
static size_t lay_out_in(struct bn_pass *p, void *memory) {
    struct scratch s = {.base = ((uintptr_t)memory + LINE - 1) / LINE * LINE};
    lay_out(p, &s);
    return s.overflow ? SIZE_MAX : s.used + LINE - 1;
}

size_t bn_pass_bytes(struct bn_pass *p) { return lay_out_in(p, NULL); }

/* Kernels of rows read means in whole steps, and get a copy that is as long as that. */
static void set_means(struct bn_pass *p) {
    bool copied = false;
    for (int i = 0; i < p->reduces; i++) {
        if (p->reduce[i].view.layout == BN_PLANE) {
            p->reduce[i].mean = p->mean;
        } else if (!copied) {
            memcpy(p->padded_mean, p->mean, p->channels * sizeof(double));
            memset(p->padded_mean + p->channels, 0, (bn_padded(p->channels) - p->channels) * sizeof(double));
            copied = true;
        }
    }
}

static batchnorm_status take_from_owner(struct bn_pass *p) {
    const size_t bytes = bn_pass_bytes(p);
    if (bytes == SIZE_MAX) return BATCHNORM_TOO_LARGE;
    void *memory = p->exec->reserve(p->exec->owner, bytes);
    if (!memory) return BATCHNORM_NO_MEMORY;
    lay_out_in(p, memory);
    return BATCHNORM_OK;
}

static batchnorm_status take_from_malloc(struct bn_pass *p) {
    const size_t bytes = bn_pass_bytes(p);
    p->memory = bytes == SIZE_MAX ? NULL : malloc(bytes);
    if (!p->memory) return BATCHNORM_NO_MEMORY;
    lay_out_in(p, p->memory);
    return BATCHNORM_OK;
}

/* Addresses in a workspace that turns out to be too small are not used. */
static batchnorm_status take_scratch(struct bn_pass *p) {
    const batchnorm_exec *caller = bn_pass_caller(p);
    const bool has_owner = p->exec && p->exec->reserve;
    if (caller && caller->workspace) {
        if (caller->workspace_bytes >= lay_out_in(p, caller->workspace)) return BATCHNORM_OK;
        if (!has_owner) return BATCHNORM_WORKSPACE_TOO_SMALL;
    }
    return has_owner ? take_from_owner(p) : take_from_malloc(p);
}

batchnorm_status bn_pass_prepare(struct bn_pass *p) {
    const batchnorm_status status = take_scratch(p);
    if (status != BATCHNORM_OK) return status;
    if (p->mean) set_means(p);
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

/* The folds work in place: the slots of the first piece become the result, for moments with the mean as `sum` and m2 as `dot`.
 * The mean of a piece is taken as an offset from the shift of the first, which is of the size of the deviations: nothing is
 * lost to a large common mean. */
struct piece_moments {
    double mean, m2;
};

static inline struct piece_moments moments_of(double shift, double sum, double dot, double n, double origin) {
    double offset = sum / n, m2 = dot - sum * offset;
    return (struct piece_moments){shift - origin + offset, m2 < 0 ? 0 : m2};
}

static void fold_moments(const struct bn_sweep *s, size_t first, size_t channels) {
    double count = (double)(s->view.pieces == 1 ? s->view.count : bn_view_piece(&s->view, 0).count);
    double *restrict mean = s->sum + first, *restrict m2 = s->dot + first;
    const double *restrict origin = s->shift + first;
    for (size_t c = 0; c < channels; c++) {
        struct piece_moments m = moments_of(origin[c], mean[c], m2[c], count, origin[c]);
        mean[c] = m.mean;
        m2[c] = m.m2;
    }
    for (size_t k = 1; k < s->view.pieces; k++) {
        double n = (double)bn_view_piece(&s->view, k).count;
        size_t from = first + k * s->slot_piece;
        const double *restrict shift = s->shift + from, *restrict sum = s->sum + from, *restrict dot = s->dot + from;
        struct bn_merging by = bn_merging_of(count, n);
        for (size_t c = 0; c < channels; c++) {
            struct piece_moments m = moments_of(shift[c], sum[c], dot[c], n, origin[c]);
            bn_merge_by(by, mean + c, m2 + c, m.mean, m.m2);
        }
        count += n;
    }
    for (size_t c = 0; c < channels; c++) mean[c] += origin[c];
}

static void fold_dots(const struct bn_sweep *s, size_t first, size_t channels) {
    double *restrict sum = s->sum + first, *restrict dot = s->dot + first;
    for (size_t k = 1; k < s->view.pieces; k++) {
        const double *restrict more = sum + k * s->slot_piece, *restrict more_dot = dot + k * s->slot_piece;
        for (size_t c = 0; c < channels; c++) {
            sum[c] += more[c];
            dot[c] += more_dot[c];
        }
    }
}

/* In the order of memory: of planes, channel by channel; of rows, piece by piece. */
void bn_pass_fold(struct bn_pass *p, size_t channel, size_t channels) {
    for (int i = 0; i < p->reduces; i++) {
        const struct bn_sweep *s = &p->reduce[i];
        size_t each = s->view.layout == BN_PLANE ? 1 : channels;
        for (size_t c = channel; c < channel + channels; c += each) {
            if (s->verb == BN_MOMENTS)
                fold_moments(s, c * s->slot_channel, each);
            else
                fold_dots(s, c * s->slot_channel, each);
        }
    }
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
