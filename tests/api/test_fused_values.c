/* SPDX-License-Identifier: MIT */
/* The fused calls against a long double oracle and finite differences; values that are not finite; what is refused. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/activations.h"
#include "tests/support/fused.h"
#include "tests/support/test.h"

static size_t elements(const struct problem *p) { return p->shape.outer * p->shape.channels * p->shape.inner; }

static double value(const struct problem *p, enum array array, size_t i) {
    return element_get(p->shape.dtype, p->array[array].home, fused_index(p, array, i));
}

/* Half a unit of the stored type, and some roundings of the terms in float. No activation here makes an error much larger. */
static void expect_rounded_once(const struct problem *p, const struct fused *f) {
    for (size_t i = 0; i < elements(p); i++) {
        size_t c = i / p->shape.inner % p->shape.channels;
        long double x = value(p, X, i), z = f->residual ? value(p, Z, i) : 0;
        long double mean = problem_number(p, SAVE_MEAN, c, 0), rstd = problem_number(p, SAVE_RSTD, c, 0);
        long double scaled = (x - mean) * rstd * problem_number(p, WEIGHT, c, 1), bias = problem_number(p, BIAS, c, 0);
        long double want = exact_value(f->activation, scaled + bias + z), got = value(p, Y, i);
        long double larger = fmaxl(fabsl(want), fabsl(got));
        long double slack = ulp_of(p->shape.dtype, larger) / 2 + 8 * 0x1p-24L * (fabsl(scaled) + fabsl(bias) + fabsl(z));
        if (fabsl(want - got) > slack)
            fail_msg("%s, activation %d: y[%zu] is %Lg and not %Lg", dtype_name(p->shape.dtype), (int)f->activation.kind, i,
                     got, want);
    }
}

TEST(halves_are_rounded_once) {
    for (int d = 2; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= MIXED; layout++)
            for (int k = 0; k < fused_activation_count * 2; k++) {
                struct strided shape = fused_shape(layout, all_dtypes[d], 3, 33, 49);
                struct problem *p = problem_create(&shape, 7, true);
                const struct fused f = {fused_activations[k / 2], k & 1, true};
                for (enum fused_verb verb = INFER_FUSED; verb <= FORWARD_FUSED; verb++) {
                    problem_restore(p);
                    assert_int_equal(fused_run(p, verb, &f, NULL), BATCHNORM_OK);
                    expect_rounded_once(p, &f);
                }
                problem_destroy(p);
            }
}

/* Finite differences, in F64, of L = sum of dy * y */

static long double loss(struct problem *p, enum fused_verb verb, const struct fused *f) {
    assert_int_equal(fused_run(p, verb, f, NULL), BATCHNORM_OK);
    long double sum = 0;
    for (size_t i = 0; i < elements(p); i++) sum += (long double)value(p, Y, i) * value(p, DY, i);
    return sum;
}

/* z, or without a residual x, is moved until no v lies near a kink. */
static void leave_kinks(struct problem *p, enum fused_verb verb, const struct fused *f) {
    const struct fused linear = {{BATCHNORM_IDENTITY, 0}, f->residual, true};
    enum array moved = f->residual ? Z : X;
    bool near = true;
    for (int tries = 0; near && tries < 100; tries++) {
        near = false;
        assert_int_equal(fused_run(p, verb, &linear, NULL), BATCHNORM_OK);
        for (size_t i = 0; i < elements(p); i++) {
            if (!has_kink(f->activation, value(p, Y, i))) continue;
            near = true;
            element_set(BATCHNORM_F64, p->array[moved].home, fused_index(p, moved, i), value(p, moved, i) + 0.05);
        }
    }
    assert_false(near);
}

static void expect_difference(struct problem *p, enum fused_verb verb, const struct fused *f, double *number, double gradient,
                              const char *name) {
    const double h = 1e-5, old = *number;
    *number = old + h;
    long double up = loss(p, verb, f);
    *number = old - h;
    long double down = loss(p, verb, f);
    *number = old;
    double want = (double)((up - down) / (2 * h));
    if (!(fabs(want - gradient) < 1e-6 * (1 + fabs(want))))
        fail_msg("%s, activation %d: d%s is %.10g and not %.10g", fused_verb_name(verb), (int)f->activation.kind, name,
                 gradient, want);
}

static void differ(enum fused_verb verb, const struct fused *f) {
    struct strided shape = fused_shape(PLANAR, BATCHNORM_F64, 3, 2, 5);
    struct problem *p = problem_create(&shape, 7, true), *g = problem_create(&shape, 7, true);
    leave_kinks(p, verb, f);
    loss(p, verb, f); /* saves the statistics */
    static const enum array all[] = {X, Y, Z, DY, SAVE_MEAN, SAVE_RSTD};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        memcpy(g->array[all[i]].home, p->array[all[i]].home, p->array[all[i]].count * sizeof(double));
    enum fused_verb backward = verb == FORWARD_FUSED ? BACKWARD_FUSED : BACKWARD_FUSED_FROZEN;
    assert_int_equal(fused_run(g, backward, f, NULL), BATCHNORM_OK);
    /* the running statistics of a training forward play no part in y */
    static const enum array of[][2] = {{X, DX}, {WEIGHT, DWEIGHT}, {BIAS, DBIAS}, {Z, DZ}};
    for (size_t k = 0; k < (f->residual ? 4 : 3); k++)
        for (size_t i = 0; i < p->array[of[k][0]].count; i++)
            expect_difference(p, verb, f, (double *)p->array[of[k][0]].home + i, ((double *)g->array[of[k][1]].home)[i],
                              array_name(of[k][0]));
    problem_destroy(p);
    problem_destroy(g);
}

TEST(gradients_are_those_of_finite_differences) {
    for (int k = 0; k < fused_activation_count * 4; k++) {
        const struct fused f = {fused_activations[k / 4], k & 1, k & 2};
        differ(INFER_FUSED, &f);
        differ(FORWARD_FUSED, &f);
    }
}

/* Not a number stays so; the limits of -inf and inf. */
TEST(values_that_are_not_finite) {
    for (int d = 0; d < 4; d++)
        for (int k = 0; k < fused_activation_count * 4; k++) {
            const struct fused f = {fused_activations[k / 4], k & 1, true};
            struct strided shape = fused_shape(k & 2 ? CHANNELS_LAST : PLANAR, all_dtypes[d], 2, 21, 37);
            struct problem *p = problem_create(&shape, 7, true);
            const double special[] = {(double)NAN, -(double)INFINITY, (double)INFINITY};
            for (size_t c = 0; c < 21; c++) element_set(p->array[WEIGHT].dtype, p->array[WEIGHT].home, (ptrdiff_t)c, 1.5);
            for (size_t i = 0; i < elements(p); i += 2)
                element_set(shape.dtype, p->array[X].home, fused_index(p, X, i), special[i / 2 % 3]);
            assert_int_equal(fused_run(p, INFER_FUSED, &f, NULL), BATCHNORM_OK);
            for (size_t i = 0; i < elements(p); i += 2) {
                double want = (double)exact_value(f.activation, special[i / 2 % 3]), got = value(p, Y, i); /* 0 * inf is NaN */
                if (!(got == want || (isnan(got) && isnan(want))))
                    fail_msg("activation %d of %s: %g and not %g", (int)f.activation.kind, dtype_name(shape.dtype), got, want);
            }
            problem_destroy(p);
        }
}

/* Runs one element forward and backward; returns what of dy = 1 comes through. */
static double gated_one(batchnorm_dtype dtype, batchnorm_activation activation, double v, bool by_y) {
    char x[8], y[8], dy[8], dz[8];
    double numbers[3] = {0, 1, 1};
    float floats[3] = {0, 1, 1};
    const void *mean = dtype == BATCHNORM_F64 ? (void *)numbers : (void *)floats;
    const void *var = dtype == BATCHNORM_F64 ? (void *)(numbers + 1) : (void *)(floats + 1);
    batchnorm_options options = batchnorm_convention(BATCHNORM_PYTORCH);
    options.eps = 0;
    element_set(dtype, x, 0, v);
    element_set(dtype, dy, 0, 1);
    const batchnorm_infer_call forward = {.size = sizeof forward,
                                          .shape = {1, 1, 1, dtype},
                                          .x = {x, {1, 1, 1}},
                                          .y = {y, {1, 1, 1}},
                                          .mean = mean,
                                          .var = var,
                                          .activation = activation,
                                          .options = &options};
    assert_int_equal(batchnorm_infer(&forward, NULL), BATCHNORM_OK);
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = forward.shape,
                                              .x = forward.x,
                                              .y = {by_y ? y : NULL, {1, 1, 1}},
                                              .dy = {dy, {1, 1, 1}},
                                              .dz = {dz, {1, 1, 1}},
                                              .save_mean = numbers,
                                              .save_rstd = numbers + 1,
                                              .activation = activation,
                                              .flags = BATCHNORM_FROZEN};
    assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
    return element_get(dtype, dz, 0);
}

/* A ReLU has no ceiling: not even at infinity, nor where y of 16 bits became infinite. */
TEST(relu_passes_the_gradient_at_infinity) {
    for (int d = 0; d < 4; d++)
        for (int by_y = 0; by_y < 2; by_y++) {
            assert_true(gated_one(all_dtypes[d], batchnorm_relu(), (double)INFINITY, by_y) == 1);
            assert_true(gated_one(all_dtypes[d], batchnorm_relu(), -(double)INFINITY, by_y) == 0);
        }
}

/* In 16 bits y at the ceiling is the ceiling rounded, which may lie below it. */
TEST(what_is_at_the_ceiling_passes_no_gradient) {
    static const double ceilings[] = {0.1, 1.1, 5.9, 1.0 / 3, 0.7, 2.3, 6, 1e-3};
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < sizeof ceilings / sizeof *ceilings; i++)
            for (int by_y = 0; by_y < 2; by_y++) {
                assert_true(gated_one(all_dtypes[d], batchnorm_clipped_relu(ceilings[i]), 100, by_y) == 0);
                assert_true(gated_one(all_dtypes[d], batchnorm_clipped_relu(ceilings[i]), ceilings[i] / 2, by_y) == 1);
            }
}

TEST(activations_outside_their_range_are_refused) {
    const batchnorm_activation bad[] = {{fused_no_kind, 1},
                                        {(batchnorm_activation_kind)77, 1},
                                        {BATCHNORM_LEAKY_RELU, -0.01},
                                        {BATCHNORM_LEAKY_RELU, (double)NAN},
                                        {BATCHNORM_LEAKY_RELU, (double)INFINITY},
                                        {BATCHNORM_CLIPPED_RELU, 0},
                                        {BATCHNORM_CLIPPED_RELU, -6},
                                        {BATCHNORM_CLIPPED_RELU, (double)NAN}};
    for (int d = 0; d < 4; d++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            struct strided shape = fused_shape(PLANAR, all_dtypes[d], 2, 3, 5);
            struct problem *p = problem_create(&shape, 7, true);
            const struct fused f = {bad[k], true, true};
            for (enum fused_verb verb = 0; verb < FUSED_VERBS; verb++)
                assert_int_equal(fused_run(p, verb, &f, NULL), BATCHNORM_BAD_OPTION);
            assert_null(problem_untouched(p));
            problem_destroy(p);
        }
}

static void overlap(struct problem *p, enum array array, void *data, enum fused_verb verb, bool from_y) {
    const struct fused f = {{BATCHNORM_RELU, 0}, true, from_y};
    p->array[array].data = data;
    assert_int_equal(fused_run(p, verb, &f, NULL), BATCHNORM_OVERLAP);
    assert_null(problem_untouched(p));
    p->array[array].data = p->array[array].home;
}

/* dx and dz may not be one array; and no output may lie over a part of an array that is read. */
TEST(overlaps_are_refused) {
    for (int d = 0; d < 4; d++) {
        ptrdiff_t bytes = (ptrdiff_t)batchnorm_dtype_bytes(all_dtypes[d]);
        struct strided shape = fused_shape(PLANAR, all_dtypes[d], 2, 3, 5);
        struct problem *p = problem_create(&shape, 7, true);
        for (enum fused_verb verb = BACKWARD_FUSED; verb < FUSED_VERBS; verb++)
            for (int from_y = 0; from_y < 2; from_y++) {
                const enum array inputs[] = {X, DY, from_y ? Y : Z};
                overlap(p, DZ, p->array[DX].home, verb, from_y);
                for (int i = 0; i < 6; i++)
                    overlap(p, i & 1 ? DX : DZ, (char *)p->array[inputs[i / 2]].home + bytes, verb, from_y);
            }
        for (enum fused_verb verb = INFER_FUSED; verb <= FORWARD_FUSED; verb++)
            for (int i = 0; i < 2; i++) overlap(p, Y, (char *)p->array[i ? X : Z].home + bytes, verb, false);
        problem_destroy(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_rounded_once),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(values_that_are_not_finite),
        cmocka_unit_test(activations_outside_their_range_are_refused),
        cmocka_unit_test(overlaps_are_refused),
        cmocka_unit_test(relu_passes_the_gradient_at_infinity),
        cmocka_unit_test(what_is_at_the_ceiling_passes_no_gradient),
    };
    return cmocka_run_group_tests_name("api.fused.values", tests, NULL, NULL);
}
