/* SPDX-License-Identifier: MIT */
/* The layer's fused calls give the bits of the raw ones with the same numbers, in both modes and with both ways to gate. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "tests/support/fused.h"
#include "tests/support/layer_calls.h"
#include "tests/support/raw_calls.h"
#include "tests/support/test.h"

enum { N = 3, C = 5, H = 5, W = 7, S = H * W, ALL = N * C * S };

static const int64_t sizes[4] = {N, C, H, W};
static const batchnorm_activation relu = {BATCHNORM_RELU, 0};
static const batchnorm_tensor none;

static batchnorm_tensor view(float *data) { return batchnorm_tensor_contiguous(data, BATCHNORM_F32, 4, sizes); }

struct arrays {
    float x[ALL], z[ALL], y[ALL], dy[ALL], dx[ALL], dz[ALL];
};

static void fill(struct arrays *a) {
    memset(a, 0, sizeof *a);
    for (int i = 0; i < ALL; i++) {
        a->x[i] = (float)(i * 7919 % 1000) / 300 - 1;
        a->z[i] = (float)(i * 104729 % 1000) / 500 - 1;
        a->dy[i] = (float)(i * 1299709 % 1000) / 500 - 1;
    }
}

static batchnorm_layer *make_layer(bool training) {
    const batchnorm_layer_options options = batchnorm_layer_defaults(2, C);
    batchnorm_layer *layer;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_OK);
    for (int c = 0; c < C; c++) {
        ((float *)batchnorm_layer_weight(layer)->value.data)[c] = 1 + 0.1F * (float)c;
        ((float *)batchnorm_layer_bias(layer)->value.data)[c] = 0.2F * (float)c - 0.3F;
    }
    if (!training) batchnorm_layer_eval(layer);
    return layer;
}

/* The same by the raw calls; `got` holds what the layer gave. */
static void compare(batchnorm_layer *layer, const struct arrays *got, batchnorm_activation activation, bool training) {
    static struct arrays a;
    const struct strided shape = planar(BATCHNORM_F32, N, C, S);
    const float *weight = batchnorm_layer_weight(layer)->value.data, *bias = batchnorm_layer_bias(layer)->value.data;
    float mean[C] = {0}, var[C] = {1, 1, 1, 1, 1}, dweight[C], dbias[C];
    double save_mean[C], save_rstd[C];
    fill(&a);
    batchnorm_status status =
        training
            ? raw_forward_fused(&shape, a.x, a.z, weight, bias, a.y, mean, var, save_mean, save_rstd, activation, NULL, NULL)
            : raw_infer_fused(&shape, a.x, a.z, weight, bias, mean, var, a.y, save_mean, save_rstd, activation, NULL, NULL);
    assert_int_equal(status, BATCHNORM_OK);
    status = raw_backward_fused(&shape, a.x, a.z, NULL, a.dy, weight, bias, save_mean, save_rstd, a.dx, a.dz, dweight, dbias,
                                activation, training ? 0 : BATCHNORM_FROZEN, NULL);
    assert_int_equal(status, BATCHNORM_OK);
    assert_memory_equal(got->y, a.y, sizeof a.y);
    assert_memory_equal(got->dx, a.dx, sizeof a.dx);
    assert_memory_equal(got->dz, a.dz, sizeof a.dz);
    assert_memory_equal(batchnorm_layer_weight(layer)->grad.data, dweight, sizeof dweight);
    assert_memory_equal(batchnorm_layer_bias(layer)->grad.data, dbias, sizeof dbias);
}

TEST(bits_are_those_of_the_raw_calls) {
    static struct arrays a;
    for (int way = 0; way < 4 * fused_activation_count; way++) {
        const batchnorm_activation activation = fused_activations[way / 4];
        const bool training = way & 1, by_y = (way & 2) && fused_told_by_y(activation);
        batchnorm_layer *layer = make_layer(training);
        fill(&a);
        assert_int_equal(layer_forward_fused(layer, view(a.x), view(a.z), view(a.y), NULL, activation, 0, NULL), BATCHNORM_OK);
        /* the backward has the numbers of its forward, whatever the parameters have become */
        float *bias = batchnorm_layer_bias(layer)->value.data;
        bias[1] += 100;
        assert_int_equal(layer_backward_fused(layer, NULL, view(a.x), by_y ? none : view(a.z), by_y ? view(a.y) : none,
                                              view(a.dy), view(a.dx), view(a.dz), 0, NULL),
                         BATCHNORM_OK);
        bias[1] -= 100;
        bias[1] = 0.2F - 0.3F;
        compare(layer, &a, activation, training);
        batchnorm_layer_destroy(layer);
    }
}

/* A forward that overwrote x, and a backward from y alone: the bits of the raw call, in both modes. */
TEST(y_alone_gives_the_bits_of_the_raw_call) {
    static struct arrays a;
    static float dx[ALL];
    const struct strided shape = planar(BATCHNORM_F32, N, C, S);
    for (int way = 0; way < 4; way++) {
        const batchnorm_activation activation = way & 1 ? batchnorm_leaky_relu(0.1) : (batchnorm_activation){0};
        batchnorm_layer *layer = make_layer(way < 2);
        float dweight[C], dbias[C], *weight = batchnorm_layer_weight(layer)->value.data,
                                    *bias = batchnorm_layer_bias(layer)->value.data;
        double mean[C], rstd[C];
        fill(&a);
        if (way < 2) /* for its rstd */
            assert_int_equal(
                raw_forward_fused(&shape, a.x, NULL, weight, bias, a.y, NULL, NULL, mean, rstd, activation, NULL, NULL),
                BATCHNORM_OK);
        for (int c = 0; c < C && way >= 2; c++) rstd[c] = 1 / sqrt(1 + 1e-5);
        assert_int_equal(layer_forward_fused(layer, view(a.x), none, view(a.x), NULL, activation, 0, NULL), BATCHNORM_OK);
        assert_int_equal(raw_backward_fused(&shape, NULL, NULL, a.x, a.dy, weight, bias, NULL, rstd, dx, NULL, dweight, dbias,
                                            activation, way < 2 ? 0 : BATCHNORM_FROZEN, NULL),
                         BATCHNORM_OK);
        weight[2] = 0; /* the backward has the numbers of its forward */
        assert_int_equal(layer_backward_fused(layer, NULL, none, none, view(a.x), view(a.dy), view(a.x), none, 0, NULL),
                         BATCHNORM_OK);
        assert_memory_equal(a.x, dx, sizeof dx);
        assert_memory_equal(batchnorm_layer_weight(layer)->grad.data, dweight, sizeof dweight);
        assert_memory_equal(batchnorm_layer_bias(layer)->grad.data, dbias, sizeof dbias);
        fill(&a);
        assert_int_equal(layer_forward_fused(layer, view(a.x), none, view(a.y), NULL, activation, 0, NULL), BATCHNORM_OK);
        assert_int_equal(layer_backward_fused(layer, NULL, none, none, view(a.y), view(a.dy), view(a.dx), none, 0, NULL),
                         BATCHNORM_BAD_OPTION);
        assert_non_null(strstr(batchnorm_layer_message(layer), "channel 2"));
        /* with x, y only gates */
        assert_int_equal(layer_backward_fused(layer, NULL, view(a.x), none, view(a.y), view(a.dy), view(a.dx), none, 0, NULL),
                         BATCHNORM_OK);
        assert_int_equal(layer_forward_fused(layer, view(a.x), view(a.z), view(a.y), NULL, activation, 0, NULL), BATCHNORM_OK);
        assert_int_equal(layer_backward_fused(layer, NULL, none, view(a.z), view(a.y), view(a.dy), view(a.dx), none, 0, NULL),
                         BATCHNORM_NULL_POINTER);
        batchnorm_layer_destroy(layer);
    }
}

TEST(what_does_not_fit_is_refused) {
    static struct arrays a;
    batchnorm_layer *layer = make_layer(true);
    fill(&a);
    batchnorm_tensor x = view(a.x), z = view(a.z), y = view(a.y), dy = view(a.dy), dx = view(a.dx), dz = view(a.dz);
    const batchnorm_activation bad[] = {
        {(batchnorm_activation_kind)77, 0}, {BATCHNORM_LEAKY_RELU, -1}, {BATCHNORM_CLIPPED_RELU, 0}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(layer_forward_fused(layer, x, z, y, NULL, bad[i], 0, NULL), BATCHNORM_BAD_OPTION);
    batchnorm_tensor small = z;
    small.shape[3]--;
    assert_int_equal(layer_forward_fused(layer, x, small, y, NULL, relu, 0, NULL), BATCHNORM_BAD_SHAPE);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 0);
    assert_int_equal(layer_forward_fused(layer, x, none, y, NULL, relu, 0, NULL), BATCHNORM_OK);
    assert_int_equal(layer_backward_fused(layer, NULL, x, none, y, dy, dx, dz, 0, NULL), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_layer_backward(layer, NULL, x, dy, dx, 0, NULL), BATCHNORM_BAD_OPTION);
    assert_int_equal(layer_jvp(layer, NULL, x, dy, NULL, NULL, dx, NULL), BATCHNORM_BAD_OPTION);
    assert_int_equal(layer_forward_fused(layer, x, z, y, NULL, relu, 0, NULL), BATCHNORM_OK);
    assert_int_equal(layer_backward_fused(layer, NULL, x, none, none, dy, dx, dz, 0, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(layer_backward_fused(layer, NULL, x, z, y, dy, dx, dx, 0, NULL), BATCHNORM_OVERLAP);
    /* y does not stand in for x and z where it does not tell */
    assert_int_equal(layer_forward_fused(layer, x, z, y, NULL, batchnorm_silu(), 0, NULL), BATCHNORM_OK);
    assert_int_equal(layer_backward_fused(layer, NULL, x, none, y, dy, dx, dz, 0, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(layer_backward_fused(layer, NULL, none, z, y, dy, dx, dz, 0, NULL), BATCHNORM_NULL_POINTER);
    batchnorm_layer_destroy(layer);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_are_those_of_the_raw_calls),
                                       cmocka_unit_test(y_alone_gives_the_bits_of_the_raw_call),
                                       cmocka_unit_test(what_does_not_fit_is_refused)};
    return cmocka_run_group_tests_name("api.layer.fused", tests, NULL, NULL);
}
