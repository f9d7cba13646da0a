/* SPDX-License-Identifier: MIT */
/* Memory of the raw calls: which arrays may be the same, that nothing beyond an array is touched, the workspace, shapes without
 * elements. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"

/* An output that may be the very same array as an input. */
static const struct {
    enum verb verb;
    enum array output, input;
} same[] = {{INFER, Y, X},       {NORMALIZE, Y, X}, {FORWARD, Y, X},           {BACKWARD, DX, DY},       {BACKWARD, DX, X},
            {JVP, GDY, VX},      {JVP, GDY, X},     {BACKWARD_FROZEN, DX, DY}, {BACKWARD_FROZEN, DX, X}, {JVP_FROZEN, GDY, VX},
            {JVP_FROZEN, GDY, X}};

/* Runs the call apart and in place; the output must have the same bits. */
static void run_in_place(size_t i, const struct strided *shape) {
    struct problem *apart = problem_create(shape, 3, true), *in_place = problem_create(shape, 3, true);
    in_place->array[same[i].output].data = in_place->array[same[i].input].data;
    assert_int_equal(problem_run(apart, same[i].verb, NULL), BATCHNORM_OK);
    assert_int_equal(problem_run(in_place, same[i].verb, NULL), BATCHNORM_OK);
    const struct problem_array *want = &apart->array[same[i].output], *got = &in_place->array[same[i].input];
    for (size_t n = 0; n < shape->outer; n++)
        for (size_t c = 0; c < shape->channels; c++)
            for (size_t s = 0; s < shape->inner; s++) {
                double a = element_get(shape->dtype, want->home, problem_index(apart, same[i].output, n, c, s));
                double b = element_get(shape->dtype, got->home, problem_index(in_place, same[i].input, n, c, s));
                if (a != b) fail_msg("%s into %s: %g, apart %g", verb_name(same[i].verb), array_name(same[i].input), b, a);
            }
    problem_destroy(apart);
    problem_destroy(in_place);
}

TEST(in_place_gives_the_same_bits) {
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        for (int d = 0; d < 4; d++)
            for (enum layout layout = PLANAR; layout < MIXED; layout++) {
                struct strided shape = layout_shape(layout, all_dtypes[d], 3, 19, 21);
                run_in_place(i, &shape);
            }
}

/* The same address with other strides is no alias. */
TEST(other_strides_at_the_same_address_overlap) {
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct strided shape = planar(BATCHNORM_F32, 3, 4, 5), last = channels_last(BATCHNORM_F32, 3, 4, 5);
        if (same[i].output == Y) shape.y = last.y;
        if (same[i].output == DX) shape.dx = last.dx;
        if (same[i].output == GDY) shape.dy = last.dy;
        struct problem *p = problem_create(&shape, 3, true);
        p->array[same[i].output].data = p->array[same[i].input].data;
        assert_int_equal(problem_run(p, same[i].verb, NULL), BATCHNORM_OVERLAP);
        assert_null(problem_untouched(p));
        problem_destroy(p);
    }
}

/* Every element output of every call against every other shaped array of that call, one element apart. */
TEST(shifted_arrays_overlap) {
    static const struct {
        enum verb verb;
        enum array output, other;
    } pairs[] = {{INFER, Y, X},
                 {NORMALIZE, Y, X},
                 {FORWARD, Y, X},
                 {BACKWARD, DX, X},
                 {BACKWARD, DX, DY},
                 {BACKWARD_FROZEN, DX, DY},
                 {JVP, GDY, X},
                 {JVP, GDY, VX},
                 {DOUBLE_BACKWARD, GX, X},
                 {DOUBLE_BACKWARD, GX, DY},
                 {DOUBLE_BACKWARD, GX, VX},
                 {DOUBLE_BACKWARD, GX, GDY},
                 {DOUBLE_BACKWARD, GDY, X},
                 {DOUBLE_BACKWARD, GDY, DY},
                 {DOUBLE_BACKWARD, GDY, VX}};
    struct strided shape = planar(BATCHNORM_F32, 3, 4, 5);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int shift = pairs[i].verb == DOUBLE_BACKWARD ? 0 : 1; shift < 60; shift += 59 - shift ? 59 - shift : 1) {
            struct problem *p = problem_create(&shape, 3, true);
            p->array[pairs[i].output].data = (float *)p->array[pairs[i].other].data + shift;
            if (problem_run(p, pairs[i].verb, NULL) != BATCHNORM_OVERLAP)
                fail_msg("%s: %s is %s + %d", verb_name(pairs[i].verb), array_name(pairs[i].output), array_name(pairs[i].other),
                         shift);
            assert_null(problem_untouched(p));
            problem_destroy(p);
        }
}

/* x and y are the halves of one tensor with twice the channels: their extents interleave, their elements do not. */
static void run_slices(enum verb verb, const struct strided *wide, size_t channels) {
    struct strided half = *wide;
    half.channels = channels;
    struct problem *storage = problem_create(wide, 3, true), *apart = problem_create(&half, 5, true);
    struct problem *p = problem_create(&half, 5, true);
    char *x = storage->array[X].data, *y = x + (ptrdiff_t)(channels * batchnorm_dtype_bytes(half.dtype)) * wide->x.channel;
    apart->array[X].data = p->array[X].data = x;
    p->array[Y].data = y;
    assert_int_equal(problem_run(apart, verb, NULL), BATCHNORM_OK);
    assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
    for (size_t i = 0; i < half.outer * channels * half.inner; i++) {
        size_t n = i / (channels * half.inner), c = i / half.inner % channels;
        ptrdiff_t at = problem_index(p, Y, n, c, i % half.inner);
        assert_true(element_get(half.dtype, y, at) == element_get(half.dtype, apart->array[Y].data, at));
    }
    problem_destroy(apart);
    problem_destroy(p);
    problem_destroy(storage);
}

TEST(interleaved_channel_slices_are_apart) {
    for (int d = 0; d < 4; d++)
        for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++)
            for (enum verb verb = INFER; verb <= FORWARD; verb++) {
                struct strided wide = layout_shape(layout, all_dtypes[d], 3, 10, 7);
                run_slices(verb, &wide, 5);
            }
}

/* One array lies whole in a gap of the other. */
TEST(an_array_in_a_gap_of_another_is_apart) {
    const batchnorm_strides wide = {100, 8, 1}, dense = {8, 4, 1};
    for (int x_is_wide = 0; x_is_wide < 2; x_is_wide++)
        for (int last = 84; last <= 85; last++) { /* the dense one ends where the wide one goes on, or one further */
            float storage[200] = {0};
            struct strided shape = {.outer = 2, .channels = 2, .inner = 4, .dtype = BATCHNORM_F32};
            shape.x = x_is_wide ? wide : dense;
            shape.y = x_is_wide ? dense : wide;
            float *x = storage + (x_is_wide ? 0 : last), *y = storage + (x_is_wide ? last : 0);
            batchnorm_status status = raw_forward(&shape, x, NULL, NULL, y, NULL, NULL, NULL, NULL, NULL, NULL);
            assert_int_equal(status, last == 84 ? BATCHNORM_OK : BATCHNORM_OVERLAP);
        }
}

/* Every length from 0 to 67 along a run, along the channels and along the batch, between pages that may not be touched. */
static void run_guarded(const struct strided *shape, bool at_end) {
    struct problem *p = problem_create(shape, shape->inner + 100 * shape->channels, at_end);
    for (enum verb verb = 0; verb < VERBS; verb++) {
        problem_snapshot(p);
        assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
        const char *what = problem_check(p, verb);
        if (what)
            fail_msg("%s %s (%zu, %zu, %zu): %s", verb_name(verb), dtype_name(shape->dtype), shape->outer, shape->channels,
                     shape->inner, what);
    }
    problem_destroy(p);
}

TEST(nothing_beyond_an_array_is_touched) {
    for (size_t n = 0; n <= 67; n++)
        for (int d = 0; d < 4; d++)
            for (int at_end = 0; at_end < 2; at_end++) {
                const struct strided shapes[] = {planar(all_dtypes[d], 2, 2, n), planar(all_dtypes[d], 2, n, 1),
                                                 planar(all_dtypes[d], n, 2, 1), channels_last(all_dtypes[d], 1, n, 2),
                                                 channels_last(all_dtypes[d], 1, 3, n)};
                for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) run_guarded(&shapes[i], at_end);
            }
}

/* The workspace may have any alignment, exactly the size that is asked for, and nothing around it is touched. */
static void run_in_workspace(enum verb verb, struct problem *a, struct problem *b, size_t shift) {
    size_t bytes = problem_workspace_bytes(a, verb);
    struct guarded memory = guarded_alloc(bytes + shift + 1, true);
    unsigned char *at = memory.data;
    memset(at, 0x5a, bytes + shift + 1);
    batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .workspace = at + shift, .workspace_bytes = bytes};
    problem_restore(a);
    problem_restore(b);
    assert_int_equal(problem_run(a, verb, &exec), BATCHNORM_OK);
    assert_int_equal(problem_run(b, verb, NULL), BATCHNORM_OK);
    assert_null(problem_same(a, b));
    for (size_t i = 0; i < shift; i++) assert_int_equal(at[i], 0x5a);
    assert_int_equal(at[shift + bytes], 0x5a);
    guarded_free(&memory);
}

TEST(workspace_of_exact_size_suffices) {
    static const size_t sizes[][3] = {{3, 4, 5}, {1, 1, 2}, {7, 33, 1}, {2, 3, 1500}, {40, 70, 3}, {3, 5, 0}};
    for (enum layout layout = PLANAR; layout < LAYOUTS; layout++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int d = 0; d < 4; d++) {
                struct strided shape = layout_shape(layout, all_dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2]);
                struct problem *a = problem_create(&shape, 5, true), *b = problem_create(&shape, 5, true);
                for (enum verb verb = 0; verb < VERBS; verb++) run_in_workspace(verb, a, b, i + (size_t)d);
                problem_destroy(a);
                problem_destroy(b);
            }
}

/* Each array planar or channels-last on its own: what is asked for depends on which array a call reads and writes where. */
TEST(workspace_suffices_for_every_mixture_of_layouts) {
    for (int mixture = 0; mixture < 16; mixture++) {
        struct strided shape = layout_shape(PLANAR, BATCHNORM_F32, 6, 40, 30);
        const batchnorm_strides last = layout_shape(CHANNELS_LAST, BATCHNORM_F32, 6, 40, 30).x;
        if (mixture & 1) shape.x = last;
        if (mixture & 2) shape.y = last;
        if (mixture & 4) shape.dy = last;
        if (mixture & 8) shape.dx = last;
        struct problem *a = problem_create(&shape, 1, true), *b = problem_create(&shape, 1, true);
        for (enum verb verb = 0; verb < VERBS; verb++) run_in_workspace(verb, a, b, 0);
        problem_destroy(a);
        problem_destroy(b);
    }
}

TEST(workspace_of_no_or_too_large_a_shape_is_0) {
    for (int i = 0; i < RAW_OPERATIONS; i++) {
        struct strided shape = planar(BATCHNORM_F32, 2, SIZE_MAX / 4, 2);
        assert_int_equal(raw_workspace_bytes(NULL, (enum raw_operation)i), 0);
        assert_int_equal(raw_workspace_bytes(&shape, (enum raw_operation)i), 0);
        shape = planar(BATCHNORM_F32, 1, PTRDIFF_MAX / 4, 1); /* fits, but its scratch memory does not */
        assert_int_equal(raw_workspace_bytes(&shape, (enum raw_operation)i), 0);
    }
}

/* No element: OK with NULL for every shaped array, and only the gradients of parameters are written, with 0. */
static void run_empty(const struct strided *shape, enum verb verb, unsigned flags) {
    struct problem *p = problem_create(shape, 1, true);
    p->flags = flags;
    if (flags == 0)
        for (enum array i = X; i < SHAPED; i++) p->array[i].data = NULL;
    assert_int_equal(problem_run(p, verb, NULL), BATCHNORM_OK);
    bool zero = flags == 0 && (verb == BACKWARD || verb == BACKWARD_FROZEN);
    for (size_t c = 0; c < shape->channels && zero; c++)
        assert_true(problem_number(p, DWEIGHT, c, 1) == 0 && problem_number(p, DBIAS, c, 1) == 0);
    for (enum array i = X; i < ARRAYS; i++) {
        const struct problem_array *a = &p->array[i];
        if (is_output(verb, i) && (zero || verb >= DOUBLE_BACKWARD || (verb == INFER && i >= SHAPED))) continue;
        assert_int_equal(first_difference(a->dtype, a->before, a->lowest, a->count), -1);
    }
    problem_destroy(p);
}

TEST(no_element_is_fine) {
    static const size_t sizes[][3] = {{0, 4, 5}, {3, 0, 5}, {3, 4, 0}, {0, 0, 0}, {1, 0, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int d = 0; d < 4; d++)
            for (enum verb verb = 0; verb < VERBS; verb++) {
                struct strided shape = planar(all_dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2]);
                run_empty(&shape, verb, 0);
                if (verb == BACKWARD || verb == BACKWARD_FROZEN) run_empty(&shape, verb, BATCHNORM_ACCUMULATE);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_place_gives_the_same_bits),
        cmocka_unit_test(other_strides_at_the_same_address_overlap),
        cmocka_unit_test(shifted_arrays_overlap),
        cmocka_unit_test(interleaved_channel_slices_are_apart),
        cmocka_unit_test(an_array_in_a_gap_of_another_is_apart),
        cmocka_unit_test(nothing_beyond_an_array_is_touched),
        cmocka_unit_test(workspace_of_exact_size_suffices),
        cmocka_unit_test(workspace_suffices_for_every_mixture_of_layouts),
        cmocka_unit_test(workspace_of_no_or_too_large_a_shape_is_0),
        cmocka_unit_test(no_element_is_fine),
    };
    return cmocka_run_group_tests_name("api.memory", tests, NULL, NULL);
}
