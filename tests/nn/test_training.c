/* SPDX-License-Identifier: MIT */
/* Optimizers and schedules against PyTorch's numbers (golden/training.txt), and the course of training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/machine.h"
#include "nn/train.h"
#include "nn_support.h"
#include "tests/support/test.h"

static const char *golden = "golden/training.txt";

/* Three weights that a test can set. */
static nn_network *three_numbers(void) {
    nn_network *network = new_network((nn_shape){1, 1, 3}, 1, 1);
    nn_network_linear(network, NN_INPUT, 1, false, "fc");
    assert_null(nn_network_finish(network));
    return network;
}

static void release_optimizer(void *optimizer) {
    nn_optimizer_free(optimizer);
    free(optimizer);
}

static nn_optimizer *make_optimizer(nn_network *network, const nn_optimizer_options *options) {
    nn_optimizer *optimizer = keep(calloc(1, sizeof *optimizer), release_optimizer);
    assert_null(nn_optimizer_init(optimizer, network, options));
    return optimizer;
}

static const double start[] = {1.0, -2.0, 0.5};

static nn_optimizer *begin_optimizer(const char *line, nn_network *network) {
    char kind[16];
    double momentum, decay, beta1, beta2, eps;
    int nesterov;
    assert_int_equal(
        sscanf(line, "optimizer %15s %lf %d %lf %lf %lf %lf", kind, &momentum, &nesterov, &decay, &beta1, &beta2, &eps), 7);
    const nn_optimizer_options options = {
        .kind = strcmp(kind, "sgd") == 0    ? NN_SGD
                : strcmp(kind, "adam") == 0 ? NN_ADAM
                                            : NN_ADAMW,
        .momentum = (float)momentum,
        .nesterov = nesterov != 0,
        .weight_decay = (float)decay,
        .beta1 = (float)beta1,
        .beta2 = (float)beta2,
        .eps = (float)eps,
    };
    for (int i = 0; i < 3; i++) nn_network_parameter(network, 0)->value[i] = (float)start[i];
    return make_optimizer(network, &options);
}

static void make_step(const char *line, nn_network *network, nn_optimizer *optimizer) {
    const nn_parameter *p = nn_network_parameter(network, 0);
    double rate, g[3], expected[3];
    assert_int_equal(
        sscanf(line, "step %lf %lf %lf %lf %lf %lf %lf", &rate, g, g + 1, g + 2, expected, expected + 1, expected + 2), 7);
    for (int i = 0; i < 3; i++) p->grad[i] = (float)g[i];
    nn_optimizer_step(optimizer, (float)rate);
    for (int i = 0; i < 3; i++) {
        if (fabs((double)p->value[i] - expected[i]) > 2e-6 * (1 + fabs(expected[i])))
            fail_msg("%.9g instead of %.9g after: %s", (double)p->value[i], expected[i], line);
    }
}

static nn_schedule read_schedule(const char *line) {
    char kind[16];
    double rate, factor;
    long warmup, steps, every;
    assert_int_equal(sscanf(line, "schedule %15s %lf %ld %ld %ld %lf", kind, &rate, &warmup, &steps, &every, &factor), 6);
    return (nn_schedule){.kind = strcmp(kind, "constant") == 0 ? NN_CONSTANT
                                 : strcmp(kind, "step") == 0   ? NN_STEP
                                                               : NN_COSINE,
                         .rate = (float)rate,
                         .warmup = (uint64_t)warmup,
                         .steps = (uint64_t)steps,
                         .every = (uint64_t)every,
                         .factor = (float)factor};
}

static void check_rates(char *line, const nn_schedule *schedule) {
    uint64_t step = 0;
    for (char *word = strtok(line + strlen("rates"), " \n"); word; word = strtok(NULL, " \n"), step++) {
        const double expected = strtod(word, NULL), got = (double)nn_schedule_rate(schedule, step);
        if (fabs(got - expected) > 1e-7 * (double)schedule->rate) fail_msg("rate %.9g instead of %.9g", got, expected);
    }
    assert_int_equal(step, schedule->steps);
}

TEST(optimizers_and_schedules_are_pytorchs) {
    static char line[4096];
    nn_network *network = three_numbers();
    nn_optimizer *optimizer = NULL;
    nn_schedule schedule = {0};
    int steps = 0, schedules = 0;
    FILE *file = fopen(golden, "r");
    if (!file) fail_msg("%s cannot be read; run the test in the directory tests/, or give its path", golden);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "optimizer", 9) == 0) optimizer = begin_optimizer(line, network);
        if (strncmp(line, "step", 4) == 0) make_step(line, network, optimizer), steps++;
        if (strncmp(line, "schedule", 8) == 0) schedule = read_schedule(line);
        if (strncmp(line, "rates", 5) == 0) check_rates(line, &schedule), schedules++;
    }
    fclose(file);
    assert_int_equal(steps, 8 * 6);
    assert_int_equal(schedules, 4);
}

/* Of equal gradients, only decay makes a difference. */
TEST(norm_layers_are_spared_from_decay) {
    for (int spared = 0; spared < 2; spared++) {
        nn_network *network = new_network((nn_shape){1, 1, 2}, 2, 1);
        nn_value x = nn_network_linear(network, NN_INPUT, 2, false, "fc");
        nn_network_batch_norm(network, x, NN_NO_VALUE, NN_IDENTITY, "bn");
        assert_null(nn_network_finish(network));
        nn_optimizer_options options = nn_optimizer_defaults(NN_SGD);
        options.weight_decay = 0.5f;
        options.decay_norm = !spared;
        nn_optimizer *optimizer = make_optimizer(network, &options);
        const nn_parameter *fc = nn_network_parameter(network, 0), *bn = nn_network_parameter(network, 1);
        assert_true(bn->norm && !fc->norm);
        fc->value[0] = bn->value[0] = 4;
        fc->grad[0] = bn->grad[0] = 0;
        nn_optimizer_step(optimizer, 0.25f);
        assert_true(fc->value[0] == 3.5f);
        assert_true(bn->value[0] == (spared ? 4.0f : 3.5f));
    }
}

/* Large enough to be divided among threads, and of a count that no vector divides. */
TEST(threads_do_not_change_a_step) {
    enum { IN = 211, OUT = 173 };
    static float first[IN * OUT];
    for (int kind = NN_SGD; kind <= NN_ADAMW; kind++)
        for (int threads = 1; threads <= 3; threads++) {
            nn_set_threads(threads);
            nn_network *network = new_network((nn_shape){1, 1, IN}, 1, 1);
            nn_network_linear(network, NN_INPUT, OUT, false, "fc");
            assert_null(nn_network_finish(network));
            const nn_parameter *p = nn_network_parameter(network, 0);
            nn_rng rng = nn_rng_create(2, 1);
            for (size_t i = 0; i < p->count; i++) p->grad[i] = nn_rng_uniform(&rng, -1, 1);
            nn_optimizer_options options = nn_optimizer_defaults((nn_optimizer_kind)kind);
            options.weight_decay = 0.01f;
            options.nesterov = true;
            nn_optimizer *optimizer = make_optimizer(network, &options);
            for (int i = 0; i < 3; i++) nn_optimizer_step(optimizer, 0.1f);
            if (threads == 1) memcpy(first, p->value, sizeof first);
            assert_memory_equal(first, p->value, sizeof first);
        }
    nn_set_threads(NN_TEST_THREADS);
}

/* 11 images of 6 x 5 x 3 with labels. */
enum { IMAGES = 11 };
static uint8_t pixels[IMAGES * 90], labels[IMAGES];

static nn_dataset images(void) {
    nn_rng rng = nn_rng_create(3, 1);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)nn_rng_below(&rng, 256);
    for (size_t i = 0; i < IMAGES; i++) labels[i] = (uint8_t)(i % NN_TEST_CLASSES);
    return (nn_dataset){.count = IMAGES,
                        .image = {6, 5, 3},
                        .classes = NN_TEST_CLASSES,
                        .pixels = pixels,
                        .labels = labels,
                        .mean = {128, 128, 128},
                        .rstd = {0.01f, 0.01f, 0.01f}};
}

static nn_training_options options_of(void) {
    nn_training_options options = {.optimizer = nn_optimizer_defaults(NN_SGD),
                                   .schedule = {.kind = NN_COSINE, .rate = 0.05f, .warmup = 2, .steps = 9},
                                   .augmentation = {.shift = 1, .flip = true},
                                   .batch = NN_TEST_BATCH,
                                   .seed = 4};
    options.optimizer.nesterov = true;
    return options;
}

static void release_trainer(void *trainer) {
    nn_trainer_free(trainer);
    free(trainer);
}

static nn_trainer *make_trainer(nn_network *network, const nn_dataset *data) {
    const nn_training_options options = options_of();
    nn_trainer *trainer = keep(calloc(1, sizeof *trainer), release_trainer);
    assert_null(nn_trainer_init(trainer, network, data, data, &options));
    return trainer;
}

/* Copies of what a checkpoint must hold, put into another network, go on to the same bits. */
TEST(training_goes_on_from_any_step) {
    const nn_dataset data = images();
    const nn_model_options model = small_model(NN_MLP, NN_NORM_NONE, NN_TANH);
    nn_network *one = make_model(&model), *two = make_model(&model);
    nn_trainer *a = make_trainer(one, &data), *b = make_trainer(two, &data);
    nn_epoch result;
    assert_null(nn_trainer_epoch(a, NULL, NULL, &result));
    assert_null(nn_trainer_step(a, NULL));
    for (size_t i = 0; i < nn_network_parameter_count(one); i++) {
        const nn_parameter *from = nn_network_parameter(one, i), *to = nn_network_parameter(two, i);
        memcpy(to->value, from->value, from->count * sizeof *from->value);
    }
    memcpy(b->optimizer.state[0], a->optimizer.state[0], nn_network_parameters(one) * sizeof(float));
    b->optimizer.steps = a->optimizer.steps;
    nn_trainer_seek(b, &a->at);
    nn_epoch of_a, of_b;
    assert_null(nn_trainer_epoch(a, NULL, NULL, &of_a));
    assert_null(nn_trainer_epoch(b, NULL, NULL, &of_b));
    assert_true(of_a.loss == of_b.loss && of_a.test_loss == of_b.test_loss);
    for (size_t i = 0; i < nn_network_parameter_count(one); i++) {
        const nn_parameter *p = nn_network_parameter(one, i), *q = nn_network_parameter(two, i);
        assert_memory_equal(p->value, q->value, p->count * sizeof *p->value);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(optimizers_and_schedules_are_pytorchs, let_go),
        cmocka_unit_test_teardown(norm_layers_are_spared_from_decay, let_go),
        cmocka_unit_test_teardown(threads_do_not_change_a_step, let_go),
        cmocka_unit_test_teardown(training_goes_on_from_any_step, let_go),
    };
    if (argc > 1) golden = argv[1];
    return cmocka_run_group_tests_name("nn.training", tests, open_backend, close_backend);
}
