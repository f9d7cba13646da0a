/* SPDX-License-Identifier: MIT */
/* The running statistics of a layer: averages, conventions, updates that are skipped, held, or refused, resets.
 * Longer than 300 lines: one story for each way an update can go. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/test.h"

enum { HOLD = BATCHNORM_HOLD_UPDATE, SKIP = BATCHNORM_SKIP_UPDATE };

static const int64_t images[] = {2, 3, 2, 2};

struct fixture {
    batchnorm_layer *layer;
    batchnorm_tensor x, y;
};

static struct fixture start(batchnorm_dtype dtype) {
    struct fixture f = {.layer = make_layer(2, 3, dtype), .x = box(dtype, 4, images, 21)};
    f.y = box_like(f.x);
    return f;
}

static batchnorm_status forward(const struct fixture *f, unsigned flags) {
    return batchnorm_layer_forward(f->layer, f->x, f->y, NULL, flags, NULL);
}

static int64_t count_of(const struct fixture *f) { return *batchnorm_layer_num_batches_tracked(f->layer); }

static double mean_of(const struct fixture *f, int64_t c) { return value_of(batchnorm_layer_running_mean(f->layer), c, 0); }

static double var_of(const struct fixture *f, int64_t c) { return value_of(batchnorm_layer_running_var(f->layer), c, 0); }

static double unbiased(struct moments m) { return m.var * m.count / (m.count - 1); }

TEST(momentum_none_is_the_plain_average) {
    struct fixture f = start(BATCHNORM_F64);
    double mean[3] = {0}, var[3] = {0};
    batchnorm_layer_set_cumulative(f.layer, true);
    for (int i = 1; i <= 5; i++) {
        f.x = box(BATCHNORM_F64, 4, images, (uint64_t)i * 77);
        assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        assert_int_equal(count_of(&f), i);
        for (int64_t c = 0; c < 3; c++) {
            mean[c] += moments_of(f.x, c).mean;
            var[c] += unbiased(moments_of(f.x, c));
            expect_near(mean_of(&f, c), mean[c] / i);
            expect_near(var_of(&f, c), var[c] / i);
        }
    }
    *batchnorm_layer_num_batches_tracked(f.layer) = -1;
    const char *before = picture(f.layer, NULL);
    assert_int_equal(forward(&f, 0), BATCHNORM_BAD_OPTION); /* PyTorch divides by zero here */
    assert_string_equal(batchnorm_layer_message(f.layer), "num_batches_tracked is -1: there is no average of 0 batches");
    expect_same_picture(before, f.layer, NULL);
}

TEST(any_momentum_is_taken) {
    static const double momenta[] = {0, 1, 2, -0.5, -1.2};
    for (size_t i = 0; i < sizeof momenta / sizeof momenta[0]; i++) {
        struct fixture f = start(BATCHNORM_F64);
        batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
        o.momentum = momenta[i];
        batchnorm_layer_set_convention(f.layer, &o);
        scramble(f.layer);
        assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        assert_int_equal(count_of(&f), 42);
        for (int64_t c = 0; c < 3; c++) {
            const struct moments m = moments_of(f.x, c);
            expect_near(mean_of(&f, c), (1 - momenta[i]) * (2.25 + 0.25 * (double)c) + momenta[i] * m.mean);
            expect_near(var_of(&f, c), (1 - momenta[i]) * (3.25 + 0.25 * (double)c) + momenta[i] * unbiased(m));
        }
    }
}

TEST(conventions_are_followed) {
    for (int framework = BATCHNORM_PYTORCH; framework <= BATCHNORM_TF_FUSED; framework++) {
        struct fixture f = start(BATCHNORM_F64);
        const batchnorm_options o = batchnorm_convention((batchnorm_framework)framework);
        const double new = o.momentum_rule == BATCHNORM_MOMENTUM_OF_NEW ? o.momentum : 1 - o.momentum;
        batchnorm_layer_set_convention(f.layer, &o);
        assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        for (int64_t c = 0; c < 3; c++) {
            const struct moments m = moments_of(f.x, c);
            expect_near(mean_of(&f, c), new *m.mean);
            expect_near(var_of(&f, c), 1 - new + new *(o.running_variance == BATCHNORM_VARIANCE_BIASED ? m.var : unbiased(m)));
            expect_normalized(f.x, f.y, c, m.mean, m.var, o.eps, 1, 0);
        }
    }
}

TEST(skipped_updates_change_nothing) {
    struct fixture f = start(BATCHNORM_F32);
    assert_int_equal(forward(&f, 0), BATCHNORM_OK);
    float *once = malloc(box_bytes(f.y));
    assert_non_null(once);
    memcpy(once, f.y.data, box_bytes(f.y));
    const char *before = picture(f.layer, NULL);
    memset(f.y.data, 0, box_bytes(f.y));
    assert_int_equal(forward(&f, SKIP), BATCHNORM_OK);
    assert_memory_equal(f.y.data, once, box_bytes(f.y)); /* recomputed, to the bit */
    expect_same_picture(before, f.layer, NULL);
    free(once);
}

/* Held, looked at, and committed: the same bits as an update at once. */
TEST(held_updates_are_committed_later) {
    struct fixture f = start(BATCHNORM_F32), at_once = start(BATCHNORM_F32);
    batchnorm_tensor mean, var;
    int64_t count;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(batchnorm_layer_held_update(f.layer, &mean, &var, &count), BATCHNORM_NO_HELD_UPDATE);
        assert_int_equal(batchnorm_layer_commit_update(f.layer), BATCHNORM_NO_HELD_UPDATE);
        assert_string_equal(batchnorm_layer_message(f.layer), "there is no held update of the running statistics");
        const double old = mean_of(&f, 1);
        assert_int_equal(forward(&f, HOLD), BATCHNORM_OK);
        assert_int_equal(forward(&at_once, 0), BATCHNORM_OK);
        assert_true(mean_of(&f, 1) == old);
        assert_int_equal(count_of(&f), i);
        assert_int_equal(batchnorm_layer_held_update(f.layer, &mean, &var, &count), BATCHNORM_OK);
        assert_int_equal(batchnorm_layer_held_update(f.layer, NULL, NULL, NULL), BATCHNORM_OK);
        assert_int_equal(count, i + 1);
        assert_int_equal(mean.shape[0], 3);
        assert_int_equal(mean.dtype, BATCHNORM_F32);
        assert_memory_equal(mean.data, batchnorm_layer_running_mean(at_once.layer).data, 3 * sizeof(float));
        assert_memory_equal(var.data, batchnorm_layer_running_var(at_once.layer).data, 3 * sizeof(float));
        assert_int_equal(batchnorm_layer_remove(f.layer, "nothing"), BATCHNORM_BAD_OPTION); /* leaves a message */
        assert_int_equal(batchnorm_layer_commit_update(f.layer), BATCHNORM_OK);
        assert_string_equal(batchnorm_layer_message(f.layer), "");
        expect_same_picture(picture(at_once.layer, NULL), f.layer, NULL);
    }
}

TEST(held_updates_can_be_dropped) {
    struct fixture f = start(BATCHNORM_F32);
    assert_int_equal(forward(&f, SKIP), BATCHNORM_OK);
    const char *before = picture(f.layer, NULL);
    assert_int_equal(forward(&f, HOLD), BATCHNORM_OK);
    batchnorm_layer_drop_update(f.layer);
    batchnorm_layer_drop_update(f.layer);
    expect_same_picture(before, f.layer, NULL);
    assert_int_equal(batchnorm_layer_commit_update(f.layer), BATCHNORM_NO_HELD_UPDATE);
}

static bool holds(const struct fixture *f) { return batchnorm_layer_held_update(f->layer, NULL, NULL, NULL) == BATCHNORM_OK; }

/* What was computed from statistics that have changed since must not be committed. */
TEST(a_held_update_does_not_outlive_its_base) {
    struct fixture f = start(BATCHNORM_F32);
    batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
    const size_t count = batchnorm_layer_state(f.layer, entries);
    for (int i = 0; i < 8; i++) {
        batchnorm_layer_train(f.layer);
        assert_int_equal(forward(&f, HOLD), BATCHNORM_OK);
        assert_true(holds(&f));
        if (i == 0) assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        if (i == 1) assert_int_equal(batchnorm_layer_load_state(f.layer, entries, count, 2, true), BATCHNORM_OK);
        if (i == 2) batchnorm_layer_reset_running_stats(f.layer);
        if (i == 3) batchnorm_layer_reset_parameters(f.layer);
        if (i == 4) batchnorm_layer_eval(f.layer);
        if (i == 4) assert_int_equal(forward(&f, HOLD), BATCHNORM_OK); /* it has nothing to update */
        if (i == 5) assert_int_equal(forward(&f, SKIP), BATCHNORM_OK);
        if (i == 6) batchnorm_layer_eval(f.layer);
        if (i == 6) assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        if (i == 7) assert_int_equal(batchnorm_layer_remove(f.layer, "weight"), BATCHNORM_OK);
        assert_int_equal(holds(&f), i > 4); /* the last three leave the statistics alone */
    }
    static const char *const names[] = {"running_mean", "running_var", "num_batches_tracked"};
    for (int i = 0; i < 3; i++) {
        struct fixture g = start(BATCHNORM_F32);
        assert_int_equal(forward(&g, HOLD), BATCHNORM_OK);
        assert_int_equal(batchnorm_layer_remove(g.layer, names[i]), BATCHNORM_OK);
        assert_false(holds(&g));
    }
}

/* A layer that lost its buffers holds what is left: the count, or nothing at all. */
TEST(held_updates_have_what_the_layer_has) {
    struct fixture f = start(BATCHNORM_F32);
    batchnorm_tensor mean, var;
    int64_t count = 7;
    assert_int_equal(batchnorm_layer_remove(f.layer, "running_mean"), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_remove(f.layer, "running_var"), BATCHNORM_OK);
    assert_int_equal(forward(&f, HOLD), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_held_update(f.layer, &mean, &var, &count), BATCHNORM_OK);
    assert_null(mean.data);
    assert_null(var.data);
    assert_int_equal(count, 1);
    assert_int_equal(batchnorm_layer_commit_update(f.layer), BATCHNORM_OK);
    assert_int_equal(count_of(&f), 1);
    batchnorm_layer_set_track_running_stats(f.layer, false);
    assert_int_equal(forward(&f, HOLD), BATCHNORM_OK);
    assert_false(holds(&f));
}

TEST(an_empty_batch_can_be_held) {
    struct fixture f = start(BATCHNORM_F64);
    const batchnorm_tensor empty = batchnorm_tensor_contiguous(NULL, BATCHNORM_F64, 4, (int64_t[]){0, 9, 2, 2});
    batchnorm_tensor mean, var;
    int64_t count;
    scramble(f.layer);
    assert_int_equal(batchnorm_layer_forward(f.layer, empty, empty, NULL, HOLD, NULL), BATCHNORM_OK);
    assert_int_equal(count_of(&f), 41);
    assert_int_equal(batchnorm_layer_held_update(f.layer, &mean, &var, &count), BATCHNORM_OK);
    assert_int_equal(count, 42);
    assert_memory_equal(mean.data, batchnorm_layer_running_mean(f.layer).data, 3 * sizeof(double));
    assert_memory_equal(var.data, batchnorm_layer_running_var(f.layer).data, 3 * sizeof(double));
    assert_int_equal(batchnorm_layer_commit_update(f.layer), BATCHNORM_OK);
    assert_int_equal(count_of(&f), 42);
}

/* With require_finite y is written, and the running statistics and the counter stay. */
TEST(batches_that_are_not_finite_can_be_refused) {
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e300 /* its square is infinite */};
    for (int i = 0; i < 4; i++) {
        struct fixture f = start(BATCHNORM_F64);
        batchnorm_options o = batchnorm_convention(BATCHNORM_PYTORCH);
        o.require_finite = true;
        batchnorm_layer_set_convention(f.layer, &o);
        scramble(f.layer);
        box_set(f.x, 1, 2, 0, bad[i]);
        for (int hold = 0; hold < 2; hold++) {
            memset(f.y.data, 0, box_bytes(f.y));
            assert_int_equal(forward(&f, hold ? HOLD : 0), BATCHNORM_NOT_COMMITTED);
            assert_string_equal(batchnorm_layer_message(f.layer), "");
            assert_int_equal(count_of(&f), 41);
            for (int64_t c = 0; c < 3; c++) {
                assert_true(mean_of(&f, c) == 2.25 + 0.25 * (double)c);
                assert_true(var_of(&f, c) == 3.25 + 0.25 * (double)c);
            }
            const struct moments m = moments_of(f.x, 0);
            expect_normalized(f.x, f.y, 0, m.mean, m.var, 1e-5, 1.25, -0.75);
            assert_false(holds(&f));
        }
        assert_int_equal(batchnorm_layer_backward(f.layer, NULL, f.x, f.x, f.y, 0, NULL), BATCHNORM_OK); /* it was a forward */
        assert_int_equal(forward(&f, SKIP), BATCHNORM_OK); /* nothing was to be committed */
        batchnorm_layer_eval(f.layer);
        assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        batchnorm_layer_train(f.layer);
        box_set(f.x, 1, 2, 0, 1);
        assert_int_equal(forward(&f, 0), BATCHNORM_OK);
        assert_int_equal(count_of(&f), 42);
    }
}

TEST(resets_follow_the_flag) {
    struct fixture f = start(BATCHNORM_F64);
    scramble(f.layer);
    batchnorm_layer_set_track_running_stats(f.layer, false);
    const char *before = picture(f.layer, NULL);
    batchnorm_layer_reset_running_stats(f.layer); /* nothing, as in PyTorch */
    expect_same_picture(before, f.layer, NULL);
    batchnorm_layer_reset_parameters(f.layer);
    assert_true(mean_of(&f, 0) == 2.25 && var_of(&f, 0) == 3.25 && count_of(&f) == 41);
    const batchnorm_parameter *weight = batchnorm_layer_weight(f.layer), *bias = batchnorm_layer_bias(f.layer);
    assert_true(value_of(weight->value, 2, 0) == 1 && value_of(bias->value, 2, 1) == 0);
    assert_true(value_of(weight->grad, 2, 0) == 5.75 && value_of(bias->grad, 2, 0) == 6.75); /* gradients stay */

    batchnorm_layer_set_track_running_stats(f.layer, true);
    set_value(weight->value, 0, 9);
    batchnorm_layer_reset_running_stats(f.layer);
    for (int64_t c = 0; c < 3; c++) assert_true(mean_of(&f, c) == 0 && var_of(&f, c) == 1);
    assert_int_equal(count_of(&f), 0);
    assert_true(value_of(weight->value, 0, 0) == 9);
    batchnorm_layer_zero_grad(f.layer);
    for (int64_t c = 0; c < 3; c++) assert_true(value_of(weight->grad, c, 1) == 0 && value_of(bias->grad, c, 1) == 0);
    assert_true(value_of(weight->value, 0, 0) == 9);
    assert_int_equal(batchnorm_layer_remove(f.layer, "running_var"), BATCHNORM_OK);
    batchnorm_layer_reset_running_stats(f.layer); /* where the layer has them */
}

TEST(options_can_be_changed_and_read) {
    struct fixture f = start(BATCHNORM_F64);
    batchnorm_options keras = batchnorm_convention(BATCHNORM_KERAS);
    batchnorm_layer_set_convention(f.layer, &keras);
    batchnorm_layer_set_convention(f.layer, NULL);
    batchnorm_layer_set_cumulative(f.layer, true);
    batchnorm_layer_set_track_running_stats(f.layer, false);
    batchnorm_layer_eval(f.layer);
    batchnorm_layer_options o = batchnorm_layer_get_options(f.layer);
    assert_true(o.convention.eps == 1e-3 && o.convention.momentum == 0.99 && o.convention.allow_one_value);
    assert_true(o.cumulative && !o.track_running_stats && o.affine && o.bias && !o.lazy);
    assert_int_equal(o.num_features, 3);
    assert_int_equal(o.dims, 2);
    assert_int_equal(o.dtype, BATCHNORM_F64);
    assert_false(batchnorm_layer_is_training(f.layer));
    batchnorm_layer_train(f.layer);
    assert_true(batchnorm_layer_is_training(f.layer));
    assert_int_equal(batchnorm_layer_remove(f.layer, "bias"), BATCHNORM_OK);
    o = batchnorm_layer_get_options(f.layer);
    assert_true(o.affine && !o.bias);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(momentum_none_is_the_plain_average, let_go),
        cmocka_unit_test_teardown(any_momentum_is_taken, let_go),
        cmocka_unit_test_teardown(conventions_are_followed, let_go),
        cmocka_unit_test_teardown(skipped_updates_change_nothing, let_go),
        cmocka_unit_test_teardown(held_updates_are_committed_later, let_go),
        cmocka_unit_test_teardown(held_updates_can_be_dropped, let_go),
        cmocka_unit_test_teardown(a_held_update_does_not_outlive_its_base, let_go),
        cmocka_unit_test_teardown(held_updates_have_what_the_layer_has, let_go),
        cmocka_unit_test_teardown(an_empty_batch_can_be_held, let_go),
        cmocka_unit_test_teardown(batches_that_are_not_finite_can_be_refused, let_go),
        cmocka_unit_test_teardown(resets_follow_the_flag, let_go),
        cmocka_unit_test_teardown(options_can_be_changed_and_read, let_go),
    };
    return cmocka_run_group_tests_name("api.layer.update", tests, NULL, NULL);
}
