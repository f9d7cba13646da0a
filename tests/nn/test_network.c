/* SPDX-License-Identifier: MIT */
/* Networks of nn/ as graphs: building, memory, observers, and a graph that no model has. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/memory_plan.h"
#include "nn_support.h"
#include "tests/support/test.h"

static nn_network *new_graph(nn_shape input) { return new_network(input, NN_TEST_BATCH, NN_TEST_THREADS); }

/* Values that are read twice and more, by the same layer or by several, in every combination that the models do not have. */
TEST(values_may_be_read_by_many) {
    nn_network *n = new_graph((nn_shape){4, 4, 2});
    const nn_conv_options conv = {.channels = 2, .kernel = 3, .stride = 1, .bias = true};
    const nn_value a = nn_network_conv(n, NN_INPUT, &conv, "a");
    const nn_value twice = nn_network_add(n, a, a);
    const nn_value norm = nn_network_batch_norm(n, twice, twice, NN_RELU, "norm");
    const nn_value tanh = nn_network_activation(n, norm, NN_TANH);
    const nn_value more = nn_network_add(n, nn_network_conv(n, norm, &conv, "b"), a);
    const nn_value sum = nn_network_add(n, nn_network_add(n, tanh, NN_INPUT), nn_network_add(n, more, norm));
    const nn_value same = nn_network_batch_norm(n, sum, a, NN_IDENTITY, "last");
    nn_network_linear(n, nn_network_activation(n, same, NN_IDENTITY), NN_TEST_CLASSES, true, "fc");
    assert_null(nn_network_finish(n));
    check_network(n, NN_TEST_BATCH);
}

/* Of samples that are so many that their count of floats would wrap to 0 or to a few. */
TEST(networks_that_do_not_fit_are_refused) {
    const size_t samples[] = {SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2, SIZE_MAX / 8, SIZE_MAX / 32};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        nn_network *n = nn_network_create(backend, NN_TEST_THREADS, (nn_shape){1, 1, 2}, samples[i], 3);
        assert_non_null(n);
        nn_network_linear(n, NN_INPUT, 2, true, "fc");
        assert_non_null(nn_network_finish(n));
        nn_network_destroy(n);
    }
}

struct seen {
    const nn_network *network;
    double **values;
    size_t forwards, backwards;
    double bias; /* sum over the samples of the last layer's dy for class 0 */
};

static void see_forward(void *user, size_t layer, size_t n, const float *x, const float *y) {
    struct seen *seen = user;
    assert_int_equal(layer, seen->forwards++);
    assert_non_null(x);
    for (size_t i = 0; i < n * nn_shape_size(nn_network_shape(seen->network, layer + 1)); i++) {
        assert_near((double)y[i], seen->values[layer + 1][i]);
    }
}

static void see_backward(void *user, size_t layer, size_t n, const float *dy) {
    struct seen *seen = user;
    assert_int_equal(layer, seen->network->count - 1 - seen->backwards++);
    if (layer != seen->network->count - 1) return;
    for (size_t i = 0; i < n; i++) seen->bias += (double)dy[i * NN_TEST_CLASSES];
}

TEST(observers_see_every_value_and_gradient) {
    const nn_model_options options = small_model(NN_RESNET, NN_NORM_BEFORE, NN_RELU);
    nn_network *network = make_model(&options);
    nn_rng rng = nn_rng_create(11, 1);
    fill(nn_network_input(network), NN_TEST_BATCH * nn_shape_size(network->input), &rng);
    struct seen seen = {.network = network};
    seen.values = reference_values(network, NN_TEST_BATCH, nn_network_input(network), 0, no_nudge);
    nn_network_observe(network, &(nn_observer){&seen, see_forward, see_backward});
    step_of(network, NN_TEST_BATCH);
    assert_true(seen.forwards == network->count && seen.backwards == network->count);
    assert_near(seen.bias, (double)nn_network_parameter(network, network->parameter_count - 1)->grad[0]);
    nn_network_observe(network, NULL);
    step_of(network, NN_TEST_BATCH);
    assert_int_equal(seen.forwards, network->count);
    reference_free(network, seen.values);
}

static void refuses(nn_network *network, const char *message) { assert_string_equal(nn_network_finish(network), message); }

TEST(wrong_graphs_are_refused) {
    const nn_shape image = {4, 4, 2};
    refuses(new_graph(image), "a network needs a layer");

    nn_network *n = new_graph(image);
    assert_true(nn_network_activation(n, 1, NN_RELU) == NN_NO_VALUE);
    assert_true(nn_network_activation(n, NN_INPUT, NN_RELU) == NN_NO_VALUE); /* nothing works after an error */
    refuses(n, "a layer reads a value that no layer before it gives");

    n = new_graph(image);
    nn_network_activation(n, NN_INPUT, NN_RELU);
    nn_network_activation(n, NN_INPUT, NN_RELU);
    refuses(n, "a layer gives a value that no layer reads");

    n = new_graph(image);
    nn_network_add(n, NN_INPUT, nn_network_max_pool(n, NN_INPUT));
    refuses(n, "values of different shapes cannot be added");

    n = new_graph(image);
    nn_network_conv(n, NN_INPUT, &(nn_conv_options){.channels = 1, .kernel = 5, .stride = 1}, "a");
    refuses(n, "a convolution has a kernel of 1 or 3 and a stride of 1 or 2");

    n = new_graph(image);
    nn_network_batch_norm(n, NN_INPUT, NN_NO_VALUE, NN_TANH, "a");
    refuses(n, "batch norm cannot be fused with tanh");

    n = new_graph(image);
    nn_network_linear(n, NN_INPUT, 1, true, "0123456789012345678901234567890123456789012345678901234567890123");
    refuses(n, "the name of a layer is too long");
}

TEST(many_layers_fit) {
    nn_network *n = new_graph((nn_shape){1, 1, NN_TEST_CLASSES});
    nn_value x = nn_network_linear(n, NN_INPUT, NN_TEST_CLASSES, true, "fc");
    for (int i = 0; i < 100; i++) x = nn_network_activation(n, x, NN_IDENTITY);
    assert_null(nn_network_finish(n));
    assert_true(n->memory_count <= 4 * 16); /* input, one value, output, its gradient */
    check_network(n, NN_TEST_BATCH);
}

/* Random spans: none may overlap, and the block is not larger than what is in use at once by much. */
TEST(memory_is_shared_without_overlap) {
    enum { SPANS = 60, MOMENTS = 40 };
    nn_rng rng = nn_rng_create(5, 1);
    for (int turn = 0; turn < 50; turn++) {
        nn_span spans[SPANS];
        for (size_t i = 0; i < SPANS; i++) {
            const size_t first = nn_rng_below(&rng, MOMENTS);
            spans[i] = (nn_span){1 + nn_rng_below(&rng, 100), first, first + nn_rng_below(&rng, 10), 0};
        }
        const size_t total = nn_memory_plan(spans, SPANS);
        size_t most = 0;
        for (size_t moment = 0; moment < MOMENTS + 10; moment++) {
            size_t sum = 0;
            for (size_t i = 0; i < SPANS; i++) sum += spans[i].first <= moment && moment <= spans[i].last ? spans[i].size : 0;
            most = sum > most ? sum : most;
        }
        assert_true(total >= most && (double)total <= 1.5 * (double)most);
        for (size_t i = 0; i < SPANS; i++) {
            const nn_span *s = &spans[i];
            assert_true(s->offset + s->size <= total);
            for (size_t j = 0; j < i; j++) {
                const nn_span *t = &spans[j];
                const bool together = s->first <= t->last && t->first <= s->last;
                assert_false(together && s->offset < t->offset + t->size && t->offset < s->offset + s->size);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values_may_be_read_by_many, let_go),
        cmocka_unit_test_teardown(observers_see_every_value_and_gradient, let_go),
        cmocka_unit_test_teardown(wrong_graphs_are_refused, let_go),
        cmocka_unit_test_teardown(many_layers_fit, let_go),
        cmocka_unit_test_teardown(memory_is_shared_without_overlap, let_go),
        cmocka_unit_test_teardown(networks_that_do_not_fit_are_refused, let_go),
    };
    return cmocka_run_group_tests_name("nn.network", tests, open_backend, close_backend);
}
