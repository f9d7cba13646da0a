/* SPDX-License-Identifier: MIT */
/* The command's conversions between element types, against the tests' own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"
#include "tests/support/test.h"
#include "tools/shared/convert.h"
#include "tools/shared/numbers.h"

TEST(every_half_is_exact_in_double) {
    static const batchnorm_dtype halves[] = {BATCHNORM_BF16, BATCHNORM_F16};
    for (int h = 0; h < 2; h++) {
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            uint16_t from = (uint16_t)bits, back;
            double value, want = element_get(halves[h], &from, 0);
            convert_elements(halves[h], &from, BATCHNORM_F64, &value, 1);
            convert_elements(BATCHNORM_F64, &value, halves[h], &back, 1);
            if (isnan(want)) {
                assert_true(isnan(value) && isnan(element_get(halves[h], &back, 0)));
            } else {
                assert_true(value == want && signbit(value) == signbit(want));
                assert_int_equal(back, from);
            }
        }
    }
}

/* Numbers near the boundaries of rounding: a number of the type, the middle to the next, and both sides of it. */
TEST(doubles_are_rounded_once) {
    uint64_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        batchnorm_dtype to = i % 3 == 0 ? BATCHNORM_BF16 : i % 3 == 1 ? BATCHNORM_F16 : BATCHNORM_F32;
        int range = to == BATCHNORM_F16 ? 30 : 150;
        double value = ldexp(random_uniform(&seed) + 0.5, (int)(random_uniform(&seed) * 2 * range) - range);
        if (i & 1) value = element_round(to, value) + ldexp((double)ulp_of(to, element_round(to, value)), -1);
        if (i & 2) value = nextafter(value, i & 4 ? INFINITY : 0);
        if (i & 8) value = -value;
        unsigned char got[8], want[8];
        convert_elements(BATCHNORM_F64, &value, to, got, 1);
        element_set(to, want, 0, value);
        if (memcmp(got, want, batchnorm_dtype_bytes(to)) != 0) fail_msg("%a to %s", value, dtype_name(to));
    }
}

/* Against the compiler's conversions; and where an integer is just above the middle of two numbers, which a double hides. */
TEST(integers_are_rounded_once) {
    uint64_t seed = 2;
    for (int i = 0; i < 100000; i++) {
        const int64_t value = (int64_t)random_bits(&seed) >> (i % 64);
        float f32;
        double f64;
        convert_elements(BATCHNORM_I64, &value, BATCHNORM_F32, &f32, 1);
        convert_elements(BATCHNORM_I64, &value, BATCHNORM_F64, &f64, 1);
        assert_true(f32 == (float)value && f64 == (double)value);
        assert_true((float)integer_to_double((uint64_t)value, false, BATCHNORM_F32) == (float)(uint64_t)value);
        assert_true(integer_to_double((uint64_t)value, false, BATCHNORM_F64) == (double)(uint64_t)value);
    }
    const int64_t above = ((int64_t)1 << 62) + ((int64_t)1 << 54) + 1, middle = above - 1, below = -above;
    uint16_t bits[3];
    convert_elements(BATCHNORM_I64, &above, BATCHNORM_BF16, &bits[0], 1);
    convert_elements(BATCHNORM_I64, &middle, BATCHNORM_BF16, &bits[1], 1);
    convert_elements(BATCHNORM_I64, &below, BATCHNORM_BF16, &bits[2], 1);
    assert_true(bits[0] == 0x5e81 && bits[1] == 0x5e80 && bits[2] == 0xde81);
}

TEST(extremes_convert) {
    static const double values[] = {0.0,    -0.0,   INFINITY, -INFINITY, 65504,    65519.999, 65520,    1e300,
                                    -1e300, 5e-324, 0x1p-25,  0x1.8p-25, 0x1p-134, 3.4e38,    3.3953e38};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (batchnorm_dtype to = BATCHNORM_F32; to <= BATCHNORM_F16; to++) {
            unsigned char got[8], want[8];
            convert_elements(BATCHNORM_F64, &values[i], to, got, 1);
            element_set(to, want, 0, values[i]);
            if (memcmp(got, want, batchnorm_dtype_bytes(to)) != 0) fail_msg("%a to %s", values[i], dtype_name(to));
        }
    }
    double nan = NAN;
    for (batchnorm_dtype to = BATCHNORM_F32; to <= BATCHNORM_F16; to++) {
        unsigned char got[8];
        convert_elements(BATCHNORM_F64, &nan, to, got, 1);
        assert_true(isnan(element_get(to, got, 0)));
    }
}

/* More elements than are converted at a time. */
TEST(long_arrays_convert) {
    float from[1000];
    double to[1000];
    for (int i = 0; i < 1000; i++) from[i] = (float)i / 3;
    convert_elements(BATCHNORM_F32, from, BATCHNORM_F64, to, 1000);
    for (int i = 0; i < 1000; i++) assert_true(to[i] == from[i]);
}

TEST(numbers_are_whole_texts) {
    static const char *const wrong[] = {"",    " 1",  "1 ",    "abc",    "1e",  "e5",  "0x10",
                                        "inf", "nan", "1e999", "1e-999", "1,5", "--1", "."};
    double real = 7;
    int64_t integer = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(parse_real(wrong[i], &real));
        assert_false(parse_integer(wrong[i], -100, 100, &integer));
    }
    assert_false(parse_integer("1e1", -100, 100, &integer));
    assert_false(parse_integer("101", -100, 100, &integer));
    assert_false(parse_integer("99999999999999999999", -100, 100, &integer));
    assert_true(real == 7 && integer == 7);
    assert_true(parse_real("-1.5e-3", &real) && real == -1.5e-3);
    assert_true(parse_real("+.5", &real) && real == 0.5);
    assert_true(parse_integer("-100", -100, 100, &integer) && integer == -100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_exact_in_double), cmocka_unit_test(doubles_are_rounded_once),
        cmocka_unit_test(integers_are_rounded_once),     cmocka_unit_test(extremes_convert),
        cmocka_unit_test(long_arrays_convert),           cmocka_unit_test(numbers_are_whole_texts),
    };
    return cmocka_run_group_tests_name("tools.convert", tests, NULL, NULL);
}
