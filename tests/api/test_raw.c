/* SPDX-License-Identifier: MIT */
/* The contract of the raw calls: which status, in which order, and that nothing is written on error; NULL in place of every
 * optional array. Long because the order of checks and the tables of arrays serve all of these tests. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"

/* The linker sends the library's calls of malloc here (--wrap). */
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
static bool malloc_fails;
static size_t malloc_calls;

void *__wrap_malloc(size_t bytes) {
    malloc_calls++;
    return malloc_fails ? NULL : __real_malloc(bytes);
}

/* A call that is about to be broken. */
struct call {
    enum verb verb;
    struct problem *p;
    batchnorm_exec exec;
    bool no_memory;
};

/* Each fault makes a call return one status. They stand in the documented order of checks, which is the same for all calls as
 * far as a call has the check. Each returns false where this call cannot have it. */
typedef bool fault(struct call *k);

static bool writes_elements(const struct call *k) { return k->verb != ACCUMULATE_STATS; }
static enum array element_output(const struct call *k) {
    if (k->verb == BACKWARD || k->verb == BACKWARD_FROZEN) return DX;
    return k->verb == INFER || k->verb == NORMALIZE || k->verb == FORWARD ? Y : GDY;
}

static bool fault_null(struct call *k) {
    k->p->array[k->verb == JVP || k->verb == JVP_FROZEN ? VX : X].data = NULL;
    return k->verb != BACKWARD_FROZEN;
}

static bool fault_dtype(struct call *k) {
    k->p->shape.dtype = BATCHNORM_I64;
    return true;
}

static bool fault_large(struct call *k) {
    k->p->shape.channels = SIZE_MAX / 4;
    return true;
}

static bool fault_one_value(struct call *k) {
    k->p->shape.outer = k->p->shape.inner = 1;
    k->p->options.allow_one_value = false;
    return k->verb == FORWARD;
}

static bool fault_option(struct call *k) {
    k->p->options.momentum_rule = (batchnorm_momentum_rule)7;
    k->p->flags = 1u << 10;
    return k->verb != ACCUMULATE_STATS && k->verb != NORMALIZE;
}

static bool fault_eps(struct call *k) {
    k->p->options.eps = k->verb == FORWARD ? 0 : -1e-9;
    return k->verb == FORWARD || k->verb == INFER;
}

static bool fault_stride(struct call *k) {
    k->p->shape.y.channel = k->p->shape.dx.channel = k->p->shape.dy.channel = 0;
    return writes_elements(k);
}

static bool fault_overlap(struct call *k) {
    const enum array output = writes_elements(k) ? element_output(k) : STATS;
    k->p->array[output].data = (char *)k->p->array[X].data + batchnorm_dtype_bytes(k->p->shape.dtype);
    return true;
}

/* Numbers over numbers. */
static bool fault_overlap_of_numbers(struct call *k) {
    struct problem_array *a = k->p->array;
    a[k->verb == INFER ? SAVE_MEAN : k->verb == FORWARD ? RUNNING_VAR : DBIAS].data = (char *)a[SAVE_RSTD].data + 4;
    a[GWEIGHT].data = a[TWEIGHT].data;
    return k->verb != ACCUMULATE_STATS && k->verb != NORMALIZE && k->verb != JVP && k->verb != JVP_FROZEN;
}

static char small[1 << 16];

static bool fault_workspace(struct call *k) {
    size_t need = problem_workspace_bytes(k->p, k->verb);
    assert_in_range(need, 1, sizeof small);
    k->exec = (batchnorm_exec){.size = sizeof(batchnorm_exec), .workspace = small, .workspace_bytes = need - 1};
    return !k->no_memory;
}

static bool fault_memory(struct call *k) {
    k->no_memory = true;
    return k->exec.workspace == NULL;
}

static const struct {
    fault *make;
    batchnorm_status status;
} faults[] = {
    {fault_null, BATCHNORM_NULL_POINTER},
    {fault_dtype, BATCHNORM_BAD_DTYPE},
    {fault_large, BATCHNORM_TOO_LARGE},
    {fault_one_value, BATCHNORM_ONE_VALUE},
    {fault_option, BATCHNORM_BAD_OPTION},
    {fault_eps, BATCHNORM_BAD_EPS},
    {fault_stride, BATCHNORM_BAD_STRIDE},
    {fault_overlap, BATCHNORM_OVERLAP},
    {fault_overlap_of_numbers, BATCHNORM_OVERLAP},
    {fault_workspace, BATCHNORM_WORKSPACE_TOO_SMALL},
    {fault_memory, BATCHNORM_NO_MEMORY},
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* Make a call with the faults whose bits are set; the last ones first, since they look at what the call needs. Returns whether
 * the call could have them all. */
static bool call_with(enum verb verb, unsigned bits, batchnorm_status *status, const char **touched) {
    struct strided shape = planar(BATCHNORM_F32, 3, 4, 5);
    struct call k = {.verb = verb, .p = problem_create(&shape, 1, true), .exec = {.size = sizeof k.exec}};
    bool possible = true;
    for (int i = FAULTS; i-- > 0;)
        if (bits & 1u << i) possible = faults[i].make(&k) && possible;
    malloc_fails = k.no_memory;
    *status = possible ? problem_run(k.p, verb, &k.exec) : BATCHNORM_OK;
    malloc_fails = false;
    *touched = problem_untouched(k.p);
    problem_destroy(k.p);
    return possible;
}

/* Every fault alone, and every two at once: the one that is checked first wins. */
TEST(statuses_come_in_the_documented_order) {
    size_t calls = 0;
    for (enum verb verb = 0; verb < VERBS; verb++)
        for (int i = 0; i < FAULTS; i++)
            for (int j = i; j < FAULTS; j++) {
                batchnorm_status status;
                const char *touched;
                if (!call_with(verb, 1u << i | 1u << j, &status, &touched)) continue;
                calls++;
                if (status != faults[i].status)
                    fail_msg("%s with %s and %s: %s", verb_name(verb), batchnorm_status_string(faults[i].status),
                             batchnorm_status_string(faults[j].status), batchnorm_status_string(status));
                if (touched) fail_msg("%s: %s was written on %s", verb_name(verb), touched, batchnorm_status_string(status));
            }
    assert_true(calls > 200);
}

/* Offsets that wrap around to something harmless are too large all the same. */
TEST(strides_beyond_the_address_space_are_too_large) {
    const ptrdiff_t quarter = PTRDIFF_MAX / 2 + 1; /* 2^62 bytes, so that four steps are 2^64 */
    for (int axis = 0; axis < 3; axis++)
        for (int which = 0; which < 4; which++)
            for (int d = 0; d < 4; d++) {
                struct strided shape = planar(all_dtypes[d], 5, 5, 5);
                struct problem *p = problem_create(&shape, 1, true);
                batchnorm_strides *s = which & 1 ? &p->shape.y : &p->shape.x;
                ptrdiff_t stride = quarter / (ptrdiff_t)batchnorm_dtype_bytes(all_dtypes[d]) * (which & 2 ? -1 : 1);
                *(axis == 0 ? &s->outer : axis == 1 ? &s->channel : &s->inner) = stride;
                for (enum verb verb = INFER; verb <= FORWARD; verb++)
                    assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_TOO_LARGE);
                if (!(which & 1)) assert_int_equal(problem_run(p, ACCUMULATE_STATS, NULL), BATCHNORM_TOO_LARGE);
                problem_destroy(p);
            }
}

/* The arrays a call must have, and those it can do without. */
static unsigned required(enum verb verb) {
    static const unsigned arrays[VERBS] = {[ACCUMULATE_STATS] = 1u << X | 1u << STATS,
                                           [INFER] = 1u << X | 1u << RUNNING_MEAN | 1u << RUNNING_VAR | 1u << Y,
                                           [NORMALIZE] = 1u << X | 1u << SAVE_MEAN | 1u << SAVE_RSTD | 1u << Y,
                                           [FORWARD] = 1u << X | 1u << Y,
                                           [BACKWARD] = 1u << X | 1u << DY | 1u << SAVE_MEAN | 1u << SAVE_RSTD,
                                           [BACKWARD_FROZEN] = 1u << DY | 1u << SAVE_MEAN | 1u << SAVE_RSTD,
                                           [JVP] = 1u << X | 1u << VX | 1u << SAVE_MEAN | 1u << SAVE_RSTD | 1u << GDY,
                                           [JVP_FROZEN] = 1u << VX | 1u << SAVE_MEAN | 1u << SAVE_RSTD | 1u << GDY,
                                           [DOUBLE_BACKWARD] = 1u << X | 1u << DY | 1u << SAVE_MEAN | 1u << SAVE_RSTD,
                                           [DOUBLE_BACKWARD_FROZEN] = 1u << DY | 1u << SAVE_MEAN | 1u << SAVE_RSTD};
    return arrays[verb];
}

static unsigned optional(enum verb verb) {
    static const unsigned arrays[VERBS] = {
        [INFER] = 1u << WEIGHT | 1u << BIAS | 1u << SAVE_MEAN | 1u << SAVE_RSTD,
        [NORMALIZE] = 1u << WEIGHT | 1u << BIAS,
        [FORWARD] = 1u << WEIGHT | 1u << BIAS | 1u << RUNNING_MEAN | 1u << RUNNING_VAR | 1u << SAVE_MEAN | 1u << SAVE_RSTD,
        [BACKWARD] = 1u << WEIGHT | 1u << DX | 1u << DWEIGHT | 1u << DBIAS,
        [BACKWARD_FROZEN] = 1u << WEIGHT | 1u << DX | 1u << DWEIGHT | 1u << DBIAS,
        [JVP] = 1u << WEIGHT | 1u << TWEIGHT | 1u << TBIAS,
        [JVP_FROZEN] = 1u << WEIGHT | 1u << TWEIGHT | 1u << TBIAS,
        [DOUBLE_BACKWARD] = 1u << WEIGHT | 1u << VX | 1u << TWEIGHT | 1u << TBIAS | 1u << GX | 1u << GDY | 1u << GWEIGHT,
        [DOUBLE_BACKWARD_FROZEN] =
            1u << WEIGHT | 1u << VX | 1u << TWEIGHT | 1u << TBIAS | 1u << GX | 1u << GDY | 1u << GWEIGHT};
    return arrays[verb];
}

TEST(each_required_array_is_asked_for) {
    struct strided shape = planar(BATCHNORM_F32, 3, 4, 5);
    for (enum verb verb = 0; verb < VERBS; verb++)
        for (enum array i = X; i < ARRAYS; i++) {
            if (!(required(verb) & 1u << i)) continue;
            struct problem *p = problem_create(&shape, 1, true);
            p->array[i].data = NULL;
            if (problem_run(p, verb, NULL) != BATCHNORM_NULL_POINTER) fail_msg("%s without %s", verb_name(verb), array_name(i));
            assert_null(problem_untouched(p));
            problem_destroy(p);
        }
}

/* Whether a call of this verb reads or writes the array. */
static bool takes(enum verb verb, enum array i) { return ((required(verb) | optional(verb) | 1u << X) >> i & 1) != 0; }

static size_t bytes_of(const struct problem_array *a) { return a->count * batchnorm_dtype_bytes(a->dtype); }

/* The output begins at the first number of the other array, or at its last one; and then the other array in the output. */
static void refuse_overlap(enum verb verb, batchnorm_dtype dtype, enum array output, enum array other, bool at_its_end) {
    const struct strided shape = planar(dtype, 3, 40, 5);
    struct problem *p = problem_create(&shape, 1, true);
    struct problem_array *a = &p->array[output], *b = &p->array[other];
    const size_t last = at_its_end ? bytes_of(b) - batchnorm_dtype_bytes(b->dtype) : 0;
    a->data = (char *)b->home + last;
    if (problem_run(p, verb, NULL) != BATCHNORM_OVERLAP)
        fail_msg("%s, %s: %s over %s", verb_name(verb), dtype_name(dtype), array_name(output), array_name(other));
    if (problem_untouched(p)) fail_msg("%s: %s was written", verb_name(verb), problem_untouched(p));
    a->data = a->home;
    b->data = (char *)a->home + (at_its_end ? bytes_of(a) - batchnorm_dtype_bytes(a->dtype) : 0);
    if (problem_run(p, verb, NULL) != BATCHNORM_OVERLAP)
        fail_msg("%s, %s: %s over %s", verb_name(verb), dtype_name(dtype), array_name(other), array_name(output));
    assert_null(problem_untouched(p));
    problem_destroy(p);
}

/* Every output over every parameter and statistic, and these over every other array. */
TEST(outputs_may_overlap_no_parameter) {
    int pairs = 0;
    for (int d = 0; d < 4; d++)
        for (enum verb verb = 0; verb < VERBS; verb++)
            for (enum array output = X; output < ARRAYS; output++)
                for (enum array other = X; other < ARRAYS; other++) {
                    if (!is_output(verb, output) || output == other || !takes(verb, other)) continue;
                    if (output < SHAPED && other < SHAPED) continue; /* a matter of strides: api.check */
                    refuse_overlap(verb, all_dtypes[d], output, other, false);
                    refuse_overlap(verb, all_dtypes[d], output, other, true);
                    pairs++;
                }
    assert_true(pairs > 4 * 80);
}

/* Arrays side by side in one piece of memory, in both orders, are no overlap. */
TEST(arrays_may_touch) {
    static double memory[1 << 13];
    for (int d = 0; d < 4; d++)
        for (enum verb verb = 0; verb < VERBS; verb++)
            for (int backwards = 0; backwards < 2; backwards++) {
                const struct strided shape = planar(all_dtypes[d], 2, 4, 6);
                struct problem *p = problem_create(&shape, 1, true);
                char *at = (char *)memory;
                for (int i = 0; i < ARRAYS; i++) {
                    struct problem_array *a = &p->array[backwards ? ARRAYS - 1 - i : i];
                    memcpy(at, a->home, bytes_of(a));
                    a->data = at;
                    at += bytes_of(a);
                }
                assert_true(at <= (char *)memory + sizeof memory);
                if (problem_run(p, verb, NULL) != BATCHNORM_OK) fail_msg("%s, %s", verb_name(verb), dtype_name(all_dtypes[d]));
                problem_destroy(p);
            }
}

TEST(shape_is_asked_for) {
    float x[4] = {0}, y[4];
    double saved[1] = {0};
    batchnorm_stat stat;
    assert_int_equal(raw_stats(NULL, x, &stat, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(raw_infer(NULL, x, x, x, x, x, y, NULL, NULL, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(raw_normalize(NULL, x, x, x, saved, saved, y, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(raw_forward(NULL, x, x, x, y, NULL, NULL, NULL, NULL, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(raw_backward(NULL, x, x, x, saved, saved, y, NULL, NULL, 0, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(raw_jvp(NULL, x, x, x, NULL, NULL, saved, saved, y, 0, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(raw_double_backward(NULL, x, x, x, saved, saved, x, NULL, NULL, y, NULL, NULL, 0, NULL),
                     BATCHNORM_NULL_POINTER);
}

static void run_subset(enum verb verb, const struct strided *shape, unsigned absent) {
    struct problem *p = problem_create(shape, 7, true);
    for (enum array i = X; i < ARRAYS; i++)
        if (absent & 1u << i) p->array[i].data = NULL;
    assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
    const char *what = problem_check(p, verb);
    if (what) fail_msg("%s, %s, arrays 0x%x absent: %s", verb_name(verb), dtype_name(shape->dtype), absent, what);
    problem_destroy(p);
}

/* Every subset of the optional arrays: the others come out as the oracle says, and an absent input counts as its default. */
TEST(each_subset_of_optional_arrays_works) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
            struct strided shape = layout_shape(layout, all_dtypes[d], 3, 5, 7);
            for (enum verb verb = 0; verb < VERBS; verb++)
                for (unsigned some = optional(verb), set = some;; set = (set - 1) & some) {
                    run_subset(verb, &shape, set);
                    if (set == 0) break;
                }
        }
}

/* x is not read where nothing depends on it. */
TEST(frozen_backward_without_dweight_needs_no_x) {
    struct strided shape = planar(BATCHNORM_F32, 3, 4, 5);
    for (unsigned set = 0; set < 4; set++) {
        struct problem *p = problem_create(&shape, 1, true);
        p->array[X].data = p->array[DWEIGHT].data = NULL;
        if (set & 1) p->array[DX].data = NULL;
        if (set & 2) p->array[DBIAS].data = NULL;
        assert_int_equal(problem_run(p, BACKWARD_FROZEN, NULL), BATCHNORM_OK);
        assert_null(problem_check(p, BACKWARD_FROZEN));
        problem_destroy(p);
    }
    struct problem *p = problem_create(&shape, 1, true);
    p->array[X].data = NULL;
    assert_int_equal(problem_run(p, BACKWARD_FROZEN, NULL), BATCHNORM_NULL_POINTER);
    problem_destroy(p);
}

TEST(each_unknown_flag_is_refused) {
    struct strided shape = planar(BATCHNORM_F32, 3, 4, 5);
    for (enum verb verb = BACKWARD; verb < VERBS; verb++)
        for (int bit = 0; bit < 32; bit++) {
            struct problem *p = problem_create(&shape, 1, true);
            p->flags = 1u << bit;
            bool known = bit == 0 || (bit == 1 && verb <= BACKWARD_FROZEN);
            assert_int_equal(problem_run(p, verb, NULL), known ? BATCHNORM_OK : BATCHNORM_BAD_OPTION);
            if (!known) assert_null(problem_untouched(p));
            problem_destroy(p);
        }
}

TEST(options_null_are_pytorchs) {
    float x[6] = {1, 2, 3, 4, 5, 7}, y[2][6], mean[2] = {0, 0}, var[2] = {1, 1};
    struct strided shape = planar(BATCHNORM_F32, 2, 1, 3);
    batchnorm_options options = batchnorm_convention(BATCHNORM_PYTORCH);
    assert_int_equal(raw_forward(&shape, x, NULL, NULL, y[0], &mean[0], &var[0], NULL, NULL, &options, NULL), 0);
    assert_int_equal(raw_forward(&shape, x, NULL, NULL, y[1], &mean[1], &var[1], NULL, NULL, NULL, NULL), 0);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_true(mean[0] == mean[1] && var[0] == var[1] && mean[0] != 0);
    assert_int_equal(raw_infer(&shape, x, NULL, NULL, mean, var, y[0], NULL, NULL, &options, NULL), 0);
    assert_int_equal(raw_infer(&shape, x, NULL, NULL, mean, var, y[1], NULL, NULL, NULL, NULL), 0);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
}

/* The sentence names the arrays and numbers as the header does, and is cut to the room there is. */
TEST(sentences_say_what_is_wrong) {
    static float x[60], y[60], weight[4];
    static double save_mean[4], save_rstd[4];
    char message[200] = "as it was";
    const struct strided shape = planar(BATCHNORM_F32, 3, 4, 5);
    struct strided broadcast = shape;
    broadcast.y.inner = 0;
    batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .message = message, .message_bytes = sizeof message};
    for (int i = 0; i < 60; i++) x[i] = (float)i;
#define FORWARD_SAYS(shape, x, y, weight, text)                                                                                \
    assert_int_not_equal(raw_forward(shape, x, weight, NULL, y, NULL, NULL, save_mean, save_rstd, NULL, &exec), 0);            \
    assert_string_equal(message, text)
    assert_int_equal(raw_forward(&shape, x, NULL, NULL, y, NULL, NULL, save_mean, save_rstd, NULL, &exec), 0);
    assert_string_equal(message, "as it was");
    FORWARD_SAYS(&shape, NULL, y, NULL, "what is NULL is needed; needed are x and y");
    FORWARD_SAYS(&shape, x, x + 1, NULL, "y overlaps x in a way that is not allowed");
    FORWARD_SAYS(&broadcast, x, y, NULL, "y has strides that make two of its elements share memory");
    FORWARD_SAYS(&shape, x, y, y + 56, "y overlaps weight in a way that is not allowed");
    FORWARD_SAYS(&shape, x, y, (float *)save_mean, "save_mean overlaps weight in a way that is not allowed");
    exec.workspace = x + 59;
    exec.workspace_bytes = 4;
    FORWARD_SAYS(&shape, x, y, weight, "x overlaps the workspace in a way that is not allowed");
    exec.workspace = &exec;
    exec.workspace_bytes = 1;
    FORWARD_SAYS(&shape, x, y, weight, batchnorm_status_string(BATCHNORM_WORKSPACE_TOO_SMALL));
    exec = (batchnorm_exec){.size = sizeof(batchnorm_exec), .message = message, .message_bytes = 10};
    FORWARD_SAYS(&shape, x, x + 1, NULL, "y overlap");
    exec.message_bytes = sizeof message;
    batchnorm_status status = raw_backward(&shape, x, y, weight, save_mean, save_rstd, y + 4, NULL, NULL, 0, &exec);
    assert_int_equal(status, BATCHNORM_OVERLAP);
    assert_string_equal(message, "dx overlaps dy in a way that is not allowed");
    status = raw_jvp(&shape, x, y, NULL, NULL, NULL, save_mean, save_rstd, x + 4, 0, &exec);
    assert_int_equal(status, BATCHNORM_OVERLAP);
    assert_string_equal(message, "ty overlaps x in a way that is not allowed");
    status = raw_double_backward(&shape, x, x, NULL, save_mean, save_rstd, NULL, NULL, NULL, y, y, NULL, 0, &exec);
    assert_int_equal(status, BATCHNORM_OVERLAP);
    assert_string_equal(message, "gx overlaps gdy in a way that is not allowed");
}

/* One run that needs memory, so that the faults above were real: it calls malloc without a workspace and never with one. */
TEST(workspace_replaces_malloc) {
    for (enum layout layout = PLANAR; layout < BROADCAST_N; layout++) {
        struct strided shape = layout_shape(layout, BATCHNORM_F32, 3, 20, 50);
        for (enum verb verb = 0; verb < VERBS; verb++) {
            struct problem *p = problem_create(&shape, 1, true);
            batchnorm_exec exec = {
                .size = sizeof(batchnorm_exec), .workspace = small, .workspace_bytes = sizeof small, .threads = 1};
            malloc_calls = 0;
            assert_int_equal(problem_run(p, verb, &exec), BATCHNORM_OK);
            assert_int_equal(malloc_calls, 0);
            assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
            if (problem_workspace_bytes(p, verb)) assert_true(malloc_calls > 0);
            problem_destroy(p);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_come_in_the_documented_order),
        cmocka_unit_test(strides_beyond_the_address_space_are_too_large),
        cmocka_unit_test(each_required_array_is_asked_for),
        cmocka_unit_test(outputs_may_overlap_no_parameter),
        cmocka_unit_test(arrays_may_touch),
        cmocka_unit_test(shape_is_asked_for),
        cmocka_unit_test(each_subset_of_optional_arrays_works),
        cmocka_unit_test(frozen_backward_without_dweight_needs_no_x),
        cmocka_unit_test(each_unknown_flag_is_refused),
        cmocka_unit_test(options_null_are_pytorchs),
        cmocka_unit_test(sentences_say_what_is_wrong),
        cmocka_unit_test(workspace_replaces_malloc),
    };
    return cmocka_run_group_tests_name("api.raw", tests, NULL, NULL);
}
