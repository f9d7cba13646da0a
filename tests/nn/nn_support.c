/* SPDX-License-Identifier: MIT */
#include "nn_support.h"

#include <math.h>

#include "nn/loss.h"
#include "tests/support/test.h"

static const uint8_t labels[NN_TEST_SHARDS] = {0, 2, 1, 2, 0, 1, 1, 0, 2, 0, 1, 2, 2, 0, 1, 0, 2, 1, 1};

nn_backend *backend;

int open_backend(void **state UNUSED) { return nn_backend_create(NN_TEST_THREADS, &backend) ? -1 : 0; }

int close_backend(void **state UNUSED) {
    nn_backend_destroy(backend);
    return 0;
}

void fill(float *values, size_t count, nn_rng *rng) {
    for (size_t i = 0; i < count; i++) {
        const float size = nn_rng_uniform(rng, 0.125f, 1.0f);
        values[i] = nn_rng_next(rng) % 2 ? size : -size;
    }
}

void assert_near(double got, double expected) {
    const bool near = fabs(got - expected) <= 2e-5 * fmax(1.0, fabs(expected)); /* false for NaN */
    if (!near) fail_msg("got %.9g, expected %.9g", got, expected);
}

size_t sample_stride(size_t count) { return count > 200 ? count / 16 : 1; }

nn_model_options small_model(nn_model_kind kind, nn_norm norm, nn_activation activation) {
    return (nn_model_options){.kind = kind,
                              .depth = 8,
                              .image = {6, 5, 3},
                              .classes = NN_TEST_CLASSES,
                              .norm = norm,
                              .activation = activation,
                              .batch = NN_TEST_BATCH,
                              .threads = NN_TEST_THREADS,
                              .seed = 3};
}

static void release_network(void *network) { nn_network_destroy(network); }

nn_network *new_network(nn_shape input, size_t batch, int threads) {
    return keep(nn_network_create(backend, threads, input, batch, 3), release_network);
}

nn_network *make_model(const nn_model_options *options) {
    nn_network *network;
    assert_null(nn_model_create(backend, options, &network));
    keep(network, release_network);
    /* weights of both signs: what is fused must not take them for positive */
    nn_rng rng = nn_rng_create(77, 1);
    for (size_t p = 0; p < nn_network_parameter_count(network); p++) {
        const nn_parameter *parameter = nn_network_parameter(network, p);
        if (parameter->norm) fill(parameter->value, parameter->count, &rng);
    }
    return network;
}

double step_of(nn_network *network, size_t n) {
    assert_null(nn_network_forward(network, n));
    float *dlogits = nn_network_output_gradient(network);
    const nn_score score = nn_softmax_cross_entropy(n, NN_TEST_CLASSES, nn_network_output(network), labels, dlogits);
    assert_null(nn_network_backward(network, n));
    return score.loss / (double)n;
}

/* The largest gradient says how exact the others can be: they are sums of the same things. */
static double largest(const nn_parameter *parameter) {
    double most = 0;
    for (size_t i = 0; i < parameter->count; i++) most = fmax(most, fabs((double)parameter->grad[i]));
    return most;
}

static void check_parameter(const nn_network *network, size_t layer, int which, size_t n) {
    const nn_parameter *parameter = &network->nodes[layer].layer->parameters[which];
    const float *x = nn_network_input(network);
    const double step = 1e-7;
    for (size_t i = 0; i<parameter->count; i += parameter->count> 4 ? parameter->count / 4 : 1) {
        const double up = reference_loss(network, n, x, labels, layer, (struct nudge){which, i, step});
        const double down = reference_loss(network, n, x, labels, layer, (struct nudge){which, i, -step});
        const double expected = parameter->frozen ? 0 : (up - down) / (2 * step), got = (double)parameter->grad[i];
        const bool near = fabs(got - expected) <= 1e-3 * largest(parameter) + 1e-6;
        if (!near) fail_msg("%s[%zu]: got %.9g, expected %.9g", parameter->name, i, got, expected);
    }
}

void check_network(nn_network *network, size_t n) {
    nn_rng rng = nn_rng_create(11, 1);
    fill(nn_network_input(network), n * nn_shape_size(network->input), &rng);
    const double first = step_of(network, n), loss = step_of(network, n);
    assert_true(first == loss);
    assert_near(loss, reference_loss(network, n, nn_network_input(network), labels, 0, no_nudge));
    for (size_t layer = 0; layer < network->count; layer++) {
        for (size_t which = 0; which < network->nodes[layer].layer->parameter_count; which++) {
            check_parameter(network, layer, (int)which, n);
        }
    }
}
