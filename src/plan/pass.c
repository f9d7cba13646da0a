/* SPDX-License-Identifier: MIT */
/* Building a pass, and its scratch memory. */
#include "plan/pass.h"

#include <stdlib.h>
#include <string.h>

/* Building */

/* Sets the view of a sweep. Where all arrays have the strides of another sweep's, it takes over how that is cut, and returns
 * true. */
static bool set_view(struct bn_sweep *s, const struct bn_sweep *like, const struct bn_geometry *g, int uses,
                     const struct bn_use *use) {
    if (like && bn_view_like(&s->view, &like->view, g, uses, use)) {
        s->do_piece = like->do_piece;
        s->slot_channel = like->slot_channel;
        s->slot_piece = like->slot_piece;
        s->repeat = like->repeat;
        return true;
    }
    bn_view_make(&s->view, g, uses, use);
    bool plane = s->view.layout == BNK_PLANE;
    s->do_piece = plane ? bn_plane_alone : bn_rows_piece;
    s->slot_channel = plane ? s->view.pieces : 1;
    s->slot_piece = plane ? 1 : bn_padded(s->view.channels);
    s->repeat = bn_rows_repeat(&s->view);
    return false;
}

/* Has a write of planes of few elements go in rows, if it can. */
static void spread(struct bn_sweep *s) {
    bn_view_spread(&s->view, s->kernels->spread[s->verb]);
    if (s->view.spread == 1) return;
    s->do_piece = bn_rows_piece;
    s->repeat = 1;
}

/* Statistics are those of the ones. Outputs, and the sums that belong to them, go by the mask where it is theirs, too. */
static void set_mask(struct bn_pass *p, struct bn_sweep *s, const struct bn_sweep *like) {
    const bool outputs = p->mask_of->mask.outputs;
    s->when = 1;
    s->masked = outputs || s->verb == BNK_MOMENTS;
    s->fills = outputs && !bn_sweep_reduces(s);
    s->packed = like ? like->packed : p->packs++;
    if (!like) p->pack[s->packed] = (struct bn_pack){s->view.first, false, NULL};
}

/* Has a write go in the order of its output, which is free to choose: nothing is added. */
static void put_output_first(struct bn_sweep *s, struct bn_use *use, int uses) {
    int i = 0;
    while (i < uses && !bn_is_output(use[i].role)) i++;
    if (bn_sweep_reduces(s) || i == 0 || i == uses) return;
    const struct bn_use output = use[i];
    use[i] = use[0];
    use[0] = output;
    for (i = 0; i < uses; i++) s->role[i] = use[i].role;
}

static void build_sweep(struct bn_pass *p, struct bn_sweep *s, const struct bn_sweep *like, const struct bn_geometry *g,
                        const struct bn_entry *e, struct bnk_act act) {
    struct bn_use use[BN_VIEW_ARRAYS];
    int uses = 0;
    s->verb = e->verb;
    s->kernels = bnk_table()->verbs[g->dtype];
    s->mean = NULL;
    s->mean_of_x = s->without_x = s->from_y = false;
    s->active = e->active;
    s->act = act;
    for (int i = 0; i < e->uses; i++) {
        if (!bn_is_there(g, e->use[i].array)) continue;
        const bool y_for_x = e->use[i].array == BN_Y && e->use[i].role == BNK_X;
        if (e->verb == BNK_DOTS && (y_for_x || (e->use[i].array == BN_X && e->use[i].role == BNK_X))) s->mean_of_x = true;
        if (y_for_x && e->active) s->from_y = true;
        s->role[uses] = e->use[i].role;
        use[uses++] = e->use[i];
    }
    put_output_first(s, use, uses);
    const bool is_like = set_view(s, like, g, uses, use);
    if (!bn_sweep_reduces(s) && !p->mask_of) spread(s);
    s->masked = s->fills = false;
    s->mask = NULL;
    s->counts = NULL;
    if (p->mask_of) set_mask(p, s, is_like ? like : NULL);
}

void bn_pass_build(struct bn_pass *p, const struct bn_geometry *g, const struct bn_entry *entry, size_t entries, unsigned facts,
                   batchnorm_activation activation) {
    /* not the whole struct: its sweeps are large, and set when they are added */
    p->channels = g->channels;
    p->count = g->count;
    p->valid = (double)g->count;
    p->mask_of = g->mask.is_there ? g : NULL;
    p->packs = 0;
    p->needs_two = false;
    p->dtype = g->dtype;
    p->reduces = p->writes = 0;
    p->own_doubles = 0;
    p->nodes = NULL;
    p->mean = p->dot_unit = NULL;
    p->set_mean = NULL;
    p->set_gates = NULL;
    p->done = NULL;
    const struct bnk_act act = bn_act_of(activation);
    const struct bn_sweep *like = NULL;
    for (size_t i = 0; i < entries; i++) {
        const struct bn_entry *e = &entry[i];
        p->at[i] = -1;
        if ((facts & e->needs) != e->needs || (facts & e->unless)) continue;
        bool reduces = e->verb == BNK_MOMENTS || e->verb == BNK_DOTS;
        p->at[i] = reduces ? p->reduces++ : p->writes++;
        struct bn_sweep *s = reduces ? &p->reduce[p->at[i]] : &p->write[p->at[i]];
        build_sweep(p, s, like, g, e, act);
        like = s;
    }
}

/* Scratch */

/* Scratch is handed out in parts of whole cache lines. Parts of a whole number of pages are kept from lying at the same place
 * within a page, because processors take a load after such a store for a dependence: 21 lines are a third of a page, so that
 * the three parts of a reduction lie a third of a page from each other. */
enum { LINE = 64, SKEW = 21 * LINE };

/* Where the next part begins: 64 bits, also where addresses have 32, so that the sum of all parts always fits. A part of more
 * than 2^50 times some bytes does not exist. */
struct scratch {
    uint64_t at;
    bool overflow;
};

static void *take(struct scratch *s, size_t count, size_t bytes) {
    void *at = (void *)(uintptr_t)s->at;
    const uint64_t items = count;
    if (items > UINT64_C(1) << 50) s->overflow = true;
    s->at += (items * bytes + LINE - 1) / LINE * LINE + SKEW;
    return at;
}

static bool reads_gate(const struct bn_sweep *s) { return s->active && s->verb != BNK_AFFINE; }

static void place_coefficients(struct bn_pass *p, int i, struct scratch *s, bool gate, size_t padded) {
    batchnorm_dtype computing = bn_computing_dtype(p->dtype);
    size_t count = gate ? BNK_GATED_COEFFICIENTS : BNK_BLEND_COEFFICIENTS;
    void *data = take(s, padded, count * bn_element_bytes(computing));
    p->coefficients[i] = (struct bn_coefficients){data, computing, padded};
}

/* Places the packed masks that are gone by, or counted for a reduction, and the counts of its pieces. */
static void place_masks(struct bn_pass *p, struct scratch *s) {
    for (int i = 0; i < p->reduces; i++) {
        struct bn_sweep *r = &p->reduce[i];
        p->pack[r->packed].is_used = true;
        r->counts = take(s, r->view.pieces, sizeof(double));
    }
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].masked) p->pack[p->write[i].packed].is_used = true;
    for (int i = 0; i < p->packs; i++)
        if (p->pack[i].is_used) p->pack[i].at = take(s, p->count, 1);
    for (int i = 0; i < p->reduces; i++)
        if (p->reduce[i].masked) p->reduce[i].mask = p->pack[p->reduce[i].packed].at;
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].masked) p->write[i].mask = p->pack[p->write[i].packed].at;
}

/* Lays everything out from an aligned address on. A gated reduction has coefficients even if nothing is written. */
static void lay_out(struct bn_pass *p, struct scratch *s) {
    size_t padded = bn_padded(p->channels);
    bool gated = p->reduces && reads_gate(&p->reduce[0]), copies = false;
    p->own = p->own_doubles ? take(s, p->own_doubles, sizeof(double)) : NULL;
    if (p->set_mean) p->mean = p->own;
    for (int i = 0; i < p->reduces; i++) {
        struct bn_sweep *r = &p->reduce[i];
        size_t slots = bn_sweep_slots(&r->view);
        r->shift = take(s, slots, sizeof(double));
        const int sums = r->view.layout == BNK_ROWS ? bn_sums_of(r) : 2;
        for (int k = 0; k < sums; k++) r->sums[k] = take(s, slots, sizeof(double));
        r->mean = p->mean;
        copies = copies || (r->mean_of_x && r->view.layout == BNK_ROWS);
    }
    for (int i = 0; i < p->writes || (i == 0 && gated); i++) {
        place_coefficients(p, i, s, gated || reads_gate(&p->write[i]), padded);
        p->write[i].coefficients = (struct bnk_coefficients){p->coefficients[i].data, padded};
    }
    for (int i = 0; i < p->reduces; i++) p->reduce[i].coefficients = (struct bnk_coefficients){p->coefficients[0].data, padded};
    p->mean_copy = copies ? take(s, padded, sizeof(double)) : NULL;
    for (int i = 0; i < p->reduces && copies; i++)
        if (p->reduce[i].view.layout == BNK_ROWS) p->reduce[i].mean = p->mean_copy;
    if (p->mask_of) place_masks(p, s);
}

/* Lays out the pass in memory; returns the bytes that this takes, or SIZE_MAX when they do not fit. */
static size_t lay_out_in(struct bn_pass *p, void *memory) {
    const uint64_t first = ((uintptr_t)memory + LINE - 1) / LINE * LINE;
    struct scratch s = {first, false};
    lay_out(p, &s);
    const uint64_t used = s.at - first;
    return s.overflow || used > SIZE_MAX / 4 ? SIZE_MAX : (size_t)used + LINE - 1;
}

/* Takes the owner's memory, which stays the owner's. */
static batchnorm_status take_from_owner(struct bn_pass *p, const struct bn_exec *exec) {
    const size_t bytes = lay_out_in(p, exec->memory);
    if (exec->memory && bytes <= exec->bytes) return BATCHNORM_OK;
    if (bytes == SIZE_MAX) return BATCHNORM_TOO_LARGE;
    void *memory = exec->reserve(exec->owner, bytes);
    if (!memory) return BATCHNORM_NO_MEMORY;
    lay_out_in(p, memory);
    return BATCHNORM_OK;
}

/* Gives the pass its scratch memory. *memory is what must be freed after it. Addresses in a workspace that turns out to be too
 * small are never used. */
static batchnorm_status take_scratch(struct bn_pass *p, const struct bn_exec *exec, void **memory) {
    const bool has_owner = exec && exec->reserve;
    if (p->caller && p->caller->workspace) {
        if (p->caller->workspace_bytes >= lay_out_in(p, p->caller->workspace)) return BATCHNORM_OK;
        if (!has_owner) return BATCHNORM_WORKSPACE_TOO_SMALL;
    }
    if (has_owner) return take_from_owner(p, exec);
    const size_t bytes = lay_out_in(p, NULL);
    *memory = bytes == SIZE_MAX ? NULL : malloc(bytes);
    if (!*memory) return BATCHNORM_NO_MEMORY;
    lay_out_in(p, *memory);
    return BATCHNORM_OK;
}

/* Counts the ones of each piece of a reduction; returns those of all. */
static double count_pieces(const struct bn_sweep *s, const unsigned char *packed) {
    const struct bn_view *v = &s->view;
    const size_t length = v->layout == BNK_PLANE ? v->length : 1;
    double all = 0;
    for (size_t i = 0; i < v->pieces; i++) {
        const struct bn_piece p = bn_view_piece(v, i);
        const unsigned char *at = packed + p.first_row * length + (v->layout == BNK_PLANE ? p.first : 0);
        size_t ones = 0;
        if (v->layout == BNK_ROWS || p.length == length)
            ones = bn_mask_ones(at, p.count);
        else
            for (size_t r = 0; r < p.rows; r++) ones += bn_mask_ones(at + r * length, p.length);
        s->counts[i] = (double)ones;
        all += (double)ones;
    }
    return all;
}

static void pack_masks(struct bn_pass *p) {
    for (int i = 0; i < p->packs; i++)
        if (p->pack[i].is_used) bn_mask_pack(p->mask_of, p->pack[i].array, p->pack[i].at);
    for (int i = 0; i < p->reduces; i++) p->valid = count_pieces(&p->reduce[i], p->pack[p->reduce[i].packed].at);
}

/* Kernels of rows read means in whole steps, and get a copy that is as long as that. */
static void copy_means(const struct bn_pass *p) {
    if (!p->mean_copy) return;
    memcpy(p->mean_copy, p->mean, p->channels * sizeof(double));
    memset(p->mean_copy + p->channels, 0, (bn_padded(p->channels) - p->channels) * sizeof(double));
}

size_t bn_job_bytes(const struct bn_geometry *g, bn_build *build, const void *job) {
    struct bn_pass p;
    build(&p, g, job);
    return lay_out_in(&p, NULL);
}

batchnorm_status bn_job_run(const struct bn_geometry *g, bn_build *build, const void *job, const struct bn_exec *exec) {
    struct bn_pass p;
    void *memory = NULL;
    build(&p, g, job);
    p.caller = exec ? exec->caller : NULL;
    const batchnorm_status status = take_scratch(&p, exec, &memory);
    if (status) return status;
    if (p.mask_of) pack_masks(&p);
    if (p.needs_two && p.valid < 2) {
        free(memory);
        return BATCHNORM_ONE_VALUE;
    }
    if (p.set_mean) p.set_mean(&p);
    copy_means(&p);
    bn_pass_decide(&p);
    bn_pass_run(&p);
    if (p.done) p.done(&p);
    free(memory);
    return BATCHNORM_OK;
}
