/* SPDX-License-Identifier: MIT */
/* How a pass goes. In planes a block of channels can be done from end to end: its second visit finds it in cache, and goes
 * together with the first visit of the next block. Otherwise everything is swept over twice. What is decided here decides who
 * does what and when, never in which order numbers are added. */
#include "parallel/parallel.h"
#include "plan/narrow.h"
#include "plan/pass.h"
#include "plan/tuning.h"

/* Elements of an item of work at least, so that handing it out costs nothing beside it; items for each thread, so that none
 * waits long for another; and the threads to prepare for where the caller's are not known. */
enum { ITEM = 32768, ITEMS_PER_THREAD = 4, THREADS_UNKNOWN = 64 };

static size_t wanted_items(const struct bn_pass *p) {
    if (bn_tuning.items) return bn_tuning.items;
    size_t threads = bn_parallel_threads(p->caller, p->channels * p->count);
    if (threads == 0) threads = THREADS_UNKNOWN;
    return threads == 1 ? 1 : threads * ITEMS_PER_THREAD;
}

/* What the job does for some channels. */
typedef void per_channel(const struct bn_pass *pass, size_t channel, size_t channels);

/* Things in items that differ by one thing at most. */
struct share {
    struct bn_pass *pass;
    const struct bn_sweep *sweep;
    per_channel *call;
    bool fused;
    size_t items, each, larger; /* the first `larger` items have one thing more than `each` */
};

static size_t begin_of(const struct share *s, size_t item) { return item * s->each + (item < s->larger ? item : s->larger); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Products that only decide something: what does not fit is as large as can be. */
static size_t times(size_t a, size_t b) {
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

static void hand_out(struct share *s, size_t things, size_t elements_each, batchnorm_task *task) {
    size_t items = wanted_items(s->pass), threads = items / ITEMS_PER_THREAD, elements = times(things, elements_each);
    if (items > 1) items = least(items, least(things, elements / ITEM));
    if (threads > 0 && items > threads && things / items >= 4) items -= items % threads; /* so that all threads end together */
    s->items = items ? items : 1;
    s->each = s->items > 1 ? things / s->items : things;
    s->larger = things - s->each * s->items;
    bn_parallel(s->pass->caller, s->items, elements, task, s);
}

/* By blocks */

static struct bn_block block_of(const struct bn_sweep *s, const struct share *share, size_t block, size_t end) {
    const struct bn_view *v = &share->pass->reduce[0].view;
    size_t first = block * v->block, left = v->channels - first, last = end * v->block;
    return (struct bn_block){s, first, left < v->block ? left : v->block, last < v->channels ? last : v->channels};
}

static void call_each(const struct share *s, per_channel *call, size_t block) {
    struct bn_block b = block_of(NULL, s, block, block + 1);
    if (call == s->pass->numbers) bn_pass_fold(s->pass, b.first, b.count);
    call(s->pass, b.first, b.count);
}

static bool can_fuse(const struct bn_pass *p) {
    if (bn_tuning.fuse == BN_NEVER || p->reduces != 1 || p->writes != 1) return false;
    enum bn_verb reduce = p->reduce[0].verb, write = p->write[0].verb;
    bool pair = (reduce == BN_MOMENTS && write == BN_AFFINE) ||
                (reduce == BN_DOTS && write == BN_BLEND && p->reduce[0].active == p->write[0].active);
    return pair && bn_view_matches(&p->reduce[0].view, &p->write[0].view);
}

/* Write one block and reduce the next; either may be outside [begin, end). */
static void step(const struct share *s, size_t begin, size_t block, size_t end) {
    const struct bn_pass *p = s->pass;
    bool writes = block > begin, reduces = block < end;
    if (writes) call_each(s, p->numbers, block - 1);
    if (reduces && p->gate) call_each(s, p->gate, block);
    if (s->fused) {
        struct bn_block w, r;
        if (writes) w = block_of(&p->write[0], s, block - 1, end);
        if (reduces) r = block_of(&p->reduce[0], s, block, end);
        for (size_t k = 0; k < p->reduce[0].view.pieces; k++) bn_plane_piece(writes ? &w : NULL, reduces ? &r : NULL, k);
        return;
    }
    for (int i = 0; i < p->writes && writes; i++) {
        struct bn_block w = block_of(&p->write[i], s, block - 1, end);
        for (size_t k = 0; k < p->write[i].view.pieces; k++) bn_plane_piece(&w, NULL, k);
    }
    for (int i = 0; i < p->reduces && reduces; i++) {
        struct bn_block r = block_of(&p->reduce[i], s, block, end);
        for (size_t k = 0; k < p->reduce[i].view.pieces; k++) bn_plane_piece(NULL, &r, k);
    }
}

static void flush_streams(const struct bn_pass *p) {
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].stream) {
            bnk_table()->fence();
            return;
        }
}

static void blocks_item(void *arg, size_t item) {
    const struct share *s = arg;
    size_t begin = begin_of(s, item), end = begin_of(s, item + 1);
    for (size_t block = begin; block <= end; block++) step(s, begin, block, end);
    flush_streams(s->pass);
}

/* Channels of a block: two blocks, the one that is written and the one that is reduced, shall fit half of the second-level
 * cache. */
static size_t block_channels(const struct bn_pass *p) {
    size_t bytes = times(p->count * bn_element_bytes(p->dtype), (size_t)p->reduce[0].view.arrays);
    size_t room = bn_l2_bytes() / 4, most = bn_tuning.block ? least(bn_tuning.block, BN_BLOCK_MAX) : BN_BLOCK_MAX;
    if (bn_tuning.block || bytes <= room / BN_BLOCK_MAX) return most;
    return bytes < room ? room / bytes : 1;
}

static bool all_planes(const struct bn_pass *p) {
    for (int i = 0; i < p->reduces; i++)
        if (p->reduce[i].view.layout != BN_PLANE) return false;
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].view.layout != BN_PLANE) return false;
    return true;
}

/* A block is read in runs: its channels of one sample. Short ones cost more than a second reading saves, mostly because each is
 * on other pages of memory; the more so where that reading finds everything in the last-level cache, and where rows are
 * short. */
static bool has_long_runs(const struct bn_pass *p, size_t channels) {
    enum { LONG = 3072, LONG_ELSE = 7168, LONG_ROW = 512 };
    const struct bn_view *v = &p->reduce[0].view;
    size_t element = bn_element_bytes(p->dtype), row = v->length * element, all = p->channels * p->count * element;
    bool long_rows = row >= LONG_ROW && times(all, (size_t)v->arrays) > bn_llc_bytes() / 2;
    return channels * row >= (long_rows ? LONG : LONG_ELSE);
}

/* Blocks need something to find in the cache again, and enough channels for every thread. */
static bool goes_by_blocks(const struct bn_pass *p, size_t channels) {
    if (p->reduces == 0 || !all_planes(p) || bn_tuning.by_blocks == BN_NEVER) return false;
    size_t bytes = p->count * bn_element_bytes(p->dtype);
    if (bn_tuning.by_blocks == BN_ALWAYS || p->channels * p->count <= ITEM) return true;
    size_t items = wanted_items(p);
    if (p->writes == 0 || !has_long_runs(p, channels)) return false;
    return (items == 1 || p->channels / channels >= items / 2) && bytes <= bn_llc_bytes() / 2;
}

static void run_blocks(struct bn_pass *p, size_t channels) {
    struct share s = {.pass = p, .fused = can_fuse(p)};
    for (int i = 0; i < p->reduces; i++) bn_view_set_block(&p->reduce[i].view, channels);
    hand_out(&s, p->reduce[0].view.blocks, channels * p->count, blocks_item);
}

/* By sweeps */

static void channels_item(void *arg, size_t item) {
    const struct share *s = arg;
    size_t begin = begin_of(s, item), end = begin_of(s, item + 1);
    if (s->call == s->pass->numbers) bn_pass_fold(s->pass, begin, end - begin);
    s->call(s->pass, begin, end - begin);
}

/* Reductions of a plane go on within a channel; everything else goes on across the blocks of a row: the order of memory. */
static void unit(const struct bn_sweep *s, size_t u) {
    const struct bn_view *v = &s->view;
    if (v->layout == BN_PLANE && (bn_sweep_reduces(s) || v->parts > 1))
        bn_sweep_unit(s, u / v->pieces, u % v->pieces);
    else
        bn_sweep_unit(s, u % v->blocks, u / v->blocks);
}

static void reduce_item(void *arg, size_t item) {
    const struct share *s = arg;
    for (size_t u = begin_of(s, item); u < begin_of(s, item + 1); u++) unit(s->sweep, u);
}

/* The last items come first: what the reduction has read last is still in cache. */
static void write_item(void *arg, size_t item) {
    const struct share *s = arg;
    item = s->items - 1 - item;
    for (size_t u = begin_of(s, item); u < begin_of(s, item + 1); u++) unit(s->sweep, u);
    flush_streams(s->pass);
}

/* Blocks of channels, whose runs are no longer than they need be, as far as there is enough left to hand out. */
static void set_blocks(const struct bn_pass *p, struct bn_view *v) {
    enum { RUN = 16384 };
    size_t most = bn_tuning.block ? bn_tuning.block : least(BN_BLOCK_MAX, RUN / (v->length * bn_element_bytes(p->dtype)));
    size_t channels = least(most, p->channels * v->pieces / wanted_items(p));
    bn_view_set_block(v, channels ? channels : 1);
}

/* Whole rows, as far as there is enough left to hand out: what lies together is read together. */
static void widen(const struct bn_pass *p, struct bn_view *v) {
    enum { WIDE = 2048 }; /* whole steps, so that blocks do not share sums */
    if (v->pieces >= wanted_items(p)) bn_view_set_block(v, WIDE);
}

static void run_sweep(struct bn_pass *p, struct bn_sweep *sweep) {
    enum { ROWS_WRITE = 1 << 16, PLANE_WRITE = 1 << 17 };
    struct share s = {.pass = p, .sweep = sweep};
    bool reduces = bn_sweep_reduces(sweep), plane = sweep->view.layout == BN_PLANE;
    if (!reduces) {
        size_t fair = p->channels * p->count / wanted_items(p), most = plane ? PLANE_WRITE : ROWS_WRITE;
        bn_view_recut(&sweep->view, fair < ITEM ? ITEM : least(fair, most));
    }
    if (reduces && plane) set_blocks(p, &sweep->view);
    if (reduces && !plane) widen(p, &sweep->view);
    size_t units = sweep->view.blocks * sweep->view.pieces;
    hand_out(&s, units, p->channels * p->count / units, reduces ? reduce_item : write_item);
}

static void run_sweeps(struct bn_pass *p) {
    struct share gates = {.pass = p, .call = p->gate}, numbers = {.pass = p, .call = p->numbers};
    size_t slots = 1;
    if (p->gate) hand_out(&gates, p->channels, 16, channels_item);
    for (int i = 0; i < p->reduces; i++) {
        run_sweep(p, &p->reduce[i]);
        slots += p->reduce[i].view.pieces;
    }
    hand_out(&numbers, p->channels, 8 * slots, channels_item);
    for (int i = 0; i < p->writes; i++) run_sweep(p, &p->write[i]);
}

/* Whether some output is an input. What is read is in cache then, and a stream of parts of a line would throw it out again. */
static bool is_in_place(const struct bn_sweep *s) {
    for (int i = 0; i < s->view.arrays; i++)
        for (int j = 0; j < s->view.arrays; j++) {
            bool writes = s->role[i] >= BN_AS_OUT, reads = s->role[j] < BN_AS_OUT;
            if (writes && reads && s->view.array[i].data == s->view.array[j].data) return true;
        }
    return false;
}

/* Outputs that do not stay in the last-level cache anyway go past all of them; inputs that are not there are fetched ahead. A
 * part of that cache is always taken by something else, which makes streams worth while earlier. */
static void decide_by_size(struct bn_pass *p) {
    size_t arrays = p->writes || !p->reduces ? 0 : (size_t)p->reduce[0].view.arrays;
    for (int i = 0; i < p->writes; i++) arrays += (size_t)p->write[i].view.arrays;
    size_t bytes = p->channels * p->count * bn_element_bytes(p->dtype); /* of each */
    bytes = times(bytes, arrays);
    bool large = bytes > bn_llc_bytes() / 4 * 3, far = bytes > bn_l2_bytes() / 2;
    for (int i = 0; i < p->reduces; i++) p->reduce[i].fetch = p->reduce[i].view.layout == BN_PLANE ? far : large;
    for (int i = 0; i < p->writes; i++) {
        struct bn_sweep *s = &p->write[i];
        bool worth_it = large && p->writes == 1 && !is_in_place(s);
        s->fetch = s->view.layout == BN_PLANE ? far : large;
        s->stream = bn_tuning.stream == BN_ALWAYS || (bn_tuning.stream == BN_DECIDE && worth_it);
        if (large) s->repeat = bn_narrow_most(&s->view, s->kernels->number_bytes);
    }
}

void bn_pass_run(struct bn_pass *p) {
    decide_by_size(p);
    size_t channels = p->reduces ? block_channels(p) : 1;
    if (goes_by_blocks(p, channels))
        run_blocks(p, channels);
    else
        run_sweeps(p);
}
