/* SPDX-License-Identifier: MIT */
/* Pivots that lie badly: outliers, offsets, data whose squares overflow. In F64, where the data have the type of the sums,
 * mean, var and y are compared with a plain computation in two passes, which stands for PyTorch's: no error may be larger than
 * twice that of the two passes and 4 units of 2^-53. `test_api_pivots --report [SEED]` prints the worst of it. Longer than
 * 300 lines, because all of it compares one channel with the same oracle. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/raw_calls.h"
#include "tests/support/support.h"
#include "tests/support/test.h"

enum { CASES = 1000, CHANNELS_MAX = 4, VALUES_MAX = 1 << 20 };

/* One configuration: x = offset + scale * N(0, 1), but for one value. */
struct setting {
    struct strided shape;
    size_t m;
    bool rows;
    double offset, scale, outlier;
    int place; /* of the outlier: nowhere, first, last, in the middle */
};

static struct setting setting_of(uint64_t *seed) {
    struct setting s = {.place = (int)(random_bits(seed) % 4)};
    const size_t channels = 1 + random_bits(seed) % CHANNELS_MAX;
    s.m = (size_t)exp2(1 + random_uniform(seed) * 19);
    s.rows = random_bits(seed) % 2;
    const size_t inner = random_bits(seed) % 3 ? 1 + (size_t)(random_uniform(seed) * (double)s.m) : s.m;
    s.m = s.m / inner * inner;
    s.shape = s.rows ? channels_last(BATCHNORM_F64, s.m / inner, channels, inner)
                     : planar(BATCHNORM_F64, s.m / inner, channels, inner);
    if (s.m < 2) return setting_of(seed);
    s.scale = pow(10, random_uniform(seed) * 4 - 2);
    if (random_bits(seed) % 4) s.offset = (random_bits(seed) % 2 ? 1 : -1) * pow(10, random_uniform(seed) * 10 - 2);
    if (s.place) s.outlier = (random_bits(seed) % 2 ? 1 : -1) * pow(10, random_uniform(seed) * 9);
    return s;
}

static size_t at(const struct setting *s, size_t i, size_t c) {
    const size_t inner = s->shape.inner, n = i / inner, k = i % inner, channels = s->shape.channels;
    return s->rows ? i * channels + c : (n * channels + c) * inner + k;
}

static void fill(const struct setting *s, double *x, uint64_t *seed) {
    for (size_t i = 0; i < s->m * s->shape.channels; i++) x[i] = s->offset + s->scale * random_normal(seed);
    for (size_t c = 0; c < s->shape.channels && s->place; c++)
        x[at(s, s->place == 1 ? 0 : s->place == 2 ? s->m - 1 : s->m / 2, c)] = s->outlier;
}

/* The measures of a channel: mean, var and y. */
enum { MEAN, VAR, Y, MEASURES };
struct channel {
    long double mean, var;
    double m, got_mean, got_var, error[MEASURES], plain[MEASURES], unit[MEASURES];
};

/* A sum with what it lost in roundings, in long double: a million values would show otherwise. */
struct total {
    long double sum, lost;
};

static void add(struct total *t, long double v) {
    const long double sum = t->sum + v;
    t->lost += fabsl(t->sum) >= fabsl(v) ? (t->sum - sum) + v : (v - sum) + t->sum;
    t->sum = sum;
}

static void exact_moments(const struct setting *s, const double *x, size_t c, struct channel *k) {
    struct total sum = {0, 0}, square = {0, 0};
    for (size_t i = 0; i < s->m; i++) add(&sum, x[at(s, i, c)]);
    k->mean = (sum.sum + sum.lost) / s->m;
    for (size_t i = 0; i < s->m; i++) {
        const long double d = x[at(s, i, c)] - k->mean;
        add(&square, d * d);
    }
    k->var = (square.sum + square.lost) / s->m;
}

static double plain_mean(const struct setting *s, const double *x, size_t c) {
    double sum = 0;
    for (size_t i = 0; i < s->m; i++) sum += x[at(s, i, c)];
    return sum / (double)s->m;
}

static double plain_var(const struct setting *s, const double *x, size_t c, double mean) {
    double sum = 0;
    for (size_t i = 0; i < s->m; i++) sum += (x[at(s, i, c)] - mean) * (x[at(s, i, c)] - mean);
    return sum / (double)s->m;
}

/* Compares a channel of y with the exact one, and the exact one with what the two passes give. */
static void compare(const struct setting *s, const double *x, const double *y, size_t c, struct channel *k) {
    const double eps = batchnorm_convention(BATCHNORM_PYTORCH).eps;
    const double mean = plain_mean(s, x, c), var = plain_var(s, x, c, mean), rstd = 1 / sqrt(var + eps);
    const long double exact = 1 / sqrtl(k->var + (long double)eps);
    long double largest = 0, worst = 0, plain = 0;
    for (size_t i = 0; i < s->m; i++) {
        const double v = x[at(s, i, c)];
        const long double want = (v - k->mean) * exact;
        largest = fmaxl(largest, fabsl(want));
        worst = fmaxl(worst, fabsl(y[at(s, i, c)] - want));
        plain = fmaxl(plain, fabsl((v - mean) * rstd - want));
    }
    const long double values[2][MEASURES] = {{fabsl(k->got_mean - k->mean), fabsl(k->got_var - k->var), worst},
                                             {fabsl(mean - k->mean), fabsl(var - k->var), plain}};
    const long double units[MEASURES] = {fabsl(k->mean) + sqrtl(k->var), k->var, largest + fabsl(k->mean) * exact};
    for (int i = 0; i < MEASURES; i++) {
        k->unit[i] = (double)(0x1p-53L * units[i]);
        k->error[i] = (double)values[0][i];
        k->plain[i] = (double)values[1][i];
    }
}

/* Runs a setting; returns the largest error of each measure, beyond twice that of the two passes, in units, and notes the
 * largest errors themselves. */
static void run(const struct setting *s, uint64_t *seed, double *x, double *y, double beyond[MEASURES], double most[MEASURES]) {
    batchnorm_stat stats[CHANNELS_MAX] = {{0, 0, 0}};
    fill(s, x, seed);
    assert_int_equal(raw_stats(&s->shape, x, stats, NULL), BATCHNORM_OK);
    assert_int_equal(raw_forward(&s->shape, x, NULL, NULL, y, NULL, NULL, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    for (size_t c = 0; c < s->shape.channels; c++) {
        struct channel k = {.got_mean = stats[c].mean, .got_var = stats[c].m2 / stats[c].count};
        exact_moments(s, x, c, &k);
        compare(s, x, y, c, &k);
        for (int i = 0; i < MEASURES; i++) {
            beyond[i] = fmax(beyond[i], (k.error[i] - 2 * k.plain[i]) / k.unit[i]);
            most[i] = fmax(most[i], k.error[i] / k.unit[i]);
        }
    }
}

static void describe(const struct setting *s, char *text, size_t size) {
    snprintf(text, size, "(%zu, %zu, %zu) %s offset %g scale %g outlier %g at %d", s->shape.outer, s->shape.channels,
             s->shape.inner, s->rows ? "rows" : "planes", s->offset, s->scale, s->outlier, s->place);
}

/* Goes through the settings; returns the worst of them, and with `report` prints what is beyond the bound. */
static double go_through(bool report, uint64_t seed, double most[MEASURES]) {
    double *x = malloc(sizeof *x * VALUES_MAX * CHANNELS_MAX), *y = malloc(sizeof *y * VALUES_MAX * CHANNELS_MAX), worst = 0;
    assert_true(x && y);
    for (int i = 0; i < CASES / BATCHNORM_TEST_EVERY; i++) {
        const struct setting s = setting_of(&seed);
        double beyond[MEASURES] = {0}, larger;
        char text[200];
        run(&s, &seed, x, y, beyond, most);
        larger = fmax(beyond[MEAN], fmax(beyond[VAR], beyond[Y]));
        worst = fmax(worst, larger);
        describe(&s, text, sizeof text);
        if (larger > 4) printf("%s: mean %.3g, var %.3g, y %.3g units\n", text, beyond[MEAN], beyond[VAR], beyond[Y]);
    }
    if (report)
        printf("worst beyond twice the two passes: %g; largest mean %g, var %g, y %g\n", worst, most[0], most[1], most[2]);
    free(x);
    free(y);
    return worst;
}

TEST(f64_is_no_worse_than_two_passes) {
    double most[MEASURES] = {0};
    assert_true(go_through(false, 5, most) <= 4);
}

/* Moments of one channel of values that `value` gives, in planes or as the first of some channels in rows. */
typedef double value_of(size_t i, size_t m, uint64_t *seed);

static struct channel moments_of(batchnorm_dtype dtype, size_t m, size_t channels, bool rows, value_of *value) {
    const struct strided shape = rows ? planar(dtype, m, channels, 1) : planar(dtype, 1, 1, m);
    char *x = calloc(m * (rows ? channels : 1), batchnorm_dtype_bytes(dtype));
    batchnorm_stat *stats = calloc(channels, sizeof *stats);
    struct channel k = {.m = (double)m};
    struct total sum = {0, 0}, square = {0, 0};
    uint64_t seed = 3;
    for (size_t i = 0; i < m; i++)
        for (size_t c = 0; c < (rows ? channels : 1); c++)
            element_set(dtype, x, (ptrdiff_t)(rows ? i * channels + c : i), c == 0 ? value(i, m, &seed) : (double)(i % 7));
    const size_t step = rows ? channels : 1;
    for (size_t i = 0; i < m; i++) add(&sum, element_get(dtype, x, (ptrdiff_t)(i * step)));
    k.mean = (sum.sum + sum.lost) / m;
    for (size_t i = 0; i < m; i++) {
        const long double d = element_get(dtype, x, (ptrdiff_t)(i * step)) - k.mean;
        add(&square, d * d);
    }
    k.var = (square.sum + square.lost) / m;
    assert_int_equal(raw_stats(&shape, x, stats, NULL), BATCHNORM_OK);
    k.got_mean = stats[0].mean;
    k.got_var = stats[0].m2 / stats[0].count;
    free(x);
    free(stats);
    return k;
}

static void is_within(double got, long double want, long double bound, const char *what) {
    if (!(fabsl(got - want) <= bound)) fail_msg("%s is %.17g, not %.17Lg, bound %Lg", what, got, want, bound);
}

static double normal(size_t i, size_t m, uint64_t *seed) { return (void)i, (void)m, random_normal(seed); }
static double outlier_first(size_t i, size_t m, uint64_t *seed) { return (void)m, (void)seed, i == 0 ? 1e9 : 1.3; }
static double large_first(size_t i, size_t m, uint64_t *seed) { return (void)m, i == 0 ? 1e7 : random_normal(seed); }

/* Every element from which a pivot can be taken is far off. */
static double far_pivots(size_t i, size_t m, uint64_t *seed) {
    bool is_pivot = i < 9;
    for (size_t k = 1; k < 18; k += 2) is_pivot = is_pivot || i == m * k / 18;
    return is_pivot ? 1e6 : random_normal(seed);
}

TEST(variances_without_offset_are_within_four_units_in_the_last_place) {
    static const size_t sizes[] = {2, 3, 10, 49, 1000, 16384, 16385, 100003, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t channels = 0; channels < 40; channels += 13) {
            const struct channel k = moments_of(BATCHNORM_F64, sizes[i], channels + 1, channels > 0, normal);
            is_within(k.got_var, k.var, 4 * ulp_of(BATCHNORM_F64, k.var), "var");
        }
}

TEST(one_outlier_does_not_spoil_the_digits) {
    for (size_t channels = 1; channels < 3; channels++) {
        const struct channel k = moments_of(BATCHNORM_F64, 1000000, channels, channels > 1, outlier_first);
        is_within(k.got_var, k.var, 4 * ulp_of(BATCHNORM_F64, k.var), "var");
        is_within(k.got_mean, k.mean, 8 * ulp_of(BATCHNORM_F64, k.mean), "mean");
    }
}

TEST(many_rows_of_floats_keep_the_bounds) {
    const struct channel k = moments_of(BATCHNORM_F32, 1 << 24, 2, true, large_first);
    is_within((float)k.got_var, k.var, 0.51L * ulp_of(BATCHNORM_F32, k.var), "var");
    is_within((float)k.got_mean, k.mean, 0.51L * ulp_of(BATCHNORM_F32, k.mean), "mean");
}

/* In pieces of every kind: planes, wide rows, rows of whole steps and with a partial one. */
TEST(far_pivots_are_moved) {
    static const size_t channels[] = {1, 3, 16, 33, 600};
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < 5; i++) {
            const size_t m = channels[i] < 600 ? 1900 : 109; /* one piece */
            if (all_dtypes[d] == BATCHNORM_F16) continue;    /* which has no 1e6 */
            const struct channel k = moments_of(all_dtypes[d], m, channels[i], channels[i] > 1, far_pivots);
            const long double unit = all_dtypes[d] == BATCHNORM_F64   ? 0x1p-50L
                                     : all_dtypes[d] == BATCHNORM_F32 ? 0x1p-46L
                                                                      : 0x1p-20L;
            is_within(k.got_var, k.var, unit * k.var, "var");
            is_within(k.got_mean, k.mean, unit * 1e6L, "mean");
        }
}

/* The example: N(0, 1), channels-last. */
TEST(y_of_a_small_f64_array_is_good) {
    enum { N = 5, C = 33, S = 40 };
    const struct setting s = {.shape = channels_last(BATCHNORM_F64, N, C, S), .m = N * S, .rows = true, .scale = 1};
    double *x = malloc(sizeof *x * N * C * S), *y = malloc(sizeof *y * N * C * S);
    uint64_t seed = 1;
    fill(&s, x, &seed);
    assert_int_equal(raw_forward(&s.shape, x, NULL, NULL, y, NULL, NULL, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    for (size_t c = 0; c < C; c++) {
        struct channel k = {.m = N * S};
        exact_moments(&s, x, c, &k);
        compare(&s, x, y, c, &k);
        assert_true(k.error[Y] < 1.5e-15);
    }
    free(x);
    free(y);
}

TEST(squares_that_overflow_give_the_bias) {
    static const double values[][4] = {{1e200, -1e200, 3e200, 0}, {1e308, 1e307, -1e308, -1e306}, {2e154, 1, 2, 3}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (int rows = 0; rows < 2; rows++) {
            const struct strided shape = rows ? planar(BATCHNORM_F64, 4, 2, 1) : planar(BATCHNORM_F64, 1, 2, 4);
            const double bias[2] = {0.75, -3}, weight[2] = {2, 1};
            double x[8], y[8], running_mean[2] = {0}, running_var[2] = {1, 1}, mean[2], rstd[2];
            for (size_t k = 0; k < 8; k++) x[k] = values[i][rows ? k / 2 : k % 4];
            assert_int_equal(raw_forward(&shape, x, weight, bias, y, running_mean, running_var, mean, rstd, NULL, NULL),
                             BATCHNORM_OK);
            for (size_t k = 0; k < 8; k++) assert_true(y[k] == bias[rows ? k % 2 : k / 4]);
            for (int c = 0; c < 2; c++) assert_true(isinf(running_var[c]) && isfinite(running_mean[c]) && rstd[c] == 0);
        }
}

/* y where the factor of x has few digits, or none, is the bias. */
TEST(a_vanishing_scale_gives_the_bias) {
    const struct strided shape = planar(BATCHNORM_F32, 1, 3, 4);
    const float x[12] = {1, 2, 3, 5, 3e38f, -3e38f, 1, 2, 1, 2, 3, 5}, weight[3] = {1e-40f, 0, 1e-38f},
                bias[3] = {0.5f, -7, 1e-9f};
    float y[12];
    assert_int_equal(raw_forward(&shape, x, weight, bias, y, NULL, NULL, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    for (int i = 0; i < 12; i++) assert_true(y[i] == bias[i / 4]);
    const float mean[3] = {0, -3e38f, 0}, var[3] = {1, 1, 1};
    assert_int_equal(raw_infer(&shape, x, weight, bias, mean, var, y, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    for (int i = 0; i < 12; i++) assert_true(y[i] == bias[i / 4]);
    const struct strided doubles = planar(BATCHNORM_F64, 1, 1, 2);
    const double far[2] = {1.7e308, 1}, none[1] = {0}, seven[1] = {7}, low[1] = {-1.7e308}, one[1] = {1};
    double z[2];
    assert_int_equal(raw_infer(&doubles, far, none, seven, low, one, z, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    assert_true(z[0] == 7 && z[1] == 7);
}

/* What docs/numerics.md says is not so: a difference beyond the largest float, and a factor of x in dx beyond it. */
TEST(limits_are_as_stated) {
    const struct strided shape = planar(BATCHNORM_F32, 1, 1, 2);
    const float x[2] = {3e38f, -3e38f}, mean[1] = {-3e38f}, var[1] = {3e38f};
    float y[2];
    assert_int_equal(raw_infer(&shape, x, NULL, NULL, mean, var, y, NULL, NULL, NULL, NULL), BATCHNORM_OK);
    assert_true(isinf(y[0]) && y[1] == 0);
    const float small[2] = {1e-22f, -1e-22f}, dy[2] = {1, 2};
    const double saved_mean[1] = {0}, saved_rstd[1] = {1e22};
    float dx[2];
    assert_int_equal(raw_backward(&shape, small, dy, NULL, saved_mean, saved_rstd, dx, NULL, NULL, 0, NULL), BATCHNORM_OK);
    assert_true(!isfinite(dx[0]) && !isfinite(dx[1]));
}

/* Products of a float that overflow or underflow, where dweight does neither. */
TEST(sums_of_short_elements_that_leave_float_are_right) {
    static const double sizes[][2] = {{1e20, 1e25}, {1e-25, 1e-15}, {1e30, 1e-5}, {1e-30, 1e3}};
    enum { M = 777, C = 5 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int rows = 0; rows < 2; rows++) {
            const struct strided shape = rows ? planar(BATCHNORM_BF16, M, C, 1) : planar(BATCHNORM_BF16, 1, C, M);
            uint16_t x[M * C], dy[M * C];
            double mean[C], rstd[C];
            float dweight[C];
            uint64_t seed = 9;
            for (ptrdiff_t k = 0; k < M * C; k++) {
                element_set(BATCHNORM_BF16, x, k, sizes[i][0] * random_normal(&seed));
                element_set(BATCHNORM_BF16, dy, k, sizes[i][1] * random_normal(&seed));
            }
            for (size_t c = 0; c < C; c++) mean[c] = sizes[i][0] / 3, rstd[c] = 1 / sizes[i][0];
            assert_int_equal(raw_backward(&shape, x, dy, NULL, mean, rstd, NULL, dweight, NULL, 0, NULL), BATCHNORM_OK);
            for (size_t c = 0; c < C; c++) {
                long double want = 0, size = 0;
                for (size_t k = 0; k < M; k++) {
                    const ptrdiff_t at = (ptrdiff_t)(rows ? k * C + c : c * M + k);
                    const long double d = element_get(BATCHNORM_BF16, x, at) - (long double)mean[c];
                    want += element_get(BATCHNORM_BF16, dy, at) * d * rstd[c];
                    size += fabsl(element_get(BATCHNORM_BF16, dy, at) * d * rstd[c]);
                }
                is_within(dweight[c], want, 0x1p-20L * size, "dweight");
            }
        }
}

int main(int argc, char **argv) {
    double most[MEASURES] = {0};
    if (argc > 1 && strcmp(argv[1], "--report") == 0)
        return go_through(true, argc > 2 ? strtoull(argv[2], NULL, 10) : 5, most) > 4;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f64_is_no_worse_than_two_passes),
        cmocka_unit_test(variances_without_offset_are_within_four_units_in_the_last_place),
        cmocka_unit_test(one_outlier_does_not_spoil_the_digits),
        cmocka_unit_test(many_rows_of_floats_keep_the_bounds),
        cmocka_unit_test(far_pivots_are_moved),
        cmocka_unit_test(y_of_a_small_f64_array_is_good),
        cmocka_unit_test(squares_that_overflow_give_the_bias),
        cmocka_unit_test(a_vanishing_scale_gives_the_bias),
        cmocka_unit_test(limits_are_as_stated),
        cmocka_unit_test(sums_of_short_elements_that_leave_float_are_right),
    };
    return cmocka_run_group_tests_name("api.pivots", tests, NULL, NULL);
}
