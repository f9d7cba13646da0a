/* SPDX-License-Identifier: MIT */
/* Making a layer, and its forward: modes, empty inputs, lazy layers, numbers that are not finite. What a forward refuses is in
 * test_layer_checks.c. Longer than 300 lines, most of them tables. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/layer_calls.h"
#include "tests/support/test.h"

enum { HOLD = BATCHNORM_HOLD_UPDATE, SKIP = BATCHNORM_SKIP_UPDATE };

static const int64_t images[] = {2, 3, 2, 2};

static int64_t count_of(batchnorm_layer *layer) { return *batchnorm_layer_num_batches_tracked(layer); }

TEST(defaults_are_those_of_pytorch) {
    const batchnorm_layer_options o = batchnorm_layer_defaults(2, 16);
    assert_int_equal(o.dims, 2);
    assert_int_equal(o.num_features, 16);
    assert_true(o.convention.eps == 1e-5 && o.convention.momentum == 0.1);
    assert_int_equal(o.convention.momentum_rule, BATCHNORM_MOMENTUM_OF_NEW);
    assert_int_equal(o.convention.running_variance, BATCHNORM_VARIANCE_UNBIASED);
    assert_false(o.convention.allow_one_value || o.convention.require_finite || o.cumulative || o.lazy);
    assert_true(o.affine && o.bias && o.track_running_stats);
    assert_int_equal(o.dtype, BATCHNORM_F32);
    assert_null(o.allocator);
}

TEST(a_new_layer_has_initial_values) {
    for (int dtype = BATCHNORM_F32; dtype <= BATCHNORM_F64; dtype++) {
        batchnorm_layer *layer = make_layer(2, 3, (batchnorm_dtype)dtype);
        const batchnorm_parameter *weight = batchnorm_layer_weight(layer), *bias = batchnorm_layer_bias(layer);
        const batchnorm_tensor mean = batchnorm_layer_running_mean(layer), var = batchnorm_layer_running_var(layer);
        const batchnorm_tensor *const all[] = {&weight->value, &weight->grad, &bias->value, &bias->grad, &mean, &var};
        static const double wanted[] = {1, 0, 0, 0, 0, 1};
        for (int i = 0; i < 6; i++) {
            assert_int_equal(all[i]->rank, 1);
            assert_int_equal(all[i]->shape[0], 3);
            assert_int_equal(all[i]->stride[0], 1);
            assert_int_equal(all[i]->dtype, dtype);
            for (int c = 0; c < 3; c++) assert_true(value_of(*all[i], c, -1) == wanted[i]);
        }
        assert_true(weight->requires_grad && bias->requires_grad && batchnorm_layer_is_training(layer));
        assert_int_equal(count_of(layer), 0);
        assert_string_equal(batchnorm_layer_message(layer), "");
    }
}

TEST(what_a_layer_has_follows_its_options) {
    for (int i = 0; i < 8; i++) {
        batchnorm_layer_options o = batchnorm_layer_defaults(1, 3);
        o.affine = i & 1;
        o.bias = i & 2;
        o.track_running_stats = i & 4;
        batchnorm_layer *layer = make_layer_of(o);
        assert_int_equal(batchnorm_layer_weight(layer) != NULL, o.affine);
        assert_int_equal(batchnorm_layer_bias(layer) != NULL, o.affine && o.bias);
        assert_int_equal(batchnorm_layer_running_mean(layer).data != NULL, o.track_running_stats);
        assert_int_equal(batchnorm_layer_running_var(layer).data != NULL, o.track_running_stats);
        assert_int_equal(batchnorm_layer_num_batches_tracked(layer) != NULL, o.track_running_stats);
        const batchnorm_layer_options now = batchnorm_layer_get_options(layer);
        assert_int_equal(now.affine, o.affine);
        assert_int_equal(now.bias, o.affine && o.bias); /* bias without affine is no bias */
        assert_int_equal(now.track_running_stats, o.track_running_stats);
    }
}

static void create(batchnorm_layer_options o, batchnorm_status status) {
    batchnorm_layer *layer = (batchnorm_layer *)&o;
    assert_int_equal(batchnorm_layer_create(&o, &layer), status);
    assert_int_equal(layer != NULL, status == BATCHNORM_OK);
    batchnorm_layer_destroy(layer);
}

static void *allocate_nothing(void *user, size_t bytes) {
    (void)user;
    (void)bytes;
    return NULL;
}

TEST(create_checks_its_options) {
    batchnorm_layer *layer = (batchnorm_layer *)state;
    batchnorm_layer_options o = batchnorm_layer_defaults(2, 3);
    assert_int_equal(batchnorm_layer_create(&o, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_create(NULL, &layer), BATCHNORM_NULL_POINTER);
    assert_null(layer);
    create(batchnorm_layer_defaults(0, 3), BATCHNORM_BAD_OPTION);
    create(batchnorm_layer_defaults(4, 3), BATCHNORM_BAD_OPTION);
    create(batchnorm_layer_defaults(2, -1), BATCHNORM_BAD_OPTION);
    create(batchnorm_layer_defaults(2, 0), BATCHNORM_OK);
    create(batchnorm_layer_defaults(2, INT64_MAX), BATCHNORM_TOO_LARGE);
    o.convention.momentum_rule = (batchnorm_momentum_rule)5;
    create(o, BATCHNORM_BAD_OPTION);
    o = batchnorm_layer_defaults(2, 3);
    o.convention.running_variance = (batchnorm_variance_rule)5;
    create(o, BATCHNORM_BAD_OPTION);
    o = batchnorm_layer_defaults(2, 3);
    o.dtype = BATCHNORM_BF16;
    create(o, BATCHNORM_BAD_DTYPE);
    o.dtype = BATCHNORM_I64;
    create(o, BATCHNORM_BAD_DTYPE);
    o = batchnorm_layer_defaults(2, 3);
    o.convention.eps = -1; /* not checked here, nor is momentum: as in PyTorch */
    o.convention.momentum = NAN;
    create(o, BATCHNORM_OK);
    batchnorm_allocator allocator = {allocate_nothing, NULL, NULL};
    o.allocator = &allocator;
    create(o, BATCHNORM_NULL_POINTER);
    o = batchnorm_layer_defaults(2, -7);
    o.lazy = true; /* its channels are ignored */
    create(o, BATCHNORM_OK);
}

TEST(null_layers_are_harmless) {
    const batchnorm_tensor t = {0};
    batchnorm_layer_destroy(NULL);
    batchnorm_saved_destroy(NULL);
    batchnorm_layer_train(NULL);
    batchnorm_layer_eval(NULL);
    batchnorm_layer_set_track_running_stats(NULL, true);
    batchnorm_layer_set_convention(NULL, NULL);
    batchnorm_layer_set_cumulative(NULL, true);
    batchnorm_layer_reset_parameters(NULL);
    batchnorm_layer_reset_running_stats(NULL);
    batchnorm_layer_zero_grad(NULL);
    batchnorm_layer_drop_update(NULL);
    assert_false(batchnorm_layer_is_training(NULL));
    assert_int_equal(batchnorm_layer_get_options(NULL).dims, 0);
    assert_null(batchnorm_layer_weight(NULL));
    assert_null(batchnorm_layer_bias(NULL));
    assert_null(batchnorm_layer_running_mean(NULL).data);
    assert_null(batchnorm_layer_running_var(NULL).data);
    assert_null(batchnorm_layer_num_batches_tracked(NULL));
    assert_null(batchnorm_saved_mean(NULL));
    assert_null(batchnorm_saved_rstd(NULL));
    assert_string_equal(batchnorm_layer_message(NULL), "");
    assert_int_equal(batchnorm_layer_forward(NULL, t, t, NULL, 0, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_backward(NULL, NULL, t, t, t, 0, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(layer_jvp(NULL, NULL, t, t, NULL, NULL, t, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(layer_double_backward(NULL, NULL, t, t, t, NULL, NULL, t, t, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_held_update(NULL, NULL, NULL, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_commit_update(NULL), BATCHNORM_NULL_POINTER);
    batchnorm_saved *saved = (batchnorm_saved *)state;
    assert_int_equal(batchnorm_saved_create(NULL, &saved), BATCHNORM_NULL_POINTER);
    assert_null(saved);
}

/* The rows of the table of modes: which statistics are used, which are updated, what is counted. */
TEST(modes_choose_the_statistics) {
    static const struct {
        bool training, made_with, flag, has_count, cumulative;
        bool batch, moves, counts;
    } table[] = {
        {true, true, true, true, false, true, true, true},       {true, false, false, false, false, true, false, false},
        {true, true, false, true, false, true, false, false},    {false, true, true, true, false, false, false, false},
        {false, false, false, false, false, true, false, false}, {false, true, false, true, false, false, false, false},
        {true, false, true, false, false, true, false, false},   {true, true, true, false, false, true, true, false},
        {true, true, true, false, true, true, false, false}, /* momentum None without a counter: factor 0 */
    };
    const batchnorm_tensor x = box(BATCHNORM_F64, 4, images, 11), y = box_like(x);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        batchnorm_layer_options o = batchnorm_layer_defaults(2, 3);
        o.dtype = BATCHNORM_F64;
        o.track_running_stats = table[i].made_with;
        o.cumulative = table[i].cumulative;
        batchnorm_layer *layer = make_layer_of(o);
        scramble(layer);
        batchnorm_layer_set_track_running_stats(layer, table[i].flag);
        if (!table[i].has_count) assert_int_equal(batchnorm_layer_remove(layer, "num_batches_tracked"), BATCHNORM_OK);
        if (!table[i].training) batchnorm_layer_eval(layer);
        assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, 0, NULL), BATCHNORM_OK);
        for (int64_t c = 0; c < 3; c++) {
            const struct moments m = moments_of(x, c);
            const double rm = 2 + 0.25 * (double)(c + 1), rv = 3 + 0.25 * (double)(c + 1), f = table[i].moves ? 0.1 : 0;
            expect_normalized(x, y, c, table[i].batch ? m.mean : rm, table[i].batch ? m.var : rv, 1e-5,
                              value_of(batchnorm_layer_weight(layer)->value, c, 1),
                              value_of(batchnorm_layer_bias(layer)->value, c, 0));
            if (!table[i].made_with) continue;
            expect_near(value_of(batchnorm_layer_running_mean(layer), c, 0), (1 - f) * rm + f * m.mean);
            expect_near(value_of(batchnorm_layer_running_var(layer), c, 0), (1 - f) * rv + f * m.var * m.count / (m.count - 1));
        }
        if (table[i].has_count) assert_int_equal(count_of(layer), table[i].counts ? 42 : 41);
    }
}

/* Empty inputs: any channels, counted in training, and nothing else happens. */
TEST(empty_inputs_only_count) {
    static const int64_t shapes[][2] = {{0, 3}, {0, 7}, {4, 0}, {0, 0}};
    for (int dtype = BATCHNORM_F32; dtype <= BATCHNORM_F64; dtype++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            batchnorm_layer *layer = make_layer(1, 3, (batchnorm_dtype)dtype);
            scramble(layer);
            const batchnorm_tensor empty = batchnorm_tensor_contiguous(NULL, BATCHNORM_F32, 2, shapes[i]);
            assert_int_equal(batchnorm_layer_forward(layer, empty, empty, NULL, 0, NULL), BATCHNORM_OK);
            assert_int_equal(count_of(layer), 42);
            *batchnorm_layer_num_batches_tracked(layer) = 41;
            assert_int_equal(batchnorm_layer_forward(layer, empty, empty, NULL, SKIP, NULL), BATCHNORM_OK);
            batchnorm_layer_eval(layer);
            assert_int_equal(batchnorm_layer_forward(layer, empty, empty, NULL, 0, NULL), BATCHNORM_OK);
            assert_int_equal(count_of(layer), 41);
            for (int64_t c = 0; c < 3; c++)
                expect_near(value_of(batchnorm_layer_running_mean(layer), c, 0), 2 + 0.25 * (double)(c + 1));
            batchnorm_tensor other = empty;
            other.shape[0]++;
            forward_refuses_these(layer, empty, other, 0, BATCHNORM_BAD_SHAPE,
                                  i == 0   ? "the output has the size [1, 3], the input [0, 3]"
                                  : i == 1 ? "the output has the size [1, 7], the input [0, 7]"
                                  : i == 2 ? "the output has the size [5, 0], the input [4, 0]"
                                           : "the output has the size [1, 0], the input [0, 0]");
        }
}

TEST(in_place_equals_out_of_place) {
    batchnorm_layer *a = make_layer(2, 3, BATCHNORM_F32), *b = make_layer(2, 3, BATCHNORM_F32);
    for (int i = 0; i < 4; i++) {
        const batchnorm_dtype dtype = all_dtypes[i] == BATCHNORM_F64 ? BATCHNORM_F32 : all_dtypes[i];
        const batchnorm_tensor x = box(dtype, 4, images, 5), same = box(dtype, 4, images, 5), y = box_like(x);
        assert_int_equal(batchnorm_layer_forward(a, x, y, NULL, 0, NULL), BATCHNORM_OK);
        assert_int_equal(batchnorm_layer_forward(b, same, same, NULL, 0, NULL), BATCHNORM_OK);
        assert_memory_equal(same.data, y.data, box_bytes(y));
    }
    expect_same_picture(picture(a, NULL), b, NULL);
}

static batchnorm_layer *make_lazy(int dims, bool affine, bool track) {
    batchnorm_layer_options o = batchnorm_layer_defaults(dims, 99);
    o.lazy = true;
    o.affine = affine;
    o.track_running_stats = track;
    return make_layer_of(o);
}

TEST(lazy_layers_learn_their_channels) {
    batchnorm_layer *lazy = make_lazy(2, true, true), *plain = make_layer(2, 3, BATCHNORM_F32);
    assert_int_equal(batchnorm_layer_get_options(lazy).num_features, 0);
    assert_true(batchnorm_layer_get_options(lazy).lazy);
    assert_null(batchnorm_layer_weight(lazy));
    assert_null(batchnorm_layer_bias(lazy));
    assert_null(batchnorm_layer_running_mean(lazy).data);
    assert_int_equal(count_of(lazy), 0);
    batchnorm_layer_reset_parameters(lazy); /* harmless */
    batchnorm_layer_zero_grad(lazy);
    /* nothing is learned from what is refused */
    forward_refuses(lazy, BATCHNORM_F32, 3, images, BATCHNORM_BAD_RANK, "expected 4D input (got 3D input)");
    forward_refuses(lazy, BATCHNORM_F64, 4, images, BATCHNORM_BAD_DTYPE,
                    "mixed dtype (CPU): all inputs must share same datatype (the input is float64, the layer is float32)");
    assert_int_equal(run_forward(lazy, BATCHNORM_F32, 4, images, 0), BATCHNORM_OK);
    assert_int_equal(run_forward(plain, BATCHNORM_F32, 4, images, 0), BATCHNORM_OK);
    expect_same_picture(picture(plain, NULL), lazy, NULL);
    assert_false(batchnorm_layer_get_options(lazy).lazy);
    forward_refuses(lazy, BATCHNORM_F32, 4, (int64_t[]){2, 4, 2, 2}, BATCHNORM_BAD_SHAPE,
                    "running_mean should contain 4 elements not 3 (x has 4 channels, the layer 3)");

    lazy = make_lazy(1, true, true); /* in evaluation mode */
    batchnorm_layer_eval(lazy);
    assert_int_equal(run_forward(lazy, BATCHNORM_F32, 2, (int64_t[]){1, 5}, 0), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_get_options(lazy).num_features, 5);
    assert_int_equal(count_of(lazy), 0);

    lazy = make_lazy(1, true, true); /* from an input without elements */
    assert_int_equal(run_forward(lazy, BATCHNORM_F32, 2, (int64_t[]){0, 5}, 0), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_get_options(lazy).num_features, 5);
    assert_int_equal(count_of(lazy), 1);

    lazy = make_lazy(1, false, false); /* with nothing to be sized it still accepts everything */
    assert_int_equal(run_forward(lazy, BATCHNORM_F32, 2, (int64_t[]){2, 5}, 0), BATCHNORM_OK);
    assert_int_equal(run_forward(lazy, BATCHNORM_F64, 2, (int64_t[]){2, 6}, 0), BATCHNORM_OK);

    lazy = make_lazy(1, true, true); /* removed before it was there */
    assert_int_equal(batchnorm_layer_remove(lazy, "bias"), BATCHNORM_OK);
    assert_int_equal(run_forward(lazy, BATCHNORM_F32, 2, (int64_t[]){2, 5}, HOLD), BATCHNORM_OK);
    assert_null(batchnorm_layer_bias(lazy));
    assert_non_null(batchnorm_layer_weight(lazy));
    assert_int_equal(batchnorm_layer_commit_update(lazy), BATCHNORM_OK);
    assert_int_equal(count_of(lazy), 1);
}

/* A channel with NaN or Inf poisons its own outputs and statistics only; in evaluation, only its own elements. */
TEST(bad_numbers_stay_in_their_channel) {
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        batchnorm_layer *layer = make_layer(2, 3, BATCHNORM_F64);
        const batchnorm_tensor x = box(BATCHNORM_F64, 4, images, 9), y = box_like(x);
        box_set(x, 1, 1, 2, bad[i]);
        batchnorm_layer_eval(layer);
        assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, 0, NULL), BATCHNORM_OK);
        for (int64_t n = 0; n < 2; n++)
            for (int64_t c = 0; c < 3; c++)
                for (int64_t s = 0; s < 4; s++) assert_int_equal(isfinite(box_at(y, n, c, s)) == 0, n == 1 && c == 1 && s == 2);
        batchnorm_layer_train(layer);
        assert_int_equal(batchnorm_layer_forward(layer, x, y, NULL, 0, NULL), BATCHNORM_OK);
        for (int64_t c = 0; c < 3; c++) {
            assert_int_equal(isnan(box_at(y, 0, c, 0)) != 0, c == 1);
            assert_int_equal(isfinite(value_of(batchnorm_layer_running_mean(layer), c, 0)) == 0, c == 1);
            assert_int_equal(isnan(value_of(batchnorm_layer_running_var(layer), c, 0)) != 0, c == 1);
        }
        expect_near(value_of(batchnorm_layer_running_mean(layer), 1, 0), bad[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(defaults_are_those_of_pytorch, let_go),
        cmocka_unit_test_teardown(a_new_layer_has_initial_values, let_go),
        cmocka_unit_test_teardown(what_a_layer_has_follows_its_options, let_go),
        cmocka_unit_test_teardown(create_checks_its_options, let_go),
        cmocka_unit_test_teardown(null_layers_are_harmless, let_go),
        cmocka_unit_test_teardown(modes_choose_the_statistics, let_go),
        cmocka_unit_test_teardown(empty_inputs_only_count, let_go),
        cmocka_unit_test_teardown(in_place_equals_out_of_place, let_go),
        cmocka_unit_test_teardown(lazy_layers_learn_their_channels, let_go),
        cmocka_unit_test_teardown(bad_numbers_stay_in_their_channel, let_go),
    };
    return cmocka_run_group_tests_name("api.layer", tests, NULL, NULL);
}
