/* SPDX-License-Identifier: MIT */
/* What a forward refuses, in which order, and with which sentence: PyTorch 2.15's where it has one. Nothing changes then.
 * Long because it is a table of refusals. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/test.h"

enum { HOLD = BATCHNORM_HOLD_UPDATE, SKIP = BATCHNORM_SKIP_UPDATE };

static const int64_t images[] = {2, 3, 2, 2};
static double space[64];

static int64_t count_of(batchnorm_layer *layer) { return *batchnorm_layer_num_batches_tracked(layer); }

TEST(each_class_has_its_ranks) {
    static const char *const wanted[] = {"2D or 3D", "4D", "5D"};
    const int64_t shape[BATCHNORM_MAX_RANK] = {2, 3, 2, 1, 1, 1, 1, 1};
    for (int dims = 1; dims <= 3; dims++) {
        batchnorm_layer *layer = make_layer(dims, 3, BATCHNORM_F64);
        for (int rank = 0; rank <= BATCHNORM_MAX_RANK; rank++) {
            char message[64];
            snprintf(message, sizeof message, "expected %s input (got %dD input)", wanted[dims - 1], rank);
            if (rank == dims + 2 || (dims == 1 && rank == 2))
                assert_int_equal(run_forward(layer, BATCHNORM_F64, rank, shape, 0), BATCHNORM_OK);
            else
                forward_refuses(layer, BATCHNORM_F64, rank, shape, BATCHNORM_BAD_RANK, message);
        }
        const batchnorm_tensor none = {.data = space, .rank = -1};
        assert_int_equal(batchnorm_layer_forward(layer, none, none, NULL, 0, NULL), BATCHNORM_BAD_RANK);
    }
}

TEST(one_value_per_channel_is_refused) {
    static const char *const message = "Expected more than 1 value per channel when training, got input size [1, 3]";
    batchnorm_layer *layer = make_layer(1, 3, BATCHNORM_F64);
    forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){1, 3}, BATCHNORM_ONE_VALUE, message);
    forward_refuses(layer, BATCHNORM_F64, 3, (int64_t[]){1, 3, 1}, BATCHNORM_ONE_VALUE,
                    "Expected more than 1 value per channel when training, got input size [1, 3, 1]");
    forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){1, 4}, BATCHNORM_ONE_VALUE, /* before the channels are looked at */
                    "Expected more than 1 value per channel when training, got input size [1, 4]");
    forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){1, 0}, BATCHNORM_ONE_VALUE, /* and before it counts as empty */
                    "Expected more than 1 value per channel when training, got input size [1, 0]");
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 3, (int64_t[]){1, 3, 2}, 0), BATCHNORM_OK);
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){2, 3}, 0), BATCHNORM_OK);
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 3, (int64_t[]){1, 3, 0}, 0), BATCHNORM_OK);
    batchnorm_layer_eval(layer);
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){1, 3}, 0), BATCHNORM_OK);

    batchnorm_layer_options o = batchnorm_layer_defaults(1, 3);
    o.track_running_stats = false;
    o.dtype = BATCHNORM_F64;
    layer = make_layer_of(o);
    batchnorm_layer_eval(layer); /* batch statistics in evaluation mode: the same sentence */
    forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){1, 3}, BATCHNORM_ONE_VALUE, message);
    o.convention.allow_one_value = true;
    batchnorm_layer_set_convention(layer, &o.convention);
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){1, 3}, 0), BATCHNORM_OK);
}

TEST(eps_has_rules) {
    static const struct {
        double eps;
        const char *training, *evaluation; /* NULL: accepted */
    } table[] = {
        {0, "batch_norm eps must be positive during training, but got 0.0", NULL},
        {-1e-5, "batch_norm eps must be positive during training, but got -1e-05",
         "batch_norm eps must be non-negative, but got -1e-05"},
        {NAN, "batch_norm eps must be positive during training, but got nan",
         "batch_norm eps must be non-negative, but got nan"},
        {INFINITY, NULL, NULL},
        {DBL_MIN, NULL, NULL},
    };
    batchnorm_layer *layer = make_layer(1, 3, BATCHNORM_F64);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (int training = 0; training < 2; training++) {
            batchnorm_options convention = batchnorm_convention(BATCHNORM_PYTORCH);
            convention.eps = table[i].eps;
            batchnorm_layer_set_convention(layer, &convention);
            (training ? batchnorm_layer_train : batchnorm_layer_eval)(layer);
            const char *message = training ? table[i].training : table[i].evaluation;
            if (message == NULL)
                assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){2, 3}, 0), BATCHNORM_OK);
            else
                forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){2, 4}, BATCHNORM_BAD_EPS, message);
            if (message != NULL) forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){0, 3}, BATCHNORM_BAD_EPS, message);
        }
}

/* What is compared with the channels, and in which order: the first that differs is named. */
TEST(channels_must_agree) {
    static const char *const order[] = {"running_mean", "running_var", "weight", "bias"};
    batchnorm_layer *layer = make_layer(1, 3, BATCHNORM_F64);
    for (int i = 0; i < 4; i++) {
        char message[128];
        snprintf(message, sizeof message, "%s should contain 7 elements not 3 (x has 7 channels, the layer 3)", order[i]);
        forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){3, 7}, BATCHNORM_BAD_SHAPE, message);
        forward_refuses(layer, BATCHNORM_F32, 2, (int64_t[]){3, 7}, BATCHNORM_BAD_SHAPE, message); /* before the type */
        assert_int_equal(batchnorm_layer_remove(layer, order[i]), BATCHNORM_OK);
    }
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){3, 7}, 0), BATCHNORM_OK);
    assert_int_equal(run_forward(layer, BATCHNORM_F32, 2, (int64_t[]){3, 5}, 0), BATCHNORM_OK);
    assert_int_equal(count_of(layer), 2);
    batchnorm_layer *images = make_layer(2, 3, BATCHNORM_F32); /* (N, H, W, C) without a word */
    forward_refuses(images, BATCHNORM_F32, 4, (int64_t[]){2, 5, 5, 3}, BATCHNORM_BAD_SHAPE,
                    "running_mean should contain 5 elements not 3 (x has 5 channels, the layer 3; its last size would fit: are "
                    "the channels last?)");
}

/* The flag hides statistics in training, but never parameters. */
TEST(parameters_are_always_compared) {
    static const char *const names[] = {"weight", "bias"};
    for (int i = 0; i < 2; i++) {
        char message[128];
        batchnorm_layer *layer = make_layer(1, 3, BATCHNORM_F32);
        batchnorm_layer_set_track_running_stats(layer, false);
        assert_int_equal(batchnorm_layer_remove(layer, names[1 - i]), BATCHNORM_OK);
        snprintf(message, sizeof message, "%s should contain 7 elements not 3 (x has 7 channels, the layer 3)", names[i]);
        forward_refuses(layer, BATCHNORM_F32, 2, (int64_t[]){3, 7}, BATCHNORM_BAD_SHAPE, message);
        forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){3, 3}, BATCHNORM_BAD_DTYPE,
                        "mixed dtype (CPU): all inputs must share same datatype (the input is float64, the layer is float32)");
    }
}

/* A layer that has nothing, and one whose flag hides in training what it has. */
TEST(without_parameters_anything_goes) {
    batchnorm_layer_options o = batchnorm_layer_defaults(1, 3);
    o.affine = o.track_running_stats = false;
    batchnorm_layer *layer = make_layer_of(o);
    for (int mode = 0; mode < 2; mode++) {
        for (int i = 0; i < 4; i++)
            for (int64_t c = 1; c < 5; c++)
                assert_int_equal(run_forward(layer, all_dtypes[i], 2, (int64_t[]){2, c}, 0), BATCHNORM_OK);
        batchnorm_layer_eval(layer);
    }
    layer = make_layer_of(o); /* but what it saves has to fit */
    const batchnorm_tensor wide = batchnorm_tensor_contiguous(space, BATCHNORM_F16, 2, (int64_t[]){2, INT64_MAX / 8});
    forward_refuses_these(layer, wide, wide, 0, BATCHNORM_TOO_LARGE, batchnorm_status_string(BATCHNORM_TOO_LARGE));
    o.track_running_stats = true;
    layer = make_layer_of(o);
    batchnorm_layer_set_track_running_stats(layer, false);
    assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){2, 4}, 0), BATCHNORM_OK);
    batchnorm_layer_eval(layer); /* evaluation ignores the flag */
    forward_refuses(layer, BATCHNORM_F32, 2, (int64_t[]){2, 4}, BATCHNORM_BAD_SHAPE,
                    "running_mean should contain 4 elements not 3 (x has 4 channels, the layer 3)");
}

TEST(types_must_agree) {
    static const char *const f64_into_f32 =
        "mixed dtype (CPU): all inputs must share same datatype (the input is float64, the layer is float32)";
    for (int training = 0; training < 2; training++) {
        batchnorm_layer *f32 = make_layer(1, 3, BATCHNORM_F32), *f64 = make_layer(1, 3, BATCHNORM_F64);
        if (!training) batchnorm_layer_eval(f32);
        if (!training) batchnorm_layer_eval(f64);
        const int64_t shape[] = {4, 3};
        assert_int_equal(run_forward(f32, BATCHNORM_F32, 2, shape, 0), BATCHNORM_OK);
        assert_int_equal(run_forward(f32, BATCHNORM_BF16, 2, shape, 0), BATCHNORM_OK);
        assert_int_equal(run_forward(f32, BATCHNORM_F16, 2, shape, 0), BATCHNORM_OK);
        assert_int_equal(run_forward(f64, BATCHNORM_F64, 2, shape, 0), BATCHNORM_OK);
        forward_refuses(f32, BATCHNORM_F64, 2, shape, BATCHNORM_BAD_DTYPE, f64_into_f32);
        forward_refuses(
            f64, BATCHNORM_F32, 2, shape, BATCHNORM_BAD_DTYPE,
            "mixed dtype (CPU): expect parameter to have scalar type of Float (the input is float32, the layer is float64)");
        forward_refuses(
            f64, BATCHNORM_BF16, 2, shape, BATCHNORM_BAD_DTYPE,
            "mixed dtype (CPU): expect parameter to have scalar type of Float (the input is bfloat16, the layer is float64)");
        forward_refuses(f32, BATCHNORM_I64, 2, shape, BATCHNORM_BAD_DTYPE, "\"batch_norm\" not implemented for 'Long'");
        const batchnorm_tensor odd = batchnorm_tensor_contiguous(space, (batchnorm_dtype)9, 2, shape);
        forward_refuses_these(f32, odd, odd, 0, BATCHNORM_BAD_DTYPE, "element types that must agree do not");
        assert_int_equal(run_forward(f32, BATCHNORM_F64, 2, (int64_t[]){0, 5}, 0), BATCHNORM_OK); /* empty: not looked at */
    }
}

TEST(flags_and_rules_are_checked) {
    const batchnorm_tensor x = box(BATCHNORM_F64, 4, images, 3), y = box_like(x);
    batchnorm_layer *layer = make_layer(2, 3, BATCHNORM_F64);
    forward_refuses_these(layer, x, y, 64, BATCHNORM_BAD_OPTION, "unknown flag in 0x40");
    forward_refuses_these(layer, x, y, BATCHNORM_FROZEN, BATCHNORM_BAD_OPTION, "unknown flag in 0x1");
    forward_refuses_these(layer, x, y, HOLD | SKIP, BATCHNORM_BAD_OPTION, "an update is either skipped or held");
    batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
    o.momentum = NAN;
    batchnorm_layer_set_convention(layer, &o);
    forward_refuses_these(layer, x, y, 0, BATCHNORM_BAD_OPTION, "momentum is NaN, or a rule of the convention is unknown");
    assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, SKIP, NULL), BATCHNORM_OK); /* where it has a say */
    batchnorm_layer_set_cumulative(layer, true);
    assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, 0, NULL), BATCHNORM_OK);
    o.running_variance = (batchnorm_variance_rule)4;
    batchnorm_layer_set_convention(layer, &o);
    forward_refuses_these(layer, x, y, 0, BATCHNORM_BAD_OPTION, "momentum is NaN, or a rule of the convention is unknown");
}

TEST(bad_tensors_are_refused) {
    const batchnorm_tensor x = box(BATCHNORM_F64, 4, images, 3), y = box_like(x);
    batchnorm_layer *layer = make_layer(2, 3, BATCHNORM_F64);
    batchnorm_tensor bad = x;
    bad.data = NULL;
    forward_refuses_these(layer, bad, y, 0, BATCHNORM_NULL_POINTER, "a required pointer is NULL");
    forward_refuses_these(layer, x, bad, 0, BATCHNORM_NULL_POINTER, "a required pointer is NULL");
    bad = y;
    bad.shape[3] = 1;
    forward_refuses_these(layer, x, bad, 0, BATCHNORM_BAD_SHAPE,
                          "the output has the size [2, 3, 2, 1], the input [2, 3, 2, 2]");
    bad = y;
    bad.rank = 99;
    forward_refuses_these(layer, x, bad, 0, BATCHNORM_BAD_SHAPE, "sizes that must agree do not");
    bad = y;
    bad.dtype = BATCHNORM_F32;
    forward_refuses_these(layer, x, bad, 0, BATCHNORM_BAD_DTYPE, "element types that must agree do not");
    bad = y;
    bad.stride[1] = 0;
    forward_refuses_these(layer, x, bad, 0, BATCHNORM_BAD_STRIDE, "y has strides that make two of its elements share memory");
    bad = x;
    bad.data = (char *)y.data + 8;
    forward_refuses_these(layer, bad, y, 0, BATCHNORM_OVERLAP, "y overlaps x in a way that is not allowed");
    bad = x;
    bad.shape[0] = -2;
    forward_refuses_these(layer, bad, y, 0, BATCHNORM_BAD_SHAPE, "sizes that must agree do not");
    bad = x;
    bad.shape[0] = bad.shape[2] = INT64_MAX / 2;
    forward_refuses_these(layer, bad, bad, 0, BATCHNORM_TOO_LARGE, batchnorm_status_string(BATCHNORM_TOO_LARGE));
    bad = x;
    bad.stride[0] = INT64_MAX / 4;
    forward_refuses_these(layer, bad, y, 0, BATCHNORM_TOO_LARGE, batchnorm_status_string(BATCHNORM_TOO_LARGE));
    assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, 0, NULL), BATCHNORM_OK);
    assert_string_equal(batchnorm_layer_message(layer), ""); /* of the last call */
}

TEST(y_must_not_be_the_layers_own_memory) {
    batchnorm_layer *layer = make_layer(1, 16, BATCHNORM_F64);
    batchnorm_tensor own[] = {
        batchnorm_layer_weight(layer)->value, batchnorm_layer_bias(layer)->grad, batchnorm_layer_running_mean(layer), {0}};
    const batchnorm_tensor wide = box(BATCHNORM_F64, 2, (int64_t[]){2, 16}, 3), out = box_like(wide);
    assert_int_equal(batchnorm_layer_forward(layer, wide, out, NULL, HOLD, NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_held_update(layer, &own[3], NULL, NULL), BATCHNORM_OK);
    for (int i = 0; i < 4; i++) {
        const batchnorm_tensor y = batchnorm_tensor_contiguous(own[i].data, BATCHNORM_F64, 2, wide.shape);
        assert_int_equal(batchnorm_layer_forward(layer, wide, y, NULL, 0, NULL), BATCHNORM_OVERLAP);
    }
}

TEST(half_of_the_statistics_is_none) {
    static const char *const both = "running_mean and running_var must either both be None or neither be None";
    static const char *const names[] = {"running_mean", "running_var"};
    for (int i = 0; i < 2; i++) {
        char message[64];
        snprintf(message, sizeof message, "%s must be defined in evaluation mode", names[i]);
        batchnorm_layer *layer = make_layer(1, 3, BATCHNORM_F64);
        assert_int_equal(batchnorm_layer_remove(layer, names[i]), BATCHNORM_OK);
        forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){2, 3}, BATCHNORM_NO_STATISTICS, both);
        forward_refuses(layer, BATCHNORM_F32, 2, (int64_t[]){2, 3}, BATCHNORM_NO_STATISTICS, both); /* before the type */
        batchnorm_layer_eval(layer);
        forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){2, 3}, BATCHNORM_NO_STATISTICS, message);
        forward_refuses(layer, BATCHNORM_F64, 2, (int64_t[]){2, 4}, /* in the order of the sizes */
                        i == 0 ? BATCHNORM_NO_STATISTICS : BATCHNORM_BAD_SHAPE,
                        i == 0 ? message : "running_mean should contain 4 elements not 3 (x has 4 channels, the layer 3)");
        assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){0, 3}, 0), BATCHNORM_OK);
        batchnorm_layer_train(layer);
        batchnorm_layer_set_track_running_stats(layer, false); /* hidden */
        assert_int_equal(run_forward(layer, BATCHNORM_F64, 2, (int64_t[]){2, 3}, 0), BATCHNORM_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_class_has_its_ranks, let_go),
        cmocka_unit_test_teardown(one_value_per_channel_is_refused, let_go),
        cmocka_unit_test_teardown(eps_has_rules, let_go),
        cmocka_unit_test_teardown(channels_must_agree, let_go),
        cmocka_unit_test_teardown(parameters_are_always_compared, let_go),
        cmocka_unit_test_teardown(without_parameters_anything_goes, let_go),
        cmocka_unit_test_teardown(types_must_agree, let_go),
        cmocka_unit_test_teardown(flags_and_rules_are_checked, let_go),
        cmocka_unit_test_teardown(bad_tensors_are_refused, let_go),
        cmocka_unit_test_teardown(y_must_not_be_the_layers_own_memory, let_go),
        cmocka_unit_test_teardown(half_of_the_statistics_is_none, let_go),
    };
    return cmocka_run_group_tests_name("api.layer.checks", tests, NULL, NULL);
}
