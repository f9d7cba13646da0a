/* SPDX-License-Identifier: MIT */
/* Ranks, which are threads here, train one network together: with the bits of one rank alone, however many they are. Longer
 * than 300 lines, because networks, batch norm alone and the tree are all looked at. */
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "nn/train.h"
#include "nn_support.h"
#include "tests/support/test.h"
#include "tests/sync/ranks.h"

enum { IMAGES = 75, STEPS = 3, NUMBERS = 1 << 18 };

/* Deterministic images of 6 x 5 x 3 and their labels. */
static uint8_t pixels[IMAGES * 90], labels[IMAGES];
static char *names[] = {"a", "b", "c"};
static nn_dataset data;

/* What a rank ends with. */
struct end {
    nn_error error;
    bool says;
    size_t count;
    float numbers[NUMBERS]; /* parameters, their gradients, running statistics */
    nn_score steps[STEPS], tested;
    uint32_t right[NN_TEST_CLASSES], all[NN_TEST_CLASSES];
};

/* A training of some ranks. */
struct training {
    nn_model_options model;
    nn_training_options options;
    bool alone, local_statistics, gathers; /* gathers: the transport cannot scatter */
    int fails, fails_at;                   /* a rank that fails before this step; -1: none */
    struct end *ends[RANKS_MAX];
};

static int make_images(void **state) {
    nn_rng rng = nn_rng_create(3, 1);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)nn_rng_below(&rng, 256);
    for (size_t i = 0; i < IMAGES; i++) labels[i] = (uint8_t)nn_rng_below(&rng, NN_TEST_CLASSES);
    data = (nn_dataset){.count = IMAGES,
                        .image = {6, 5, 3},
                        .classes = NN_TEST_CLASSES,
                        .pixels = pixels,
                        .labels = labels,
                        .class_names = names,
                        .mean = {127, 120, 130},
                        .rstd = {0.01f, 0.011f, 0.009f}};
    (void)state;
    return 0;
}

static void keep_numbers(struct end *end, const float *numbers, size_t count) {
    assert_true(end->count + count <= NUMBERS);
    memcpy(end->numbers + end->count, numbers, count * sizeof *numbers);
    end->count += count;
}

static void keep_network(struct end *end, const nn_network *network) {
    for (size_t i = 0; i < nn_network_parameter_count(network); i++) {
        const nn_parameter *p = nn_network_parameter(network, i);
        keep_numbers(end, p->value, p->count);
        keep_numbers(end, p->grad, p->count);
    }
    for (size_t i = 0; i < nn_network_batch_norms(network); i++) {
        const char *name;
        batchnorm_layer *norm = nn_network_batch_norm_at(network, i, &name);
        const batchnorm_tensor mean = batchnorm_layer_running_mean(norm), var = batchnorm_layer_running_var(norm);
        keep_numbers(end, mean.data, (size_t)mean.shape[0]);
        keep_numbers(end, var.data, (size_t)var.shape[0]);
    }
}

static void train(nn_network *network, nn_ranks *ranks, const struct training *training, struct end *end) {
    nn_trainer trainer;
    end->error = nn_trainer_init(&trainer, network, &data, &data, &training->options);
    for (int i = 0; i < STEPS && !end->error; i++) {
        if (i == training->fails_at && nn_rank(ranks) == training->fails) end->error = "it fails";
        if (trainer.at.done == nn_trainer_samples(&trainer)) nn_trainer_end_epoch(&trainer);
        if (!end->error) end->error = nn_trainer_step(&trainer, &end->steps[i]);
    }
    if (!end->error) end->error = nn_trainer_evaluate(&trainer, &data, &end->tested);
    if (!end->error) end->error = nn_trainer_evaluate_classes(&trainer, &data, end->right, end->all);
    nn_trainer_free(&trainer);
}

/* A rank has threads, a backend and a network of its own. */
static void run_rank(batchnorm_group *group, void *arg) {
    const struct training *training = arg;
    struct end *end = training->ends[group->rank];
    nn_backend *own;
    nn_network *network;
    nn_ranks several, *ranks = training->alone ? NULL : &several;
    nn_ranks_init(&several, group, training->gathers ? NULL : scatter_ranks, !training->local_statistics);
    nn_model_options model = training->model;
    model.batch = nn_trainer_capacity(training->options.batch, ranks);
    assert_null(nn_backend_create(model.threads, &own));
    assert_null(nn_model_create(own, &model, &network));
    nn_network_set_ranks(network, ranks);
    train(network, ranks, training, end);
    if (end->error) end->says = nn_ranks_settle(ranks);
    keep_network(end, network);
    nn_network_destroy(network);
    nn_backend_destroy(own);
    nn_ranks_free(&several);
}

static void run_training(struct training *training, int ranks) {
    for (int i = 0; i < ranks; i++) training->ends[i] = keep(calloc(1, sizeof(struct end)), free);
    run_ranks(ranks, run_rank, training);
}

static struct training training_of(nn_model_kind kind, nn_norm norm, nn_activation activation, size_t batch) {
    struct training t = {.model = small_model(kind, norm, activation),
                         .options = {.optimizer = nn_optimizer_defaults(NN_SGD),
                                     .schedule = {.kind = NN_CONSTANT, .rate = 0.05f},
                                     .augmentation = {.shift = 1, .flip = true},
                                     .batch = batch,
                                     .seed = 4},
                         .fails = -1};
    t.model.threads = 1; /* the ranks are threads enough */
    return t;
}

static void assert_same(const struct end *a, const struct end *b) {
    assert_null(b->error);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->numbers, b->numbers, a->count * sizeof a->numbers[0]);
    assert_memory_equal(a->steps, b->steps, sizeof a->steps);
    assert_memory_equal(&a->tested, &b->tested, sizeof a->tested);
    assert_memory_equal(a->right, b->right, sizeof a->right);
    assert_memory_equal(a->all, b->all, sizeof a->all);
}

/* Alone, and as 1 to 6 ranks, of which some get nothing. */
static void check_bits(struct training training) {
    training.alone = true;
    run_training(&training, 1);
    const struct end *alone = training.ends[0];
    assert_null(alone->error);
    training.alone = false;
    for (int ranks = 1; ranks <= 6; ranks += ranks < 4 ? 1 : 2) {
        run_training(&training, ranks);
        for (int i = 0; i < ranks; i++) assert_same(alone, training.ends[i]);
    }
}

TEST(any_number_of_ranks_gives_the_same_bits) {
    check_bits(training_of(NN_MLP, NN_NORM_BEFORE, NN_RELU, 64));
    check_bits(training_of(NN_CNN, NN_NORM_BEFORE, NN_RELU, 70)); /* of which the second step has 5 */
    check_bits(training_of(NN_CNN, NN_NORM_BEFORE, NN_SILU, 33));
    check_bits(training_of(NN_CNN, NN_NORM_AFTER, NN_TANH, 48));
    check_bits(training_of(NN_CNN, NN_NORM_NONE, NN_RELU, 50));
    check_bits(training_of(NN_RESNET, NN_NORM_BEFORE, NN_RELU, 41));
    check_bits(training_of(NN_MLP, NN_NORM_BEFORE, NN_RELU, 7));
}

TEST(what_batch_norm_may_do_does_not_matter) {
    struct training training = training_of(NN_CNN, NN_NORM_BEFORE, NN_LEAKY_RELU, 64);
    training.model.memory = NN_MEMORY_LESS;
    check_bits(training);
    training = training_of(NN_CNN, NN_NORM_BEFORE, NN_RELU, 64);
    training.model.frozen = true;
    check_bits(training);
    training.model.frozen = false;
    training.model.separate = true;
    check_bits(training);
}

/* Over a transport that can only gather. */
TEST(parts_may_go_to_all) {
    struct training training = training_of(NN_CNN, NN_NORM_BEFORE, NN_RELU, 70);
    training.gathers = true;
    check_bits(training);
}

/* Threads of a rank may not: equal numbers of them do. */
TEST(ranks_may_have_threads) {
    struct training training = training_of(NN_CNN, NN_NORM_BEFORE, NN_RELU, 64);
    training.model.threads = 2;
    check_bits(training);
}

/* Batch norm of values of which the largest cancel, so that a float shows in which order they were added. */
static void normalize_part(batchnorm_group *group, void *arg) {
    enum { SAMPLES = 64, CHANNELS = 8 };
    struct training *training = arg;
    const nn_range part = nn_part_of(SAMPLES, NN_SHARD, group->rank, group->ranks);
    nn_rng rng = nn_rng_create(8, 1);
    float x[SAMPLES * CHANNELS];
    for (size_t i = 0; i < SAMPLES * CHANNELS; i++) x[i] = nn_rng_uniform(&rng, -1, 1);
    for (size_t c = 0; c < CHANNELS; c++) x[c * CHANNELS + c] = 0x1p50f, x[(SAMPLES - 1 - 5 * c) * CHANNELS + c] = -0x1p50f;
    nn_network *network = nn_network_create(NULL, 1, (nn_shape){1, 1, CHANNELS}, SAMPLES, 1);
    nn_network_batch_norm(network, NN_INPUT, NN_NO_VALUE, NN_IDENTITY, "bn");
    assert_null(nn_network_finish(network));
    nn_ranks ranks;
    nn_ranks_init(&ranks, group, scatter_ranks, true);
    nn_network_set_ranks(network, training->alone ? NULL : &ranks);
    nn_network_set_first(network, part.first);
    memcpy(nn_network_input(network), x + part.first * CHANNELS, part.count * CHANNELS * sizeof *x);
    assert_null(nn_network_forward(network, part.count));
    memcpy(nn_network_output_gradient(network), x + part.first * CHANNELS, part.count * CHANNELS * sizeof *x);
    assert_null(nn_network_backward(network, part.count));
    keep_network(training->ends[group->rank], network);
    nn_network_destroy(network);
    nn_ranks_free(&ranks);
}

TEST(batch_norm_adds_shards) {
    struct training training = {.alone = true};
    for (int i = 0; i < 5; i++) training.ends[i] = keep(calloc(1, sizeof(struct end)), free);
    run_ranks(1, normalize_part, &training);
    struct end *alone = training.ends[0];
    training.alone = false;
    training.ends[0] = training.ends[4];
    for (int ranks = 1; ranks <= 4; ranks++) {
        for (int i = 0; i < ranks; i++) training.ends[i]->count = 0;
        run_ranks(ranks, normalize_part, &training);
        for (int i = 0; i < ranks; i++) assert_same(alone, training.ends[i]);
    }
}

/* Each with the statistics of its own part: other bits than alone, and the same on all ranks. */
TEST(local_statistics_keep_ranks_together) {
    struct training training = training_of(NN_CNN, NN_NORM_BEFORE, NN_RELU, 64);
    run_training(&training, 2);
    const struct end *synchronized = training.ends[0];
    training.local_statistics = true;
    run_training(&training, 2);
    assert_same(training.ends[0], training.ends[1]);
    assert_memory_not_equal(synchronized->numbers, training.ends[0]->numbers,
                            synchronized->count * sizeof synchronized->numbers[0]);
    run_training(&training, 1);
    assert_same(synchronized, training.ends[0]);
}

/* The others learn it in their next exchange, be it batch norm's or the network's; one rank tells it. */
TEST(a_failure_ends_all_ranks) {
    for (int norm = NN_NORM_NONE; norm <= NN_NORM_BEFORE; norm++)
        for (int failing = 0; failing < 3; failing++) {
            struct training training = training_of(NN_CNN, (nn_norm)norm, NN_SILU, 64);
            training.fails = failing;
            training.fails_at = 1;
            run_training(&training, 3);
            for (int i = 0; i < 3; i++) {
                const struct end *end = training.ends[i];
                assert_string_equal(end->error, i == failing ? "it fails" : NN_RANK_FAILED);
                assert_int_equal(end->says, i == failing);
            }
        }
}

/* Batch norm's own: one sample has no statistics, on any rank. */
TEST(what_all_meet_is_told_by_the_first) {
    for (int kind = NN_MLP; kind <= NN_CNN; kind++) {
        struct training training = training_of((nn_model_kind)kind, NN_NORM_BEFORE, NN_RELU, 1);
        run_training(&training, 3);
        for (int i = 0; i < 3; i++) {
            assert_string_equal(training.ends[i]->error, batchnorm_status_string(BATCHNORM_ONE_VALUE));
            assert_int_equal(training.ends[i]->says, i == 0);
        }
    }
}

TEST(a_transport_that_fails_ends_all_ranks) {
    for (long call = 0; call < 12; call += 3) {
        struct training training = training_of(NN_CNN, NN_NORM_BEFORE, NN_RELU, 64);
        transport_fails_at(call);
        run_training(&training, 2);
        for (int i = 0; i < 2; i++) {
            assert_string_equal(training.ends[i]->error, batchnorm_status_string(BATCHNORM_TRANSPORT));
            assert_int_equal(training.ends[i]->says, i == 0);
        }
    }
    transport_fails_at(-1);
}

/* Every sample is somebody's, parts are whole shards, and nobody has more than one shard more than another. */
TEST(parts_are_a_batch) {
    for (size_t total = 0; total < 400; total += 7)
        for (int ranks = 1; ranks < 9; ranks++) {
            size_t next = 0, most = 0, least = SIZE_MAX;
            for (int i = 0; i < ranks; i++) {
                const nn_range part = nn_part_of(total, NN_SHARD, i, ranks);
                const size_t shards = (part.count + NN_SHARD - 1) / NN_SHARD;
                assert_true(part.count == 0 || (part.first == next && next % NN_SHARD == 0));
                next += part.count;
                most = shards > most ? shards : most;
                least = shards < least ? shards : least;
                if (i == 0) assert_true(part.count > 0 || total == 0);
            }
            assert_int_equal(next, total);
            assert_true(most - least <= 1);
        }
}

/* Strings of shards in brackets. */
struct words {
    char slot[NN_PILE_MAX][400];
};

static void add_words(void *user, size_t to, size_t from) {
    struct words *words = user;
    char sum[800];
    snprintf(sum, sizeof sum, "(%s %s)", words->slot[to], words->slot[from]);
    assert_true(strlen(sum) < sizeof words->slot[0]);
    strcpy(words->slot[to], sum);
}

TEST(a_pile_adds_in_a_tree) {
    static struct words words;
    nn_pile pile = {.add = add_words, .user = &words};
    for (size_t i = 0; i < 7; i++) {
        snprintf(words.slot[pile.count], sizeof words.slot[0], "%zu", i);
        nn_pile_push(&pile, (nn_sum){i, 0});
    }
    assert_int_equal(pile.count, 3);
    nn_pile_fold(&pile);
    assert_string_equal(words.slot[0], "(((0 1) (2 3)) ((4 5) 6))");
    assert_int_equal(nn_pile_slots(0, 7), 3);
    assert_int_equal(nn_pile_slots(0, 8), 4);
    assert_int_equal(nn_pile_slots(3, 3), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_number_of_ranks_gives_the_same_bits, let_go),
        cmocka_unit_test_teardown(what_batch_norm_may_do_does_not_matter, let_go),
        cmocka_unit_test_teardown(batch_norm_adds_shards, let_go),
        cmocka_unit_test_teardown(parts_may_go_to_all, let_go),
        cmocka_unit_test_teardown(ranks_may_have_threads, let_go),
        cmocka_unit_test_teardown(local_statistics_keep_ranks_together, let_go),
        cmocka_unit_test_teardown(a_failure_ends_all_ranks, let_go),
        cmocka_unit_test_teardown(what_all_meet_is_told_by_the_first, let_go),
        cmocka_unit_test_teardown(a_transport_that_fails_ends_all_ranks, let_go),
        cmocka_unit_test(parts_are_a_batch),
        cmocka_unit_test(a_pile_adds_in_a_tree),
    };
    return cmocka_run_group_tests_name("nn.ranks", tests, make_images, NULL);
}
