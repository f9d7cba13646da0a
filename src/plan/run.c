/* SPDX-License-Identifier: MIT */
/* A pass runs as it was decided. In planes a block of channels can be done from end to end: its second visit finds it in cache,
 * and goes together with the first visit of the next block. Otherwise everything is swept over twice. */
#include "parallel/parallel.h"
#include "plan/pass.h"

/* What an item's task gets. */
struct job {
    const struct bn_pass *pass;
    const struct bn_share *share;
    const struct bn_sweep *sweep;
};

static size_t begin_of(const struct bn_share *s, size_t item) { return item * s->each + (item < s->larger ? item : s->larger); }

static void hand_out(const struct bn_pass *p, const struct bn_share *share, const struct bn_sweep *sweep,
                     batchnorm_task *task) {
    struct job job = {p, share, sweep};
    bn_parallel(p->caller, share->items, share->worth, task, &job);
}

static void fold_and_set(const struct bn_pass *p, size_t channel, size_t channels) {
    bn_pass_fold(p, channel, channels);
    p->set_coefficients(p, channel, channels);
}

static void flush_streams(const struct bn_pass *p) {
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].stream) {
            bnk_table()->fence();
            return;
        }
}

/* By blocks. The blocks 0 to 2 of an item, where the write of one goes together with the reduction of the next (f: the sums of
 * its pieces are folded, and become coefficients):
 *
 *     visit       0            1                2                3
 *     reduces  block 0      block 1          block 2
 *     writes             f  block 0       f  block 1       f  block 2
 *
 * The write of a block reads again what its reduction brought into the cache one visit before. */

static struct bn_block block_of(const struct bn_pass *p, const struct bn_sweep *s, size_t block, size_t end) {
    const struct bn_view *v = &p->reduce[0].view;
    size_t first = block * v->block, left = v->channels - first, last = end * v->block;
    return (struct bn_block){s, first, left < v->block ? left : v->block, last < v->channels ? last : v->channels};
}

/* Writes a block, reduces the next, or both. NULL: there is no such block. */
static void write_and_reduce(const struct bn_block *write, const struct bn_block *reduce) {
    const struct bn_view *v = write ? &write->sweep->view : &reduce->sweep->view;
    for (size_t piece = 0; piece < v->pieces; piece++) bn_plane_piece(write, reduce, piece);
}

/* Writes one block and reduces the next; either may be outside [begin, end). */
static void visit(const struct bn_pass *p, size_t begin, size_t block, size_t end) {
    const bool writes = block > begin, reduces = block < end;
    struct bn_block w = {NULL, 0, 0, 0}, r = {NULL, 0, 0, 0};
    if (writes) w = block_of(p, NULL, block - 1, end);
    if (reduces) r = block_of(p, NULL, block, end);
    if (writes) fold_and_set(p, w.first, w.count);
    if (reduces && p->set_gates) p->set_gates(p, r.first, r.count);
    if (p->way.fused) {
        w.sweep = &p->write[0];
        r.sweep = &p->reduce[0];
        write_and_reduce(writes ? &w : NULL, reduces ? &r : NULL);
        return;
    }
    for (int i = 0; i < p->writes && writes; i++) {
        w.sweep = &p->write[i];
        write_and_reduce(&w, NULL);
    }
    for (int i = 0; i < p->reduces && reduces; i++) {
        r.sweep = &p->reduce[i];
        write_and_reduce(NULL, &r);
    }
}

static void blocks_item(void *arg, size_t item) {
    const struct job *j = arg;
    size_t begin = begin_of(j->share, item), end = begin_of(j->share, item + 1);
    for (size_t block = begin; block <= end; block++) visit(j->pass, begin, block, end);
    flush_streams(j->pass);
}

/* By sweeps */

static void gates_item(void *arg, size_t item) {
    const struct job *j = arg;
    size_t begin = begin_of(j->share, item), end = begin_of(j->share, item + 1);
    j->pass->set_gates(j->pass, begin, end - begin);
}

static void coefficients_item(void *arg, size_t item) {
    const struct job *j = arg;
    size_t begin = begin_of(j->share, item), end = begin_of(j->share, item + 1);
    fold_and_set(j->pass, begin, end - begin);
}

/* Goes in the order of memory: reductions of a plane go on within a channel, everything else across the blocks of a row. */
static void do_pieces(const struct bn_sweep *s, size_t begin, size_t end) {
    const struct bn_view *v = &s->view;
    bool within = v->layout == BNK_PLANE && (bn_sweep_reduces(s) || bn_view_cuts_rows(v));
    for (size_t i = begin; i < end; i++) {
        if (within)
            s->do_piece(s, i / v->pieces, i % v->pieces);
        else
            s->do_piece(s, i % v->blocks, i / v->blocks);
    }
}

static void reduce_item(void *arg, size_t item) {
    const struct job *j = arg;
    do_pieces(j->sweep, begin_of(j->share, item), begin_of(j->share, item + 1));
}

/* Writes from the last item to the first: what the reduction has read last is still in cache. */
static void write_item(void *arg, size_t item) {
    const struct job *j = arg;
    item = j->share->items - 1 - item;
    do_pieces(j->sweep, begin_of(j->share, item), begin_of(j->share, item + 1));
    flush_streams(j->pass);
}

void bn_pass_run(const struct bn_pass *p) {
    if (p->way.by_blocks) {
        hand_out(p, &p->way.blocks, NULL, blocks_item);
        return;
    }
    if (p->set_gates) hand_out(p, &p->way.gates, NULL, gates_item);
    for (int i = 0; i < p->reduces; i++) hand_out(p, &p->reduce[i].share, &p->reduce[i], reduce_item);
    hand_out(p, &p->way.coefficients, NULL, coefficients_item);
    for (int i = 0; i < p->writes; i++) hand_out(p, &p->write[i].share, &p->write[i], write_item);
}
