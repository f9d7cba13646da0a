/* SPDX-License-Identifier: MIT */
/* How a pass goes: decided before anything runs, from the shape, the caches, the threads and limits. It decides who does what
 * and when, never in which order numbers are added. */
#include "parallel/parallel.h"
#include "plan/pass.h"

/* Returns a product that only decides something: SIZE_MAX where it does not fit. */
static size_t times(size_t a, size_t b) {
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

static size_t eighths(size_t bytes, size_t count) { return times(bytes / 8, count); }

/* Returns the bytes of one array. */
static size_t array_bytes(const struct bn_pass *p) { return p->channels * p->count * bn_element_bytes(p->dtype); }

/* Items */

static void decide_items(struct bn_pass *p) {
    const struct bn_limits *limits = p->way.machine.limits;
    p->way.threads = bn_parallel_threads(p->caller, p->channels * p->count > limits->worth_threads);
    size_t threads = p->way.threads ? p->way.threads : limits->threads_unknown;
    p->way.wanted = threads == 1 ? 1 : times(threads, limits->items_per_thread);
    if (bn_tuning.items) p->way.wanted = bn_tuning.items;
}

/* Shares out `portions` of so many elements each; items differ by one portion at most. */
static struct bn_share share_out(const struct bn_pass *p, size_t portions, size_t elements_each) {
    const struct bn_limits *limits = p->way.machine.limits;
    size_t elements = times(portions, elements_each), items = p->way.wanted;
    if (items > 1) {
        size_t threads = items / limits->items_per_thread;
        items = bn_least(items, bn_least(portions, elements / limits->item));
        if (threads > 0 && items > threads && portions / items >= 4) items -= items % threads; /* so that all end together */
    }
    if (items <= 1) return (struct bn_share){1, portions, 0, false};
    return (struct bn_share){items, portions / items, portions % items, elements > limits->worth_threads};
}

/* Blocks or sweeps */

static bool all_planes(const struct bn_pass *p) {
    for (int i = 0; i < p->reduces; i++)
        if (p->reduce[i].view.layout != BNK_PLANE) return false;
    for (int i = 0; i < p->writes; i++)
        if (p->write[i].view.layout != BNK_PLANE) return false;
    return true;
}

/* Returns the most channels of a block, where `usual` would be right without staging: channels that share lines of the cache
 * are staged together. */
static size_t most_channels(const struct bn_view *v, size_t usual) {
    if (bn_tuning.block)
        usual = bn_tuning.block;
    else if (v->staged)
        usual = BN_BLOCK_MAX;
    return bn_least(usual, BN_BLOCK_MAX);
}

/* Returns the channels of a block: two blocks, the one that is written and the one that is reduced, shall fit a part of the
 * second-level cache. */
static size_t block_channels(const struct bn_pass *p) {
    const struct bn_limits *limits = p->way.machine.limits;
    size_t bytes = times(p->count * bn_element_bytes(p->dtype), (size_t)p->reduce[0].view.arrays);
    size_t room = eighths(p->way.machine.l2_bytes, limits->block_l2);
    size_t most = most_channels(&p->reduce[0].view, limits->block);
    if (bn_tuning.block || bytes <= room / most) return most;
    return bytes < room ? room / bytes : 1;
}

/* Returns whether the runs of a block, its channels of one sample, are long enough. Short ones cost more than a second reading
 * saves, because each lies on other pages of memory; the more so where that reading finds everything in the last-level cache,
 * and where rows are short. */
static bool has_long_runs(const struct bn_pass *p, size_t channels) {
    const struct bn_machine *m = &p->way.machine;
    const struct bn_view *v = &p->reduce[0].view;
    size_t row = v->length * bn_element_bytes(p->dtype), all = times(array_bytes(p), (size_t)v->arrays);
    bool long_rows = row >= m->limits->run_row && all > eighths(m->llc_bytes, m->limits->run_llc);
    return channels * row >= (long_rows ? m->limits->run : m->limits->run_else);
}

/* Returns whether several threads share arrays that fit their second-level caches. Blocks are best for them, however short
 * their runs are, because threads wait for each other once, and not after every sweep. */
static bool is_shared_in_cache(const struct bn_pass *p) {
    const size_t bytes = times(array_bytes(p), (size_t)p->reduce[0].view.arrays + 1);
    return p->way.wanted > 1 && bytes / p->way.wanted <= p->way.machine.l2_bytes / p->way.machine.limits->items_per_thread;
}

/* Returns whether to go by blocks. They need something to find in the cache again, and enough channels for every thread. */
static bool goes_by_blocks(const struct bn_pass *p, size_t channels) {
    const struct bn_machine *m = &p->way.machine;
    if (p->reduces == 0 || bn_tuning.by_blocks == BN_NEVER || !all_planes(p)) return false;
    if (bn_tuning.by_blocks == BN_ALWAYS || p->channels * p->count <= m->limits->item) return true;
    if (p->writes == 0 || !(has_long_runs(p, channels) || is_shared_in_cache(p))) return false;
    size_t bytes = p->count * bn_element_bytes(p->dtype);
    return (p->way.wanted == 1 || p->channels / channels >= p->way.wanted / 2) &&
           bytes <= eighths(m->llc_bytes, m->limits->channel_llc);
}

/* Returns whether the write of a block goes with the reduction of the next. Runs that are short take longer so, and need no
 * stream that the other fills. From y there is no pair: it would take at most an eighth off the time of planes that are
 * large. */
static bool is_fused(const struct bn_pass *p, size_t channels) {
    if (bn_tuning.fuse == BN_NEVER || p->reduces != 1 || p->writes != 1) return false;
    enum bnk_verb reduce = p->reduce[0].verb, write = p->write[0].verb;
    bool pair = (reduce == BNK_MOMENTS && write == BNK_AFFINE) ||
                (reduce == BNK_DOTS && write == BNK_BLEND && p->reduce[0].active == p->write[0].active && !p->write[0].from_y);
    if (!pair || !bn_view_matches(&p->reduce[0].view, &p->write[0].view)) return false;
    return bn_tuning.fuse == BN_ALWAYS || bn_tuning.by_blocks == BN_ALWAYS || has_long_runs(p, channels);
}

/* Sweeps */

/* Cuts a reduction into blocks of channels. In planes their runs are no longer than they need be; rows stay whole, because what
 * lies together is read together. Blocks become smaller where there would not be enough of them to hand out. */
static void cut_reduction(const struct bn_pass *p, struct bn_sweep *s) {
    const struct bn_limits *limits = p->way.machine.limits;
    struct bn_view *v = &s->view;
    if (s->repeat > 1) return; /* wide rows are one block */
    if (v->layout == BNK_PLANE) {
        size_t run = limits->sweep_run / (v->length * bn_element_bytes(p->dtype));
        size_t most = most_channels(v, bn_least(limits->block, run));
        size_t channels = bn_least(most, p->channels * v->pieces / p->way.wanted);
        bn_view_set_block(v, channels ? channels : 1);
    } else if (v->pieces >= p->way.wanted) {
        size_t steps = limits->wide / BNK_LANES; /* whole steps, so that blocks do not share sums */
        bn_view_set_block(v, (steps ? steps : 1) * BNK_LANES);
    }
}

static void cut_write(const struct bn_pass *p, struct bn_sweep *s) {
    const struct bn_limits *limits = p->way.machine.limits;
    struct bn_view *v = &s->view;
    size_t fair = p->channels * p->count / p->way.wanted;
    size_t most = v->layout == BNK_PLANE ? limits->plane_write : limits->rows_write;
    size_t elements = fair < limits->item ? limits->item : bn_least(fair, most);
    bn_view_recut(v, s->repeat > 1 && elements < v->channels ? v->channels : elements); /* wide rows are one block */
}

static void share_sweep(const struct bn_pass *p, struct bn_sweep *s) {
    size_t pieces = s->view.blocks * s->view.pieces;
    s->share = share_out(p, pieces, p->channels * p->count / pieces);
}

static void decide_sweeps(struct bn_pass *p) {
    const struct bn_limits *limits = p->way.machine.limits;
    size_t slots = 1;
    for (int i = 0; i < p->reduces; i++) {
        cut_reduction(p, &p->reduce[i]);
        share_sweep(p, &p->reduce[i]);
        slots += p->reduce[i].view.pieces;
    }
    for (int i = 0; i < p->writes; i++) {
        cut_write(p, &p->write[i]);
        share_sweep(p, &p->write[i]);
    }
    p->way.gates = share_out(p, p->channels, limits->gate_work);
    p->way.coefficients = share_out(p, p->channels, times(limits->fold_work, slots));
}

/* Memory */

/* Returns whether some output is an input. What is read is in cache then, and a stream of parts of a line would throw it out
 * again. */
static bool is_in_place(const struct bn_sweep *s) {
    for (int i = 0; i < s->view.arrays; i++)
        for (int j = 0; j < s->view.arrays; j++) {
            bool writes = bn_is_output(s->role[i]), reads = !bn_is_output(s->role[j]);
            if (writes && reads && s->view.array[i].data == s->view.array[j].data) return true;
        }
    return false;
}

/* Returns how far ahead planes fetch. Memory is about a hundred nanoseconds away: at its speed, some kilobytes. A block that
 * does not fit the second-level cache is fetched half of that cache ahead, which keeps the reading away from the writing of the
 * block before. */
static size_t rows_ahead_in_planes(const struct bn_pass *p, const struct bn_sweep *s, size_t channels) {
    const struct bn_machine *m = &p->way.machine;
    size_t row = channels * s->view.length * s->kernels->bytes, ahead = eighths(m->l2_bytes, m->limits->ahead_l2);
    bool far = row * s->view.rows > m->l2_bytes && ahead > m->limits->near;
    return bn_least((far ? ahead : m->limits->near) / row + 1, s->view.rows);
}

/* Returns how far ahead rows fetch: those that a kernel does together, or a multiple. With more, the processor's own fetching,
 * which goes by the order of reading, most often helps less. Elements of 16 bits are computed with for longer than they are
 * read, and fetched earlier. */
static size_t rows_ahead_in_rows(const struct bn_pass *p, const struct bn_sweep *s) {
    const struct bn_limits *limits = p->way.machine.limits;
    const size_t fetch[] = {[BNK_MOMENTS] = limits->fetch_moments,
                            [BNK_AFFINE] = limits->fetch_affine,
                            [BNK_DOTS] = limits->fetch_dots,
                            [BNK_BLEND] = limits->fetch_blend};
    size_t together = s->verb == BNK_MOMENTS ? BNK_ROWS_OF_MOMENTS : s->verb == BNK_DOTS ? BNK_ROWS_OF_DOTS : BNK_ROWS_WRITTEN;
    size_t bytes = s->view.channels * s->repeat * s->kernels->bytes, ahead = times(together, fetch[s->verb]);
    if (s->kernels->bytes == s->kernels->coefficient_bytes) return ahead;
    return times(ahead, limits->near / bytes / together + 1);
}

/* Decides about streams and fetches. Outputs that do not stay in the last-level cache anyway go past all caches; inputs that
 * are not there are fetched ahead. A part of that cache is always taken by something else, so the limit is less than all of
 * it. */
static void decide_memory(struct bn_pass *p) {
    const struct bn_machine *m = &p->way.machine;
    size_t arrays = p->writes || !p->reduces ? 0 : (size_t)p->reduce[0].view.arrays;
    for (int i = 0; i < p->writes; i++) arrays += (size_t)p->write[i].view.arrays;
    size_t bytes = times(array_bytes(p), arrays);
    p->way.large = bytes >= eighths(m->llc_bytes, m->limits->stream_llc);
    p->way.far = bytes > eighths(m->l2_bytes, m->limits->fetch_l2);
    for (int i = 0; i < p->reduces; i++) p->reduce[i].stream = false;
    for (int i = 0; i < p->writes; i++) {
        struct bn_sweep *s = &p->write[i];
        bool worth_it = p->way.large && p->writes == 1 && !is_in_place(s);
        if (p->way.large) s->repeat = bn_rows_repeat_written(&s->view, s->kernels->coefficient_bytes, m->limits->wide_rows);
        s->stream = bn_tuning.stream == BN_ALWAYS || (bn_tuning.stream == BN_DECIDE && worth_it);
        s->tile_row = bn_least(m->limits->tile_row, BN_STAGE_BYTES);
    }
}

/* Returns the channels that are done together, which by blocks those of the first reduction decide. */
static size_t block_of_sweep(const struct bn_pass *p, const struct bn_sweep *s) {
    return p->way.by_blocks ? p->reduce[0].view.block : s->view.block;
}

static void decide_fetch(const struct bn_pass *p, struct bn_sweep *s) {
    s->ahead = 0;
    if (s->view.layout == BNK_PLANE && p->way.far) s->ahead = rows_ahead_in_planes(p, s, block_of_sweep(p, s));
    if (s->view.layout == BNK_ROWS && p->way.large) s->ahead = rows_ahead_in_rows(p, s);
}

void bn_pass_decide(struct bn_pass *p) {
    p->way.machine = bn_machine();
    decide_items(p);
    decide_memory(p);
    size_t channels = p->reduces ? block_channels(p) : 1;
    p->way.by_blocks = goes_by_blocks(p, channels);
    p->way.fused = p->way.by_blocks && is_fused(p, channels);
    if (p->way.by_blocks) {
        for (int i = 0; i < p->reduces; i++) bn_view_set_block(&p->reduce[i].view, channels);
        p->way.blocks = share_out(p, p->reduce[0].view.blocks, channels * p->count);
    } else {
        decide_sweeps(p);
    }
    for (int i = 0; i < p->reduces; i++) decide_fetch(p, &p->reduce[i]);
    for (int i = 0; i < p->writes; i++) decide_fetch(p, &p->write[i]);
}

static void explain_sweep(const struct bn_pass *p, const struct bn_sweep *s, struct bn_decision *d) {
    static const char *const verbs[] = {"moments", "affine", "dots", "blend"};
    const struct bn_view *v = &s->view;
    const size_t row = v->layout == BNK_PLANE ? block_of_sweep(p, s) * v->length : v->channels * s->repeat;
    d->sweep[d->sweeps].verb = verbs[s->verb];
    d->sweep[d->sweeps].layout = v->layout == BNK_PLANE ? "planes" : "rows";
    d->sweep[d->sweeps].block = block_of_sweep(p, s);
    d->sweep[d->sweeps].pieces = v->pieces;
    d->sweep[d->sweeps].items = p->way.by_blocks ? 0 : s->share.items;
    d->sweep[d->sweeps].wide = s->repeat;
    d->sweep[d->sweeps].fetch_bytes = times(s->ahead, row * s->kernels->bytes);
    d->sweep[d->sweeps++].stream = s->stream;
}

void bn_job_explain(const struct bn_geometry *g, bn_build *build, const void *job, const batchnorm_exec *exec,
                    struct bn_decision *decision) {
    struct bn_pass p;
    build(&p, g, job);
    p.caller = exec;
    bn_pass_decide(&p);
    *decision = (struct bn_decision){.limits = p.way.machine.limits->name,
                                     .l2_bytes = p.way.machine.l2_bytes,
                                     .llc_bytes = p.way.machine.llc_bytes,
                                     .threads = p.way.threads,
                                     .by_blocks = p.way.by_blocks,
                                     .fused = p.way.fused,
                                     .blocks_items = p.way.by_blocks ? p.way.blocks.items : 0,
                                     .gate_items = p.way.by_blocks || !p.set_gates ? 0 : p.way.gates.items,
                                     .set_items = p.way.by_blocks ? 0 : p.way.coefficients.items};
    for (int i = 0; i < p.reduces; i++) explain_sweep(&p, &p.reduce[i], decision);
    for (int i = 0; i < p.writes; i++) explain_sweep(&p, &p.write[i], decision);
}
