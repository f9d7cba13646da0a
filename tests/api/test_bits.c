/* SPDX-License-Identifier: MIT */
/* Every layout gives what the oracle says, and no choice of threads changes a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"
#include "tests/support/threads.h"

static void run_layout(enum layout layout, const struct strided *shape) {
    struct problem *p = problem_create(shape, 11, true);
    for (enum verb verb = 0; verb < VERBS; verb++) {
        problem_snapshot(p);
        assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
        const char *what = problem_check(p, verb);
        if (what)
            fail_msg("%s %s %s (%zu, %zu, %zu): %s", layout_name(layout), verb_name(verb), dtype_name(shape->dtype),
                     shape->outer, shape->channels, shape->inner, what);
    }
    problem_destroy(p);
}

TEST(any_strides_give_the_same_values) {
    static const size_t sizes[][3] = {{3, 5, 7},  {1, 1, 9}, {17, 4, 1}, {2, 33, 6},  {1, 3, 300}, {2, 2, 1030}, {40, 3, 17},
                                      {5, 70, 2}, {1, 1, 1}, {2, 1, 1},  {600, 2, 3}, {60, 35, 4}, {9, 131, 9}};
    for (enum layout layout = PLANAR; layout < LAYOUTS; layout++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int d = 0; d < 4; d++) {
                struct strided shape = layout_shape(layout, all_dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2]);
                run_layout(layout, &shape);
            }
}

/* The gradients of the outputs of one call may be one number for all: dy with stride 0, as the gradient of a sum has it. */
TEST(broadcast_gradients_work) {
    for (int d = 0; d < 4; d++) {
        struct strided shape = planar(all_dtypes[d], 3, 5, 7);
        shape.dy = (batchnorm_strides){0, 0, 0};
        for (enum verb verb = BACKWARD; verb <= BACKWARD_FROZEN; verb++) {
            struct problem *p = problem_create(&shape, 11, true);
            assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
            assert_null(problem_check(p, verb));
            problem_destroy(p);
        }
    }
}

/* The number of dweight and dbias is added to. */
TEST(accumulate_adds) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++)
            for (enum verb verb = BACKWARD; verb <= BACKWARD_FROZEN; verb++) {
                struct strided shape = layout_shape(layout, all_dtypes[d], 3, 21, 7);
                struct problem *p = problem_create(&shape, 11, true);
                p->flags = BATCHNORM_ACCUMULATE;
                for (size_t c = 0; c < shape.channels; c++) {
                    element_set(p->array[DWEIGHT].dtype, p->array[DWEIGHT].home, (ptrdiff_t)c, 1000 + (double)c);
                    element_set(p->array[DBIAS].dtype, p->array[DBIAS].home, (ptrdiff_t)c, -30);
                }
                for (enum array i = DWEIGHT; i <= DBIAS; i++)
                    memcpy(p->array[i].before, p->array[i].lowest,
                           p->array[i].count * batchnorm_dtype_bytes(p->array[i].dtype));
                assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
                const char *what = problem_check(p, verb);
                if (what) fail_msg("%s: %s", verb_name(verb), what);
                problem_destroy(p);
            }
}

/* One way to run a call. */
struct way {
    const char *name;
    batchnorm_exec exec;
};

static void compare(const struct problem *want, struct problem *got, enum verb verb, const struct way *way) {
    assert_int_equal(problem_run(got, verb, &way->exec), BATCHNORM_OK);
    const char *array = problem_same(want, got);
    if (array)
        fail_msg("%s %s (%zu, %zu, %zu): %s has other bits with %s", verb_name(verb), dtype_name(want->shape.dtype),
                 want->shape.outer, want->shape.channels, want->shape.inner, array, way->name);
}

static void run_ways(const struct strided *shape) {
    uint64_t seed = 1, other_seed = 2;
    int two = 2, seven = 7;
    const struct way ways[] = {
        {"the default", {.size = sizeof(batchnorm_exec)}},
        {"2 threads", {.size = sizeof(batchnorm_exec), .threads = 2}},
        {"7 threads", {.size = sizeof(batchnorm_exec), .threads = 7}},
        {"shuffled items", {.size = sizeof(batchnorm_exec), .parallel_for = shuffled_for, .user = &seed}},
        {"items shuffled otherwise", {.size = sizeof(batchnorm_exec), .parallel_for = shuffled_for, .user = &other_seed}},
        {"reversed items", {.size = sizeof(batchnorm_exec), .parallel_for = reversed_for}},
        {"2 POSIX threads", {.size = sizeof(batchnorm_exec), .parallel_for = threads_for, .user = &two}},
        {"7 POSIX threads", {.size = sizeof(batchnorm_exec), .parallel_for = threads_for, .user = &seven}}};
#ifdef __SANITIZE_THREAD__
    const size_t first = 6; /* the sanitizer is slow, and sees something only where there are threads */
#else
    const size_t first = 0;
#endif
    struct problem *want = problem_create(shape, 13, true), *got = problem_create(shape, 13, true);
    for (enum verb verb = 0; verb < VERBS; verb++) {
        const batchnorm_exec one = {.size = sizeof(batchnorm_exec), .threads = 1};
        problem_restore(want);
        assert_int_equal(problem_run(want, verb, &one), BATCHNORM_OK);
        for (size_t i = first; i < sizeof ways / sizeof *ways; i++) {
            problem_restore(got);
            compare(want, got, verb, &ways[i]);
        }
    }
    problem_destroy(want);
    problem_destroy(got);
}

/* Shapes that are cut in many ways: few large channels, many small ones, rows, strided. */
TEST(threads_and_order_change_no_bit) {
    static const struct {
        enum layout layout;
        size_t n, c, s;
    } shapes[] = {{PLANAR, 2, 2, 60000},       {PLANAR, 8, 70, 200},  {PLANAR, 3000, 3, 20},      {CHANNELS_LAST, 30, 70, 40},
                  {CHANNELS_LAST, 9, 3, 9000}, {PLANAR, 3000, 40, 1}, {S_CHANNEL_N, 500, 3, 100}, {MIXED, 20, 33, 150}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        /* every type once in each half of the list, f32 twice */
        struct strided shape = layout_shape(shapes[i].layout, all_dtypes[i % 4], shapes[i].n, shapes[i].c, shapes[i].s);
        run_ways(&shape);
        shape.dtype = BATCHNORM_F32;
        if (i % 4 == 2) run_ways(&shape);
    }
}

static size_t items_seen;
static void counting_for(void *user, size_t items, batchnorm_task *task, void *arg) {
    items_seen += items;
    shuffled_for(user, items, task, arg);
}

/* The test above is about something: large shapes are cut. */
TEST(large_shapes_are_cut) {
    uint64_t seed = 1;
    batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .parallel_for = counting_for, .user = &seed};
    for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
        struct strided shape = layout_shape(layout, BATCHNORM_F32, 2, 2, 200000);
        struct problem *p = problem_create(&shape, 1, true);
        items_seen = 0;
        assert_int_equal(problem_run(p, FORWARD, &exec), BATCHNORM_OK);
        assert_true(items_seen > 8);
        problem_destroy(p);
    }
}

/* Planar against channels-last with the same elements: y within one unit in the last place. */
TEST(layouts_agree_within_one_ulp) {
    for (int d = 0; d < 4; d++) {
        struct strided flat = planar(all_dtypes[d], 5, 37, 91), last = channels_last(all_dtypes[d], 5, 37, 91);
        struct problem *a = problem_create(&flat, 1, true), *b = problem_create(&last, 1, true);
        for (size_t i = 0; i < 5 * 37 * 91; i++) {
            double v = element_get(all_dtypes[d], a->array[X].home, (ptrdiff_t)i) + 100;
            ptrdiff_t there = problem_index(b, X, i / (37 * 91), i / 91 % 37, i % 91);
            element_set(all_dtypes[d], a->array[X].home, (ptrdiff_t)i, v);
            element_set(all_dtypes[d], b->array[X].home, there, v);
        }
        assert_int_equal(problem_run(a, FORWARD, NULL), BATCHNORM_OK);
        assert_int_equal(problem_run(b, FORWARD, NULL), BATCHNORM_OK);
        for (size_t i = 0; i < 5 * 37 * 91; i++) {
            double want = element_get(all_dtypes[d], a->array[Y].home, (ptrdiff_t)i);
            double got = element_get(all_dtypes[d], b->array[Y].home, problem_index(b, Y, i / (37 * 91), i / 91 % 37, i % 91));
            /* two double means of numbers around 100 differ by a few units of 100 */
            double slack = all_dtypes[d] == BATCHNORM_F64 ? 200 * 0x1p-52 : (double)ulp_of(all_dtypes[d], want);
            assert_true(fabs(got - want) <= slack);
        }
        problem_destroy(a);
        problem_destroy(b);
    }
}

/* Copy every element and every number of `from` to where `to` has it. */
static void copy_values(const struct problem *from, struct problem *to) {
    const struct strided *g = &from->shape;
    for (enum array array = 0; array < STATS; array++) {
        const struct problem_array *a = &from->array[array];
        if (array >= SHAPED) {
            memcpy(to->array[array].home, a->home, a->count * batchnorm_dtype_bytes(a->dtype));
            continue;
        }
        for (size_t i = 0; i < g->outer * g->channels * g->inner; i++) {
            size_t n = i / g->inner / g->channels, c = i / g->inner % g->channels, s = i % g->inner;
            double v = element_get(g->dtype, a->home, problem_index(from, array, n, c, s));
            element_set(g->dtype, to->array[array].home, problem_index(to, array, n, c, s), v);
        }
    }
}

static void same_elements(const struct problem *a, const struct problem *b, enum array array) {
    const struct strided *g = &a->shape;
    for (size_t i = 0; i < g->outer * g->channels * g->inner; i++) {
        size_t n = i / g->inner / g->channels, c = i / g->inner % g->channels, s = i % g->inner;
        double want = element_get(g->dtype, a->array[array].home, problem_index(a, array, n, c, s));
        if (element_get(g->dtype, b->array[array].home, problem_index(b, array, n, c, s)) != want)
            fail_msg("%s(%zu, %zu, %zu) differs", array_name(array), n, c, s);
    }
}

/* Without sums there is no order of additions. In the second shape planes are so small that their elements are taken for
 * channels. */
TEST(given_statistics_give_the_same_bits_in_every_layout) {
    static const size_t sizes[][3] = {{3, 21, 37}, {13, 143, 6}};
    for (int d = 0; d < 8; d++)
        for (enum layout layout = CHANNELS_LAST; layout <= MIXED; layout++) {
            const size_t *n = sizes[d / 4];
            struct strided planar = layout_shape(PLANAR, all_dtypes[d % 4], n[0], n[1], n[2]),
                           other = layout_shape(layout, all_dtypes[d % 4], n[0], n[1], n[2]);
            struct problem *a = problem_create(&planar, 1, true), *b = problem_create(&other, 1, true);
            copy_values(a, b);
            for (int i = 0; i < 2; i++) {
                enum verb verb = i == 0 ? INFER : BACKWARD_FROZEN;
                assert_int_equal(problem_run(a, verb, NULL), BATCHNORM_OK);
                assert_int_equal(problem_run(b, verb, NULL), BATCHNORM_OK);
                same_elements(a, b, i == 0 ? Y : DX);
            }
            problem_destroy(a);
            problem_destroy(b);
        }
}

/* A forward is its statistics, and normalizing with them. */
TEST(normalize_repeats_the_forward) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= MIXED; layout++) {
            struct strided shape = layout_shape(layout, all_dtypes[d], 3, 21, 37);
            struct problem *a = problem_create(&shape, 1, true), *b = problem_create(&shape, 1, true);
            assert_int_equal(problem_run(a, FORWARD, NULL), BATCHNORM_OK);
            for (enum array i = SAVE_MEAN; i <= SAVE_RSTD; i++)
                memcpy(b->array[i].home, a->array[i].home, shape.channels * sizeof(double));
            assert_int_equal(problem_run(b, NORMALIZE, NULL), BATCHNORM_OK);
            same_elements(a, b, Y);
            problem_destroy(a);
            problem_destroy(b);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_strides_give_the_same_values),
        cmocka_unit_test(broadcast_gradients_work),
        cmocka_unit_test(accumulate_adds),
        cmocka_unit_test(threads_and_order_change_no_bit),
        cmocka_unit_test(large_shapes_are_cut),
        cmocka_unit_test(layouts_agree_within_one_ulp),
        cmocka_unit_test(given_statistics_give_the_same_bits_in_every_layout),
        cmocka_unit_test(normalize_repeats_the_forward),
    };
    return cmocka_run_group_tests_name("api.bits", tests, NULL, NULL);
}
