/* SPDX-License-Identifier: MIT */
/* Structs of callers whose headers know less or more than the library, and sizes that no struct has. */
#include <string.h>

#include "api/sized.h"
#include "batchnorm/layer.h"
#include "tests/support/test.h"

/* Three versions of a struct. */
struct first {
    size_t size, a;
};
struct known {
    size_t size, a, b;
    double c;
};
struct later {
    struct known known;
    int d[4];
};

TEST(the_size_that_is_known_needs_no_copy) {
    const struct known given = {sizeof given, 1, 2, 3};
    assert_ptr_equal(bn_sized(&given, NULL, sizeof given, sizeof(struct first)), &given);
}

TEST(what_an_older_caller_lacks_is_zero) {
    const struct first given = {sizeof given, 1};
    struct known place;
    memset(&place, 0x5a, sizeof place);
    assert_ptr_equal(bn_sized(&given, &place, sizeof place, sizeof given), &place);
    assert_true(place.a == 1 && place.b == 0 && place.c == 0);
}

TEST(what_a_newer_caller_has_must_be_zero) {
    struct later given = {{sizeof given, 1, 2, 3}, {0}};
    struct known place;
    assert_ptr_equal(bn_sized(&given, &place, sizeof place, sizeof(struct first)), &place);
    assert_true(place.a == 1 && place.b == 2 && place.c == 3);
    for (int i = 0; i < 4; i++) {
        memset(given.d, 0, sizeof given.d);
        given.d[i] = 1;
        assert_null(bn_sized(&given, &place, sizeof place, sizeof(struct first)));
    }
}

TEST(sizes_that_no_version_had_are_refused) {
    static const size_t sizes[] = {
        0,        1,           sizeof(void *), sizeof(struct first) - 1, sizeof(struct first) + 4, sizeof(struct known) - 8,
        SIZE_MAX, SIZE_MAX / 2};
    struct known given = {0, 1, 2, 3}, place;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        given.size = sizes[i];
        assert_null(bn_sized(&given, &place, sizeof place, sizeof(struct first)));
    }
    assert_null(bn_sized(NULL, &place, sizeof place, sizeof(struct first)));
}

static float x[6] = {1, 2, 3, 4, 5, 7}, y[6];

static batchnorm_forward_call plain_call(void) {
    const batchnorm_shape shape = {2, 1, 3, BATCHNORM_F32};
    const batchnorm_strides ncl = batchnorm_planar(shape);
    return (batchnorm_forward_call){.size = sizeof(batchnorm_forward_call), .shape = shape, .x = {x, ncl}, .y = {y, ncl}};
}

/* The same in the raw calls: call, exec and options, each of which says so where it can. */
TEST(raw_calls_refuse_wrong_sizes) {
    char message[100] = "";
    batchnorm_exec exec = {.size = sizeof exec, .message = message, .message_bytes = sizeof message};
    batchnorm_options options = batchnorm_convention(BATCHNORM_PYTORCH);
    batchnorm_forward_call call = plain_call();
    call.options = &options;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_OK);
    assert_int_equal(batchnorm_forward(NULL, &exec), BATCHNORM_NULL_POINTER);
    assert_string_equal(message, "the call is NULL");
    memset(y, 0, sizeof y);
    call.size = 0;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_BAD_OPTION);
    assert_string_equal(message, "the call's size must be the sizeof of its struct");
    assert_int_equal(batchnorm_forward_workspace_bytes(&call), 0);
    call.size = sizeof call;
    assert_true(batchnorm_forward_workspace_bytes(&call) > 0);
    exec.size = 0;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_BAD_OPTION);
    exec.size = sizeof exec;
    options.size--;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_BAD_OPTION);
    options.size++;
    options.reserved[3] = 1;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_BAD_OPTION);
    for (int i = 0; i < 6; i++) assert_true(y[i] == 0);
    options.reserved[3] = 0;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_OK);
}

/* A caller of tomorrow, with members that this library does not know. */
TEST(raw_calls_take_larger_structs) {
    struct {
        batchnorm_forward_call call;
        double more[3];
    } larger = {.call = plain_call()};
    larger.call.size = sizeof larger;
    assert_int_equal(batchnorm_forward(&larger.call, NULL), BATCHNORM_OK);
    larger.more[2] = 1;
    assert_int_equal(batchnorm_forward(&larger.call, NULL), BATCHNORM_BAD_OPTION);
}

TEST(layers_refuse_wrong_sizes) {
    const int64_t shape[] = {2, 3};
    batchnorm_layer_options options = batchnorm_layer_defaults(1, 3);
    batchnorm_layer *layer = NULL;
    options.size--;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_BAD_OPTION);
    options.size++;
    options.convention.size = 0;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_BAD_OPTION);
    options = batchnorm_layer_defaults(1, 3);
    options.reserved[0] = 1;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_BAD_OPTION);
    options.reserved[0] = 0;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_OK);
    batchnorm_layer_forward_call call = {.size = 8,
                                         .x = batchnorm_tensor_contiguous(x, BATCHNORM_F32, 2, shape),
                                         .y = batchnorm_tensor_contiguous(y, BATCHNORM_F32, 2, shape)};
    batchnorm_exec exec = {.threads = 1};
    assert_int_equal(batchnorm_layer_forward_fused(layer, &call, NULL), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(layer), "the call's size must be the sizeof of its struct");
    assert_int_equal(batchnorm_layer_forward_fused(layer, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_backward_fused(layer, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_jvp(layer, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_double_backward(layer, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_forward(layer, call.x, call.y, NULL, 0, &exec), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(layer), "the exec's size must be sizeof(batchnorm_exec)");
    exec.size = sizeof exec;
    assert_int_equal(batchnorm_layer_forward(layer, call.x, call.y, NULL, 0, &exec), BATCHNORM_OK);
    batchnorm_options convention = batchnorm_convention(BATCHNORM_PYTORCH);
    convention.size = 0;
    batchnorm_layer_set_convention(layer, &convention);
    assert_int_equal(batchnorm_layer_forward(layer, call.x, call.y, NULL, 0, &exec), BATCHNORM_BAD_OPTION);
    batchnorm_layer_destroy(layer);
}

/* Optional arrays count by whether they are there, and needed ones not at all. */
TEST(a_workspace_can_be_asked_for_before_there_are_arrays) {
    const batchnorm_shape shape = {4, 40, 50, BATCHNORM_F32};
    const batchnorm_strides ncl = batchnorm_planar(shape);
    batchnorm_backward_call call = {.size = sizeof call, .shape = shape, .x = {NULL, ncl}, .dy = {NULL, ncl}, .dx = {y, ncl}};
    const size_t without_arrays = batchnorm_workspace_bytes(&call);
    call.x.data = call.dy.data = x;
    assert_int_equal(batchnorm_workspace_bytes(&call), without_arrays);
    call.activation = batchnorm_relu();
    assert_true(batchnorm_workspace_bytes(&call) > without_arrays); /* v is computed again, from numbers of its own */
    call.dx.data = NULL;
    assert_int_equal(batchnorm_workspace_bytes(&call), 0); /* nothing is wanted */
}

/* The text is that of snprintf: cut to its room, its length told; nothing for a call that is refused or does nothing. */
TEST(a_call_can_be_explained) {
    const batchnorm_shape shape = {4, 40, 50, BATCHNORM_F32};
    const batchnorm_strides ncl = batchnorm_planar(shape), nlc = batchnorm_channels_last(shape);
    batchnorm_forward_call call = {.size = sizeof call, .shape = shape, .x = {NULL, ncl}, .y = {NULL, ncl}};
    batchnorm_exec exec = {.size = sizeof exec, .threads = 1};
    char text[2048], cut[20];
    const size_t length = batchnorm_forward_explain(&call, &exec, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(batchnorm_forward_explain(&call, &exec, NULL, 0), length);
    assert_int_equal(batchnorm_forward_explain(&call, &exec, cut, sizeof cut), length);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    assert_memory_equal(cut, text, sizeof cut - 1);
    assert_non_null(strstr(text, "limits: "));
    assert_non_null(strstr(text, "\nthreads: 1\n"));
    assert_non_null(strstr(text, "\nsweep.0.verb: moments\nsweep.0.layout: planes\n"));
    assert_non_null(strstr(text, "\nsweep.1.verb: affine\n"));
    call.x.strides = call.y.strides = nlc;
    assert_true(batchnorm_forward_explain(&call, &exec, text, sizeof text) > 0);
    assert_non_null(strstr(text, "\nsweep.0.layout: rows\n"));
    call.shape.outer = 0;
    assert_int_equal(batchnorm_forward_explain(&call, &exec, text, sizeof text), 0);
    assert_string_equal(text, "");
    call.size = 1;
    assert_int_equal(batchnorm_forward_explain(&call, NULL, text, sizeof text), 0);
    call.size = sizeof call;
    exec.size = 0;
    assert_int_equal(batchnorm_forward_explain(&call, &exec, text, sizeof text), 0);
    call.shape.outer = 4;
    call.activation.kind = (batchnorm_activation_kind)77;
    assert_int_equal(batchnorm_forward_explain(&call, NULL, text, sizeof text), 0);
    assert_int_equal(batchnorm_forward_explain(NULL, NULL, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_size_that_is_known_needs_no_copy),
        cmocka_unit_test(what_an_older_caller_lacks_is_zero),
        cmocka_unit_test(what_a_newer_caller_has_must_be_zero),
        cmocka_unit_test(sizes_that_no_version_had_are_refused),
        cmocka_unit_test(raw_calls_refuse_wrong_sizes),
        cmocka_unit_test(raw_calls_take_larger_structs),
        cmocka_unit_test(layers_refuse_wrong_sizes),
        cmocka_unit_test(a_workspace_can_be_asked_for_before_there_are_arrays),
        cmocka_unit_test(a_call_can_be_explained),
    };
    return cmocka_run_group_tests_name("api.sized", tests, NULL, NULL);
}
