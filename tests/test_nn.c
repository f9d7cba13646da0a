/* SPDX-License-Identifier: MIT */
/* Every layer of nn/, and a whole network, against finite differences in double. One program for each backend. Over 300 lines,
 * because one bench serves all layers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/loss.h"
#include "nn/sgd.h"
#include "nn_reference.h"

enum { SAMPLED = 16, THREADS = 2 };
static const struct nudge none = {.which = -1};

static nn_backend *backend;

static int open_backend(void **state) {
    (void)state;
    return nn_backend_create(THREADS, &backend) ? -1 : 0;
}

static int close_backend(void **state) {
    (void)state;
    nn_backend_destroy(backend);
    return 0;
}

/* Away from 0, where relu has no derivative, and all different, so that a maximum has one too. */
static void fill(float *values, size_t count, nn_rng *rng) {
    for (size_t i = 0; i < count; i++) {
        const float size = nn_rng_uniform(rng, 0.125f, 1.0f);
        values[i] = nn_rng_next(rng) % 2 ? size : -size;
    }
}

static void assert_near(double got, double expected) {
    const bool near = fabs(got - expected) <= 2e-5 * fmax(1.0, fabs(expected)); /* false for NaN */
    if (!near) fail_msg("got %.9g, expected %.9g", got, expected);
}

/* A layer with random input and a random gradient of its output: the loss is sum(dy * y). */
struct bench {
    nn_layer *layer;
    size_t n, in, out;
    float *x, *y, *dy, *dx;
    double *reference_x, *reference_y;
};

static struct bench bench_begin(nn_layer *layer, size_t n, nn_rng *rng) {
    const size_t in = n * nn_shape_size(layer->in), out = n * nn_shape_size(layer->out);
    struct bench b = {.layer = layer, .n = n, .in = in, .out = out};
    b.x = nn_floats(in);
    b.dx = nn_floats(in);
    b.y = nn_floats(out);
    b.dy = nn_floats(out);
    b.reference_x = calloc(in, sizeof(double));
    b.reference_y = calloc(out, sizeof(double));
    fill(b.x, in, rng);
    fill(b.dy, out, rng);
    for (size_t i = 0; i < in; i++) b.reference_x[i] = (double)b.x[i], b.dx[i] = NAN; /* every element must be written */
    return b;
}

static void bench_end(struct bench *b) {
    b->layer->kind->destroy(b->layer);
    free(b->x);
    free(b->dx);
    free(b->y);
    free(b->dy);
    free(b->reference_x);
    free(b->reference_y);
}

static double bench_loss(struct bench *b, struct nudge nudge) {
    double loss = 0;
    reference_forward(b->layer, b->n, b->reference_x, b->reference_y, nudge);
    for (size_t i = 0; i < b->out; i++) loss += (double)b->dy[i] * b->reference_y[i];
    return loss;
}

static double slope_of_x(struct bench *b, size_t index, double step) {
    const double x = b->reference_x[index];
    b->reference_x[index] = x + step;
    const double up = bench_loss(b, none);
    b->reference_x[index] = x - step;
    const double down = bench_loss(b, none);
    b->reference_x[index] = x;
    return (up - down) / (2 * step);
}

static double slope_of_parameter(struct bench *b, int which, size_t index, double step) {
    const double up = bench_loss(b, (struct nudge){which, index, step});
    const double down = bench_loss(b, (struct nudge){which, index, -step});
    return (up - down) / (2 * step);
}

/* All of few, some of many. */
static size_t stride(size_t count) { return count > 200 ? count / SAMPLED : 1; }

static void check_gradients(struct bench *b) {
    const double step = 1e-5;
    for (size_t i = 0; i < b->in; i += stride(b->in)) assert_near((double)b->dx[i], slope_of_x(b, i, step));
    for (size_t p = 0; p < b->layer->parameter_count; p++) {
        const nn_parameter *parameter = &b->layer->parameters[p];
        for (size_t i = 0; i < parameter->count; i += stride(parameter->count)) {
            assert_near((double)parameter->grad[i], slope_of_parameter(b, (int)p, i, step));
        }
    }
}

/* Takes the layer. Runs it twice: what the first left behind must not matter. */
static void check_layer(nn_layer *layer, nn_error error, size_t n) {
    nn_rng rng = nn_rng_create(7, n);
    assert_null(error);
    struct bench b = bench_begin(layer, n, &rng);
    for (int turn = 0; turn < 2; turn++) {
        assert_null(layer->kind->forward(layer, n, b.x, b.y));
        assert_null(layer->kind->backward(layer, n, b.x, b.y, b.dy, b.dx));
    }
    reference_forward(layer, n, b.reference_x, b.reference_y, none);
    for (size_t i = 0; i < b.out; i++) assert_near((double)b.y[i], b.reference_y[i]);
    check_gradients(&b);
    bench_end(&b);
}

static void check_conv(size_t n, nn_shape in, size_t out, bool bias) {
    nn_rng rng = nn_rng_create(1, 1);
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_conv(backend, &rng, in, out, bias, &layer);
    check_layer(layer, error, n);
}

static void conv_gradients_equal_finite_differences(void **state) {
    (void)state;
    check_conv(3, (nn_shape){5, 6, 3}, 4, true);
    check_conv(1, (nn_shape){1, 1, 1}, 1, true);
    check_conv(17, (nn_shape){2, 3, 2}, 3, false);
}

/* A prepared convolution is for one batch size; five sizes in turn are more than a layer keeps. */
static void conv_serves_any_batch_size(void **state) {
    (void)state;
    static const size_t sizes[] = {5, 2, 1, 4, 3, 5, 2};
    const nn_shape in = {4, 4, 2};
    nn_rng rng = nn_rng_create(1, 3);
    nn_layer *layer = NULL;
    assert_null(nn_layer_conv(backend, &rng, in, 3, true, &layer));
    struct bench all = bench_begin(layer, 5, &rng);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bench some = all;
        some.n = sizes[i];
        some.in = some.n * nn_shape_size(in);
        some.out = some.n * nn_shape_size(layer->out);
        assert_null(layer->kind->forward(layer, some.n, all.x, all.y));
        assert_null(layer->kind->backward(layer, some.n, all.x, all.y, all.dy, all.dx));
        check_gradients(&some);
    }
    bench_end(&all);
}

static void conv_at_the_trainers_sizes(void **state) {
    (void)state;
    check_conv(2, (nn_shape){28, 28, 1}, 32, true);
    check_conv(2, (nn_shape){14, 14, 32}, 64, false);
}

static void linear_gradients_equal_finite_differences(void **state) {
    (void)state;
    nn_rng rng = nn_rng_create(1, 2);
    nn_layer *layer = NULL;
    nn_error error = nn_layer_linear(backend, &rng, (nn_shape){2, 1, 4}, 5, true, &layer);
    check_layer(layer, error, 3);
    error = nn_layer_linear(backend, &rng, (nn_shape){1, 1, 130}, 70, false, &layer);
    check_layer(layer, error, 37);
}

static void max_pool_gradients_equal_finite_differences(void **state) {
    (void)state;
    nn_layer *layer = NULL;
    nn_error error = nn_layer_max_pool((nn_shape){4, 6, 19}, 2, &layer);
    check_layer(layer, error, 2);
    error = nn_layer_max_pool((nn_shape){5, 7, 3}, 3, &layer); /* an odd last row and column get gradient 0 */
    check_layer(layer, error, 3);
}

static void activation_gradients_equal_finite_differences(void **state) {
    (void)state;
    nn_layer *layer = NULL;
    nn_error error = nn_layer_activation((nn_shape){3, 3, 5}, NN_RELU, &layer);
    check_layer(layer, error, 4);
    error = nn_layer_activation((nn_shape){3, 3, 5}, NN_SIGMOID, &layer);
    check_layer(layer, error, 4);
}

static void batch_norm_gradients_equal_finite_differences(void **state) {
    (void)state;
    nn_layer *layer = NULL;
    nn_error error = nn_layer_batch_norm((nn_shape){4, 3, 5}, THREADS, &layer);
    check_layer(layer, error, 3);
    error = nn_layer_batch_norm((nn_shape){1, 1, 6}, THREADS, &layer);
    check_layer(layer, error, 8);
}

/* A diverged network must show it, and not turn NaN into 0 on the way. */
static void nan_passes(void **state) {
    (void)state;
    const nn_shape shape = {2, 2, 1};
    const float x[] = {1, NAN, 2, 3};
    float y[4];
    nn_layer *relu = NULL, *pool = NULL;
    assert_null(nn_layer_activation(shape, NN_RELU, &relu));
    assert_null(nn_layer_max_pool(shape, 1, &pool));
    assert_null(relu->kind->forward(relu, 1, x, y));
    assert_true(isnan(y[1]) && y[0] == 1);
    assert_null(pool->kind->forward(pool, 1, x, y));
    assert_true(isnan(y[0]));
    relu->kind->destroy(relu);
    pool->kind->destroy(pool);
}

static nn_network *small_network(bool batch_norm, nn_activation activation) {
    nn_network *network = nn_network_create(backend, THREADS, (nn_shape){6, 8, 1}, 5, 3);
    assert_non_null(network);
    for (size_t channels = 3; channels <= 4; channels++) {
        nn_network_conv(network, channels, !batch_norm);
        if (batch_norm) nn_network_batch_norm(network);
        nn_network_activation(network, activation);
        nn_network_max_pool(network);
    }
    nn_network_linear(network, 6, !batch_norm);
    if (batch_norm) nn_network_batch_norm(network);
    nn_network_activation(network, activation);
    nn_network_linear(network, 3, true);
    assert_null(nn_network_finish(network));
    return network;
}

static void check_parameter(const nn_network *network, size_t layer, int which, const float *x, const uint8_t *labels,
                            size_t n) {
    const nn_parameter *parameter = &network->layers[layer]->parameters[which];
    const double step = 1e-6;
    for (size_t i = 0; i < parameter->count; i++) {
        const double up = reference_loss(network, n, x, labels, layer, (struct nudge){which, i, step});
        const double down = reference_loss(network, n, x, labels, layer, (struct nudge){which, i, -step});
        assert_near((double)parameter->grad[i], (up - down) / (2 * step));
    }
}

static void check_network(bool batch_norm, nn_activation activation) {
    static const uint8_t labels[] = {0, 2, 1, 2, 0};
    const size_t n = 5;
    nn_network *network = small_network(batch_norm, activation);
    nn_rng rng = nn_rng_create(11, 1);
    fill(nn_network_input(network), n * 48, &rng);
    assert_null(nn_network_forward(network, n));
    const nn_score score =
        nn_softmax_cross_entropy(n, 3, nn_network_output(network), labels, nn_network_output_gradient(network));
    assert_near(score.loss / (double)n, reference_loss(network, n, nn_network_input(network), labels, 0, none));
    assert_null(nn_network_backward(network, n));
    for (size_t layer = 0; layer < network->count; layer++) {
        for (size_t which = 0; which < network->layers[layer]->parameter_count; which++) {
            check_parameter(network, layer, (int)which, nn_network_input(network), labels, n);
        }
    }
    nn_network_destroy(network);
}

static void network_gradients_equal_finite_differences(void **state) {
    (void)state;
    check_network(true, NN_RELU);
    check_network(true, NN_SIGMOID);
    check_network(false, NN_RELU);
    check_network(false, NN_SIGMOID);
}

/* Initial weights do not depend on batch norm, so that runs with and without it begin alike. */
static void initial_weights_depend_on_the_seed_alone(void **state) {
    (void)state;
    nn_network *with = small_network(true, NN_RELU), *without = small_network(false, NN_RELU);
    const nn_parameter *a = &with->layers[with->count - 1]->parameters[0];
    const nn_parameter *b = &without->layers[without->count - 1]->parameters[0];
    assert_memory_equal(a->value, b->value, a->count * sizeof(float));
    const float bound = 1.0f / sqrtf(6.0f);
    float largest = 0;
    for (size_t i = 0; i < a->count; i++) largest = fmaxf(largest, fabsf(a->value[i]));
    assert_true(largest <= bound && largest > 0.8f * bound);
    nn_network_destroy(with);
    nn_network_destroy(without);
}

static void sgd_step_is_pytorchs(void **state) {
    (void)state;
    nn_network *network = nn_network_create(backend, THREADS, (nn_shape){1, 1, 1}, 1, 1);
    nn_network_linear(network, 1, false);
    assert_null(nn_network_finish(network));
    nn_parameter *weight = &network->layers[0]->parameters[0];
    nn_sgd sgd;
    assert_null(nn_sgd_init(&sgd, network, 0.5f, 0.25f));
    weight->value[0] = 8;
    weight->grad[0] = 4;
    nn_sgd_step(&sgd); /* velocity 4 */
    assert_true(weight->value[0] == 6);
    weight->grad[0] = 2;
    nn_sgd_step(&sgd); /* velocity 0.25 * 4 + 2 = 3 */
    assert_true(weight->value[0] == 4.5f);
    nn_sgd_free(&sgd);
    nn_network_destroy(network);
}

static void too_many_layers_are_refused(void **state) {
    (void)state;
    nn_network *network = nn_network_create(backend, THREADS, (nn_shape){1, 1, 2}, 1, 1);
    for (int i = 0; i <= NN_MAX_LAYERS; i++) nn_network_activation(network, NN_RELU);
    assert_string_equal(nn_network_finish(network), "a network has too many layers");
    nn_network_destroy(network);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_gradients_equal_finite_differences),
        cmocka_unit_test(conv_serves_any_batch_size),
        cmocka_unit_test(conv_at_the_trainers_sizes),
        cmocka_unit_test(linear_gradients_equal_finite_differences),
        cmocka_unit_test(max_pool_gradients_equal_finite_differences),
        cmocka_unit_test(activation_gradients_equal_finite_differences),
        cmocka_unit_test(batch_norm_gradients_equal_finite_differences),
        cmocka_unit_test(nan_passes),
        cmocka_unit_test(network_gradients_equal_finite_differences),
        cmocka_unit_test(initial_weights_depend_on_the_seed_alone),
        cmocka_unit_test(sgd_step_is_pytorchs),
        cmocka_unit_test(too_many_layers_are_refused),
    };
    return cmocka_run_group_tests_name("nn.layers", tests, open_backend, close_backend);
}
