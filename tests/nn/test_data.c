/* SPDX-License-Identifier: MIT */
/* Random numbers, loss, and training on a small data set. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "dataset_files.h"
#include "loaded.h"
#include "nn/train.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

/* Random numbers. */

TEST(pcg32_gives_its_authors_numbers) {
    static const uint32_t expected[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
    nn_rng rng = nn_rng_create(42, 54);
    for (size_t i = 0; i < 6; i++) assert_int_equal(nn_rng_next(&rng), expected[i]);
}

/* Of 2^32 values, three quarters can be spread evenly over three quarters; the last one must be drawn again. */
TEST(below_is_unbiased) {
    nn_rng rng = nn_rng_create(1, 0);
    int low = 0;
    for (int i = 0; i < 9000; i++) low += nn_rng_below(&rng, 3u << 30) < 1u << 30;
    assert_in_range(low, 2850, 3150); /* a third, within 3.4 standard deviations */
    for (int i = 0; i < 100; i++) assert_true(nn_rng_below(&rng, 7) < 7);
}

TEST(shuffle_is_a_fair_permutation) {
    nn_rng rng = nn_rng_create(1, 0);
    int first[5] = {0};
    for (int turn = 0; turn < 5000; turn++) {
        uint32_t items[] = {0, 1, 2, 3, 4}, seen = 0;
        nn_rng_shuffle(&rng, items, 5);
        for (int i = 0; i < 5; i++) seen |= 1u << items[i];
        assert_int_equal(seen, 31);
        first[items[0]]++;
    }
    for (int i = 0; i < 5; i++) assert_in_range(first[i], 900, 1100); /* 3.5 standard deviations around 1000 */
}

/* Loss. */

TEST(loss_gradient_equals_finite_differences) {
    static const uint8_t labels[] = {2, 0};
    float logits[] = {0.5f, -1.0f, 0.25f, 2.0f, 0.0f, -0.75f}, gradient[6];
    const float step = 0x1p-6f;
    const nn_score score = nn_softmax_cross_entropy(2, 3, logits, labels, gradient);
    assert_int_equal(score.correct, 1);
    for (size_t i = 0; i < 6; i++) {
        const float logit = logits[i];
        logits[i] = logit + step;
        const double up = nn_softmax_cross_entropy(2, 3, logits, labels, NULL).loss;
        logits[i] = logit - step;
        const double down = nn_softmax_cross_entropy(2, 3, logits, labels, NULL).loss;
        logits[i] = logit;
        assert_true(fabs((up - down) / 2 / (2 * (double)step) - (double)gradient[i]) < 1e-4);
    }
}

TEST(loss_of_large_logits_is_finite) {
    static const uint8_t labels[] = {1};
    const float logits[] = {1000.0f, -1000.0f};
    float gradient[2];
    assert_true(nn_softmax_cross_entropy(1, 2, logits, labels, gradient).loss == 2000.0);
    assert_true(gradient[0] == 1.0f && gradient[1] == -1.0f);
    const float broken[] = {NAN, 0.0f};
    assert_true(isnan(nn_softmax_cross_entropy(1, 2, broken, labels, NULL).loss));
}

/* Training. */

enum { TRAIN = 41, TEST = 21 };

static nn_model_options small_cnn(bool batch_norm, size_t batch, int threads) {
    return (nn_model_options){.kind = NN_CNN,
                              .image = {28, 28, 1},
                              .classes = 10,
                              .norm = batch_norm ? NN_NORM_BEFORE : NN_NORM_NONE,
                              .activation = NN_RELU,
                              .batch = batch,
                              .threads = threads,
                              .seed = 5};
}

static nn_training_options small_training(size_t batch) {
    return (nn_training_options){
        .optimizer = nn_optimizer_defaults(NN_SGD), .schedule = {.rate = 0.02f}, .batch = batch, .seed = 5};
}

/* A network and its training with the loaded data set, kept until let_go(). */
struct course {
    nn_backend *backend;
    nn_network *network;
    nn_trainer trainer;
};

static void end(void *course) {
    struct course *c = course;
    nn_trainer_free(&c->trainer);
    nn_network_destroy(c->network);
    nn_backend_destroy(c->backend);
    free(c);
}

static nn_trainer *begin(const nn_model_options *options) {
    struct course *c = keep(calloc(1, sizeof *c), end);
    const nn_training_options training = small_training(options->batch);
    assert_null(nn_backend_create(options->threads, &c->backend));
    assert_null(nn_model_create(c->backend, options, &c->network));
    assert_null(nn_trainer_init(&c->trainer, c->network, &train, &test, &training));
    return &c->trainer;
}

static nn_epoch train_epochs(const nn_model_options *options, int epochs) {
    nn_trainer *trainer = begin(options);
    nn_epoch epoch;
    for (int i = 0; i < epochs; i++) assert_null(nn_trainer_epoch(trainer, NULL, NULL, &epoch));
    return epoch;
}

FIXTURE(clear) {
    let_go(state);
    return unload(state);
}

/* 41 and 21 images in batches of 10: one sample is left over, in training (skipped) and in testing (used). */
TEST(training_learns_and_repeats_itself) {
    put_stripes(TRAIN, TEST);
    load("", 0);
    for (int batch_norm = 0; batch_norm < 2; batch_norm++) {
        const nn_model_options options = small_cnn(batch_norm, 10, 2);
        const nn_epoch one = train_epochs(&options, 8), two = train_epochs(&options, 8);
        assert_true(one.accuracy > 0.9 && one.loss < 0.5);
        assert_true(one.accuracy == two.accuracy && one.loss == two.loss);
    }
}

struct watch {
    const nn_trainer *trainer;
    size_t done;
    uint32_t first; /* the first image of the epoch */
};

/* Each image has its place in the order, and the place is not its number. */
static void watch_progress(void *user, size_t done, size_t total) {
    struct watch *watch = user;
    uint64_t seen = 0;
    size_t at_home = 0;
    assert_int_equal(total, TRAIN - 1);
    for (uint32_t i = 0; i < TRAIN; i++) {
        seen |= UINT64_C(1) << watch->trainer->order[i];
        at_home += watch->trainer->order[i] == i;
    }
    assert_true(seen == (UINT64_C(1) << TRAIN) - 1 && at_home < 10);
    watch->done = done;
    watch->first = watch->trainer->order[0];
}

TEST(epochs_are_shuffled_and_skip_a_single_leftover) {
    nn_epoch epoch;
    const nn_model_options options = small_cnn(true, 20, 1);
    put_stripes(TRAIN, TEST);
    load("", 0);
    nn_trainer *trainer = begin(&options);
    assert_true(nn_trainer_samples(trainer) == TRAIN - 1 && nn_trainer_steps(trainer) == 2);
    struct watch one = {.trainer = trainer}, two = one;
    assert_null(nn_trainer_epoch(trainer, watch_progress, &one, &epoch));
    assert_null(nn_trainer_epoch(trainer, watch_progress, &two, &epoch));
    assert_true(one.done == TRAIN - 1 && two.done == TRAIN - 1 && one.first != two.first);
    assert_true(trainer->at.epoch == 2 && trainer->at.step == 4 && trainer->at.done == 0 && trainer->at.sum.loss == 0);
}

/* Class by class it is what it is in all. */
TEST(classes_are_counted) {
    const nn_model_options options = small_cnn(true, 10, 1);
    uint32_t right[10] = {0}, all[10] = {0}, correct = 0;
    nn_score score;
    put_stripes(TRAIN, TEST);
    load("", 0);
    nn_trainer *trainer = begin(&options);
    for (int i = 0; i < 4; i++) assert_null(nn_trainer_step(trainer, NULL));
    assert_null(nn_trainer_evaluate(trainer, &test, &score));
    assert_null(nn_trainer_evaluate_classes(trainer, &test, right, all));
    for (size_t c = 0; c < 10; c++) {
        assert_int_equal(all[c], c == 0 ? 3 : 2); /* of 21 */
        assert_true(right[c] <= all[c]);
        correct += right[c];
    }
    assert_int_equal(correct, score.correct);
    assert_in_range(correct, 1, TEST - 1); /* or it says little */
}

TEST(what_diverged_is_not_finite) {
    const nn_model_options options = small_cnn(true, 10, 1);
    const char *name;
    batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
    put_stripes(TRAIN, TEST);
    load("", 0);
    nn_network *network = begin(&options)->network;
    assert_true(nn_network_is_finite(network));
    for (size_t i = 0; i < nn_network_parameter_count(network); i++) {
        const nn_parameter *p = nn_network_parameter(network, i);
        const float was = p->value[p->count - 1];
        p->value[p->count - 1] = i % 2 ? NAN : INFINITY;
        assert_false(nn_network_is_finite(network));
        p->value[p->count - 1] = was;
    }
    assert_true(nn_network_is_finite(network));
    const size_t count = batchnorm_layer_state(nn_network_batch_norm_at(network, 2, &name), entries);
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].name, "running_var") == 0) ((float *)entries[i].tensor.data)[3] = INFINITY;
    assert_false(nn_network_is_finite(network));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcg32_gives_its_authors_numbers),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(shuffle_is_a_fair_permutation),
        cmocka_unit_test(loss_gradient_equals_finite_differences),
        cmocka_unit_test(loss_of_large_logits_is_finite),
        cmocka_unit_test_teardown(training_learns_and_repeats_itself, clear),
        cmocka_unit_test_teardown(epochs_are_shuffled_and_skip_a_single_leftover, clear),
        cmocka_unit_test_teardown(classes_are_counted, clear),
        cmocka_unit_test_teardown(what_diverged_is_not_finite, clear),
    };
    return cmocka_run_group_tests_name("nn.data", tests, files_setup, files_teardown);
}
