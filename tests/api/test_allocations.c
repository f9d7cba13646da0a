/* SPDX-License-Identifier: MIT */
/* A call that has a workspace takes no memory, on any layout, and needs no more than batchnorm_workspace_bytes() says. */
#include <stdlib.h>

#include "tests/support/fused.h"
#include "tests/support/test.h"

/* The linker sends the library's calls here (--wrap). */
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
static size_t calls;

void *__wrap_malloc(size_t bytes) {
    calls++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    calls++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
    calls++;
    return __real_realloc(old, bytes);
}

/* The plain calls, then the fused ones gated by y, then those that compute v again. */
enum { CALLS = VERBS + 2 * FUSED_VERBS };

static struct fused fused_of(int call, batchnorm_activation activation) {
    return (struct fused){activation, true, call < VERBS + FUSED_VERBS};
}

static enum fused_verb fused_verb_of(int call) { return (enum fused_verb)((call - VERBS) % FUSED_VERBS); }

static size_t bytes_of(const struct problem *p, int call, batchnorm_activation activation) {
    if (call < VERBS) return problem_workspace_bytes(p, (enum verb)call);
    const struct fused f = fused_of(call, activation);
    return fused_workspace_bytes(p, fused_verb_of(call), &f);
}

static batchnorm_status run_call(struct problem *p, int call, batchnorm_activation activation, const batchnorm_exec *exec) {
    if (call < VERBS) return problem_run(p, (enum verb)call, exec);
    const struct fused f = fused_of(call, activation);
    return fused_run(p, fused_verb_of(call), &f, exec);
}

/* The workspace ends at a forbidden page, wherever that makes it begin. */
static void count(const struct strided *shape) {
    struct problem *p = problem_create(shape, 1, true);
    for (int i = 0; i < VERBS + 2 * FUSED_VERBS * fused_activation_count; i++) {
        if (is_left_out()) continue;
        const int call = i < CALLS ? i : VERBS + (i - VERBS) % (2 * FUSED_VERBS);
        const batchnorm_activation activation = fused_activations[i < VERBS ? 0 : (i - VERBS) / (2 * FUSED_VERBS)];
        size_t bytes = bytes_of(p, call, activation);
        struct guarded workspace = guarded_alloc(bytes, true);
        batchnorm_exec exec = {
            .size = sizeof(batchnorm_exec), .threads = 1, .workspace = workspace.data, .workspace_bytes = bytes};
        assert_int_equal(run_call(p, call, activation, &exec),
                         BATCHNORM_OK); /* warm: the processor and the caches have been asked about */
        calls = 0;
        assert_int_equal(run_call(p, call, activation, &exec), BATCHNORM_OK);
        if (calls) fail_msg("call %d on %s allocates %zu times", call, dtype_name(shape->dtype), calls);
        exec.workspace = NULL;
        assert_int_equal(run_call(p, call, activation, &exec), BATCHNORM_OK);
        if (bytes) assert_true(calls > 0); /* so they are counted */
        guarded_free(&workspace);
    }
    problem_destroy(p);
}

TEST(a_workspace_is_all_that_is_needed) {
    static const enum layout layouts[] = {PLANAR, CHANNELS_LAST, SPACED, S_CHANNEL_N, MIXED};
    static const size_t sizes[][3] = {{3, 5, 7}, {4, 70, 49}, {2, 3, 20000}, {300, 65, 1}};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            for (int d = 0; d < 4; d++) {
                struct strided shape = fused_shape(layouts[i], all_dtypes[d], sizes[j][0], sizes[j][1], sizes[j][2]);
                count(&shape);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_workspace_is_all_that_is_needed)};
    return cmocka_run_group_tests_name("api.allocations", tests, NULL, NULL);
}
