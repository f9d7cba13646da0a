/* SPDX-License-Identifier: MIT */
/* What weights can be, against the bits of their types; and what rounding to them gives at the edges. */
#include "model/round.h"
#include "tests/support/test.h"

/* Bits of the fraction, and the largest exponent. */
static const struct {
    batchnorm_dtype dtype;
    int32_t type;
    int fraction, most;
} types[] = {{BATCHNORM_F32, BN_ONNX_FLOAT, 23, 127},
             {BATCHNORM_F64, BN_ONNX_DOUBLE, 52, 1023},
             {BATCHNORM_BF16, BN_ONNX_BF16, 7, 127},
             {BATCHNORM_F16, BN_ONNX_F16, 10, 15}};
enum { TYPES = sizeof types / sizeof types[0] };

TEST(what_rounds_to_an_infinity_does_not_fit) {
    for (int i = 0; i < TYPES; i++) {
        const double half = ldexp(1, types[i].most - types[i].fraction - 1); /* of the last place of the largest number */
        const double largest = ldexp(2 - ldexp(1, -types[i].fraction), types[i].most), edge = largest + half;
        for (int sign = -1; sign <= 1; sign += 2) {
            assert_true(bn_is_finite_as(types[i].dtype, sign * largest));
            assert_true(bn_fits(types[i].type, sign * nextafter(edge, 0)));
            assert_false(bn_is_finite_as(types[i].dtype, sign * edge));
            assert_true(bn_rounded(types[i].type, sign * nextafter(edge, 0)) == sign * largest);
            assert_true(isinf(bn_rounded(types[i].type, sign * edge)));
        }
        assert_false(bn_fits(types[i].type, (double)NAN));
        assert_false(bn_fits(types[i].type, HUGE_VAL));
    }
}

TEST(what_would_be_subnormal_becomes_0_but_of_f16) {
    for (int i = 0; i < TYPES; i++) {
        const double smallest = ldexp(1, 1 - types[i].most), below = nextafter(smallest, 0);
        const bool is_flushed = types[i].dtype != BATCHNORM_F16;
        assert_false(bn_is_flushed_to(types[i].dtype, smallest));
        assert_false(bn_is_flushed_to(types[i].dtype, 0));
        assert_int_equal(bn_is_flushed_to(types[i].dtype, -below), is_flushed);
        assert_int_equal(bn_is_flushed(types[i].type, below), is_flushed);
        assert_true((bn_rounded(types[i].type, below) == 0) == is_flushed);
    }
}

TEST(digits_are_lost_beyond_one_part_in_512) {
    assert_false(bn_loses_digits(512.0 * 512, 1));
    assert_true(bn_loses_digits(512.0 * 512, 1.001));
    assert_false(bn_loses_digits(0, 0));
    assert_true(bn_loses_digits((double)NAN, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_rounds_to_an_infinity_does_not_fit),
                                       cmocka_unit_test(what_would_be_subnormal_becomes_0_but_of_f16),
                                       cmocka_unit_test(digits_are_lost_beyond_one_part_in_512)};
    return cmocka_run_group_tests_name("model.range", tests, NULL, NULL);
}
