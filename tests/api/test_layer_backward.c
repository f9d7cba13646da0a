/* SPDX-License-Identifier: MIT */
/* What follows a forward of a layer: gradients, forward-mode derivatives, double backward, and the places that keep what a
 * forward saved. The formulas themselves are proven with the raw calls; here the numbers that the layer gives them are.
 * Longer than 300 lines, because the formulas stand here once more. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/layer_calls.h"
#include "tests/support/test.h"

enum { N = 2, C = 3, S = 4, ACCUMULATE = BATCHNORM_ACCUMULATE };

static const int64_t images[] = {N, C, 2, 2};

/* A layer with numbers that no default has, and a tensor for every argument. */
struct fixture {
    batchnorm_layer *layer;
    batchnorm_tensor x, y, dy, dx, vx, gdy;
    double t1[C], t2[C], gweight[C];
};

static struct fixture start(bool training) {
    struct fixture f = {.layer = make_layer(2, C, BATCHNORM_F64), .t1 = {0.5, -2, 3}, .t2 = {1, 7, -4}};
    f.x = box(BATCHNORM_F64, 4, images, 31);
    f.dy = box(BATCHNORM_F64, 4, images, 32);
    f.vx = box(BATCHNORM_F64, 4, images, 33);
    f.y = box_like(f.x);
    f.dx = box_like(f.x);
    f.gdy = box_like(f.x);
    scramble(f.layer);
    if (!training) batchnorm_layer_eval(f.layer);
    return f;
}

static batchnorm_status forward(const struct fixture *f, batchnorm_saved *saved) {
    return batchnorm_layer_forward(f->layer, f->x, f->y, saved, 0, NULL);
}

static batchnorm_status backward(const struct fixture *f, batchnorm_saved *saved, unsigned flags) {
    return batchnorm_layer_backward(f->layer, saved, f->x, f->dy, f->dx, flags, NULL);
}

/* The numbers of one channel that all formulas need. */
struct channel {
    double mean, rstd, weight, m, sum, dot; /* S[v], S[v * xhat] */
    bool frozen;
};

static double xhat(const struct channel *k, batchnorm_tensor x, int64_t n, int64_t c, int64_t s) {
    return (box_at(x, n, c, s) - k->mean) * k->rstd;
}

static struct channel channel_of(batchnorm_tensor x, batchnorm_tensor v, int64_t c, double mean, double var, double weight,
                                 bool frozen) {
    struct channel k = {mean, 1 / sqrt(var + 1e-5), weight, N * S, 0, 0, frozen};
    for (int64_t n = 0; n < N; n++)
        for (int64_t s = 0; s < S; s++) {
            k.sum += box_at(v, n, c, s);
            k.dot += box_at(v, n, c, s) * xhat(&k, x, n, c, s);
        }
    return k;
}

/* weight * rstd * (v - S[v] / M - xhat * S[v * xhat] / M), or weight * rstd * v */
static double projected(const struct channel *k, batchnorm_tensor x, batchnorm_tensor v, int64_t n, int64_t c, int64_t s) {
    const double value = box_at(v, n, c, s);
    if (k->frozen) return k->weight * k->rstd * value;
    return k->weight * k->rstd * (value - k->sum / k->m - xhat(k, x, n, c, s) * k->dot / k->m);
}

/* The channel as start() has it: weight 1.25 + c / 4, running statistics 2.25 and 3.25 + c / 4. */
static struct channel fixture_channel(const struct fixture *f, batchnorm_tensor v, int64_t c, bool training) {
    const struct moments m = moments_of(f->x, c);
    const double step = 0.25 * (double)c;
    return channel_of(f->x, v, c, training ? m.mean : 2.25 + step, training ? m.var : 3.25 + step, 1.25 + step, !training);
}

static void expect_dx(const struct fixture *f, bool training) {
    for (int64_t c = 0; c < C; c++) {
        const struct channel k = fixture_channel(f, f->dy, c, training);
        for (int64_t n = 0; n < N; n++)
            for (int64_t s = 0; s < S; s++) expect_near(box_at(f->dx, n, c, s), projected(&k, f->x, f->dy, n, c, s));
    }
}

static void expect_gradients(const struct fixture *f, bool training, bool dweight, bool dbias, bool accumulated) {
    const batchnorm_parameter *weight = batchnorm_layer_weight(f->layer), *bias = batchnorm_layer_bias(f->layer);
    for (int64_t c = 0; c < C; c++) {
        const struct channel k = fixture_channel(f, f->dy, c, training);
        const double old_weight = 5.25 + 0.25 * (double)c, old_bias = 6.25 + 0.25 * (double)c;
        const double add_weight = accumulated ? old_weight : 0, add_bias = accumulated ? old_bias : 0;
        expect_near(value_of(weight->grad, c, 0), dweight ? add_weight + k.dot : old_weight);
        expect_near(value_of(bias->grad, c, 0), dbias ? add_bias + k.sum : old_bias);
    }
}

/* Every subset of dx, dweight, dbias, overwritten or added, in both modes. */
TEST(any_subset_of_gradients) {
    for (int i = 0; i < 32; i++) {
        const bool training = i & 1, dx = i & 2, dweight = i & 4, dbias = i & 8, accumulate = i & 16;
        struct fixture f = start(training);
        batchnorm_layer_weight(f.layer)->requires_grad = dweight;
        batchnorm_layer_bias(f.layer)->requires_grad = dbias;
        assert_int_equal(forward(&f, NULL), BATCHNORM_OK);
        batchnorm_tensor wanted = f.dx;
        if (!dx) wanted = (batchnorm_tensor){0};
        assert_int_equal(batchnorm_layer_backward(f.layer, NULL, f.x, f.dy, wanted, accumulate ? ACCUMULATE : 0, NULL),
                         BATCHNORM_OK);
        if (dx) expect_dx(&f, training);
        if (!dx) assert_true(box_at(f.dx, 0, 0, 0) == 0);
        expect_gradients(&f, training, dweight, dbias, accumulate);
        assert_string_equal(batchnorm_layer_message(f.layer), "");
    }
}

/* PyTorch reads the running statistics again, and gets this wrong: between forward and backward everything may change. */
TEST(backward_uses_what_its_forward_used) {
    for (int training = 0; training < 2; training++) {
        struct fixture f = start(training);
        batchnorm_saved *first = make_saved(f.layer);
        assert_null(batchnorm_saved_mean(first));
        assert_null(batchnorm_saved_rstd(first));
        assert_int_equal(forward(&f, first), BATCHNORM_OK);
        for (int64_t c = 0; c < C; c++) {
            const struct channel k = fixture_channel(&f, f.dy, c, training);
            expect_near(batchnorm_saved_mean(first)[c], k.mean);
            expect_near(batchnorm_saved_rstd(first)[c], k.rstd);
        }
        batchnorm_layer_train(f.layer);
        assert_int_equal(forward(&f, NULL), BATCHNORM_OK); /* moves the running statistics */
        batchnorm_layer_eval(f.layer);
        for (int64_t c = 0; c < C; c++) set_value(batchnorm_layer_weight(f.layer)->value, c, 100);
        batchnorm_options o = batchnorm_convention(BATCHNORM_KERAS);
        batchnorm_layer_set_convention(f.layer, &o);
        assert_int_equal(backward(&f, first, 0), BATCHNORM_OK);
        expect_dx(&f, training);
        expect_gradients(&f, training, true, true, false);
        assert_int_equal(batchnorm_layer_remove(f.layer, "weight"), BATCHNORM_OK);
        memset(f.dx.data, 0, box_bytes(f.dx));
        assert_int_equal(backward(&f, first, 0), BATCHNORM_OK);
        expect_dx(&f, training);
    }
}

/* Several forwards before their backwards, as in a recurrent network; and a place grows with the channels. */
TEST(places_are_independent) {
    batchnorm_layer_options o = batchnorm_layer_defaults(1, 1);
    o.affine = o.track_running_stats = false;
    batchnorm_layer *layer = make_layer_of(o);
    batchnorm_saved *saved[3];
    batchnorm_tensor x[3];
    for (int i = 0; i < 3; i++) {
        saved[i] = make_saved(layer);
        x[i] = box(BATCHNORM_F32, 2, (int64_t[]){4, 1 + 5 * i}, 50 + (uint64_t)i);
        const batchnorm_tensor y = box_like(x[i]);
        assert_int_equal(batchnorm_layer_forward(layer, x[i], y, saved[i], 0, NULL), BATCHNORM_OK);
        if (i == 1) assert_int_equal(batchnorm_layer_forward(layer, x[i], y, saved[0], 0, NULL), BATCHNORM_OK);
    }
    for (int i = 0; i < 3; i++) {
        const batchnorm_tensor of = x[i == 0 ? 1 : i], dx = box_like(of);
        for (int64_t c = 0; c < of.shape[1]; c++)
            assert_true(fabs(batchnorm_saved_mean(saved[i])[c] - moments_of(of, c).mean) < 1e-9);
        assert_int_equal(batchnorm_layer_backward(layer, saved[i], of, of, dx, 0, NULL), BATCHNORM_OK);
    }
}

/* A forward that fails leaves what the one before it saved. */
TEST(a_failed_forward_keeps_the_saved) {
    struct fixture f = start(true);
    assert_int_equal(forward(&f, NULL), BATCHNORM_OK);
    const batchnorm_tensor bad = box(BATCHNORM_F64, 4, (int64_t[]){N, C + 1, 2, 2}, 5);
    assert_int_equal(batchnorm_layer_forward(f.layer, bad, bad, NULL, 0, NULL), BATCHNORM_BAD_SHAPE);
    assert_int_equal(backward(&f, NULL, 0), BATCHNORM_OK);
    expect_dx(&f, true);
}

TEST(dx_may_be_dy_or_x) {
    for (int i = 0; i < 2; i++) {
        struct fixture f = start(true), plain = start(true);
        const batchnorm_tensor out = i == 0 ? f.dy : f.x;
        assert_int_equal(forward(&f, NULL), BATCHNORM_OK);
        assert_int_equal(forward(&plain, NULL), BATCHNORM_OK);
        assert_int_equal(backward(&plain, NULL, 0), BATCHNORM_OK);
        assert_int_equal(batchnorm_layer_backward(f.layer, NULL, f.x, f.dy, out, 0, NULL), BATCHNORM_OK);
        assert_memory_equal(out.data, plain.dx.data, box_bytes(out));
        expect_same_picture(picture(plain.layer, NULL), f.layer, NULL);
    }
}

TEST(empty_inputs_have_zero_gradients) {
    static const int64_t shapes[][4] = {{0, C, 2, 2}, {N, 7, 0, 2}};
    for (int i = 0; i < 4; i++) {
        struct fixture f = start(i / 2);
        const batchnorm_tensor empty = batchnorm_tensor_contiguous(NULL, BATCHNORM_F64, 4, shapes[i % 2]);
        assert_int_equal(batchnorm_layer_remove(f.layer, "nothing"), BATCHNORM_BAD_OPTION); /* leaves a message */
        batchnorm_saved *saved = make_saved(f.layer);
        assert_string_equal(batchnorm_layer_message(f.layer), "");
        assert_int_equal(batchnorm_layer_forward(f.layer, f.x, f.y, saved, BATCHNORM_SKIP_UPDATE, NULL), BATCHNORM_OK);
        assert_non_null(batchnorm_saved_mean(saved));
        assert_int_equal(batchnorm_layer_forward(f.layer, empty, empty, saved, 0, NULL), BATCHNORM_OK);
        assert_null(batchnorm_saved_mean(saved));
        assert_null(batchnorm_saved_rstd(saved));
        assert_int_equal(batchnorm_layer_backward(f.layer, saved, empty, empty, empty, ACCUMULATE, NULL), BATCHNORM_OK);
        expect_gradients(&f, true, false, false, false);
        f.gweight[0] = f.gweight[C - 1] = 9;
        assert_int_equal(layer_jvp(f.layer, saved, empty, empty, f.t1, NULL, empty, NULL), BATCHNORM_OK);
        assert_int_equal(layer_double_backward(f.layer, saved, empty, empty, empty, f.t1, f.t2, empty, empty, f.gweight, NULL),
                         BATCHNORM_OK);
        assert_true(f.gweight[0] == 0 && f.gweight[C - 1] == 0);
        const batchnorm_tensor none = {0};
        assert_int_equal(batchnorm_layer_backward(f.layer, saved, empty, empty, none, 0, NULL), BATCHNORM_OK);
        for (int64_t c = 0; c < C; c++) {
            assert_true(value_of(batchnorm_layer_weight(f.layer)->grad, c, 1) == 0);
            assert_true(value_of(batchnorm_layer_bias(f.layer)->grad, c, 1) == 0);
        }
        scramble(f.layer);
        batchnorm_layer_bias(f.layer)->requires_grad = false;
        assert_int_equal(batchnorm_layer_backward(f.layer, saved, empty, empty, none, 0, NULL), BATCHNORM_OK);
        for (int64_t c = 0; c < C; c++) {
            assert_true(value_of(batchnorm_layer_weight(f.layer)->grad, c, 1) == 0);
            expect_near(value_of(batchnorm_layer_bias(f.layer)->grad, c, 1), 6.25 + 0.25 * (double)c);
        }
        batchnorm_tensor other = empty;
        other.shape[1]++;
        assert_int_equal(batchnorm_layer_backward(f.layer, saved, other, empty, empty, 0, NULL), BATCHNORM_BAD_SHAPE);
    }
}

TEST(jvp_follows_its_forward) {
    for (int i = 0; i < 8; i++) {
        const bool training = i & 1, tweight = i & 2, tbias = i & 4;
        struct fixture f = start(training);
        assert_int_equal(forward(&f, NULL), BATCHNORM_OK);
        assert_int_equal(layer_jvp(f.layer, NULL, f.x, f.vx, tweight ? f.t1 : NULL, tbias ? f.t2 : NULL, f.dx, NULL),
                         BATCHNORM_OK);
        for (int64_t c = 0; c < C; c++) {
            const struct channel k = fixture_channel(&f, f.vx, c, training);
            for (int64_t n = 0; n < N; n++)
                for (int64_t s = 0; s < S; s++)
                    expect_near(box_at(f.dx, n, c, s), projected(&k, f.x, f.vx, n, c, s) +
                                                           (tweight ? f.t1[c] * xhat(&k, f.x, n, c, s) : 0) +
                                                           (tbias ? f.t2[c] : 0));
        }
    }
}

/* S[vx * rstd * G], and gx by its formula. */
static double expected_gweight(const struct fixture *f, int64_t c, bool training) {
    struct channel k = fixture_channel(f, f->dy, c, training);
    double sum = 0;
    k.weight = 1;
    for (int64_t n = 0; n < N; n++)
        for (int64_t s = 0; s < S; s++) sum += box_at(f->vx, n, c, s) * projected(&k, f->x, f->dy, n, c, s);
    return sum;
}

static double expected_gx(const struct fixture *f, int64_t n, int64_t c, int64_t s, bool training) {
    const struct channel y = fixture_channel(f, f->dy, c, training), v = fixture_channel(f, f->vx, c, training);
    const double h = xhat(&y, f->x, n, c, s), m = y.m, dy = box_at(f->dy, n, c, s), vx = box_at(f->vx, n, c, s);
    if (!training) return f->t1[c] * y.rstd * dy;
    double both = 0;
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < S; j++) both += box_at(f->dy, i, c, j) * box_at(f->vx, i, c, j);
    const double second = h / m * (y.sum * v.sum / m - both + 3 * y.dot * v.dot / m) + v.dot / m * (y.sum / m - dy) +
                          y.dot / m * (v.sum / m - vx);
    return y.weight * y.rstd * y.rstd * second + f->t1[c] * y.rstd * (dy - y.sum / m - h * y.dot / m);
}

TEST(double_backward_follows_its_forward) {
    for (int training = 0; training < 2; training++) {
        struct fixture f = start(training);
        assert_int_equal(forward(&f, NULL), BATCHNORM_OK);
        assert_int_equal(layer_double_backward(f.layer, NULL, f.x, f.dy, f.vx, f.t1, f.t2, f.dx, f.gdy, f.gweight, NULL),
                         BATCHNORM_OK);
        for (int64_t c = 0; c < C; c++) {
            const struct channel k = fixture_channel(&f, f.vx, c, training);
            expect_near(f.gweight[c], expected_gweight(&f, c, training));
            for (int64_t n = 0; n < N; n++)
                for (int64_t s = 0; s < S; s++) {
                    expect_near(box_at(f.dx, n, c, s), expected_gx(&f, n, c, s, training));
                    expect_near(box_at(f.gdy, n, c, s),
                                projected(&k, f.x, f.vx, n, c, s) + f.t1[c] * xhat(&k, f.x, n, c, s) + f.t2[c]);
                }
        }
        const batchnorm_tensor none = {0}; /* every output and cotangent may be absent */
        assert_int_equal(layer_double_backward(f.layer, NULL, f.x, f.dy, none, NULL, NULL, f.dx, none, f.gweight, NULL),
                         BATCHNORM_OK);
        assert_true(box_at(f.dx, 0, 0, 0) == 0 && f.gweight[0] == 0);
        assert_int_equal(layer_double_backward(f.layer, NULL, f.x, f.dy, f.vx, f.t1, f.t2, none, none, NULL, NULL),
                         BATCHNORM_OK);
        /* its own gradient is a place for gweight; what the layer normalizes with is none */
        assert_int_equal(layer_double_backward(f.layer, NULL, f.x, f.dy, f.vx, f.t1, f.t2, none, none,
                                               batchnorm_layer_weight(f.layer)->grad.data, NULL),
                         BATCHNORM_OK);
        void *const own[] = {batchnorm_layer_weight(f.layer)->value.data, batchnorm_layer_running_var(f.layer).data};
        for (int i = 0; i < 2; i++) {
            assert_int_equal(layer_double_backward(f.layer, NULL, f.x, f.dy, f.vx, f.t1, f.t2, none, none, own[i], NULL),
                             BATCHNORM_OVERLAP);
            assert_string_equal(batchnorm_layer_message(f.layer), "gweight overlaps the layer's parameters or statistics");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_subset_of_gradients, let_go),
        cmocka_unit_test_teardown(backward_uses_what_its_forward_used, let_go),
        cmocka_unit_test_teardown(places_are_independent, let_go),
        cmocka_unit_test_teardown(a_failed_forward_keeps_the_saved, let_go),
        cmocka_unit_test_teardown(dx_may_be_dy_or_x, let_go),
        cmocka_unit_test_teardown(empty_inputs_have_zero_gradients, let_go),
        cmocka_unit_test_teardown(jvp_follows_its_forward, let_go),
        cmocka_unit_test_teardown(double_backward_follows_its_forward, let_go),
    };
    return cmocka_run_group_tests_name("api.layer.backward", tests, NULL, NULL);
}
