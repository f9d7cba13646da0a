/* SPDX-License-Identifier: MIT */
/* Looking at a network changes nothing, both sides train on the same from the same, and what is recorded is what is there.
 * Longer than 300 lines, because one small laboratory serves all of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "lab/lab.h"
#include "tests/support/test.h"
#include "tools/shared/messages.h"

enum { IMAGES = 40, SIDE = 8, CLASSES = 3 };

static uint8_t pixels[IMAGES * SIDE * SIDE], labels[IMAGES];
static char *class_names[CLASSES] = {"a", "b", "c"};
static struct compare_request request = {.seeds = 1, .threads = 1, .rate = 0.05, .batch = 8, .model = NN_CNN};
static struct lab lab = {.request = &request};

/* tools/shared/messages.c has the true one. */
int report(int code, const char *format, ...) {
    (void)format;
    return code;
}

FIXTURE(set_up) {
    nn_rng rng = nn_rng_create(7, 0);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)nn_rng_below(&rng, 256);
    for (size_t i = 0; i < IMAGES; i++) labels[i] = (uint8_t)nn_rng_below(&rng, CLASSES);
    lab.train = (nn_dataset){.count = IMAGES,
                             .image = {SIDE, SIDE, 1},
                             .classes = CLASSES,
                             .pixels = pixels,
                             .labels = labels,
                             .class_names = class_names,
                             .mean = {128},
                             .rstd = {1 / 74.0f}};
    lab.test = lab.train;
    request.plan = (struct plan){.gradients_passes = 2,
                                 .gradients_points = 4,
                                 .sigmoid_passes = 1,
                                 .sigmoid_points = 2,
                                 .layer_passes = 2,
                                 .layer_points = 2,
                                 .population_images = IMAGES,
                                 .gap_images = 16,
                                 .ranks_passes = 2};
    return nn_backend_create(1, &lab.backend) ? -1 : 0;
}

FIXTURE(tear_down) {
    nn_backend_destroy(lab.backend);
    return 0;
}

FIXTURE(clear) {
    metrics_free(&lab.metrics);
    lab_stop = 0;
    return let_go(state);
}

static void release_trainee(void *t) {
    trainee_free(t);
    free(t);
}

static struct trainee *trainee_with(const struct trainee_options *options) {
    struct trainee *t = keep(calloc(1, sizeof *t), release_trainee);
    assert_null(trainee_init(t, &lab, options));
    return t;
}

static struct trainee *trainee_of(enum side side) {
    const struct trainee_options options = trainee_defaults(&lab, side, 1);
    return trainee_with(&options);
}

static void step(struct trainee *t) {
    assert_null(trainee_gradient(t, NULL));
    assert_null(trainee_update(t));
}

static void assert_same(const struct trainee *a, const struct trainee *b) {
    struct trainee_copy x, y;
    assert_true(trainee_save(a, &x) && trainee_save(b, &y));
    assert_int_equal(x.count, y.count);
    assert_int_equal(x.buffers, y.buffers);
    assert_memory_equal(x.values, y.values, x.count * sizeof *x.values);
    assert_memory_equal(x.running, y.running, x.buffers * sizeof *x.running);
    trainee_copy_free(&x);
    trainee_copy_free(&y);
}

TEST(both_sides_begin_with_the_same_weights_and_batch) {
    struct trainee *with = trainee_of(SIDE_WITH), *without = trainee_of(SIDE_WITHOUT);
    size_t compared = 0;
    for (size_t i = 0; i < nn_network_parameter_count(with->network); i++) {
        const nn_parameter *p = nn_network_parameter(with->network, i);
        for (size_t j = 0; j < nn_network_parameter_count(without->network) && p->rank > 1; j++) {
            const nn_parameter *q = nn_network_parameter(without->network, j);
            if (strcmp(p->name, q->name) != 0) continue;
            assert_memory_equal(p->value, q->value, p->count * sizeof *p->value);
            compared++;
        }
    }
    assert_int_equal(compared, 4);
    for (int i = 0; i < 12; i++) { /* more than two passes */
        step(with);
        step(without);
        assert_memory_equal(with->labels, without->labels, with->n);
        assert_memory_equal(nn_network_input(with->network), nn_network_input(without->network),
                            with->n * SIDE * SIDE * sizeof(float));
    }
}

/* Tests, walks along the gradient and other batches in between, and training goes on with the same bits. */
TEST(looking_changes_nothing) {
    struct trainee *watched = trainee_of(SIDE_WITH), *alone = trainee_of(SIDE_WITH);
    for (int i = 0; i < 3; i++) {
        struct trainee_copy copy;
        double loss, there, accuracy;
        assert_null(trainee_gradient(watched, &loss));
        assert_true(trainee_save(watched, &copy));
        trainee_move(watched, &copy, 0.5);
        assert_null(trainee_gradient_again(watched, &there));
        assert_true(there != loss);
        assert_true(trainee_gradient_distance(watched, &copy) > 0);
        trainee_restore(watched, &copy);
        assert_true(trainee_gradient_distance(watched, &copy) == 0);
        trainee_copy_free(&copy);
        assert_null(trainee_update(watched));
        assert_null(trainee_test(watched, NULL, &accuracy));
        step(alone);
        assert_same(watched, alone);
    }
}

/* The change of the loss over a short way against the gradient is that way by the squared length of the gradient. */
TEST(a_short_way_against_the_gradient) {
    struct trainee *t = trainee_of(SIDE_WITHOUT);
    struct trainee_copy copy;
    double loss, there;
    assert_null(trainee_gradient(t, &loss));
    assert_true(trainee_save(t, &copy));
    const double length = trainee_gradient_length(&copy), way = 1e-3 / (length * length);
    trainee_move(t, &copy, way);
    assert_null(trainee_gradient_again(t, &there));
    assert_float_equal((loss - there) / 1e-3, 1, 0.02);
    trainee_copy_free(&copy);
}

/* Gradients of one rank's images alone, into `copy`; its running statistics, too. */
static void see_rank(struct trainee *t, const struct trainee_copy *before, const uint32_t *images, size_t n,
                     struct trainee_copy *copy) {
    trainee_restore(t, before);
    nn_dataset_batch(&lab.train, images, n, NULL, nn_network_input(t->network), t->labels);
    assert_null(nn_network_forward(t->network, n));
    nn_softmax_cross_entropy(n, CLASSES, nn_network_output(t->network), t->labels, nn_network_output_gradient(t->network));
    assert_null(nn_network_backward(t->network, n));
    assert_true(trainee_save(t, copy));
}

/* Gradients are the mean of what each rank gets alone, and running statistics those of the first. */
TEST(ranks_take_their_own_statistics) {
    struct trainee_options options = trainee_defaults(&lab, SIDE_WITH, 1);
    struct trainee *by_hand = trainee_with(&options);
    struct trainee_copy before, rank[2], found;
    options.local = 4;
    struct trainee *t = trainee_with(&options);
    double loss;
    step(by_hand); /* so that running statistics are some */
    assert_true(trainee_save(by_hand, &before));
    trainee_restore(t, &before);
    assert_null(trainee_gradient(t, &loss));
    assert_true(isfinite(loss) && trainee_save(t, &found));
    for (size_t i = 0; i < 2; i++) see_rank(by_hand, &before, t->order + 4 * i, 4, &rank[i]);
    double differ = 0;
    for (size_t i = 0; i < found.count; i++) {
        assert_float_equal(found.grads[i], ((double)rank[0].grads[i] + rank[1].grads[i]) / 2, 1e-6);
        differ = fmax(differ, fabs((double)rank[0].grads[i] - rank[1].grads[i]));
    }
    assert_true(differ > 1e-3); /* or nothing would be shown */
    assert_memory_equal(found.running, rank[0].running, found.buffers * sizeof *found.running);
    assert_memory_not_equal(found.running, rank[1].running, found.buffers * sizeof *found.running);
    for (int i = 0; i < 2; i++) trainee_copy_free(&rank[i]);
    trainee_copy_free(&found);
    trainee_copy_free(&before);
}

/* Without batch norm it is the same to train on many ranks. */
TEST(ranks_without_batch_norm_are_one) {
    struct trainee_options options = trainee_defaults(&lab, SIDE_WITHOUT, 1);
    struct trainee *one = trainee_with(&options);
    options.local = 3; /* ranks of 4 and 4 */
    struct trainee *many = trainee_with(&options);
    struct trainee_copy copy;
    double loss, same;
    assert_null(trainee_gradient(one, &loss));
    assert_null(trainee_gradient(many, &same));
    assert_float_equal(loss, same, 1e-6);
    assert_true(trainee_save(one, &copy));
    assert_true(trainee_gradient_distance(many, &copy) < 1e-5 * trainee_gradient_length(&copy));
    trainee_copy_free(&copy);
}

static size_t rows_of(enum experiment experiment, enum side side, const char *name) {
    size_t count;
    const struct metric_key key = metric_key(experiment, side, name);
    free(metrics_values(&lab.metrics, &key, &count));
    return count;
}

TEST(gradients_leaves_its_rows) {
    assert_null(run_gradients(&lab, 1));
    for (int side = 0; side < SIDES; side++) {
        assert_int_equal(rows_of(GRADIENTS, (enum side)side, "gradient_norm"), 10 * 4); /* steps, weights */
        assert_int_equal(rows_of(GRADIENTS, (enum side)side, "loss_along"), 4 * (STEP_LENGTHS + 1));
        assert_int_equal(rows_of(GRADIENTS, (enum side)side, "smoothness"), 4 * STEP_LENGTHS);
    }
}

TEST(sigmoid_sees_every_sigmoid) {
    assert_null(run_sigmoid(&lab, 1));
    const struct metric_key key = metric_key(SIGMOID, SIDE_WITH, "saturated");
    size_t count;
    const char **layers = metrics_layers(&lab.metrics, &key, &count);
    assert_int_equal(count, 3);
    assert_string_equal(layers[0], "conv1");
    assert_string_equal(layers[2], "fc1");
    free(layers);
}

/* A batch of 8 is enough for two ranks of 2 and of 4, but not of 8. */
TEST(ranks_leaves_its_rows) {
    assert_null(run_ranks(&lab, 1));
    assert_int_equal(rows_of(RANKS, SIDE_WITH, "local_accuracy"), 2);
    assert_int_equal(rows_of(RANKS, SIDE_WITH, "local_batch_accuracy"), 2);
    assert_int_equal(rows_of(RANKS, SIDE_WITH, "final_accuracy"), 1);
    assert_int_equal(rows_of(RANKS, SIDE_WITHOUT, "final_loss"), 1);
    assert_int_equal(rows_of(RANKS, SIDE_WITHOUT, "batch_accuracy"), 0);
}

TEST(layer_records_channels_and_running_statistics) {
    assert_null(run_layer(&lab, 1));
    assert_int_equal(rows_of(LAYER, SIDE_WITH, "normalized_mean"), 32 + 64 + 128);
    assert_int_equal(rows_of(LAYER, SIDE_WITH, "running_mean_error"), 3 * 3); /* at the start, in the middle, at the end */
    struct metric_key key = metric_key(LAYER, SIDE_WITH, "normalized_std");
    const struct spread std = metrics_spread(&lab.metrics, &key);
    assert_true(std.high < 1 + 1e-6 && std.low > 0.9);
    assert_int_equal(rows_of(LAYER, SIDE_WITH, "eval_loss"), 6); /* 1 to 32 of 40 images */
    key = metric_key(LAYER, SIDE_WITH, "frozen_layers");
    key.at = 1;
    assert_true(metrics_value(&lab.metrics, &key) == 1);
    key.at = 2;
    assert_true(metrics_value(&lab.metrics, &key) == 0);
}

/* New running statistics are 0 and 1. */
TEST(running_statistics_begin_at_0_and_1) {
    assert_null(run_layer(&lab, 1));
    struct metric_key key = metric_key(LAYER, SIDE_WITH, "running_mean_error"),
                      var = metric_key(LAYER, SIDE_WITH, "running_var_error");
    key.step = var.step = 0;
    key.layer = var.layer = "bn1";
    /* the first convolution alone, over all images, in double */
    struct trainee *t = trainee_of(SIDE_WITH);
    const nn_parameter *weight = nn_network_parameter(t->network, 0);
    assert_string_equal(weight->name, "conv1.weight");
    double mean_error = 0, var_error = 0;
    for (size_t c = 0; c < 32; c++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < IMAGES * SIDE * SIDE; i++) {
            const int y = i / SIDE % SIDE, x = i % SIDE;
            double value = 0;
            for (int k = 0; k < 9; k++) {
                const int v = y + k / 3 - 1, u = x + k % 3 - 1;
                if (v < 0 || v >= SIDE || u < 0 || u >= SIDE) continue;
                value += weight->value[c * 9 + (size_t)k] * (pixels[i - y * SIDE - x + v * SIDE + u] - 128) / 74.0;
            }
            sum += value;
            squares += value * value;
        }
        const double n = IMAGES * SIDE * SIDE, m = sum / n, v = squares / n - m * m;
        mean_error += fabs(m) / sqrt(v) / 32;
        var_error += fabs(1 / v - 1) / 32;
    }
    assert_float_equal(metrics_value(&lab.metrics, &key) / mean_error, 1, 1e-3);
    assert_float_equal(metrics_value(&lab.metrics, &var) / var_error, 1, 1e-3);
}

TEST(a_signal_stops_a_step) {
    struct trainee *t = trainee_of(SIDE_WITH);
    lab_stop = 1;
    assert_ptr_equal(trainee_gradient(t, NULL), LAB_STOPPED);
    assert_ptr_equal(trainee_forward(t), LAB_STOPPED);
    assert_ptr_equal(trainee_test(t, NULL, NULL), LAB_STOPPED);
    assert_ptr_equal(run_sweep(&lab, 1), LAB_STOPPED);
    assert_int_equal(lab.metrics.count, 0);
}

/* A batch of one image: layers that see one value per channel are left out of the statistics, others are not. */
TEST(one_image_at_a_time) {
    struct trainee_options options = trainee_defaults(&lab, SIDE_WITH, 1);
    options.batch = 1;
    struct trainee *t = trainee_with(&options);
    t->one_value = true;
    trainee_set_training(t, true);
    step(t);
    const char *name;
    assert_int_equal(*batchnorm_layer_num_batches_tracked(nn_network_batch_norm_at(t->network, 0, &name)), 1);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(nn_network_batch_norm_at(t->network, 2, &name)), 0);
    t->one_value = false;
    trainee_set_training(t, true);
    assert_non_null(trainee_gradient(t, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(both_sides_begin_with_the_same_weights_and_batch, clear),
        cmocka_unit_test_teardown(looking_changes_nothing, clear),
        cmocka_unit_test_teardown(a_short_way_against_the_gradient, clear),
        cmocka_unit_test_teardown(ranks_take_their_own_statistics, clear),
        cmocka_unit_test_teardown(ranks_without_batch_norm_are_one, clear),
        cmocka_unit_test_teardown(ranks_leaves_its_rows, clear),
        cmocka_unit_test_teardown(gradients_leaves_its_rows, clear),
        cmocka_unit_test_teardown(sigmoid_sees_every_sigmoid, clear),
        cmocka_unit_test_teardown(layer_records_channels_and_running_statistics, clear),
        cmocka_unit_test_teardown(running_statistics_begin_at_0_and_1, clear),
        cmocka_unit_test_teardown(a_signal_stops_a_step, clear),
        cmocka_unit_test_teardown(one_image_at_a_time, clear),
    };
    return cmocka_run_group_tests_name("lab.trainee", tests, set_up, tear_down);
}
