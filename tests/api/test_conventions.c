/* SPDX-License-Identifier: MIT */
/* Conventions of frameworks, the running update, non-finite values, and the small functions of batchnorm.h.
 * Long because it is a list of small facts. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"

TEST(presets_have_their_documented_numbers) {
    static const struct {
        batchnorm_framework framework;
        double eps, momentum;
        bool of_new, unbiased, one_value;
    } rows[] = {{BATCHNORM_PYTORCH, 1e-5, 0.1, true, true, false},   {BATCHNORM_ONNX, 1e-5, 0.9, false, false, true},
                {BATCHNORM_KERAS, 1e-3, 0.99, false, false, true},   {BATCHNORM_FLAX, 1e-5, 0.99, false, false, true},
                {BATCHNORM_TF_FUSED, 1e-3, 0.99, false, true, true}, {(batchnorm_framework)99, 1e-5, 0.1, true, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        batchnorm_options o = batchnorm_convention(rows[i].framework);
        assert_true(o.eps == rows[i].eps && o.momentum == rows[i].momentum);
        assert_int_equal(o.momentum_rule, rows[i].of_new ? BATCHNORM_MOMENTUM_OF_NEW : BATCHNORM_MOMENTUM_OF_OLD);
        assert_int_equal(o.running_variance, rows[i].unbiased ? BATCHNORM_VARIANCE_UNBIASED : BATCHNORM_VARIANCE_BIASED);
        assert_int_equal(o.allow_one_value, rows[i].one_value);
        assert_false(o.require_finite);
    }
}

/* x = 1, 3, 5, 7: mean 4, population variance 5, unbiased 20 / 3; running statistics start at 10 and 20. */
TEST(presets_update_as_the_frameworks_do) {
    static const struct {
        batchnorm_framework framework;
        double mean, var;
    } rows[] = {{BATCHNORM_PYTORCH, 0.9 * 10 + 0.1 * 4, 0.9 * 20 + 0.1 * 20 / 3},
                {BATCHNORM_ONNX, 0.9 * 10 + 0.1 * 4, 0.9 * 20 + 0.1 * 5},
                {BATCHNORM_KERAS, 0.99 * 10 + 0.01 * 4, 0.99 * 20 + 0.01 * 5},
                {BATCHNORM_FLAX, 0.99 * 10 + 0.01 * 4, 0.99 * 20 + 0.01 * 5},
                {BATCHNORM_TF_FUSED, 0.99 * 10 + 0.01 * 4, 0.99 * 20 + 0.01 * 20 / 3}};
    const double x[] = {1, 3, 5, 7};
    struct strided shape = planar(BATCHNORM_F64, 2, 1, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double y[4], mean = 10, var = 20;
        batchnorm_options o = batchnorm_convention(rows[i].framework);
        assert_int_equal(raw_forward(&shape, x, NULL, NULL, y, &mean, &var, NULL, NULL, &o, NULL), BATCHNORM_OK);
        assert_true(fabs(mean - rows[i].mean) < 1e-14 && fabs(var - rows[i].var) < 1e-14);
        for (int j = 0; j < 4; j++) assert_true(fabs(y[j] - (x[j] - 4) / sqrt(5 + o.eps)) < 1e-15);
    }
}

/* Momentum is any number: 0 keeps, 1 replaces, beyond is arithmetic. */
TEST(any_momentum_is_arithmetic) {
    static const double momenta[] = {0, 1, 0.1, 0.5, 2, -0.5, -1.2, 1e10};
    for (size_t i = 0; i < sizeof momenta / sizeof *momenta; i++)
        for (int d = 0; d < 4; d++)
            for (int rules = 0; rules < 4; rules++) {
                struct strided shape = planar(all_dtypes[d], 2, 3, 5);
                struct problem *p = problem_create(&shape, 1, true);
                p->options.momentum = momenta[i];
                p->options.momentum_rule = rules & 1 ? BATCHNORM_MOMENTUM_OF_OLD : BATCHNORM_MOMENTUM_OF_NEW;
                p->options.running_variance = rules & 2 ? BATCHNORM_VARIANCE_BIASED : BATCHNORM_VARIANCE_UNBIASED;
                assert_int_equal(problem_run(p, FORWARD, NULL), BATCHNORM_OK);
                const char *what = problem_check(p, FORWARD);
                if (what) fail_msg("momentum %g, rules %d: %s", momenta[i], rules, what);
                problem_destroy(p);
            }
}

/* Weight of the new value 0: running statistics are exactly what they were. */
TEST(momentum_0_changes_no_bit) {
    struct strided shape = planar(BATCHNORM_F32, 2, 3, 5);
    struct problem *p = problem_create(&shape, 1, true);
    p->options.momentum = 0;
    assert_int_equal(problem_run(p, FORWARD, NULL), BATCHNORM_OK);
    for (enum array i = RUNNING_MEAN; i <= RUNNING_VAR; i++)
        assert_memory_equal(p->array[i].before, p->array[i].home, 3 * sizeof(float));
    problem_destroy(p);
}

TEST(one_value_is_biased_by_nothing) {
    double x = 3, y, mean = 1, var = 2, rstd;
    struct strided shape = planar(BATCHNORM_F64, 1, 1, 1);
    batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
    o.momentum = 0.25;
    assert_int_equal(raw_forward(&shape, &x, NULL, NULL, &y, &mean, &var, NULL, &rstd, &o, NULL), BATCHNORM_ONE_VALUE);
    assert_true(mean == 1 && var == 2);
    o.allow_one_value = true;
    assert_int_equal(raw_forward(&shape, &x, NULL, NULL, &y, &mean, &var, NULL, &rstd, &o, NULL), BATCHNORM_OK);
    assert_true(y == 0 && mean == 1.5 && var == 1.5 && fabs(rstd - 1 / sqrt(1e-5)) < 1e-12);
}

static batchnorm_status forward_with(batchnorm_options o) {
    double x[2] = {1, 2}, y[2];
    struct strided shape = planar(BATCHNORM_F64, 2, 1, 1);
    return raw_forward(&shape, x, NULL, NULL, y, NULL, NULL, NULL, NULL, &o, NULL);
}

static batchnorm_status infer_with(batchnorm_options o) {
    double x[2] = {1, 2}, y[2], stat = 1;
    struct strided shape = planar(BATCHNORM_F64, 2, 1, 1);
    return raw_infer(&shape, x, NULL, NULL, &stat, &stat, y, NULL, NULL, &o, NULL);
}

TEST(eps_has_its_rules) {
    batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
    static const struct {
        double eps;
        batchnorm_status forward, infer;
    } rows[] = {{0, BATCHNORM_BAD_EPS, BATCHNORM_OK},           {-0.0, BATCHNORM_BAD_EPS, BATCHNORM_OK},
                {-1e-30, BATCHNORM_BAD_EPS, BATCHNORM_BAD_EPS}, {(double)NAN, BATCHNORM_BAD_EPS, BATCHNORM_BAD_EPS},
                {1e-300, BATCHNORM_OK, BATCHNORM_OK},           {1e10, BATCHNORM_OK, BATCHNORM_OK}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        o.eps = rows[i].eps;
        assert_int_equal(forward_with(o), rows[i].forward);
        assert_int_equal(infer_with(o), rows[i].infer);
    }
}

TEST(options_outside_their_range_are_refused) {
    for (int i = 0; i < 5; i++) {
        batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
        if (i == 0) o.momentum_rule = (batchnorm_momentum_rule)2;
        if (i == 1) o.momentum_rule = (batchnorm_momentum_rule)-1;
        if (i == 2) o.running_variance = (batchnorm_variance_rule)2;
        if (i == 3) o.running_variance = (batchnorm_variance_rule)-1;
        if (i == 4) o.momentum = (double)NAN;
        assert_int_equal(forward_with(o), BATCHNORM_BAD_OPTION);
        assert_int_equal(infer_with(o), BATCHNORM_BAD_OPTION);
    }
}

/* A NaN or an infinity spoils its channel and no other. */
static void run_poisoned(const struct strided *shape, double poison, size_t at, bool require_finite) {
    struct problem *p = problem_create(shape, 1, true), *clean = problem_create(shape, 1, true);
    element_set(shape->dtype, p->array[X].home, problem_index(p, X, at / shape->inner, 1, at % shape->inner), poison);
    p->options.require_finite = require_finite;
    problem_snapshot(p);
    assert_int_equal(problem_run(clean, FORWARD, NULL), BATCHNORM_OK);
    assert_int_equal(problem_run(p, FORWARD, NULL), require_finite ? BATCHNORM_NOT_COMMITTED : BATCHNORM_OK);
    for (size_t i = 0; i < shape->outer * shape->inner; i++)
        for (size_t c = 0; c < shape->channels; c++) {
            ptrdiff_t y = problem_index(p, Y, i / shape->inner, c, i % shape->inner);
            double got = element_get(shape->dtype, p->array[Y].home, y);
            assert_true(c == 1 ? isnan(got) : got == element_get(shape->dtype, clean->array[Y].home, y));
        }
    for (size_t c = 0; c < shape->channels; c++) {
        double mean = problem_number(p, SAVE_MEAN, c, 0), running = problem_number(p, RUNNING_MEAN, c, 0);
        double var = problem_number(p, RUNNING_VAR, c, 0);
        const struct problem *want = require_finite ? NULL : clean;
        if (c == 1) assert_true(isinf(poison) ? mean == poison : isnan(mean));
        if (c == 1 && want) assert_true((isinf(poison) ? running == poison : isnan(running)) && isnan(var));
        if (c != 1 && want) assert_true(running == problem_number(want, RUNNING_MEAN, c, 0));
        if (!want)
            assert_true(running == element_get(p->array[RUNNING_MEAN].dtype, p->array[RUNNING_MEAN].before, (ptrdiff_t)c));
        if (!want) assert_true(var == element_get(p->array[RUNNING_VAR].dtype, p->array[RUNNING_VAR].before, (ptrdiff_t)c));
    }
    problem_destroy(p);
    problem_destroy(clean);
}

TEST(poison_stays_in_its_channel) {
    const double poisons[] = {(double)NAN, INFINITY, -INFINITY};
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++)
            for (int i = 0; i < 3; i++)
                for (size_t at = 0; at < 3 * 50; at += 37)
                    for (int require = 0; require < 2; require++) {
                        struct strided shape = layout_shape(layout, all_dtypes[d], 3, 4, 50);
                        run_poisoned(&shape, poisons[i], at, require);
                    }
}

/* With given statistics a value that is not finite spoils itself alone. */
TEST(inference_is_elementwise) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
            struct strided shape = layout_shape(layout, all_dtypes[d], 3, 4, 50);
            struct problem *p = problem_create(&shape, 1, true);
            element_set(shape.dtype, p->array[X].home, problem_index(p, X, 1, 2, 3), (double)NAN);
            element_set(shape.dtype, p->array[X].home, problem_index(p, X, 2, 2, 3), INFINITY);
            element_set(p->array[WEIGHT].dtype, p->array[WEIGHT].home, 2, -2);
            problem_snapshot(p);
            assert_int_equal(problem_run(p, INFER, NULL), BATCHNORM_OK);
            assert_true(isnan(element_get(shape.dtype, p->array[Y].home, problem_index(p, Y, 1, 2, 3))));
            assert_true(element_get(shape.dtype, p->array[Y].home, problem_index(p, Y, 2, 2, 3)) == -INFINITY);
            const char *what = problem_check(p, INFER);
            if (what) fail_msg("%s", what);
            problem_destroy(p);
        }
}

/* running_var: negative below -eps gives NaN, infinite gives the bias, 0 divides by sqrt(eps). */
TEST(odd_running_variances) {
    const float x[3] = {2, 2, 2}, mean[3] = {1, 1, 1}, var[3] = {-1, INFINITY, 0}, bias[3] = {5, 6, 7};
    float y[3];
    struct strided shape = planar(BATCHNORM_F32, 1, 3, 1);
    assert_int_equal(raw_infer(&shape, x, NULL, bias, mean, var, y, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    assert_true(isnan(y[0]) && y[1] == 6 && fabs(y[2] - (7 + 316.22776601683796)) < 1e-4);
}

TEST(eps_0_and_variance_0_give_the_formulas_value) {
    const float x[3] = {2, 1, 0}, mean[3] = {1, 1, 1}, var[3] = {0, 0, 0};
    float y[3];
    struct strided shape = planar(BATCHNORM_F32, 1, 3, 1);
    batchnorm_options options = batchnorm_convention(BATCHNORM_PYTORCH);
    options.eps = 0;
    assert_int_equal(raw_infer(&shape, x, NULL, NULL, mean, var, y, NULL, NULL, &options, NULL), BATCHNORM_OK);
    assert_true(y[0] == INFINITY && isnan(y[1]) && y[2] == -INFINITY);
}

/* An infinite mean takes every value to the other infinity, and a channel of that one to NaN. */
TEST(odd_running_means) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
            struct strided shape = layout_shape(layout, all_dtypes[d], 2, 3, 20);
            struct problem *p = problem_create(&shape, 1, true);
            const double means[3] = {INFINITY, -INFINITY, (double)NAN};
            for (ptrdiff_t c = 0; c < 3; c++) {
                element_set(p->array[RUNNING_MEAN].dtype, p->array[RUNNING_MEAN].home, c, means[c]);
                element_set(p->array[WEIGHT].dtype, p->array[WEIGHT].home, c, 1);
            }
            assert_int_equal(problem_run(p, INFER, NULL), BATCHNORM_OK);
            for (size_t i = 0; i < 2 * 20; i++)
                for (size_t c = 0; c < 3; c++) {
                    double y = element_get(shape.dtype, p->array[Y].home, problem_index(p, Y, i / 20, c, i % 20));
                    assert_true(c == 2 ? isnan(y) : y == -means[c]);
                }
            problem_destroy(p);
        }
}

TEST(texts_are_there) {
    char version[40];
    snprintf(version, sizeof version, "%d.%d.%d", BATCHNORM_VERSION_MAJOR, BATCHNORM_VERSION_MINOR, BATCHNORM_VERSION_PATCH);
    assert_string_equal(batchnorm_version(), version);
    static const char *const isas[] = {"avx512", "avx2", "neon", "generic"};
    int known = 0;
    for (int i = 0; i < 4; i++) known += strcmp(isas[i], batchnorm_isa()) == 0;
    assert_int_equal(known, 1);
    const char *wanted = getenv("BATCHNORM_ISA");
    if (wanted && strcmp(wanted, "generic") == 0) assert_string_equal(batchnorm_isa(), "generic");
    for (int i = BATCHNORM_OK; i <= BATCHNORM_BAD_FILE; i++) {
        const char *text = batchnorm_status_string((batchnorm_status)i);
        assert_true(text[0] != '\0' && text[strlen(text) - 1] != '.');
        for (int j = 0; j < i; j++) assert_string_not_equal(text, batchnorm_status_string((batchnorm_status)j));
    }
    assert_non_null(batchnorm_status_string((batchnorm_status)-1));
    assert_non_null(batchnorm_status_string((batchnorm_status)1000));
    static const size_t bytes[] = {4, 8, 2, 2, 8, 0, 0};
    for (int i = 0; i < 7; i++) assert_int_equal(batchnorm_dtype_bytes((batchnorm_dtype)i), bytes[i]);
    assert_int_equal(batchnorm_dtype_bytes((batchnorm_dtype)-1), 0);
}

static void assert_strides(batchnorm_strides s, ptrdiff_t outer, ptrdiff_t channel, ptrdiff_t inner) {
    assert_true(s.outer == outer && s.channel == channel && s.inner == inner);
}

TEST(usual_layouts) {
    struct strided a = planar(BATCHNORM_BF16, 3, 4, 5), b = channels_last(BATCHNORM_F16, 3, 4, 5);
    assert_true(a.outer == 3 && a.channels == 4 && a.inner == 5 && a.dtype == BATCHNORM_BF16);
    assert_true(b.outer == 3 && b.channels == 4 && b.inner == 5 && b.dtype == BATCHNORM_F16);
    const batchnorm_strides as[] = {a.x, a.y, a.dy, a.dx}, bs[] = {b.x, b.y, b.dy, b.dx};
    for (int i = 0; i < 4; i++) assert_strides(as[i], 20, 5, 1);
    for (int i = 0; i < 4; i++) assert_strides(bs[i], 20, 1, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_their_documented_numbers),
        cmocka_unit_test(presets_update_as_the_frameworks_do),
        cmocka_unit_test(any_momentum_is_arithmetic),
        cmocka_unit_test(momentum_0_changes_no_bit),
        cmocka_unit_test(one_value_is_biased_by_nothing),
        cmocka_unit_test(eps_has_its_rules),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(poison_stays_in_its_channel),
        cmocka_unit_test(inference_is_elementwise),
        cmocka_unit_test(odd_running_variances),
        cmocka_unit_test(eps_0_and_variance_0_give_the_formulas_value),
        cmocka_unit_test(odd_running_means),
        cmocka_unit_test(texts_are_there),
        cmocka_unit_test(usual_layouts),
    };
    return cmocka_run_group_tests_name("api.conventions", tests, NULL, NULL);
}
