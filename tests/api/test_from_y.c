/* SPDX-License-Identifier: MIT */
/* Backward from y alone: against long double, with the bounds that docs/numerics.md states; against finite differences; what is
 * refused. `test_from_y --report` prints the worst ratios. The unit of an error of dweight and dx is that of xhat, e, carried
 * through the formula: e = u (|xhat| + |bias / weight|), and more by the smallest number of the type, divided by |weight| and
 * the slope. Longer than 300 lines, because the bounds, the derivative and what is refused have the same calls. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/stats.h"
#include "tests/support/problem.h"
#include "tests/support/test.h"

enum { CHANNELS = 5 };
static const double weights[CHANNELS] = {1, -2.5, 1e-3, 8, 0.25};
static const batchnorm_activation identity = {BATCHNORM_IDENTITY, 0};

/* Where dx goes. */
enum place { APART, OVER_Y, OVER_DY, PLACES };

struct item {
    batchnorm_dtype dtype;
    enum layout layout;
    size_t n, s, grain;
    double offset; /* of x */
    batchnorm_activation activation;
    bool frozen;
    enum place place;
};

struct worst {
    double dx, dweight, dbias;
};

static int digits(batchnorm_dtype dtype) { return -ilogb(unit_roundoff(dtype)); }
static double slope_of(batchnorm_activation a) { return a.kind == BATCHNORM_LEAKY_RELU ? a.parameter : 1; }

/* The biases: none, usual ones, and one that is nearly as large as it may be. */
static double bias_of(batchnorm_dtype dtype, size_t c) {
    const double biases[CHANNELS] = {0, 0.75, 4e-3, -8, 0.25 * 0.9 * ldexp(1, digits(dtype) / 2)};
    return biases[c];
}

static void set_numbers(const struct problem *p, const struct item *t) {
    uint64_t seed = 41;
    for (size_t c = 0; c < CHANNELS; c++) {
        for (size_t i = 0; i < t->n * t->s; i++)
            element_set(t->dtype, p->array[X].home, problem_index(p, X, i / t->s, c, i % t->s),
                        t->offset + random_normal(&seed));
        element_set(p->array[WEIGHT].dtype, p->array[WEIGHT].home, (ptrdiff_t)c, weights[c]);
        element_set(p->array[BIAS].dtype, p->array[BIAS].home, (ptrdiff_t)c, bias_of(t->dtype, c));
        element_set(p->array[RUNNING_MEAN].dtype, p->array[RUNNING_MEAN].home, (ptrdiff_t)c, t->offset + 0.25);
        element_set(p->array[RUNNING_VAR].dtype, p->array[RUNNING_VAR].home, (ptrdiff_t)c, 1.5);
    }
}

/* Forward in place: afterwards there is no x. */
static void overwrite(struct problem *p, const struct item *t) {
    struct problem_array *a = p->array;
    batchnorm_status status;
    if (t->frozen) {
        batchnorm_infer_call call =
            infer_call(&p->shape, a[X].data, NULL, a[WEIGHT].data, a[BIAS].data, a[RUNNING_MEAN].data, a[RUNNING_VAR].data,
                       a[X].data, a[SAVE_MEAN].data, a[SAVE_RSTD].data, t->activation, &p->options);
        status = batchnorm_infer(&call, NULL);
    } else {
        batchnorm_forward_call call = forward_call(&p->shape, a[X].data, NULL, a[WEIGHT].data, a[BIAS].data, a[X].data, NULL,
                                                   NULL, a[SAVE_MEAN].data, a[SAVE_RSTD].data, t->activation, &p->options);
        status = batchnorm_forward(&call, NULL);
    }
    assert_int_equal(status, BATCHNORM_OK);
}

static enum array place_of_dx(const struct item *t) { return t->place == APART ? DX : t->place == OVER_Y ? X : DY; }

/* The call, of which y is the array of x. */
static batchnorm_backward_call call_from_y(const struct problem *p, const struct item *t) {
    const struct problem_array *a = p->array;
    batchnorm_backward_call call = backward_call(&p->shape, NULL, NULL, a[X].data, a[DY].data, a[WEIGHT].data, a[BIAS].data,
                                                 NULL, a[SAVE_RSTD].data, a[place_of_dx(t)].data, NULL, a[DWEIGHT].data,
                                                 a[DBIAS].data, t->activation, t->frozen ? BATCHNORM_FROZEN : 0);
    call.grain = t->grain;
    return call;
}

/* A channel, as it was before: x, y, and the dy that passes the gate. */
struct channel {
    const struct problem *p;
    const struct item *t;
    size_t c, m;
    long double *x, *y, *g, weight, bias, sum, dot;
    struct oracle o;
};

static void open_channel(struct channel *k, const struct problem *before, const struct problem *after, const struct item *t,
                         size_t c) {
    const double slope = slope_of(t->activation);
    k->p = after, k->t = t, k->c = c, k->m = t->n * t->s;
    k->x = problem_channel(before, X, c);
    k->y = problem_channel(after, X, c);
    k->g = problem_channel(before, DY, c);
    k->weight = problem_number(before, WEIGHT, c, 1), k->bias = problem_number(before, BIAS, c, 0);
    for (size_t i = 0; i < k->m; i++)
        if (!(k->y[i] > 0))
            k->g[i] = element_round(t->dtype, (double)k->g[i] * element_round(parameter_dtype(t->dtype), slope));
    k->o = t->frozen ? oracle_given(k->m, k->x, problem_number(before, RUNNING_MEAN, c, 0),
                                    1 / sqrtl(problem_number(before, RUNNING_VAR, c, 1) + (long double)before->options.eps))
                     : oracle_batch(k->m, k->x, before->options.eps);
    k->sum = oracle_sum(k->m, k->g), k->dot = oracle_sum_xhat(&k->o, k->g);
}

static void close_channel(struct channel *k) {
    free(k->x);
    free(k->y);
    free(k->g);
}

/* What the rounding of y does to xhat, in the unit of the bounds. */
static long double blur(const struct channel *k, size_t i) {
    const batchnorm_dtype dtype = k->t->dtype;
    const long double u = unit_roundoff(dtype), least = fminl(1, slope_of(k->t->activation)) * fabsl(k->weight);
    const long double offset = parameter_dtype(dtype) == BATCHNORM_F64 ? fabsl(k->o.mean) * k->o.rstd : 0;
    return u * (fabsl(oracle_xhat(&k->o, i)) + fabsl(k->bias / k->weight) + offset) + ulp_of(dtype, 0) / least;
}

static void note(double *worst, long double error, long double unit) {
    const double ratio = isnan(error) ? (double)INFINITY : (double)(error / unit);
    if (ratio > *worst) *worst = ratio;
}

static long double beyond(batchnorm_dtype stored, double got, long double want) {
    return fmaxl(0, fabsl((long double)got - want) - ulp_of(stored, want) / 2);
}

static void measure_channel(const struct channel *k, const struct problem *got, struct worst *w) {
    const batchnorm_dtype dtype = k->t->dtype, number = parameter_dtype(dtype);
    const long double u = unit_roundoff(dtype), m = (long double)k->m, lane = dtype == BATCHNORM_F64 ? 1 + m / 16 : 1;
    long double blurs = 0, size = 0, scale = fabsl(k->weight) * k->o.rstd;
    for (size_t i = 0; i < k->m; i++) {
        blurs += fabsl(k->g[i]) * blur(k, i);
        size += fabsl(k->g[i]);
    }
    note(&w->dbias, beyond(number, problem_number(got, DBIAS, k->c, 0), k->sum), u * size * lane);
    note(&w->dweight, beyond(number, problem_number(got, DWEIGHT, k->c, 0), k->dot), blurs * lane);
    for (size_t i = 0; i < k->m; i++) {
        const enum array array = place_of_dx(k->t);
        const double dx = element_get(dtype, got->array[array].home, problem_index(got, array, i / k->t->s, k->c, i % k->t->s));
        const long double want = oracle_dx(&k->o, k->g, i, k->sum, k->dot, k->weight, k->t->frozen),
                          xhat = oracle_xhat(&k->o, i);
        long double unit = u * fabsl(k->g[i]);
        if (!k->t->frozen)
            unit += u * size / m + (blur(k, i) * fabsl(k->dot) + u * fabsl(xhat * k->dot) + fabsl(xhat) * blurs) * lane / m;
        note(&w->dx, beyond(dtype, dx, want), scale * unit);
    }
}

static void measure(const struct item *t, struct worst *w) {
    const struct strided shape = layout_shape(t->layout, t->dtype, t->n, CHANNELS, t->s);
    struct problem *before = problem_create(&shape, 43, true), *p = problem_create(&shape, 43, true);
    struct channel k[CHANNELS];
    set_numbers(before, t);
    set_numbers(p, t);
    overwrite(p, t);
    for (size_t c = 0; c < CHANNELS; c++) open_channel(&k[c], before, p, t, c);
    const batchnorm_backward_call call = call_from_y(p, t);
    assert_int_equal(batchnorm_backward(&call, NULL), BATCHNORM_OK);
    for (size_t c = 0; c < CHANNELS; c++) {
        measure_channel(&k[c], p, w);
        close_channel(&k[c]);
    }
    problem_destroy(before);
    problem_destroy(p);
}

static const batchnorm_activation activations[] = {
    {BATCHNORM_IDENTITY, 0}, {BATCHNORM_LEAKY_RELU, 0.01}, {BATCHNORM_LEAKY_RELU, 3}};

static struct worst measure_all(batchnorm_dtype dtype, batchnorm_activation activation, double offset) {
    static const size_t sizes[][2] = {{2, 1}, {3, 7}, {4, 49}, {33, 64}, {70, 1}, {2, 1001}};
    static const enum layout layouts[] = {PLANAR, CHANNELS_LAST, SPACED};
    struct worst w = {0, 0, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int l = 0; l < 3; l++)
            for (enum place place = APART; place < PLACES; place++)
                for (int k = 0; k < 4; k++) {
                    if (is_left_out()) continue;
                    const struct item t = {dtype,  layouts[l], sizes[i][0], sizes[i][1],      k >= 2 ? 2 : 0,
                                           offset, activation, k % 2 != 0,  (enum place)place};
                    measure(&t, &w);
                }
    return w;
}

static const double offsets[] = {0, 100, 1e4};

/* Stated in docs/numerics.md. */
static const struct worst bounds[4] = {
    [BATCHNORM_F32] = {3, 3, 1}, [BATCHNORM_F64] = {3, 3, 1}, [BATCHNORM_BF16] = {1, 1, 1}, [BATCHNORM_F16] = {1, 1, 1}};

static bool is_good_offset(batchnorm_dtype dtype, double offset) { return dtype < BATCHNORM_BF16 || offset < 1e4; }

static void check_dtype(batchnorm_dtype dtype) {
    for (int a = 0; a < 3; a++)
        for (int o = 0; o < 3; o++) {
            if (!is_good_offset(dtype, offsets[o])) continue;
            const struct worst w = measure_all(dtype, activations[a], offsets[o]), b = bounds[dtype];
            if (w.dx > b.dx || w.dweight > b.dweight || w.dbias > b.dbias)
                fail_msg("%s, activation %d, offset %g: dx %g, dweight %g, dbias %g", dtype_name(dtype), a, offsets[o], w.dx,
                         w.dweight, w.dbias);
        }
}

TEST(f32_keeps_its_bounds) { check_dtype(BATCHNORM_F32); }
TEST(f64_keeps_its_bounds) { check_dtype(BATCHNORM_F64); }
TEST(bf16_keeps_its_bounds) { check_dtype(BATCHNORM_BF16); }
TEST(f16_keeps_its_bounds) { check_dtype(BATCHNORM_F16); }

/* The sums on their own, and a backward that is given them, give the bits of the backward that makes them. */
TEST(sums_that_are_given_give_the_same_bits) {
    for (int d = 0; d < 4; d++)
        for (int a = 0; a < 3; a++)
            for (int last = 0; last < 2; last++) {
                const struct item t = {all_dtypes[d], last ? CHANNELS_LAST : PLANAR, 6, 40, 0, 1, activations[a], false, APART};
                const struct strided shape = layout_shape(t.layout, t.dtype, t.n, CHANNELS, t.s);
                struct problem *one = problem_create(&shape, 43, true), *two = problem_create(&shape, 43, true);
                batchnorm_sum sums[CHANNELS];
                set_numbers(one, &t), set_numbers(two, &t);
                overwrite(one, &t), overwrite(two, &t);
                batchnorm_backward_call call = call_from_y(one, &t), given = call_from_y(two, &t);
                const batchnorm_sums_call first = {.size = sizeof first,
                                                   .shape = given.shape,
                                                   .y = given.y,
                                                   .dy = given.dy,
                                                   .weight = given.weight,
                                                   .bias = given.bias,
                                                   .save_rstd = given.save_rstd,
                                                   .activation = given.activation,
                                                   .sums = sums};
                batchnorm_sums_clear(sums, CHANNELS);
                assert_int_equal(batchnorm_sums_accumulate(&first, NULL), BATCHNORM_OK);
                given.sums = sums;
                assert_int_equal(batchnorm_backward(&call, NULL), BATCHNORM_OK);
                assert_int_equal(batchnorm_backward(&given, NULL), BATCHNORM_OK);
                if (problem_same(one, two)) fail_msg("%s differs", problem_same(one, two));
                problem_destroy(one), problem_destroy(two);
            }
}

/* Finite differences of S[dy y], in F64; x is far enough from the kink of the activation. */
static double value(const struct strided *shape, const double *x, const double *dy, const double *weight, const double *bias,
                    double *y, double *mean, double *rstd, batchnorm_activation activation) {
    double sum = 0;
    assert_int_equal(raw_forward_fused(shape, x, NULL, weight, bias, y, NULL, NULL, mean, rstd, activation, NULL, NULL),
                     BATCHNORM_OK);
    for (size_t i = 0; i < shape->outer * shape->channels * shape->inner; i++) sum += dy[i] * y[i];
    return sum;
}

TEST(it_is_the_derivative) {
    enum { N = 3, C = 2, S = 4, ALL = N * C * S };
    static const double step = 1e-5;
    for (int a = 0; a < 3; a++)
        for (int last = 0; last < 2; last++) {
            const struct strided shape = layout_shape(last ? CHANNELS_LAST : PLANAR, BATCHNORM_F64, N, C, S);
            double x[ALL], y[ALL], dy[ALL], dx[ALL], other[ALL], numbers[2][C] = {{1.5, -0.7}, {0.3, 0.9}}, gradient[2][C];
            double mean[C], rstd[C];
            uint64_t seed = 5;
            for (int i = 0; i < ALL; i++) x[i] = random_normal(&seed), dy[i] = random_normal(&seed);
            value(&shape, x, dy, numbers[0], numbers[1], y, mean, rstd, activations[a]);
            assert_int_equal(raw_backward_fused(&shape, NULL, NULL, y, dy, numbers[0], numbers[1], NULL, rstd, dx, NULL,
                                                gradient[0], gradient[1], activations[a], 0, NULL),
                             BATCHNORM_OK);
            for (int i = 0; i < ALL + 2 * C; i++) {
                double *at = i < ALL ? &x[i] : &numbers[(i - ALL) / C][(i - ALL) % C], old = *at, f[2];
                const double got = i < ALL ? dx[i] : gradient[(i - ALL) / C][(i - ALL) % C];
                for (int side = 0; side < 2; side++) {
                    *at = old + (side ? step : -step);
                    f[side] = value(&shape, x, dy, numbers[0], numbers[1], other, mean, rstd, activations[a]);
                }
                *at = old;
                const double want = (f[1] - f[0]) / (2 * step);
                if (!(fabs(got - want) <= 2e-8 * (1 + fabs(want)))) fail_msg("%d: %.12g, expected %.12g", i, got, want);
            }
        }
}

/* What y does not tell is refused, with the channel and its numbers, before anything is written. */
static batchnorm_status try_weight(batchnorm_dtype dtype, double weight, double bias, batchnorm_activation activation,
                                   char message[200]) {
    const struct item t = {dtype, PLANAR, 3, 5, 0, 0, activation, false, APART};
    const struct strided shape = layout_shape(PLANAR, dtype, 3, CHANNELS, 5);
    struct problem *p = problem_create(&shape, 43, true);
    const batchnorm_exec exec = {.size = sizeof exec, .message = message, .message_bytes = 200};
    set_numbers(p, &t);
    element_set(p->array[WEIGHT].dtype, p->array[WEIGHT].home, 3, weight);
    element_set(p->array[BIAS].dtype, p->array[BIAS].home, 3, bias);
    problem_snapshot(p);
    message[0] = '\0';
    const batchnorm_backward_call call = call_from_y(p, &t);
    const batchnorm_status status = batchnorm_backward(&call, &exec);
    if (status && problem_untouched(p)) fail_msg("%s was written", problem_untouched(p));
    problem_destroy(p);
    return status;
}

TEST(weights_that_lose_the_digits_are_refused) {
    static const int halves[4] = {12, 26, 5, 4}; /* powers of 2, in the order of `dtypes` */
    static const batchnorm_dtype dtypes[4] = {BATCHNORM_F32, BATCHNORM_F64, BATCHNORM_F16, BATCHNORM_BF16};
    char message[200], *const m = message;
    for (int d = 0; d < 4; d++) {
        const double most = ldexp(1, halves[d]);
        assert_int_equal(try_weight(dtypes[d], 0.5, most / 2, identity, m), BATCHNORM_OK);
        assert_int_equal(try_weight(dtypes[d], -0.5, -most / 2, identity, m), BATCHNORM_OK);
        assert_int_equal(try_weight(dtypes[d], 0.5, most / 2 + 1, identity, m), BATCHNORM_BAD_OPTION);
        assert_int_equal(try_weight(dtypes[d], -0.5, most / 2 + 1, batchnorm_leaky_relu(0.5), m), BATCHNORM_BAD_OPTION);
        assert_int_equal(try_weight(dtypes[d], 0, 0, identity, m), BATCHNORM_BAD_OPTION);
        assert_int_equal(try_weight(dtypes[d], (double)NAN, 0, identity, m), BATCHNORM_BAD_OPTION);
        assert_int_equal(try_weight(dtypes[d], (double)INFINITY, 0, identity, m), BATCHNORM_BAD_OPTION);
        assert_int_equal(try_weight(dtypes[d], 1, (double)NAN, identity, m), BATCHNORM_BAD_OPTION);
    }
    assert_int_equal(try_weight(BATCHNORM_F16, ldexp(1, -19), 0, identity, m), BATCHNORM_OK);
    assert_int_equal(try_weight(BATCHNORM_F16, ldexp(1, -20), 0, identity, m), BATCHNORM_BAD_OPTION);
    assert_int_equal(try_weight(BATCHNORM_F16, ldexp(1, -19), 0, batchnorm_leaky_relu(0.5), m), BATCHNORM_BAD_OPTION);
    assert_int_equal(try_weight(BATCHNORM_F32, 0.25, 2048, identity, m), BATCHNORM_BAD_OPTION);
    assert_non_null(strstr(message, "channel 3"));
    assert_non_null(strstr(message, "0.25"));
    assert_non_null(strstr(message, "2048"));
}

/* Where something that cannot be undone follows the normalization, x is needed. */
TEST(without_y_or_after_anything_else_x_is_needed) {
    float y[8] = {1, 2, 3, 4, 5, 6, 7, 8}, dy[8] = {1}, dx[8], dz[8], z[8] = {0}, weight[2] = {1, 1}, gradient[2];
    double rstd[2] = {1, 1};
    const struct strided shape = planar(BATCHNORM_F32, 2, 2, 2);
    const struct {
        const float *z, *y;
        float *dz;
        batchnorm_activation activation;
        batchnorm_status status;
    } tries[] = {{NULL, y, NULL, identity, BATCHNORM_OK},
                 {NULL, y, NULL, batchnorm_leaky_relu(0.1), BATCHNORM_OK},
                 {NULL, NULL, NULL, identity, BATCHNORM_NULL_POINTER},
                 {z, y, NULL, identity, BATCHNORM_NULL_POINTER},
                 {NULL, y, dz, identity, BATCHNORM_NULL_POINTER},
                 {NULL, y, NULL, batchnorm_relu(), BATCHNORM_NULL_POINTER},
                 {NULL, y, NULL, batchnorm_leaky_relu(0), BATCHNORM_NULL_POINTER},
                 {NULL, y, NULL, batchnorm_leaky_relu(1e-40), BATCHNORM_NULL_POINTER},
                 {NULL, y, NULL, batchnorm_silu(), BATCHNORM_NULL_POINTER}};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        assert_int_equal(raw_backward_fused(&shape, NULL, tries[i].z, tries[i].y, dy, weight, NULL, NULL, rstd, dx, tries[i].dz,
                                            gradient, NULL, tries[i].activation, 0, NULL),
                         tries[i].status);
}

static int report(void) {
    for (int d = 0; d < 4; d++)
        for (int a = 0; a < 3; a++)
            for (int o = 0; o < 3; o++) {
                if (!is_good_offset(all_dtypes[d], offsets[o])) continue;
                const struct worst w = measure_all(all_dtypes[d], activations[a], offsets[o]);
                printf("%-5s slope %-5g offset %-6g dx %8.3g  dweight %8.3g  dbias %8.3g\n", dtype_name(all_dtypes[d]),
                       slope_of(activations[a]), offsets[o], w.dx, w.dweight, w.dbias);
            }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--report") == 0) return report();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_keeps_its_bounds),
        cmocka_unit_test(f64_keeps_its_bounds),
        cmocka_unit_test(bf16_keeps_its_bounds),
        cmocka_unit_test(f16_keeps_its_bounds),
        cmocka_unit_test(sums_that_are_given_give_the_same_bits),
        cmocka_unit_test(it_is_the_derivative),
        cmocka_unit_test(weights_that_lose_the_digits_are_refused),
        cmocka_unit_test(without_y_or_after_anything_else_x_is_needed),
    };
    return cmocka_run_group_tests_name("api.from_y", tests, NULL, NULL);
}
