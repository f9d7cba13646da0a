/* SPDX-License-Identifier: MIT */
/* The models of nn/: gradients of every whole network against finite differences in double, names, initial weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn_support.h"
#include "tests/support/test.h"

static void check_model(nn_model_kind kind) {
    for (int norm = NN_NORM_NONE; norm <= NN_NORM_AFTER; norm++) {
        for (int activation = NN_RELU; activation <= NN_TANH; activation++) {
            /* of the large models one of each kind: told by y, told by x, and no activation of the library */
            if (kind != NN_MLP && activation != NN_RELU && activation != NN_SILU && activation != NN_TANH) continue;
            if (is_left_out()) continue;
            nn_model_options options = small_model(kind, (nn_norm)norm, (nn_activation)activation);
            check_network(make_model(&options), NN_TEST_BATCH);
            options.frozen = true;
            if (norm != NN_NORM_NONE) check_network(make_model(&options), NN_TEST_BATCH - 1);
        }
    }
}

TEST(mlp_gradients_equal_finite_differences) { check_model(NN_MLP); }

TEST(cnn_gradients_equal_finite_differences) { check_model(NN_CNN); }

TEST(resnet_gradients_equal_finite_differences) { check_model(NN_RESNET); }

/* As many samples as are three shards, the last a short one. */
TEST(gradients_of_shards_are_added) {
    for (int kind = NN_MLP; kind <= NN_CNN; kind++) {
        nn_model_options options = small_model((nn_model_kind)kind, NN_NORM_BEFORE, NN_RELU);
        options.batch = NN_TEST_SHARDS;
        check_network(make_model(&options), NN_TEST_SHARDS);
    }
}

TEST(parameters_have_pytorchs_names) {
    static const char *const expected[] = {
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "layer1.0.conv1.weight",
        "layer1.0.bn1.weight",
        "layer1.0.bn1.bias",
        "layer1.0.conv2.weight",
        "layer1.0.bn2.weight",
        "layer1.0.bn2.bias",
        "layer2.0.conv1.weight",
        "layer2.0.bn1.weight",
        "layer2.0.bn1.bias",
        "layer2.0.conv2.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.weight",
        "layer2.0.downsample.1.bias",
        "layer2.0.bn2.weight",
        "layer2.0.bn2.bias",
        "layer3.0.conv1.weight",
        "layer3.0.bn1.weight",
        "layer3.0.bn1.bias",
        "layer3.0.conv2.weight",
        "layer3.0.downsample.0.weight",
        "layer3.0.downsample.1.weight",
        "layer3.0.downsample.1.bias",
        "layer3.0.bn2.weight",
        "layer3.0.bn2.bias",
        "fc.weight",
        "fc.bias",
    };
    const nn_model_options options = small_model(NN_RESNET, NN_NORM_BEFORE, NN_RELU);
    nn_network *network = make_model(&options);
    assert_int_equal(nn_network_parameter_count(network), sizeof expected / sizeof *expected);
    for (size_t i = 0; i < nn_network_parameter_count(network); i++) {
        const nn_parameter *p = nn_network_parameter(network, i);
        assert_string_equal(p->name, expected[i]);
        assert_int_equal(p->count, p->out * p->height * p->width * p->in);
        assert_int_equal(p->norm, strstr(p->name, "bn") || strstr(p->name, "downsample.1"));
        assert_false(p->frozen);
    }
    const nn_parameter *down = nn_network_parameter(network, 13);
    assert_true(down->rank == 4 && down->out == 32 && down->height == 1 && down->width == 1 && down->in == 16);
    const char *name = NULL;
    assert_int_equal(nn_network_batch_norms(network), 9);
    assert_non_null(nn_network_batch_norm_at(network, 4, &name));
    assert_string_equal(name, "layer2.0.downsample.1");
    assert_null(nn_network_batch_norm_at(network, 9, &name));
}

TEST(parameters_are_counted_without_a_network) {
    for (int kind = NN_MLP; kind <= NN_RESNET; kind++) {
        for (int norm = NN_NORM_NONE; norm <= NN_NORM_AFTER; norm++) {
            for (size_t depth = 8; depth <= (kind == NN_RESNET ? 20 : 8); depth += 6) {
                nn_model_options options = small_model((nn_model_kind)kind, (nn_norm)norm, NN_TANH);
                options.depth = depth;
                options.image = (nn_shape){11, 6, depth == 14 ? 1 : 3};
                assert_int_equal(nn_model_parameters(&options), nn_network_parameters(make_model(&options)));
            }
        }
    }
}

TEST(depths_and_sizes_are_checked) {
    nn_model_options options = small_model(NN_RESNET, NN_NORM_BEFORE, NN_RELU);
    nn_network *network = (nn_network *)&options;
    options.depth = 9;
    assert_string_equal(nn_model_create(backend, &options, &network), "a resnet has a depth of 8, 14 or 20");
    assert_null(network);
    options = small_model(NN_CNN, NN_NORM_BEFORE, NN_RELU);
    options.image.width = 3;
    assert_string_equal(nn_model_create(backend, &options, &network), "the cnn needs images of at least 4 x 4 pixels");
    options = small_model(NN_RESNET, NN_NORM_NONE, NN_RELU);
    options.depth = 20;
    network = make_model(&options);
    assert_int_equal(nn_network_parameter_count(network), 2 * (20 + 2));
}

/* Initial weights do not depend on batch norm, so that runs with and without it begin alike. */
TEST(initial_weights_depend_on_the_seed_alone) {
    for (int kind = NN_MLP; kind <= NN_RESNET; kind++) {
        nn_model_options options = small_model((nn_model_kind)kind, NN_NORM_BEFORE, NN_RELU);
        nn_network *with = make_model(&options);
        options.norm = NN_NORM_NONE;
        nn_network *without = make_model(&options);
        for (size_t i = 0, j = 0; i < with->parameter_count; i++) {
            const nn_parameter *a = nn_network_parameter(with, i);
            if (a->norm) continue;
            while (strcmp(nn_network_parameter(without, j)->name, a->name) != 0) j++; /* biases that only this one has */
            assert_memory_equal(a->value, nn_network_parameter(without, j)->value, a->count * sizeof(float));
        }
    }
}

TEST(initial_weights_fill_their_interval) {
    const nn_model_options options = small_model(NN_RESNET, NN_NORM_BEFORE, NN_RELU);
    nn_network *network = make_model(&options);
    const nn_parameter *a = nn_network_parameter(network, 3);
    const float bound = 1.0f / sqrtf(9 * 16);
    float most = 0;
    for (size_t i = 0; i < a->count; i++) most = fmaxf(most, fabsf(a->value[i]));
    assert_true(most <= bound && most > 0.99f * bound);
}

/* Where batch norm keeps y in the place of x, gradients are the same, and memory is never more; it is less where y can take its
 * place: after the convolutions of a leaky network, and where nothing else needs the output of an activation. */
TEST(batch_norm_may_keep_less) {
    static const nn_activation activations[] = {NN_RELU, NN_LEAKY_RELU, NN_SILU, NN_TANH, NN_IDENTITY};
    for (int kind = NN_MLP; kind <= NN_RESNET; kind++)
        for (int norm = NN_NORM_BEFORE; norm <= NN_NORM_AFTER; norm++)
            for (int a = 0; a < 5; a++) {
                nn_model_options options = small_model((nn_model_kind)kind, (nn_norm)norm, activations[a]);
                const nn_network *plain = make_model(&options);
                options.memory = NN_MEMORY_LESS;
                nn_network *less = make_model(&options);
                assert_int_equal(less->plain, plain->memory_count);
                assert_true(less->memory_count <= plain->memory_count);
                const bool gains = norm == NN_NORM_BEFORE ? activations[a] == NN_LEAKY_RELU : activations[a] == NN_SILU;
                if (kind == NN_RESNET && gains) assert_true(less->memory_count < plain->memory_count);
                check_network(less, NN_TEST_BATCH);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(mlp_gradients_equal_finite_differences, let_go),
        cmocka_unit_test_teardown(cnn_gradients_equal_finite_differences, let_go),
        cmocka_unit_test_teardown(resnet_gradients_equal_finite_differences, let_go),
        cmocka_unit_test_teardown(gradients_of_shards_are_added, let_go),
        cmocka_unit_test_teardown(parameters_have_pytorchs_names, let_go),
        cmocka_unit_test_teardown(parameters_are_counted_without_a_network, let_go),
        cmocka_unit_test_teardown(depths_and_sizes_are_checked, let_go),
        cmocka_unit_test_teardown(initial_weights_depend_on_the_seed_alone, let_go),
        cmocka_unit_test_teardown(initial_weights_fill_their_interval, let_go),
        cmocka_unit_test_teardown(batch_norm_may_keep_less, let_go),
    };
    return cmocka_run_group_tests_name("nn.models", tests, open_backend, close_backend);
}
