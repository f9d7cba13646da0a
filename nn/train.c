/* SPDX-License-Identifier: MIT */
#include "train.h"

#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
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

size_t nn_trainer_capacity(size_t batch, const nn_ranks *ranks) {
    const size_t shards = batch / NN_SHARD + (batch % NN_SHARD != 0), all = (size_t)nn_rank_count(ranks);
    const size_t most = (shards + all - 1) / all * NN_SHARD;
    return most < batch ? most : batch;
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

/* Scores of shards, and their sums. */
struct scores {
    nn_pile pile;
    nn_score slot[NN_PILE_MAX];
};

static void add(nn_score *sum, const nn_score *score) {
    sum->loss += score->loss;
    sum->correct += score->correct;
}

static void add_slots(void *user, size_t to, size_t from) {
    struct scores *scores = user;
    add(&scores->slot[to], &scores->slot[from]);
}

static void begin_scores(struct scores *scores) { *scores = (struct scores){.pile = {.add = add_slots, .user = scores}}; }

static nn_error end_scores(nn_trainer *t, struct scores *scores, nn_score *sum) {
    const nn_error error =
        nn_ranks_fold(t->network->part.ranks, NN_SCORES, &scores->pile, scores->slot, sizeof scores->slot[0]);
    *sum = scores->slot[0];
    return error;
}

/* Images of a set. */
struct images {
    const nn_dataset *data;
    const uint32_t *order; /* of the whole batch, or set */
    const nn_augmentation *augmentation;
    nn_range part; /* which of them */
};

/* The images through the network, and the scores of their shards; dlogits, NULL if not wanted, is the gradient of the mean loss
 * of `batch` images. */
static nn_error run(nn_trainer *t, const struct images *images, size_t batch, float *dlogits, struct scores *scores) {
    const nn_dataset *data = images->data;
    const nn_range part = images->part;
    const size_t shard = t->options.batch < NN_SHARD ? t->options.batch : NN_SHARD;
    nn_dataset_batch(data, images->order + part.first, part.count, images->augmentation, nn_network_input(t->network),
                     t->labels);
    const nn_error error = nn_network_forward(t->network, part.count);
    const float *logits = nn_network_output(t->network);
    for (size_t i = 0; i < part.count && !error; i += shard) {
        const size_t n = part.count - i < shard ? part.count - i : shard, at = i * data->classes;
        scores->slot[scores->pile.count] =
            nn_softmax_cross_entropy_part(n, batch, data->classes, logits + at, t->labels + i, dlogits ? dlogits + at : NULL);
        nn_pile_push(&scores->pile, (nn_sum){(part.first + i) / shard, 0});
    }
    return error;
}

nn_error nn_trainer_step(nn_trainer *t, nn_score *score) {
    const size_t left = nn_trainer_samples(t) - t->at.done, n = left < t->options.batch ? left : t->options.batch;
    const nn_augmentation *augmentation = &t->options.augmentation;
    const bool changes = augmentation->shift > 0 || augmentation->flip;
    const nn_ranks *ranks = t->network->part.ranks;
    const struct images images = {t->train, t->order + t->at.done, changes ? augmentation : NULL,
                                  nn_part_of(n, NN_SHARD, nn_rank(ranks), nn_rank_count(ranks))};
    struct scores scores;
    nn_score own;
    begin_scores(&scores);
    nn_network_set_first(t->network, images.part.first);
    nn_error error = run(t, &images, n, nn_network_output_gradient(t->network), &scores);
    if (!error) error = end_scores(t, &scores, &own);
    if (!error) error = nn_network_backward(t->network, images.part.count);
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

/* Where batch norm takes the statistics of each rank alone, the network that is tested and saved is that of rank 0. */
static nn_error share_statistics(nn_network *network) {
    nn_ranks *ranks = network->part.ranks;
    nn_error error = NULL;
    if (!ranks || ranks->synchronized) return NULL;
    for (size_t i = 0; i < network->count && !error; i++) {
        batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
        const size_t count = batchnorm_layer_state(network->nodes[i].layer->norm, state);
        for (size_t j = 0; j < count && !error; j++) {
            const batchnorm_tensor *tensor = &state[j].tensor;
            const size_t bytes = (size_t)batchnorm_tensor_elements(tensor) * batchnorm_dtype_bytes(tensor->dtype);
            error = nn_ranks_copy(ranks, tensor->data, bytes);
        }
    }
    return error;
}

static nn_error begin_evaluation(nn_network *network) {
    const nn_error error = share_statistics(network);
    nn_network_set_first(network, 0);
    if (!error) nn_network_set_training(network, false);
    return error;
}

/* What was in the last batch. */
static void count_classes(const nn_trainer *t, size_t n, size_t classes, uint32_t *right, uint32_t *all) {
    const float *logits = nn_network_output(t->network);
    for (size_t i = 0; i < n; i++, logits += classes) {
        all[t->labels[i]]++;
        right[t->labels[i]] += nn_largest(classes, logits) == t->labels[i];
    }
}

/* Of this rank's part of a set: in evaluation nothing depends on what a batch has, but for its shards, so that ranks go on
 * by themselves. */
static nn_error evaluate_part(nn_trainer *t, const nn_dataset *data, struct scores *scores, uint32_t *right, uint32_t *all) {
    const nn_ranks *ranks = t->network->part.ranks;
    const size_t shard = t->options.batch < NN_SHARD ? t->options.batch : NN_SHARD;
    const size_t most = t->network->capacity / shard * shard;
    const nn_range part = nn_part_of(data->count, shard, nn_rank(ranks), nn_rank_count(ranks));
    nn_error error = NULL;
    for (size_t done = 0; done < part.count && !error; done += most) {
        const size_t left = part.count - done, n = left < most ? left : most;
        const struct images images = {data, t->in_order, NULL, {part.first + done, n}};
        error = run(t, &images, n, NULL, scores);
        if (right && !error) count_classes(t, n, data->classes, right, all);
    }
    return error;
}

static nn_error evaluate(nn_trainer *t, const nn_dataset *data, nn_score *score, uint32_t *right, uint32_t *all) {
    struct scores scores;
    begin_scores(&scores);
    nn_error error = begin_evaluation(t->network);
    if (error) return error;
    error = evaluate_part(t, data, &scores, right, all);
    nn_network_set_training(t->network, true);
    return error ? error : end_scores(t, &scores, score);
}

nn_error nn_trainer_evaluate(nn_trainer *t, const nn_dataset *data, nn_score *score) {
    return evaluate(t, data, score, NULL, NULL);
}

nn_error nn_trainer_evaluate_classes(nn_trainer *t, const nn_dataset *data, uint32_t *right, uint32_t *all) {
    nn_ranks *ranks = t->network->part.ranks;
    nn_score score;
    nn_error error = evaluate(t, data, &score, right, all);
    if (!error) error = nn_ranks_add(ranks, right, data->classes);
    return error ? error : nn_ranks_add(ranks, all, data->classes);
}

nn_error nn_trainer_epoch(nn_trainer *t, nn_progress *progress, void *user, nn_epoch *epoch) {
    const size_t total = nn_trainer_samples(t);
    const nn_ranks *ranks = t->network->part.ranks;
    const double start = nn_seconds(), waited = ranks ? ranks->waited : 0;
    nn_error error = NULL;
    while (t->at.done < total && !error) {
        error = nn_trainer_step(t, NULL);
        if (progress && !error) progress(user, t->at.done, total);
    }
    const double middle = nn_seconds(), waiting = ranks ? ranks->waited - waited : 0;
    nn_score tested;
    if (!error) error = nn_trainer_evaluate(t, t->test, &tested);
    if (error) return error;
    *epoch = (nn_epoch){.loss = t->at.sum.loss / (double)total,
                        .accuracy = (double)tested.correct / (double)t->test->count,
                        .test_loss = tested.loss / (double)t->test->count,
                        .seconds = middle - start,
                        .test_seconds = nn_seconds() - middle,
                        .waiting = waiting};
    nn_trainer_end_epoch(t);
    return NULL;
}
