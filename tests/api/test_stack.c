/* SPDX-License-Identifier: MIT */
/* How much stack calls take, as the headers say it: every verb on every layout and type. */
#include "tests/support/problem.h"
#include "tests/support/stack.h"
#include "tests/support/test.h"

enum { PROMISED = 96 << 10 };

struct work {
    struct problem *problem;
    enum verb verb;
    batchnorm_status status;
};

static void run(void *arg) {
    struct work *w = arg;
    const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = 1};
    w->status = problem_run(w->problem, w->verb, &exec);
}

TEST(a_call_takes_as_much_as_the_header_says) {
    size_t most = 0;
    for (batchnorm_dtype dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++)
        for (enum layout layout = PLANAR; layout < BROADCAST_N; layout++)
            for (enum verb verb = 0; verb < VERBS; verb++) {
                const struct strided shape = layout_shape(layout, dtype, 3, 70, 300);
                struct work w = {problem_create(&shape, 1, true), verb, BATCHNORM_NO_MEMORY};
                const size_t bytes = stack_taken(run, &w);
                assert_int_equal(w.status, BATCHNORM_OK);
                if (most < bytes) most = bytes;
                problem_destroy(w.problem);
            }
    print_message("at most %zu bytes\n", most);
    assert_in_range(most, 1000, PROMISED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_takes_as_much_as_the_header_says)};
    return cmocka_run_group_tests_name("api.stack", tests, NULL, NULL);
}
