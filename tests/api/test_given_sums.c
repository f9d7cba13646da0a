/* SPDX-License-Identifier: MIT */
/* Backward with sums that are given, and what must not change them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/raw_calls.h"
#include "tests/support/support.h"
#include "tests/support/test.h"

enum { N = 92, C = 37, S = 4, ALL = N * C * S };

static batchnorm_activation every(int kind) {
    return (batchnorm_activation){(batchnorm_activation_kind)kind, kind == BATCHNORM_LEAKY_RELU ? .1 : 6};
}

/* Without dx and dz no element is read, and there is no place for coefficients. */
TEST(given_sums_alone_make_dbias_and_dweight) {
    const batchnorm_shape shape = {2, 1, 1, BATCHNORM_F32};
    const batchnorm_strides strides = batchnorm_planar(shape);
    const float x[2] = {1, 2}, dy[2] = {3, 4};
    const double mean = 1.5, rstd = 2;
    const batchnorm_sum sums = {2, 7, .5};
    for (int kind = 0; kind < 7; kind++)
        for (int ways = 0; ways < 12; ways++) {
            float dweight = 0, dbias = 0;
            const batchnorm_backward_call call = {.size = sizeof call,
                                                  .shape = shape,
                                                  .x = {x, strides},
                                                  .y = {ways & 1 ? x : NULL, strides},
                                                  .dy = {dy, strides},
                                                  .save_mean = &mean,
                                                  .save_rstd = &rstd,
                                                  .dweight = ways % 3 != 1 ? &dweight : NULL,
                                                  .dbias = ways % 3 != 2 ? &dbias : NULL,
                                                  .activation = every(kind),
                                                  .flags = ways >= 6 ? BATCHNORM_FROZEN : 0,
                                                  .sums = &sums};
            double memory[2000];
            const size_t bytes = batchnorm_backward_workspace_bytes(&call);
            assert_in_range(bytes, 0, sizeof memory);
            const batchnorm_exec exec = {
                .size = sizeof exec, .threads = 1, .workspace = memory, .workspace_bytes = bytes ? bytes : 1};
            assert_int_equal(batchnorm_backward(&call, &exec), BATCHNORM_OK);
            assert_true(dbias == (call.dbias ? 7 : 0) && dweight == (call.dweight ? 1 : 0));
        }
}

static char x[ALL * 8], dy[ALL * 8], dx[ALL * 8], dz[ALL * 8];

static void fill(batchnorm_dtype dtype) {
    uint64_t seed = 9;
    for (ptrdiff_t i = 0; i < ALL; i++) {
        element_set(dtype, x, i, random_normal(&seed));
        element_set(dtype, dy, i, random_normal(&seed));
    }
}

/* Rows that a mask leaves are put side by side, as many at a time whatever else is read and written. */
TEST(what_is_wanted_changes_no_sum_of_a_mask) {
    size_t lengths[N];
    for (size_t n = 0; n < N; n++) lengths[n] = n % (S + 1);
    for (batchnorm_dtype dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++)
        for (int last = 0; last < 2; last++) {
            const struct strided shape = last ? channels_last(dtype, N, C, S) : planar(dtype, N, C, S);
            double mean[C], rstd[C], gradient[3][C];
            batchnorm_sum sums[C] = {{0, 0, 0}};
            for (int c = 0; c < C; c++) mean[c] = 0, rstd[c] = 1;
            fill(dtype);
            const batchnorm_mask mask = {.inner = S, .lengths = lengths, .flags = BATCHNORM_MASK_OUTPUTS};
            for (int wants = 0; wants < 3; wants++) {
                batchnorm_backward_call call =
                    backward_call(&shape, x, NULL, NULL, dy, NULL, NULL, mean, rstd, wants > 1 ? NULL : dx,
                                  wants > 0 ? dz : NULL, gradient[wants], NULL, every(BATCHNORM_IDENTITY), 0);
                call.mask = mask;
                assert_int_equal(batchnorm_backward(&call, NULL), BATCHNORM_OK);
            }
            const batchnorm_sums_call call = {.size = sizeof call,
                                              .shape = {N, C, S, dtype},
                                              .x = {x, shape.x},
                                              .dy = {dy, shape.dy},
                                              .save_mean = mean,
                                              .save_rstd = rstd,
                                              .sums = sums,
                                              .mask = mask};
            assert_int_equal(batchnorm_sums_accumulate(&call, NULL), BATCHNORM_OK);
            for (int c = 0; c < C; c++) {
                const batchnorm_dtype parameter = dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32;
                const double alone = element_get(parameter, gradient[0], c);
                assert_true(alone == element_get(parameter, gradient[1], c) && alone == element_get(parameter, gradient[2], c));
                assert_true(alone == (dtype == BATCHNORM_F64 ? sums[c].dy_d : (double)(float)sums[c].dy_d));
            }
        }
}

/* From y of a channel that is all bias, with a weight below 0. */
TEST(a_sum_of_zeros_is_no_minus_zero) {
    const struct strided shape = planar(BATCHNORM_F32, 2, 1, 3);
    const float weight = -2, bias = 1, all_bias[6] = {1, 1, 1, 1, 1, 1}, g[6] = {1, 2, 3, 4, 5, 6};
    const double mean = 0, rstd = 1;
    float dweight[2] = {5, 5}, out[6];
    batchnorm_sum sum = {0, 0, 0};
    batchnorm_backward_call call = backward_call(&shape, NULL, NULL, all_bias, g, &weight, &bias, &mean, &rstd, out, NULL,
                                                 dweight, NULL, every(BATCHNORM_IDENTITY), 0);
    assert_int_equal(batchnorm_backward(&call, NULL), BATCHNORM_OK);
    const batchnorm_sums_call parts = {.size = sizeof parts,
                                       .shape = {2, 1, 3, BATCHNORM_F32},
                                       .y = {all_bias, shape.y},
                                       .dy = {g, shape.dy},
                                       .weight = &weight,
                                       .bias = &bias,
                                       .save_rstd = &rstd,
                                       .sums = &sum};
    assert_int_equal(batchnorm_sums_accumulate(&parts, NULL), BATCHNORM_OK);
    call.sums = &sum;
    call.dweight = dweight + 1;
    assert_int_equal(batchnorm_backward(&call, NULL), BATCHNORM_OK);
    assert_memory_equal(&dweight[0], &dweight[1], sizeof *dweight);
    assert_true(dweight[0] == 0 && !signbit(dweight[0]));
}

/* What is wrong with a raw call. */
static void expect(const batchnorm_backward_call *call, const char *sentence) {
    char message[300] = "";
    const batchnorm_exec exec = {.size = sizeof exec, .message = message, .message_bytes = sizeof message};
    assert_int_equal(batchnorm_backward(call, &exec), BATCHNORM_BAD_OPTION);
    assert_string_equal(message, sentence);
}

TEST(raw_calls_say_what_is_wrong) {
    const struct strided shape = planar(BATCHNORM_F32, 2, 1, 3);
    const double mean = 0, rstd = 1;
    const uint8_t ones[6] = {1, 1, 1, 1, 1, 1};
    const size_t lengths[2] = {3, 4};
    float in[6] = {1, 2, 3, 4, 5, 6}, out[6];
    const batchnorm_backward_call fine = backward_call(&shape, in, NULL, NULL, in, NULL, NULL, &mean, &rstd, out, NULL, NULL,
                                                       NULL, every(BATCHNORM_IDENTITY), 0);
    batchnorm_backward_call call = fine;
    call.grain = 4;
    call.first_sample = 3;
    expect(&call, "the first sample has the number 3, which is no multiple of the grain, 4");
    call.grain = 1;
    call.first_sample = SIZE_MAX;
    char words[100];
    snprintf(words, sizeof words, "the first sample has the number %zu, and that of the last does not fit", SIZE_MAX);
    expect(&call, words);
    call = fine;
    call.mask.lengths = lengths;
    expect(&call, "a length of the mask is above the 3 positions of a sample");
    call.mask.data = ones;
    expect(&call, "a mask has data or lengths, not both");
    call.mask.flags = 6;
    expect(&call, "the mask's flags are 0x6; known is 0x1");
    call = fine;
    call.flags = 64;
    expect(&call, "the flags 0x40 are unknown; known are 0x3");
    call = fine;
    call.activation.kind = (batchnorm_activation_kind)99;
    expect(&call, "the activation 99 is none, or its parameter, 6, is outside its range");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_sums_alone_make_dbias_and_dweight),
        cmocka_unit_test(what_is_wanted_changes_no_sum_of_a_mask),
        cmocka_unit_test(a_sum_of_zeros_is_no_minus_zero),
        cmocka_unit_test(raw_calls_say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
