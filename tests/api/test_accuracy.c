/* SPDX-License-Identifier: MIT */
/* Errors against the long double oracle, with the bounds that docs/numerics.md states. `test_accuracy --report` prints the
 * worst ratios in place of testing. Units of the ratios:
 *   mean, var   units in the last place of a float, after rounding the double statistics to float; F64: 2^-53 of
 *               |mean| + spread, and of the square of the spread, which is the largest |x - mean|; BF16 and F16: 2^-20 of the
 *               spread, and of its square
 *   y           2^-23 of max(1, |y|); F64: 2^-52 of the magnitudes of its terms, where the errors of mean and var count as
 *               terms in training
 *   dx          2^-24 (F64: 2^-53) of the sum of the magnitudes of its terms
 *   dweight, dbias  2^-53 of the sum of the magnitudes of their terms, beyond half a unit of a float result; the rounding of
 *               the mean to double counts as a term of xhat
 * Where BF16 and F16 depend on sums, which are partly in float, the unit is 2^-20 of the same; and always beyond half a unit in
 * the last place of a BF16 or F16 result.
 * In F64 the sums that gradients are made of have the type of the data, and their errors grow with the number of values that
 * one lane adds. So its ratios of dx, dweight and dbias are divided by 1 + m / 16.
 * Long because its measures, their units and their bounds belong together. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"

enum { CHANNELS = 5 };
/* the third: y is nearly all bias; the fourth: bias and product cancel; the fifth: y is bias */
static const double weights[CHANNELS] = {1, -2.5, 1e-3, 8, 0}, biases[CHANNELS] = {0, 0.75, 1e3, -8, 3};

enum measure { MEAN, VAR, INFER_Y, FORWARD_Y, GRADIENT_X, GRADIENT_WEIGHT, GRADIENT_BIAS, MEASURES };
static const char *const measure_names[MEASURES] = {"mean", "var", "y eval", "y train", "dx", "dweight", "dbias"};
struct worst {
    double ratio[MEASURES];
};

/* x = offset + scale * N(0, 1), but for the first value where `first` is not 0; large: tested with 100003 values, too, and with
 * every size up to 70. */
struct kind {
    const char *name;
    double offset, scale, first;
    bool large;
};
static const struct kind kinds[] = {
    {"N(0, 1)", 0, 1, 0, true},
    {"N(100, 1)", 1e2, 1, 0, false},
    {"N(1e4, 1)", 1e4, 1, 0, false},
    {"N(-1e4, 1)", -1e4, 1, 0, false},
    {"N(1e6, 1)", 1e6, 1, 0, true},
    {"N(-1e6, 1)", -1e6, 1, 0, false},
    {"N(1e7, 1)", 1e7, 1, 0, false},
    {"N(1e5, 1e3)", 1e5, 1e3, 0, false},
    {"N(0, 1), first 1e3", 0, 1, 1e3, false},
    {"N(0, 1), first 1e6", 0, 1, 1e6, true},
    {"N(0, 1), first -1e10", 0, 1, -1e10, false},
    {"N(0, 1), first 1e16", 0, 1, 1e16, false},
    {"N(0, 1), first 1e20", 0, 1, 1e20, false},
    {"N(0, 1), first 1e30", 0, 1, 1e30, false},
    {"N(1e6, 1), first 0", 1e6, 1, 1e-30, false},
    {"1e-3 N(0, 1)", 0, 1e-3, 0, false},
    {"1e-10 N(0, 1)", 0, 1e-10, 0, false},
    {"1e-30 N(0, 1)", 0, 1e-30, 0, false},
    {"1e-42 N(0, 1)", 0, 1e-42, 0, false},
    {"1e10 N(0, 1)", 0, 1e10, 0, false},
    {"1e16 N(0, 1)", 0, 1e16, 0, false},
    {"1e20 N(0, 1)", 0, 1e20, 0, false},
    {"1e28 N(0, 1)", 0, 1e28, 0, false},
    {"1e37 N(0, 1)", 0, 1e37, 0, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool representable(batchnorm_dtype dtype, const struct kind *k) {
    double largest = fabs(k->offset) + 6 * k->scale;
    return isfinite(element_round(dtype, fmax(largest, fabs(k->first))));
}

static void fill_kind(struct problem *p, const struct kind *k) {
    uint64_t seed = 17;
    size_t m = p->shape.outer * p->shape.inner;
    for (size_t c = 0; c < CHANNELS; c++) {
        for (size_t i = 0; i < m; i++) {
            double v = i == 0 && k->first != 0 ? k->first : k->offset + k->scale * random_normal(&seed);
            element_set(p->shape.dtype, p->array[X].home, problem_index(p, X, i / p->shape.inner, c, i % p->shape.inner), v);
        }
        element_set(p->array[WEIGHT].dtype, p->array[WEIGHT].home, (ptrdiff_t)c, weights[c]);
        element_set(p->array[BIAS].dtype, p->array[BIAS].home, (ptrdiff_t)c, biases[c]);
        element_set(p->array[RUNNING_MEAN].dtype, p->array[RUNNING_MEAN].home, (ptrdiff_t)c, k->offset * 1.0001);
        element_set(p->array[RUNNING_VAR].dtype, p->array[RUNNING_VAR].home, (ptrdiff_t)c,
                    fmin(k->scale * k->scale * 1.3, 1e30));
    }
}

static void note(struct worst *w, enum measure measure, long double ratio) {
    if (isnan(ratio)) ratio = INFINITY;
    if (ratio > w->ratio[measure]) w->ratio[measure] = (double)ratio;
}

static bool is_short(batchnorm_dtype dtype) { return dtype == BATCHNORM_BF16 || dtype == BATCHNORM_F16; }

/* The unit of what depends on sums. */
static long double unit_of_sums(batchnorm_dtype dtype, long double unit) { return is_short(dtype) ? 0x1p-20L : unit; }

/* What one channel is compared with. */
struct exact {
    const struct problem *p;
    size_t c, m;
    batchnorm_dtype computed;
    long double *x, *dy, spread, lane; /* lane: 1 + m / 16 for F64, else 1 */
    struct oracle o;
};

static struct exact exact_open(const struct problem *p, size_t c) {
    struct exact e = {.p = p, .c = c, .m = p->shape.outer * p->shape.inner, .computed = parameter_dtype(p->shape.dtype)};
    e.x = problem_channel(p, X, c);
    e.dy = problem_channel(p, DY, c);
    e.o = oracle_batch(e.m, e.x, p->options.eps);
    for (size_t i = 0; i < e.m; i++) e.spread = fmaxl(e.spread, fabsl(e.x[i] - e.o.mean));
    e.lane = e.computed == BATCHNORM_F64 ? 1 + (long double)e.m / 16 : 1;
    return e;
}

static void exact_close(struct exact *e) {
    free(e->x);
    free(e->dy);
}

static double output(const struct exact *e, enum array array, size_t i) {
    size_t n = i / e->p->shape.inner, s = i % e->p->shape.inner;
    return element_get(e->p->shape.dtype, e->p->array[array].home, problem_index(e->p, array, n, e->c, s));
}

/* The error beyond the rounding of a narrow result. */
static long double beyond(batchnorm_dtype stored, batchnorm_dtype computed, double got, long double want) {
    long double error = fabsl((long double)got - want);
    return stored == computed ? error : fmaxl(0, error - ulp_of(stored, want) / 2);
}

static void measure_statistics(const struct exact *e, struct worst *w) {
    const batchnorm_stat *stat = (const batchnorm_stat *)e->p->array[STATS].home + e->c;
    double mean, var;
    batchnorm_stats_finish(stat, 1, 0, e->p->options.eps, &mean, &var, NULL);
    if (e->computed == BATCHNORM_F64) {
        note(w, MEAN, fabsl(mean - e->o.mean) / (0x1p-53L * (fabsl(e->o.mean) + e->spread) + LDBL_MIN));
        note(w, VAR, fabsl(var - e->o.var) / (0x1p-53L * e->spread * e->spread + LDBL_MIN));
        return;
    }
    if (is_short(e->p->shape.dtype)) {
        note(w, MEAN, fabsl(mean - e->o.mean) / (0x1p-20L * e->spread + LDBL_MIN));
        note(w, VAR, fabsl(var - e->o.var) / (0x1p-20L * e->spread * e->spread + LDBL_MIN));
        return;
    }
    note(w, MEAN, fabsl((float)mean - e->o.mean) / ulp_of(BATCHNORM_F32, e->o.mean));
    if (e->o.var < FLT_MAX) note(w, VAR, fabsl((float)var - e->o.var) / ulp_of(BATCHNORM_F32, e->o.var));
}

/* What a rounding of the mean does to xhat: nothing, but in F64, where the mean is no better than the data. */
static long double blur_of_mean(const struct exact *e) {
    return e->computed == BATCHNORM_F64 ? (fabsl(e->o.mean) + e->spread) * e->o.rstd : 0;
}

static long double f64_size(const struct exact *e, const struct oracle *o, size_t i, long double weight, long double bias) {
    long double xhat = fabsl(oracle_xhat(o, i)), reach = e->spread * o->rstd;
    long double errors = o == &e->o ? blur_of_mean(e) + xhat * reach * reach : 0;
    return fabsl(weight) * (xhat + errors) + fabsl(bias);
}

static void measure_y(const struct exact *e, const struct oracle *o, enum measure measure, struct worst *w) {
    double weight = problem_number(e->p, WEIGHT, e->c, 1), bias = problem_number(e->p, BIAS, e->c, 0);
    const long double unit = 2 * (long double)unit_roundoff(e->computed);
    for (size_t i = 0; i < e->m; i++) {
        long double want = oracle_xhat(o, i) * weight + bias, size = fmaxl(1, fabsl(want));
        if (e->p->shape.dtype == BATCHNORM_F16 && fabsl(want) > 65000) continue;
        if (e->computed == BATCHNORM_F64) size = fmaxl(size, f64_size(e, o, i, weight, bias));
        note(w, measure,
             beyond(e->p->shape.dtype, e->computed, output(e, Y, i), want) /
                 ((measure == FORWARD_Y ? unit_of_sums(e->p->shape.dtype, unit) : unit) * size));
    }
}

static struct oracle infer_oracle(const struct exact *e) {
    long double var = problem_number(e->p, RUNNING_VAR, e->c, 1) + (long double)e->p->options.eps;
    return oracle_given(e->m, e->x, problem_number(e->p, RUNNING_MEAN, e->c, 0), 1 / sqrtl(var));
}

static void measure_gradients(const struct exact *e, struct worst *w) {
    double weight = problem_number(e->p, WEIGHT, e->c, 1);
    long double sum = oracle_sum(e->m, e->dy), dot = oracle_sum_xhat(&e->o, e->dy), sum_size = 0, dot_size = 0;
    struct oracle blurred = e->o;
    blurred.blur = blur_of_mean(e);
    for (size_t i = 0; i < e->m; i++) {
        sum_size += fabsl(e->dy[i]);
        dot_size += fabsl(e->dy[i]) * (fabsl(oracle_xhat(&e->o, i)) + (fabsl(e->o.mean) + e->spread) * e->o.rstd);
    }
    bool f64 = e->computed == BATCHNORM_F64;
    for (size_t i = 0; i < e->m; i++) {
        long double want = oracle_dx(&e->o, e->dy, i, sum, dot, weight, false);
        long double size = oracle_dx_scale(&blurred, e->dy, i, f64 ? sum_size : sum, f64 ? dot_size : dot, weight, false);
        long double unit = unit_of_sums(e->p->shape.dtype, unit_roundoff(e->computed)) * size * e->lane + LDBL_MIN;
        note(w, GRADIENT_X, beyond(e->p->shape.dtype, e->computed, output(e, DX, i), want) / unit);
    }
    const long double unit = unit_of_sums(e->p->shape.dtype, 0x1p-53L) * e->lane;
    double got_weight = problem_number(e->p, DWEIGHT, e->c, 0), got_bias = problem_number(e->p, DBIAS, e->c, 0);
    note(w, GRADIENT_WEIGHT, beyond(e->computed, BATCHNORM_F64, got_weight, dot) / (unit * dot_size + LDBL_MIN));
    note(w, GRADIENT_BIAS, beyond(e->computed, BATCHNORM_F64, got_bias, sum) / (unit * sum_size + LDBL_MIN));
}

static void must_run(struct problem *p, enum verb verb) {
    if (problem_run(p, verb, NULL) != BATCHNORM_OK) fail_msg("%s failed", verb_name(verb));
}

static void measure(const struct strided *shape, const struct kind *kind, struct worst *w) {
    struct problem *p = problem_create(shape, 23, true);
    fill_kind(p, kind);
    must_run(p, ACCUMULATE_STATS);
    must_run(p, INFER);
    struct exact e[CHANNELS];
    for (size_t c = 0; c < CHANNELS; c++) {
        e[c] = exact_open(p, c);
        struct oracle given = infer_oracle(&e[c]);
        measure_y(&e[c], &given, INFER_Y, w);
    }
    must_run(p, FORWARD);
    must_run(p, BACKWARD);
    for (size_t c = 0; c < CHANNELS; c++) {
        measure_statistics(&e[c], w);
        measure_y(&e[c], &e[c].o, FORWARD_Y, w);
        measure_gradients(&e[c], w);
        exact_close(&e[c]);
    }
    problem_destroy(p);
}

/* Every size in both layouts: runs of m values, and m rows of one value. */
static struct worst measure_sizes(batchnorm_dtype dtype, const struct kind *kind, bool large) {
    struct worst w = {{0}};
    size_t last = large ? 100003 : 1000;
    for (size_t m = 2; m <= last; m = m < 70 ? m + (large ? 1 : 1 + m / 8) : m < 1000 ? 1000 : m < 100003 ? 100003 : SIZE_MAX) {
        struct strided plane = planar(dtype, 1, CHANNELS, m), rows = planar(dtype, m, CHANNELS, 1);
        measure(&plane, kind, &w);
        measure(&rows, kind, &w);
    }
    return w;
}

/* Stated in docs/numerics.md. F64's are four times what was measured, since they are no law but depend on luck with
 * roundings. */
static const struct worst bounds[4] = {
    [BATCHNORM_F32] = {{0.51, 0.51, 2, 2, 4, 1, 1}},
    [BATCHNORM_F64] = {{2, 6, 6, 2, 7, 6, 4}},
    [BATCHNORM_BF16] = {{1, 1, 2, 1, 1, 1, 1}},
    [BATCHNORM_F16] = {{1, 1, 2, 1, 1, 1, 1}},
};

/* The factor of x in dx is about weight / spread^2, which is too small for a float beyond 1e16; beyond 1e30 the zero of y is
 * too large for one. */
static bool out_of_float_range(batchnorm_dtype dtype, const struct kind *k, enum measure measure) {
    double spread = fmax(k->scale, fabs(k->first));
    if (parameter_dtype(dtype) == BATCHNORM_F64) return false;
    return (measure == GRADIENT_X && spread > 1e16) || (measure == FORWARD_Y && spread > 1e30);
}

static void check_dtype(batchnorm_dtype dtype) {
    for (int i = 0; i < KINDS; i++) {
        if (!representable(dtype, &kinds[i])) continue;
        struct worst w = measure_sizes(dtype, &kinds[i], kinds[i].large);
        for (int j = 0; j < MEASURES; j++)
            if (w.ratio[j] > bounds[dtype].ratio[j] && !out_of_float_range(dtype, &kinds[i], j))
                fail_msg("%s %s: %s has ratio %g, stated is %g", dtype_name(dtype), kinds[i].name, measure_names[j], w.ratio[j],
                         bounds[dtype].ratio[j]);
    }
}

TEST(f32_keeps_its_bounds) { check_dtype(BATCHNORM_F32); }
TEST(f64_keeps_its_bounds) { check_dtype(BATCHNORM_F64); }
TEST(bf16_keeps_its_bounds) { check_dtype(BATCHNORM_BF16); }
TEST(f16_keeps_its_bounds) { check_dtype(BATCHNORM_F16); }

/* A channel of equal values has variance 0 and comes out as the bias, to the last bit. */
static void run_constant(const struct strided *shape, double value) {
    struct problem *p = problem_create(shape, 3, true);
    const double odd_biases[CHANNELS] = {0, 0.1, -1e-3, 12345.678, 3};
    for (size_t i = 0; i < p->array[X].count; i++) element_set(shape->dtype, p->array[X].lowest, (ptrdiff_t)i, value);
    for (size_t c = 0; c < CHANNELS; c++) element_set(p->array[BIAS].dtype, p->array[BIAS].home, (ptrdiff_t)c, odd_biases[c]);
    must_run(p, FORWARD);
    for (size_t i = 0; i < shape->outer * shape->inner * CHANNELS; i++) {
        size_t c = i / shape->inner % CHANNELS;
        double got =
            element_get(shape->dtype, p->array[Y].home, problem_index(p, Y, i / shape->inner / CHANNELS, c, i % shape->inner));
        double want = element_round(shape->dtype, problem_number(p, BIAS, c, 0));
        if (got != want) fail_msg("%s: constant %g gives %.17g, not %.17g", dtype_name(shape->dtype), value, got, want);
    }
    for (size_t c = 0; c < CHANNELS; c++) assert_true(problem_number(p, SAVE_MEAN, c, 0) == element_round(shape->dtype, value));
    problem_destroy(p);
}

TEST(constant_channels_give_exactly_the_bias) {
    static const double values[] = {0, 0.1, 1.0 / 3, 1e4, -7e5, 12000001, 1e10, 1e30, 3e38, 1e-30, 1e-44};
    static const size_t sizes[] = {1, 2, 3, 7, 16, 17, 100, 1000, 20011};
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
                if (isinf(element_round(all_dtypes[d], values[i]))) continue;
                struct strided plane = planar(all_dtypes[d], 1, CHANNELS, sizes[j]);
                struct strided rows = planar(all_dtypes[d], sizes[j], CHANNELS, 1);
                run_constant(&plane, values[i]);
                run_constant(&rows, values[i]);
            }
}

/* Two values per channel: y is -1 and 1 up to eps, and dx vanishes with eps. */
TEST(two_values_become_minus_one_and_one) {
    float x[4] = {1e6f, 1e6f + 3, -5, 7}, y[4], dy[4] = {1, 2, 3, -4}, dx[4];
    double mean[2], rstd[2];
    struct strided shape = planar(BATCHNORM_F32, 1, 2, 2);
    assert_int_equal(raw_forward(&shape, x, NULL, NULL, y, NULL, NULL, mean, rstd, NULL, NULL), BATCHNORM_OK);
    assert_int_equal(raw_backward(&shape, x, dy, NULL, mean, rstd, dx, NULL, NULL, 0, NULL), BATCHNORM_OK);
    for (int i = 0; i < 4; i++) assert_true(fabsf(fabsf(y[i]) - 1) < 1e-5f && fabsf(dx[i]) < 1e-5f);
    assert_true(y[0] == -y[1] && y[2] == -y[3] && y[0] < 0 && y[2] < 0);
}

/* Thirds of the values near -1e8, near 1e8, which cancel, and near 0. Returns how far the mean in float is from the exact one,
 * in units of its last place, and checks docs/numerics.md: the mean in double is within
 * u (|mean| + (additions + pieces + 9) range), u = 2^-53. */
static long double measure_clusters(const struct strided *shape, size_t additions, size_t pieces) {
    struct problem *p = problem_create(shape, 29, true);
    const size_t m = shape->outer * shape->inner;
    long double small[CHANNELS] = {0}, worst = 0;
    uint64_t seed = 31;
    for (size_t c = 0; c < CHANNELS; c++) {
        double large = 0;
        for (size_t i = 0; i < m; i++) {
            large = i % 3 == 0 ? 1e8 + 8 * floor(20 * random_normal(&seed)) : large;
            const double v = i % 3 == 0 ? -large : i % 3 == 1 ? large : (double)(float)(1e-3 * random_normal(&seed));
            element_set(shape->dtype, p->array[X].home, problem_index(p, X, i / shape->inner, c, i % shape->inner), v);
            if (i % 3 == 2) small[c] += v;
        }
    }
    must_run(p, ACCUMULATE_STATS);
    for (size_t c = 0; c < CHANNELS; c++) {
        const double got = ((const batchnorm_stat *)p->array[STATS].home + c)->mean;
        const long double want = small[c] / m, range = 2e8L + 16 * 200;
        const long double bound = 0x1p-53L * (fabsl(want) + (long double)(additions + pieces + 9) * range);
        if (!(fabsl(got - want) <= bound)) fail_msg("m %zu, channel %zu: %.17g, %.17Lg, bound %Lg", m, c, got, want, bound);
        worst = fmaxl(worst, fabsl((float)got - want) / ulp_of(BATCHNORM_F32, want));
    }
    problem_destroy(p);
    return worst;
}

/* A mean that cancels far below the spread has an error that is relative to the spread, and not half a unit in its last
 * place. */
TEST(means_that_cancel_are_relative_to_the_spread) {
    static const size_t sizes[] = {3, 12, 999, 39999, 100002};
    static const batchnorm_dtype dtypes[] = {BATCHNORM_F32, BATCHNORM_F64};
    long double worst = 0;
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const size_t m = sizes[i];
            const struct strided plane = planar(dtypes[d], 1, CHANNELS, m);
            const struct strided rows = planar(dtypes[d], m, CHANNELS, 1);
            worst = fmaxl(worst, measure_clusters(&plane, m < 16384 ? m / 16 + 1 : 1024, m / 16384 + 1));
            worst = fmaxl(worst, measure_clusters(&rows, m, m / 128 + 1));
        }
    assert_true(worst > 0.51L);
}

static int report(void) {
    printf("%-5s %-22s", "", "");
    for (int j = 0; j < MEASURES; j++) printf(" %9s", measure_names[j]);
    for (int d = 0; d < 4; d++)
        for (int i = 0; i < KINDS; i++) {
            if (!representable(all_dtypes[d], &kinds[i])) continue;
            struct worst w = measure_sizes(all_dtypes[d], &kinds[i], true);
            printf("\n%-5s %-22s", dtype_name(all_dtypes[d]), kinds[i].name);
            for (int j = 0; j < MEASURES; j++) printf(" %9.3g", w.ratio[j]);
        }
    return printf("\n") < 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--report") == 0) return report();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_keeps_its_bounds),
        cmocka_unit_test(f64_keeps_its_bounds),
        cmocka_unit_test(bf16_keeps_its_bounds),
        cmocka_unit_test(f16_keeps_its_bounds),
        cmocka_unit_test(constant_channels_give_exactly_the_bias),
        cmocka_unit_test(two_values_become_minus_one_and_one),
        cmocka_unit_test(means_that_cancel_are_relative_to_the_spread),
    };
    return cmocka_run_group_tests_name("api.accuracy", tests, NULL, NULL);
}
