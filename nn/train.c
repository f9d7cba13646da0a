/* SPDX-License-Identifier: MIT */
#include "train.h"

#include <stdlib.h>

#include "clock.h"

nn_error nn_trainer_init(nn_trainer *trainer, nn_network *network, const nn_dataset *train, const nn_dataset *test,
                         const nn_model_options *options, float rate, float momentum) {
    const size_t most = train->count > test->count ? train->count : test->count;
    *trainer = (nn_trainer){.network = network, .train = train, .test = test, .batch = options->batch};
    trainer->rng = nn_rng_create(options->seed, 0); /* the layers have streams 1, 2, ... */
    trainer->order = calloc(most, sizeof *trainer->order);
    trainer->labels = calloc(options->batch, sizeof *trainer->labels);
    nn_error error = nn_sgd_init(&trainer->sgd, network, rate, momentum);
    if (!error && trainer->order && trainer->labels) return NULL;
    nn_trainer_free(trainer);
    return NN_NO_MEMORY;
}

void nn_trainer_free(nn_trainer *trainer) {
    nn_sgd_free(&trainer->sgd);
    free(trainer->order);
    free(trainer->labels);
    *trainer = (nn_trainer){0};
}

static void in_order(uint32_t *order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
}

/* The batch that begins at `start`, through the network, and its score; dlogits may be NULL. */
static nn_error run_batch(nn_trainer *t, const nn_dataset *data, size_t start, size_t n, float *dlogits, nn_score *sum) {
    nn_dataset_batch(data, t->order + start, n, NULL, nn_network_input(t->network), t->labels);
    const nn_error error = nn_network_forward(t->network, n);
    if (error) return error;
    const nn_score score = nn_softmax_cross_entropy(n, data->classes, nn_network_output(t->network), t->labels, dlogits);
    sum->loss += score.loss;
    sum->correct += score.correct;
    return NULL;
}

static nn_error train_batch(nn_trainer *t, size_t start, size_t n, nn_score *sum) {
    nn_error error = run_batch(t, t->train, start, n, nn_network_output_gradient(t->network), sum);
    if (!error) error = nn_network_backward(t->network, n);
    if (!error) nn_sgd_step(&t->sgd);
    return error;
}

/* A single sample has no batch statistics, so one that is left over at the end of an epoch is not used; the order is another in
 * each epoch, so it is another sample each time. The network without batch norm skips it too, to be trained on the same. */
static size_t used(const nn_trainer *t) {
    const size_t count = t->train->count;
    return t->batch > 1 && count % t->batch == 1 ? count - 1 : count;
}

static nn_error train(nn_trainer *t, nn_progress *progress, void *user, nn_score *sum) {
    const size_t total = used(t);
    in_order(t->order, t->train->count);
    nn_rng_shuffle(&t->rng, t->order, t->train->count);
    nn_network_set_training(t->network, true);
    for (size_t start = 0; start < total; start += t->batch) {
        const size_t n = total - start < t->batch ? total - start : t->batch;
        const nn_error error = train_batch(t, start, n, sum);
        if (error) return error;
        if (progress) progress(user, start + n, total);
    }
    return NULL;
}

static nn_error evaluate(nn_trainer *t, nn_score *sum) {
    const size_t total = t->test->count;
    in_order(t->order, t->test->count);
    nn_network_set_training(t->network, false);
    for (size_t start = 0; start < total; start += t->batch) {
        const size_t n = total - start < t->batch ? total - start : t->batch;
        const nn_error error = run_batch(t, t->test, start, n, NULL, sum);
        if (error) return error;
    }
    return NULL;
}

nn_error nn_trainer_epoch(nn_trainer *t, nn_progress *progress, void *user, nn_epoch *epoch) {
    nn_score trained = {0}, tested = {0};
    const double start = nn_seconds();
    nn_error error = train(t, progress, user, &trained);
    const double middle = nn_seconds();
    if (!error) error = evaluate(t, &tested);
    epoch->loss = trained.loss / (double)used(t);
    epoch->accuracy = (double)tested.correct / (double)t->test->count;
    epoch->seconds = middle - start;
    epoch->test_seconds = nn_seconds() - middle;
    return error;
}
