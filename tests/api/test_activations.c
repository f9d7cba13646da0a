/* SPDX-License-Identifier: MIT */
/* Every activation, alone: a normalization with mean 0 and rstd 1 gives act(x), and its frozen backward dy * act'(x). The
 * errors against long double, in units of the last place; what PyTorch gives; how the ends go. With --report the largest errors
 * are printed. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/activations.h"
#include "tests/support/fused.h"
#include "tests/support/test.h"

enum { COUNT = 1 << 16 };

static bool report;
static double x[COUNT], y[COUNT], slope[COUNT];
static uint64_t storage[4][COUNT];

/* y and slope of x, `count` numbers of a type. */
static void apply(batchnorm_dtype dtype, batchnorm_activation activation, size_t count) {
    const batchnorm_shape shape = {1, 1, count, dtype};
    const batchnorm_strides strides = batchnorm_planar(shape);
    const double zero = 0, one = 1;
    for (size_t i = 0; i < count; i++) element_set(dtype, storage[0], (ptrdiff_t)i, x[i]);
    for (size_t i = 0; i < count; i++) element_set(dtype, storage[2], (ptrdiff_t)i, 1);
    const batchnorm_normalize_call forward = {.size = sizeof forward,
                                              .shape = shape,
                                              .x = {storage[0], strides},
                                              .y = {storage[1], strides},
                                              .mean = &zero,
                                              .rstd = &one,
                                              .activation = activation};
    assert_int_equal(batchnorm_normalize(&forward, NULL), BATCHNORM_OK);
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = {storage[0], strides},
                                              .dy = {storage[2], strides},
                                              .dz = {storage[3], strides},
                                              .save_mean = &zero,
                                              .save_rstd = &one,
                                              .activation = activation,
                                              .flags = BATCHNORM_FROZEN};
    assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
    for (size_t i = 0; i < count; i++) {
        x[i] = element_get(dtype, storage[0], (ptrdiff_t)i);
        y[i] = element_get(dtype, storage[1], (ptrdiff_t)i);
        slope[i] = element_get(dtype, storage[3], (ptrdiff_t)i);
    }
}

/* Every 16-bit number; of the others numbers of every size, and many of the sizes at which something happens. */
static size_t fill(batchnorm_dtype dtype, int round) {
    static uint64_t state = 1;
    const int low = dtype == BATCHNORM_F32 ? -149 : -1074, high = dtype == BATCHNORM_F32 ? 128 : 1024;
    for (int i = 0; i < COUNT; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const double fraction = 0.5 + ldexp((double)(state >> 12), -53), sign = i & 1 ? -1 : 1;
        const int exponent = round % 2 ? i / 2 % 14 - 3 : low + i / 2 % (high - low + 1);
        x[i] = sign * ldexp(fraction, exponent);
        if (dtype >= BATCHNORM_BF16) {
            const uint16_t bits = (uint16_t)i;
            x[i] = element_get(dtype, &bits, 0);
        }
    }
    return COUNT;
}

/* Beside 2 ulp: a slope is a sum of terms of up to 1, and so good to some units of 1. */
static void check_errors(batchnorm_dtype dtype, batchnorm_activation a, int rounds) {
    const double unit = ulp_of(dtype, 1);
    double worst = 0, at = 0, worst_slope = 0, slope_at = 0;
    for (int round = 0; round < rounds; round++) {
        const size_t count = fill(dtype, round);
        apply(dtype, a, count);
        for (size_t i = 0; i < count; i++) {
            const long double want = exact_value(a, x[i]), up = exact_slope(a, x[i]);
            if (!isfinite(x[i])) continue;
            const double off = (double)(fabsl(want - y[i]) / ulp_of(dtype, want)),
                         off_slope = (double)fabsl(up - slope[i]) / unit;
            if (off > worst) worst = off, at = x[i];
            if (off_slope > worst_slope) worst_slope = off_slope, slope_at = x[i];
        }
    }
    if (report)
        printf("activation %d (%g) of %s: %.4f ulp at %.17g, derivative %.4f ulp of 1 at %.17g\n", (int)a.kind, a.parameter,
               dtype_name(dtype), worst, at, worst_slope, slope_at);
    if (!(worst <= 2)) fail_msg("activation %d of %s: %g ulp at %.17g", (int)a.kind, dtype_name(dtype), worst, at);
    if (!(worst_slope <= 2))
        fail_msg("derivative of activation %d of %s: %g ulp at %.17g", (int)a.kind, dtype_name(dtype), worst_slope, slope_at);
}

TEST(values_are_within_two_units) {
    for (int k = 0; k < fused_activation_count; k++)
        for (int d = 0; d < 4; d++) check_errors(all_dtypes[d], fused_activations[k], d < 2 ? (report ? 100 : 8) : 1);
}

/* Halves: a number between two results is rounded to the nearer one, up to what rounding to float first may change. */
TEST(halves_are_rounded_to_the_nearest) {
    for (int k = 0; k < fused_activation_count; k++)
        for (int d = 2; d < 4; d++) {
            apply(all_dtypes[d], fused_activations[k], fill(all_dtypes[d], 0));
            for (size_t i = 0; i < COUNT; i++) {
                const long double want = exact_value(fused_activations[k], x[i]);
                if (isfinite(x[i]) && isfinite(y[i]) && fabsl(want - y[i]) > ulp_of(all_dtypes[d], want) * (0.5L + 0x1p-11L))
                    fail_msg("activation %d of %s: %g becomes %g", (int)fused_activations[k].kind, dtype_name(all_dtypes[d]),
                             x[i], y[i]);
            }
        }
}

static batchnorm_activation activation_of(const char *word) {
#define WORD(kind, word, parameter, by_y) word,
    static const char *const words[] = {BATCHNORM_ACTIVATION_LIST(WORD)};
    for (int k = 0; k < fused_activation_count; k++)
        if (strcmp(words[fused_activations[k].kind], word) == 0) return fused_activations[k];
    fail_msg("activation '%s'", word);
    return fused_activations[0];
}

/* PyTorch may give 0 in place of a subnormal number, and loses what 1 - sigmoid loses. */
TEST(values_are_those_of_pytorch) {
    FILE *file = fopen("golden/activations.txt", "r");
    char line[256], word[32];
    bool seen[64] = {false};
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        double v, want, up;
        if (line[0] == '#') continue;
        assert_int_equal(sscanf(line, "%31s %la %la %la", word, &v, &want, &up), 4);
        const batchnorm_activation a = activation_of(word);
        x[0] = v;
        apply(BATCHNORM_F64, a, 1);
        seen[a.kind] = true;
        if (!(fabs(y[0] - want) <= 8 * DBL_EPSILON * fabs(want) + DBL_MIN &&
              fabs(slope[0] - up) <= (8 + fmin(fabs(v), 40)) * DBL_EPSILON))
            fail_msg("%s of %.17g is %.17g and not %.17g, with a slope of %.17g and not %.17g", word, v, y[0], want, slope[0],
                     up);
    }
    fclose(file);
    for (int k = 0; k < fused_activation_count; k++) assert_true(seen[fused_activations[k].kind]);
}

/* What is never less for a larger v, and in [0, 1], is so after rounding to float. Far out nothing is lost on the way: the
 * smallest floats come out, and then zeros. */
TEST(tails_go_on_to_the_last_number) {
    for (int k = 0; k < fused_activation_count; k++) {
        const batchnorm_activation a = fused_activations[k];
        for (int i = 0; i < COUNT; i++) x[i] = -120 + i * (60.0 / COUNT);
        apply(BATCHNORM_F32, a, COUNT);
        for (int i = 0; i < COUNT; i++)
            assert_true(fabsf((float)(y[i] - (double)exact_value(a, x[i]))) <= ulp_of(BATCHNORM_F32, y[i]));
        for (int i = 0; i < COUNT; i++) x[i] = -765 + i * (70.0 / COUNT);
        apply(BATCHNORM_F64, a, COUNT);
        for (int i = 0; i < COUNT; i++) assert_true(fabsl(y[i] - exact_value(a, x[i])) <= 2 * ulp_of(BATCHNORM_F64, y[i]));
        const double ends[] = {-DBL_MAX, -(double)INFINITY, DBL_MAX, (double)INFINITY, (double)NAN};
        memcpy(x, ends, sizeof ends);
        apply(BATCHNORM_F64, a, 5);
        for (int i = 0; i < 4; i++)
            if (isfinite(ends[i]) || !fused_told_by_y(a)) /* 0 times infinity is NaN, and infinity no less than a ceiling */
                if (y[i] != (double)exact_value(a, ends[i]) || slope[i] != (double)exact_slope(a, ends[i]))
                    fail_msg("activation %d (%g) of %g is %g with a slope of %g", (int)a.kind, a.parameter, ends[i], y[i],
                             slope[i]);
        assert_true(isnan(y[4]));
    }
}

int main(int argc, char **argv) {
    report = argc > 1 && strcmp(argv[1], "--report") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_within_two_units),
        cmocka_unit_test(halves_are_rounded_to_the_nearest),
        cmocka_unit_test(values_are_those_of_pytorch),
        cmocka_unit_test(tails_go_on_to_the_last_number),
    };
    return cmocka_run_group_tests_name("api.activations", tests, NULL, NULL);
}
