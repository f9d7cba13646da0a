/* SPDX-License-Identifier: MIT */
#include "train.h"

#include <stdlib.h>

#include "machine.h"

/* The layers have streams 1, 2, ... */
enum { STREAM_SHUFFLE = 0 };

static void shuffle(nn_trainer *t) {
    /* an odd factor: other epochs have other seeds */
    nn_rng rng = nn_rng_create(t->options.seed ^ t->at.epoch * UINT64_C(0x9e3779b97f4a7c15), STREAM_SHUFFLE);
    for (uint32_t i = 0; i < t->train->count; i++) t->order[i] = i;
    nn_rng_shuffle(&rng, t->order, t->train->count);
    t->options.augmentation.epoch = t->at.epoch;
}

nn_error nn_trainer_init(nn_trainer *trainer, nn_network *network, const nn_dataset *train, const nn_dataset *test,
                         const nn_training_options *options) {
    const uint32_t most = train->count > test->count ? train->count : test->count;
    *trainer = (nn_trainer){.network = network, .train = train, .test = test, .options = *options};
    trainer->options.augmentation.seed = options->seed;
    trainer->order = calloc(train->count, sizeof *trainer->order);
    trainer->in_order = calloc(most, sizeof *trainer->in_order);
    trainer->labels = calloc(options->batch, sizeof *trainer->labels);
    const nn_error error = nn_optimizer_init(&trainer->optimizer, network, &options->optimizer);
    if (error || !trainer->order || !trainer->in_order || !trainer->labels) {
        nn_trainer_free(trainer);
        return NN_NO_MEMORY;
    }
    for (uint32_t i = 0; i < most; i++) trainer->in_order[i] = i;
    shuffle(trainer);
    nn_network_set_training(network, true);
    return NULL;
}

void nn_trainer_free(nn_trainer *trainer) {
    nn_optimizer_free(&trainer->optimizer);
    free(trainer->order);
    free(trainer->in_order);
    free(trainer->labels);
    *trainer = (nn_trainer){0};
}

size_t nn_trainer_samples(const nn_trainer *t) {
    const size_t count = t->train->count, batch = t->options.batch;
    return batch > 1 && count % batch == 1 ? count - 1 : count;
}

size_t nn_trainer_steps(const nn_trainer *t) { return (nn_trainer_samples(t) + t->options.batch - 1) / t->options.batch; }

void nn_trainer_seek(nn_trainer *trainer, const nn_position *position) {
    trainer->at = *position;
    shuffle(trainer);
}

/* The images order[0..n) through the network, and their score; dlogits may be NULL. */
static nn_error run_batch(nn_trainer *t, const nn_dataset *data, const uint32_t *order, size_t n,
                          const nn_augmentation *augmentation, float *dlogits, nn_score *score) {
    nn_dataset_batch(data, order, n, augmentation, nn_network_input(t->network), t->labels);
    const nn_error error = nn_network_forward(t->network, n);
    if (error) return error;
    *score = nn_softmax_cross_entropy(n, data->classes, nn_network_output(t->network), t->labels, dlogits);
    return NULL;
}

static void add(nn_score *sum, const nn_score *score) {
    sum->loss += score->loss;
    sum->correct += score->correct;
}

nn_error nn_trainer_step(nn_trainer *t, nn_score *score) {
    const size_t left = nn_trainer_samples(t) - t->at.done, n = left < t->options.batch ? left : t->options.batch;
    const nn_augmentation *augmentation = &t->options.augmentation;
    const bool changes = augmentation->shift > 0 || augmentation->flip;
    nn_score own;
    nn_error error = run_batch(t, t->train, t->order + t->at.done, n, changes ? augmentation : NULL,
                               nn_network_output_gradient(t->network), &own);
    if (!error) error = nn_network_backward(t->network, n);
    if (error) return error;
    nn_optimizer_step(&t->optimizer, nn_schedule_rate(&t->options.schedule, t->at.step));
    t->at.step++;
    t->at.done += n;
    add(&t->at.sum, &own);
    if (score) *score = own;
    return NULL;
}

void nn_trainer_end_epoch(nn_trainer *t) {
    t->at.epoch++;
    t->at.done = 0;
    t->at.sum = (nn_score){0};
    shuffle(t);
}

/* What was in the last batch. */
static void count_classes(const nn_trainer *t, size_t n, size_t classes, uint32_t *right, uint32_t *all) {
    const float *logits = nn_network_output(t->network);
    for (size_t i = 0; i < n; i++, logits += classes) {
        all[t->labels[i]]++;
        right[t->labels[i]] += nn_largest(classes, logits) == t->labels[i];
    }
}

static nn_error evaluate(nn_trainer *t, const nn_dataset *data, nn_score *score, uint32_t *right, uint32_t *all) {
    nn_error error = NULL;
    *score = (nn_score){0};
    nn_network_set_training(t->network, false);
    for (size_t start = 0; start < data->count && !error; start += t->options.batch) {
        const size_t left = data->count - start, n = left < t->options.batch ? left : t->options.batch;
        nn_score own = {0};
        error = run_batch(t, data, t->in_order + start, n, NULL, NULL, &own);
        add(score, &own);
        if (right && !error) count_classes(t, n, data->classes, right, all);
    }
    nn_network_set_training(t->network, true);
    return error;
}

nn_error nn_trainer_evaluate(nn_trainer *t, const nn_dataset *data, nn_score *score) {
    return evaluate(t, data, score, NULL, NULL);
}

nn_error nn_trainer_evaluate_classes(nn_trainer *t, const nn_dataset *data, uint32_t *right, uint32_t *all) {
    nn_score score;
    return evaluate(t, data, &score, right, all);
}

nn_error nn_trainer_epoch(nn_trainer *t, nn_progress *progress, void *user, nn_epoch *epoch) {
    const size_t total = nn_trainer_samples(t);
    const double start = nn_seconds();
    nn_error error = NULL;
    while (t->at.done < total && !error) {
        error = nn_trainer_step(t, NULL);
        if (progress && !error) progress(user, t->at.done, total);
    }
    const double middle = nn_seconds();
    nn_score tested;
    if (!error) error = nn_trainer_evaluate(t, t->test, &tested);
    if (error) return error;
    *epoch = (nn_epoch){.loss = t->at.sum.loss / (double)total,
                        .accuracy = (double)tested.correct / (double)t->test->count,
                        .test_loss = tested.loss / (double)t->test->count,
                        .seconds = middle - start,
                        .test_seconds = nn_seconds() - middle};
    nn_trainer_end_epoch(t);
    return NULL;
}
