/* SPDX-License-Identifier: MIT */
/* Every BF16 and F16 value through a kernel: reading is exact, and writing rounds the float result to the nearest, ties to
 * even, into subnormals and over the top. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/raw_calls.h"
#include "tests/support/support.h"
#include "tests/support/test.h"

enum { VALUES = 65536 };

/* y = x * weight, computed in float; in both layouts and with runs that end within a vector. */
static void multiply(batchnorm_dtype dtype, const uint16_t *x, float weight, size_t channels, uint16_t *y) {
    float *weights = calloc(channels, sizeof *weights);
    double *zero = calloc(channels, sizeof *zero), *one = calloc(channels, sizeof *one);
    for (size_t c = 0; c < channels; c++) weights[c] = weight;
    for (size_t c = 0; c < channels; c++) one[c] = 1;
    struct strided shape = planar(dtype, VALUES / channels, channels, 1);
    if (channels == 1) shape = planar(dtype, 1, 1, VALUES);
    assert_int_equal(raw_normalize(&shape, x, weights, NULL, zero, one, y, NULL), BATCHNORM_OK);
    free(weights);
    free(zero);
    free(one);
}

static void check(batchnorm_dtype dtype, float weight, size_t channels) {
    static uint16_t x[VALUES], y[VALUES];
    for (size_t i = 0; i < VALUES; i++) x[i] = (uint16_t)i;
    memset(y, 0, sizeof y);
    multiply(dtype, x, weight, channels, y);
    for (size_t i = 0; i < VALUES / channels * channels; i++) {
        float product = (float)element_get(dtype, x, (ptrdiff_t)i) * weight;
        double want = element_round(dtype, product), got = element_get(dtype, y, (ptrdiff_t)i);
        bool same = isnan(want) ? isnan(got) : got == want;
        if (!same) fail_msg("%s 0x%04zx * %g is %g, expected %g", dtype_name(dtype), i, (double)weight, got, want);
    }
}

/* Identity, ties, numbers between, results in the subnormals, results beyond the largest, a NaN with all its bits set. */
static void run(batchnorm_dtype dtype) {
    static const float weights[] = {1,       -1,      1.5f,         1.00390625f, 1.0009765625f, 0.333333343f, 0x1.8p-1f,
                                    0x1p-3f, 0x1p-9f, 0x1.004p-12f, 0x1.7p-20f,  3000,          0x1.fffp5f,   0x1p-120f};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        check(dtype, weights[i], 1);
        check(dtype, weights[i], 16);
        check(dtype, weights[i], 37);
    }
    float nan; /* rounding it as a number would give -0 */
    memcpy(&nan, &(uint32_t){0x7fffffff}, sizeof nan);
    check(dtype, nan, 1);
    check(dtype, nan, 37);
}

TEST(bf16_reads_and_rounds_every_value) { run(BATCHNORM_BF16); }
TEST(f16_reads_and_rounds_every_value) { run(BATCHNORM_F16); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_reads_and_rounds_every_value),
        cmocka_unit_test(f16_reads_and_rounds_every_value),
    };
    return cmocka_run_group_tests_name("kernel.halves", tests, NULL, NULL);
}
