/* SPDX-License-Identifier: MIT */
/* Pivots that lie badly: outliers, offsets, data whose squares overflow. In F64, where the data have the type of the sums,
 * mean, var and y are compared with a plain computation in two passes, which stands for PyTorch's: no error may be larger than
 * twice that of the two passes and 4 units of 2^-53. `test_api_pivots --report` prints the worst of it, and how often sums are
 * made again. */
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

static void exact_moments(const struct setting *s, const double *x, size_t c, struct channel *k) {
    long double sum = 0, square = 0, shift = x[at(s, s->m / 3, c)];
    for (size_t i = 0; i < s->m; i++) sum += x[at(s, i, c)] - shift;
    k->mean = shift + sum / s->m;
    for (size_t i = 0; i < s->m; i++) {
        const long double d = x[at(s, i, c)] - k->mean;
        square += d * d;
    }
    k->var = square / s->m;
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
    for (int i = 0; i < CASES; i++) {
        const struct setting s = setting_of(&seed);
        double beyond[MEASURES] = {0}, larger;
        char text[200];
        run(&s, &seed, x, y, beyond, most);
        larger = fmax(beyond[MEAN], fmax(beyond[VAR], beyond[Y]));
        worst = fmax(worst, larger);
        describe(&s, text, sizeof text);
        if (larger > 4) printf("%s: mean %.3g, var %.3g, y %.3g units\n", text, beyond[MEAN], beyond[VAR], beyond[Y]);
    }
    if (report) printf("worst beyond twice the two passes: %g; largest mean %g, var %g, y %g\n", worst, most[0], most[1], most[2]);
    free(x);
    free(y);
    return worst;
}

TEST(f64_is_no_worse_than_two_passes) {
    double most[MEASURES] = {0};
    assert_true(go_through(false, 5, most) <= 4);
}

int main(int argc, char **argv) {
    double most[MEASURES] = {0};
    if (argc > 1 && strcmp(argv[1], "--report") == 0)
        return go_through(true, argc > 2 ? strtoull(argv[2], NULL, 10) : 5, most) > 4;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f64_is_no_worse_than_two_passes),
    };
    return cmocka_run_group_tests_name("api.pivots", tests, NULL, NULL);
}
