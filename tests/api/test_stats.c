/* SPDX-License-Identifier: MIT */
/* Statistics as a value. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"

enum { C = 21 };

/* A chunk (n, C, s) of normal numbers around `offset`, contiguous; kept until let_go(). */
static float *chunk(size_t n, size_t s, double offset, uint64_t seed) {
    float *x = keep(calloc(n * C * s + 1, sizeof *x), free);
    for (size_t i = 0; i < n * C * s; i++) x[i] = (float)(offset + random_normal(&seed));
    return x;
}

static void accumulate(batchnorm_stat *stats, const float *x, size_t n, size_t s) {
    struct strided shape = planar(BATCHNORM_F32, n, C, s);
    assert_int_equal(raw_stats(&shape, x, stats, NULL), BATCHNORM_OK);
}

TEST(clear_means_no_value_seen) {
    batchnorm_stat stats[3], zero = {0};
    memset(stats, 0x33, sizeof stats);
    batchnorm_stats_clear(stats, 2);
    assert_true(stats[0].count == 0 && stats[1].count == 0 && stats[1].mean == 0 && stats[1].m2 == 0);
    assert_memory_not_equal(&stats[2], &zero, sizeof zero);
    batchnorm_stats_clear(NULL, 0);
}

/* One chunk holds what the forward saves, bit for bit. */
TEST(one_chunk_is_what_forward_uses) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout < LAYOUTS; layout++) {
            struct strided shape = layout_shape(layout, all_dtypes[d], 5, C, 333);
            struct problem *p = problem_create(&shape, 3, true);
            assert_int_equal(problem_run(p, ACCUMULATE_STATS, NULL), BATCHNORM_OK);
            assert_int_equal(problem_run(p, FORWARD, NULL), BATCHNORM_OK);
            double rstd[C];
            batchnorm_stats_finish(p->array[STATS].home, C, 0, p->options.eps, NULL, NULL, rstd);
            const batchnorm_stat *stats = p->array[STATS].home;
            for (size_t c = 0; c < C; c++) {
                assert_true(stats[c].mean == problem_number(p, SAVE_MEAN, c, 0));
                assert_true(rstd[c] == problem_number(p, SAVE_RSTD, c, 0));
            }
            problem_destroy(p);
        }
}

/* Chunks of uneven sizes, far from zero, against the oracle over all of them. */
TEST(chunks_add_up_to_the_whole) {
    static const size_t sizes[] = {3, 1, 50, 7, 0, 2, 30};
    const double offsets[] = {0, 1e4, -1e6, 1e7};
    for (size_t o = 0; o < 4; o++) {
        batchnorm_stat stats[C];
        batchnorm_stats_clear(stats, C);
        long double *all[C];
        size_t m = 0, total = 93 * 4;
        for (size_t c = 0; c < C; c++) all[c] = keep(calloc(total, sizeof *all[c]), free);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            float *x = chunk(sizes[i], 4, offsets[o], 100 + i);
            accumulate(stats, x, sizes[i], 4);
            for (size_t j = 0; j < sizes[i] * 4; j++, m++)
                for (size_t c = 0; c < C; c++) all[c][m] = x[j / 4 * C * 4 + c * 4 + j % 4];
        }
        for (size_t c = 0; c < C; c++) {
            struct oracle want = oracle_batch(m, all[c], 1e-5);
            assert_true(stats[c].count == (double)m && m == total);
            assert_true(fabsl(stats[c].mean - want.mean) <= 4 * ulp_of(BATCHNORM_F64, fabsl(want.mean) + 1));
            /* a mean that is rounded to double moves the squared distance of two chunks */
            long double m2 = want.var * (long double)m, relative = 1e-13L + 16 * ulp_of(BATCHNORM_F64, offsets[o]);
            assert_true(fabsl(stats[c].m2 - m2) <= relative * m2);
        }
    }
}

/* Accumulating is merging: the same order gives the same bits, whoever does it. */
TEST(accumulate_is_merge_bit_for_bit) {
    batchnorm_stat running[C], merged[C], part[C];
    batchnorm_stats_clear(running, C);
    batchnorm_stats_clear(merged, C);
    for (size_t i = 0; i < 6; i++) {
        float *x = chunk(i + 2, 5, 1000, i);
        accumulate(running, x, i + 2, 5);
        batchnorm_stats_clear(part, C);
        accumulate(part, x, i + 2, 5);
        batchnorm_stats_merge(merged, part, C);
    }
    assert_memory_equal(running, merged, sizeof running);
}

/* The documented formula, and numbers that can be checked by hand. */
TEST(merge_follows_the_formula) {
    batchnorm_stat a = {4, 10, 8}, b = {12, 2, 36};
    batchnorm_stats_merge(&a, &b, 1);
    assert_true(a.count == 16 && a.mean == 4 && a.m2 == 8 + 36 + 64 * 3);
}

TEST(merge_with_nothing_changes_nothing) {
    const batchnorm_stat value = {3, 1.0 / 3, 0.7}, nan = {2, (double)NAN, (double)NAN};
    batchnorm_stat a = value, none = {0}, into = {0};
    batchnorm_stats_merge(&a, &none, 1);
    assert_memory_equal(&a, &value, sizeof a);
    batchnorm_stats_merge(&into, &value, 1);
    assert_memory_equal(&into, &value, sizeof into);
    batchnorm_stats_merge(&none, &none, 1);
    assert_true(none.count == 0 && none.mean == 0 && none.m2 == 0);
    batchnorm_stats_merge(NULL, NULL, 0);
    /* whatever a side without values holds, it contributes nothing */
    batchnorm_stat odd = nan;
    odd.count = 0;
    a = value;
    batchnorm_stats_merge(&a, &odd, 1);
    assert_memory_equal(&a, &value, sizeof a);
    batchnorm_stats_merge(&odd, &value, 1);
    assert_memory_equal(&odd, &value, sizeof a);
    const batchnorm_stat far = {2, 1e200, 5};
    into = (batchnorm_stat){0};
    batchnorm_stats_merge(&into, &far, 1);
    assert_memory_equal(&into, &far, sizeof far);
}

TEST(merge_with_itself_doubles_the_count) {
    batchnorm_stat a = {3, 7, 2};
    batchnorm_stats_merge(&a, &a, 1);
    assert_true(a.count == 6 && a.mean == 7 && a.m2 == 4);
}

/* As a sum does: inf + finite is inf, inf - inf is NaN, NaN stays. */
TEST(infinities_propagate_as_in_a_sum) {
    const struct {
        double a, b;
    } rows[] = {{INFINITY, 1},    {1, INFINITY},    {-INFINITY, 1},          {INFINITY, INFINITY}, {INFINITY, -INFINITY},
                {(double)NAN, 1}, {1, (double)NAN}, {(double)NAN, INFINITY}, {1e308, 1e308}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        batchnorm_stat a = {2, rows[i].a, 0}, b = {2, rows[i].b, 0};
        batchnorm_stats_merge(&a, &b, 1);
        double want = rows[i].a / 2 + rows[i].b / 2;
        assert_true(isnan(want) ? isnan(a.mean) : a.mean == want);
        if (!isfinite(want)) assert_true(isnan(a.m2) || isinf(a.m2));
    }
    /* values of a channel with an infinity, in one chunk and in two */
    const float x[4] = {1, INFINITY, 2, 3};
    struct strided whole = planar(BATCHNORM_F32, 4, 1, 1), half = planar(BATCHNORM_F32, 2, 1, 1);
    batchnorm_stat one = {0}, two = {0};
    assert_int_equal(raw_stats(&whole, x, &one, NULL), BATCHNORM_OK);
    assert_int_equal(raw_stats(&half, x, &two, NULL), BATCHNORM_OK);
    assert_int_equal(raw_stats(&half, x + 2, &two, NULL), BATCHNORM_OK);
    assert_true(one.mean == INFINITY && two.mean == INFINITY && isnan(one.m2) && isnan(two.m2));
}

TEST(finish_gives_both_variances) {
    const batchnorm_stat stats[] = {{4, 4, 20}, {1, 3, 0}, {0, 0, 0}};
    double mean[3], var[3], rstd[3];
    batchnorm_stats_finish(stats, 3, 0, 0.25, mean, var, rstd);
    assert_true(mean[0] == 4 && var[0] == 5 && rstd[0] == 1 / sqrt(5.25));
    assert_true(mean[1] == 3 && var[1] == 0 && rstd[1] == 2);
    assert_true(isnan(mean[2]) && isnan(var[2]) && isnan(rstd[2]));
    batchnorm_stats_finish(stats, 3, 1, 0.25, NULL, var, rstd);
    assert_true(var[0] == 20.0 / 3 && rstd[0] == 1 / sqrt(5.25) && isnan(var[1]) && rstd[1] == 2 && isnan(var[2]));
    batchnorm_stats_finish(stats, 3, 2, 0.25, NULL, var, NULL);
    assert_true(var[0] == 10 && isnan(var[1]));
    batchnorm_stats_finish(stats, 3, 0, 0.25, NULL, NULL, NULL);
}

TEST(update_running_is_forwards_update) {
    for (int f = BATCHNORM_PYTORCH; f <= BATCHNORM_TF_FUSED; f++)
        for (int d = 0; d < 4; d++) {
            struct strided shape = planar(all_dtypes[d], 3, C, 5);
            struct problem *p = problem_create(&shape, 9, true), *q = problem_create(&shape, 9, true);
            p->options = q->options = batchnorm_convention((batchnorm_framework)f);
            assert_int_equal(problem_run(p, FORWARD, NULL), BATCHNORM_OK);
            assert_int_equal(problem_run(q, ACCUMULATE_STATS, NULL), BATCHNORM_OK);
            assert_int_equal(batchnorm_stats_update_running(q->array[STATS].home, C, shape.dtype, q->array[RUNNING_MEAN].home,
                                                            q->array[RUNNING_VAR].home, &q->options),
                             BATCHNORM_OK);
            for (enum array i = RUNNING_MEAN; i <= RUNNING_VAR; i++)
                assert_int_equal(first_difference(p->array[i].dtype, p->array[i].home, q->array[i].home, C), -1);
            problem_destroy(p);
            problem_destroy(q);
        }
}

static batchnorm_status update(const batchnorm_stat *stats, float *mean, float *var, const batchnorm_options *options) {
    return batchnorm_stats_update_running(stats, 2, BATCHNORM_BF16, mean, var, options);
}

TEST(update_running_has_its_statuses) {
    const batchnorm_stat good[2] = {{4, 4, 20}, {4, 1, 4}}, one[2] = {{4, 4, 20}, {1, 1, 0}}, none[2] = {{4, 4, 20}, {0, 0, 0}};
    const batchnorm_stat bad[2] = {{4, 4, 20}, {4, INFINITY, (double)NAN}};
    batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH), odd = o;
    odd.momentum_rule = (batchnorm_momentum_rule)5;
    o.momentum = 0.5;
    float mean[2] = {0, 10}, var[2] = {1, 20};
    assert_int_equal(batchnorm_stats_update_running(NULL, 2, BATCHNORM_F32, mean, var, &o), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_stats_update_running(good, 2, BATCHNORM_I64, mean, var, &o), BATCHNORM_BAD_DTYPE);
    assert_int_equal(update(one, mean, var, &o), BATCHNORM_ONE_VALUE);
    assert_int_equal(update(good, mean, var, &odd), BATCHNORM_BAD_OPTION);
    assert_int_equal(update(good, mean, mean, &odd), BATCHNORM_BAD_OPTION);
    float three[3] = {1, 1, 1};
    assert_int_equal(update(good, three, three + 1, &o), BATCHNORM_OVERLAP);
    assert_int_equal(update(good, (float *)(uintptr_t)&good[1].count, var, &o), BATCHNORM_OVERLAP);
    assert_int_equal(update(good, mean, (float *)(uintptr_t)good, &o), BATCHNORM_OVERLAP);
    assert_true(three[0] == 1 && three[1] == 1 && three[2] == 1 && good[1].count == 4 && good[0].count == 4);
    assert_int_equal(batchnorm_stats_update_running(NULL, 0, BATCHNORM_F32, three, three, &o), BATCHNORM_OK);
    o.require_finite = true;
    assert_int_equal(update(bad, mean, var, &o), BATCHNORM_NOT_COMMITTED);
    assert_true(mean[0] == 0 && mean[1] == 10 && var[0] == 1 && var[1] == 20);
    const batchnorm_stat far[2] = {{4, INFINITY, 1}, {4, 1, 1}}, wide[2] = {{4, 1, 1}, {4, 1, INFINITY}};
    assert_int_equal(update(far, mean, var, &o), BATCHNORM_NOT_COMMITTED);
    assert_int_equal(update(wide, mean, var, &o), BATCHNORM_NOT_COMMITTED);
    assert_int_equal(update(none, mean, var, &o), BATCHNORM_OK);
    assert_true(mean[0] == 2 && mean[1] == 10 && var[1] == 20);
    o.require_finite = false;
    assert_int_equal(update(bad, mean, NULL, &o), BATCHNORM_OK);
    assert_true(mean[0] == 3 && mean[1] == INFINITY && var[1] == 20);
    assert_int_equal(update(good, NULL, var, &o), BATCHNORM_OK);
    assert_true(mean[0] == 3 && var[1] == (float)(0.5 * 20 + 0.5 * 4.0 / 3));
    assert_int_equal(update(good, NULL, NULL, NULL), BATCHNORM_OK);
    o.allow_one_value = true;
    var[1] = 3;
    assert_int_equal(update(one, NULL, var, &o), BATCHNORM_OK);
    assert_true(var[1] == 1.5f);
}

/* A difference of counts beyond 2^53 aside, merging many values one by one stays as good as one pass. */
TEST(many_merges_stay_accurate) {
    uint64_t seed = 5;
    batchnorm_stat stat = {0};
    long double *all = keep(calloc(20000, sizeof *all), free);
    for (size_t i = 0; i < 20000; i++) {
        double v = 1e6 + random_normal(&seed);
        all[i] = v;
        const batchnorm_stat one = {1, v, 0};
        batchnorm_stats_merge(&stat, &one, 1);
    }
    struct oracle want = oracle_batch(20000, all, 1e-5);
    assert_true(fabsl(stat.mean - want.mean) < 1e-8L && fabsl(stat.m2 / 20000 - want.var) < 1e-9L);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clear_means_no_value_seen),
        cmocka_unit_test(one_chunk_is_what_forward_uses),
        cmocka_unit_test_teardown(chunks_add_up_to_the_whole, let_go),
        cmocka_unit_test_teardown(accumulate_is_merge_bit_for_bit, let_go),
        cmocka_unit_test(merge_follows_the_formula),
        cmocka_unit_test(merge_with_nothing_changes_nothing),
        cmocka_unit_test(merge_with_itself_doubles_the_count),
        cmocka_unit_test(infinities_propagate_as_in_a_sum),
        cmocka_unit_test(finish_gives_both_variances),
        cmocka_unit_test(update_running_is_forwards_update),
        cmocka_unit_test(update_running_has_its_statuses),
        cmocka_unit_test_teardown(many_merges_stay_accurate, let_go),
    };
    return cmocka_run_group_tests_name("api.stats", tests, NULL, NULL);
}
