/* SPDX-License-Identifier: MIT */
/* How much stack calls take, as the headers say it: every verb on every layout and type. */
#include "tests/support/problem.h"
#include "tests/support/stack.h"
#include "tests/support/test.h"

enum { PROMISED = 96 << 10 };

struct work {
    struct problem *problem;
    enum verb verb;
    const unsigned char *mask; /* of every sample; NULL: none */
    unsigned flags;
    batchnorm_status status;
};

static void run(void *arg) {
    struct work *w = arg;
    const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1};
    w->status = problem_run(w->problem, w->verb, &exec);
}

static void run_masked(void *arg) {
    struct work *w = arg;
    const struct problem_array *a = w->problem->array;
    const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1};
    const batchnorm_mask mask = {.data = w->mask, .inner = 1, .flags = w->flags};
    batchnorm_forward_call forward = forward_call(&w->problem->shape, a[X].data, NULL, NULL, NULL, a[Y].data, NULL, NULL,
                                                  a[SAVE_MEAN].data, a[SAVE_RSTD].data, batchnorm_relu(), NULL);
    batchnorm_backward_call backward =
        backward_call(&w->problem->shape, a[X].data, NULL, NULL, a[DY].data, NULL, NULL, a[SAVE_MEAN].data, a[SAVE_RSTD].data,
                      a[DX].data, NULL, a[DWEIGHT].data, NULL, batchnorm_relu(), 0);
    forward.mask = backward.mask = mask;
    w->status = w->verb == FORWARD ? batchnorm_forward(&forward, &exec) : batchnorm_backward(&backward, &exec);
}

/* Masks of long runs and of short ones, in which tiles lie on the stack. */
TEST(masks_take_no_more) {
    unsigned char mask[2][300];
    size_t most = 0;
    for (int i = 0; i < 300; i++) mask[0][i] = i < 200, mask[1][i] = i % 5 < 3;
    for (batchnorm_dtype dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++)
        for (enum layout layout = PLANAR; layout < BROADCAST_N; layout++)
            for (int way = 0; way < 8; way++) {
                const struct strided shape = layout_shape(layout, dtype, 3, way & 1 ? 3 : 70, 300);
                struct work w = {
                    .problem = problem_create(&shape, 1, true), .mask = mask[way >> 1 & 1], .flags = (unsigned)way >> 2};
                for (size_t c = 0; c < shape.channels; c++) /* pivots far off, so that sums are made again */
                    for (size_t i = 0; i < 9; i++)
                        element_set(dtype, w.problem->array[X].data, problem_index(w.problem, X, 0, c, i), 3e4);
                for (int backward = 0; backward < 2; backward++) {
                    w.verb = backward ? BACKWARD : FORWARD;
                    const size_t bytes = stack_taken(run_masked, &w);
                    assert_int_equal(w.status, BATCHNORM_OK);
                    if (most < bytes) most = bytes;
                }
                problem_destroy(w.problem);
            }
    print_message("at most %zu bytes\n", most);
    assert_in_range(most, 1000, PROMISED);
}

TEST(a_call_takes_as_much_as_the_header_says) {
    size_t most = 0;
    for (batchnorm_dtype dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++)
        for (enum layout layout = PLANAR; layout < BROADCAST_N; layout++)
            for (enum verb verb = 0; verb < VERBS; verb++) {
                const struct strided shape = layout_shape(layout, dtype, 3, 70, 300);
                struct work w = {.problem = problem_create(&shape, 1, true), .verb = verb, .status = BATCHNORM_NO_MEMORY};
                const size_t bytes = stack_taken(run, &w);
                assert_int_equal(w.status, BATCHNORM_OK);
                if (most < bytes) most = bytes;
                problem_destroy(w.problem);
            }
    print_message("at most %zu bytes\n", most);
    assert_in_range(most, 1000, PROMISED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_takes_as_much_as_the_header_says),
                                       cmocka_unit_test(masks_take_no_more)};
    return cmocka_run_group_tests_name("api.stack", tests, NULL, NULL);
}
