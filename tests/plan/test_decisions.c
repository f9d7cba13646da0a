/* SPDX-License-Identifier: MIT */
/* What is decided from the sizes of caches and the number of threads - blocks or sweeps, fused or not, past the caches or not,
 * how many items - changes no bit of a result. All arrays lie between guard pages. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/job.h"
#include "plan/tuning.h"
#include "tests/support/fused.h"
#include "tests/support/test.h"
#include "tests/support/threads.h"

/* The calls: some of enum verb, then all fused ones with y to gate, then the fused backwards without it. */
static const enum verb plain[] = {ACCUMULATE_STATS, INFER, FORWARD, BACKWARD, BACKWARD_FROZEN};
enum { PLAIN = sizeof plain / sizeof *plain, CALLS = PLAIN + FUSED_VERBS + 2 };

static const struct fused fused = {{BATCHNORM_RELU, 0}, true, true}, again = {{BATCHNORM_RELU, 0}, true, false};

static enum fused_verb fused_verb_of(int call) {
    if (call < PLAIN + FUSED_VERBS) return (enum fused_verb)(call - PLAIN);
    return call == CALLS - 1 ? BACKWARD_FUSED_FROZEN : BACKWARD_FUSED;
}

static const char *call_name(int call) { return call < PLAIN ? verb_name(plain[call]) : fused_verb_name(fused_verb_of(call)); }

static batchnorm_status run_call(struct problem *p, int call, const batchnorm_exec *exec) {
    if (call < PLAIN) return problem_run(p, plain[call], exec);
    return fused_run(p, fused_verb_of(call), call < PLAIN + FUSED_VERBS ? &fused : &again, exec);
}

/* Every way to decide, each in all that lets it matter: blocks of channels only where work goes by blocks, and so on. */
enum { LIMITS = (sizeof(struct bn_limits) - offsetof(struct bn_limits, item)) / sizeof(size_t), WAYS_MAX = 128 + 3 * LIMITS };

static size_t add_blocks(struct bn_tuning *way) {
    static const size_t blocks[] = {1, 2, 3, 5, 32};
    size_t count = 0;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        for (int k = 0; k < 4; k++)
            way[count++] = (struct bn_tuning){.by_blocks = BN_ALWAYS,
                                              .block = blocks[i],
                                              .fuse = k & 1 ? BN_ALWAYS : BN_NEVER,
                                              .stream = k & 2 ? BN_ALWAYS : BN_NEVER};
    return count;
}

static size_t add_items(struct bn_tuning *way) {
    static const size_t items[] = {1, 2, 3, 7, 64, 128};
    size_t count = 0;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        for (int k = 0; k < 5; k++)
            way[count++] = (struct bn_tuning){.items = items[i],
                                              .by_blocks = k == 4  ? BN_DECIDE
                                                           : k & 1 ? BN_ALWAYS
                                                                   : BN_NEVER,
                                              .stream = k == 4  ? BN_DECIDE
                                                        : k & 2 ? BN_ALWAYS
                                                                : BN_NEVER};
    return count;
}

static size_t add_caches(struct bn_tuning *way) {
    static const size_t bytes[] = {0, 1, 4096, (size_t)1 << 40};
    size_t count = 0;
    for (size_t i = 1; i < 16; i++) way[count++] = (struct bn_tuning){.l2_bytes = bytes[i / 4], .llc_bytes = bytes[i % 4]};
    return count;
}

/* Each limit as small and as large as can be, 0 where that means that nothing is fetched. Caches are small then, and items are
 * not kept large by another limit. */
static size_t add_limits(struct bn_tuning *way) {
    enum { FETCHES = (offsetof(struct bn_limits, fetch_moments) - offsetof(struct bn_limits, item)) / sizeof(size_t) };
    static const size_t extremes[] = {1, 3, SIZE_MAX / 4096};
    static struct bn_limits limits[3 * LIMITS];
    static char names[3 * LIMITS][48];
    const struct bn_limits *usual = bn_machine().limits;
    for (size_t i = 0; i < 3 * LIMITS; i++) {
        const bool may_be_0 = i / 3 >= FETCHES;
        const size_t value = may_be_0 && i % 3 == 0 ? 0 : extremes[i % 3];
        limits[i] = *usual;
        limits[i].name = names[i];
        snprintf(names[i], sizeof names[i], "number %zu is %zu", i / 3, value);
        limits[i].item = limits[i].worth_threads = 100;
        memcpy((char *)&limits[i] + offsetof(struct bn_limits, item) + i / 3 * sizeof(size_t), &value, sizeof value);
        way[i] = (struct bn_tuning){.l2_bytes = i & 1 ? 4096 : 0, .llc_bytes = i & 2 ? 8192 : 0, .limits = &limits[i]};
    }
    return 3 * LIMITS;
}

static size_t all_ways(struct bn_tuning *way) {
    size_t count = 0;
    for (int i = BN_NEVER; i <= BN_ALWAYS; i++) {
        way[count++] = (struct bn_tuning){.stream = (enum bn_choice)i};
        way[count++] = (struct bn_tuning){.fuse = (enum bn_choice)i};
        way[count++] = (struct bn_tuning){.by_blocks = (enum bn_choice)i};
    }
    count += add_blocks(way + count);
    count += add_items(way + count);
    count += add_caches(way + count);
    count += add_limits(way + count);
    assert_true(count <= WAYS_MAX);
    return count;
}

/* Who runs the items. Taken in turn, so that every decision meets some of them. */
static batchnorm_exec next_exec(void) {
    static uint64_t seed = 1;
    static int threads[] = {1, 2, 3, 7};
    static size_t turn;
    size_t i = turn++ % 7;
    seed++;
    if (i == 5) return (batchnorm_exec){.size = sizeof(batchnorm_exec), .parallel_for = shuffled_for, .user = &seed};
    if (i == 6) return (batchnorm_exec){.size = sizeof(batchnorm_exec), .parallel_for = reversed_for, .threads = 2};
#ifndef __SANITIZE_THREAD__ /* it sees nothing where there are no threads */
    if (i == 0) return (batchnorm_exec){.size = sizeof(batchnorm_exec), .threads = 1};
#endif
    return (batchnorm_exec){.size = sizeof(batchnorm_exec),
                            .parallel_for = threads_for,
                            .user = &threads[i % 4],
                            .threads = i & 1 ? threads[i % 4] : 0};
}

/* As it was, but for y, which every backward reads: that of `from`. */
static void prepare(struct problem *p, const struct problem *from) {
    problem_restore(p);
    const struct problem_array *y = &from->array[Y];
    memcpy(p->array[Y].lowest, y->lowest, y->count * batchnorm_dtype_bytes(y->dtype));
}

static void expect_same(const struct problem *want, const struct problem *got, int call, const char *layout,
                        const struct bn_tuning *w) {
    const char *array = problem_same(want, got);
    if (array)
        fail_msg(
            "%s %s %s (%zu, %zu, %zu): %s has other bits with l2 %zu, llc %zu, stream %d, fuse %d, by blocks %d, block %zu, "
            "items %zu, limits: %s",
            call_name(call), dtype_name(want->shape.dtype), layout, want->shape.outer, want->shape.channels, want->shape.inner,
            array, w->l2_bytes, w->llc_bytes, (int)w->stream, (int)w->fuse, (int)w->by_blocks, w->block, w->items,
            w->limits ? w->limits->name : "usual");
}

#ifdef __SANITIZE_THREAD__
enum { WAYS_STEP = 7 }; /* the sanitizer is slow */
#else
enum { WAYS_STEP = 1 };
#endif

static void compare_ways(enum layout layout, const struct strided *shape, bool at_end) {
    static struct bn_tuning ways[WAYS_MAX];
    const batchnorm_exec one = {.size = sizeof(batchnorm_exec), .threads = 1};
    size_t count = all_ways(ways);
    struct problem *want = problem_create(shape, 3, at_end), *got = problem_create(shape, 3, at_end);
    struct problem *y = problem_create(shape, 3, at_end);
    assert_int_equal(fused_run(y, NORMALIZE_FUSED, &fused, &one), BATCHNORM_OK);
    for (int call = 0; call < CALLS; call++) {
        prepare(want, y);
        bn_tuning = (struct bn_tuning){0};
        assert_int_equal(run_call(want, call, &one), BATCHNORM_OK);
        for (size_t i = (size_t)call % WAYS_STEP; i < count; i += WAYS_STEP) {
            batchnorm_exec exec = next_exec();
            prepare(got, y);
            bn_tuning = ways[i];
            assert_int_equal(run_call(got, call, &exec), BATCHNORM_OK);
            bn_tuning = (struct bn_tuning){0};
            expect_same(want, got, call, layout_name(layout), &ways[i]);
        }
    }
    problem_destroy(want);
    problem_destroy(got);
    problem_destroy(y);
}

/* At the end of a page the odd ones of these begin where no vector is aligned; at its beginning all are aligned. */
static void compare_sizes(const size_t (*sizes)[3], size_t count, const enum layout *layouts, size_t layout_count) {
    static const batchnorm_dtype dtypes[] = {BATCHNORM_F32, BATCHNORM_BF16};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < layout_count * 4; j++) {
            if (is_left_out()) continue;
            enum layout layout = layouts[j / 4];
            struct strided shape = fused_shape(layout, dtypes[j & 1], sizes[i][0], sizes[i][1], sizes[i][2]);
            compare_ways(layout, &shape, j & 2);
        }
}

TEST(small_shapes_have_the_same_bits) {
    static const enum layout layouts[] = {PLANAR, CHANNELS_LAST};
    static const size_t sizes[][3] = {{3, 70, 49}, {5, 1, 33}, {7, 3, 129}, {33, 37, 1}, {4, 16, 64}, {1, 33, 7}, {25, 110, 3}};
    compare_sizes(sizes, sizeof sizes / sizeof *sizes, layouts, 2);
}

/* Arrays that are cut in pieces, and planes in parts. */
TEST(long_shapes_have_the_same_bits) {
    static const enum layout layouts[] = {PLANAR, CHANNELS_LAST};
    static const size_t sizes[][3] = {{1, 3, 16411}, {1, 1, 33001}, {301, 7, 15}};
    compare_sizes(sizes, sizeof sizes / sizeof *sizes, layouts, 2);
}

/* Rows in one block or in two, and in two pieces. */
TEST(wide_rows_have_the_same_bits) {
    static const enum layout layouts[] = {CHANNELS_LAST};
    static const size_t sizes[][3] = {{131, 530, 1}};
    compare_sizes(sizes, sizeof sizes / sizeof *sizes, layouts, 1);
}

/* Tiles, and arrays in different orders. */
TEST(strided_shapes_have_the_same_bits) {
    static const enum layout layouts[] = {SPACED, REVERSED, S_CHANNEL_N, MIXED};
    static const size_t sizes[][3] = {{3, 5, 67}, {2, 70, 9}};
    compare_sizes(sizes, sizeof sizes / sizeof *sizes, layouts, 4);
}

/* What a call hands out, in order. */
struct handed {
    size_t items[8];
    int calls;
};

static void counting_for(void *user, size_t items, batchnorm_task *task, void *arg) {
    struct handed *handed = user;
    assert_true(handed->calls < 8);
    handed->items[handed->calls++] = items;
    for (size_t i = 0; i < items; i++) task(arg, i);
}

/* One item is not handed out. */
static void expect_next(const struct handed *handed, int *call, size_t items) {
    if (items > 1) assert_int_equal(handed->items[(*call)++], items);
}

static void expect_as_explained(const struct handed *handed, const struct bn_decision *d, int reductions) {
    int call = 0;
    expect_next(handed, &call, d->blocks_items);
    expect_next(handed, &call, d->gate_items);
    for (int i = 0; i < reductions; i++) expect_next(handed, &call, d->sweep[i].items);
    expect_next(handed, &call, d->set_items);
    for (int i = reductions; i < d->sweeps; i++) expect_next(handed, &call, d->sweep[i].items);
    assert_int_equal(call, handed->calls);
}

static struct bn_geometry geometry_of(float *memory, bool rows, size_t n, size_t c, size_t s) {
    struct bn_geometry g = {.dtype = BATCHNORM_F32, .channels = c, .count = n * s, .dims = 2, .extent = {n, s}};
    static const int arrays[] = {BN_X, BN_Y, BN_DY, BN_DX};
    for (size_t i = 0; i < 4; i++)
        g.array[arrays[i]] = (struct bn_array){.data = (char *)(memory + i * n * c * s),
                                               .channel = rows ? 1 : (ptrdiff_t)s,
                                               .stride = {(ptrdiff_t)(c * s), rows ? (ptrdiff_t)c : 1}};
    return g;
}

TEST(what_is_explained_is_done) {
    enum { N = 9, C = 40, S = 400 };
    static float memory[4 * N * C * S];
    static double mean[C], rstd[C];
    static struct bn_tuning ways[WAYS_MAX];
    size_t count = all_ways(ways), blocks = 0, sweeps = 0, streams = 0;
    for (size_t i = 0; i < 2 * count; i++) {
        const struct bn_geometry g = geometry_of(memory, i & 1, N, C, S);
        const struct bn_forward forward = {.eps = 1, .save_mean = mean, .save_rstd = rstd};
        const struct bn_backward backward = {.mean = mean, .rstd = rstd};
        struct handed handed = {{0}, 0}, back = {{0}, 0};
        batchnorm_exec exec = {.parallel_for = counting_for, .user = &handed, .threads = (int)(i % 5)};
        struct bn_decision d;
        bn_tuning = ways[i / 2];
        bn_job_explain(&g, bn_build_forward, &forward, &exec, &d);
        assert_int_equal(bn_run_forward(&g, &forward, &(struct bn_exec){.caller = &exec}), BATCHNORM_OK);
        expect_as_explained(&handed, &d, 1);
        blocks += d.by_blocks;
        sweeps += !d.by_blocks;
        streams += d.sweep[1].stream;
        exec.user = &back;
        bn_job_explain(&g, bn_build_backward, &backward, &exec, &d);
        assert_int_equal(bn_run_backward(&g, &backward, &(struct bn_exec){.caller = &exec}), BATCHNORM_OK);
        expect_as_explained(&back, &d, 1);
        bn_tuning = (struct bn_tuning){0};
    }
    assert_true(blocks && sweeps && streams); /* else nothing was seen */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_shapes_have_the_same_bits), cmocka_unit_test(long_shapes_have_the_same_bits),
        cmocka_unit_test(wide_rows_have_the_same_bits),    cmocka_unit_test(strided_shapes_have_the_same_bits),
        cmocka_unit_test(what_is_explained_is_done),
    };
    return cmocka_run_group_tests_name("plan.decisions", tests, NULL, NULL);
}
