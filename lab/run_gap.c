/* SPDX-License-Identifier: MIT */
/* How the size of the batch opens a gap between training mode and evaluation mode. */
#include "batchnorm/layer.h"
#include "lab.h"

/* Layers that see one value per channel where a batch is one image. */
static size_t count_one_value(const nn_network *network) {
    size_t count = 0;
    for (size_t i = 0; i < network->count; i++) {
        const nn_layer *layer = network->nodes[i].layer;
        count += layer->norm && layer->in.height * layer->in.width == 1;
    }
    return count;
}

/* The same test images in both modes, in batches of the size that was trained with. */
static nn_error record_gap(struct trainee *t, size_t batch) {
    nn_dataset whole_batches = t->lab->test;
    double loss, accuracy;
    whole_batches.count -= whole_batches.count % (uint32_t)batch;
    if (whole_batches.count == 0) return NULL;
    trainee_set_training(t, false);
    nn_error error = trainee_score(t, &whole_batches, batch, &loss, &accuracy);
    if (error) return error;
    lab_record(t, LAYER, (double)batch, "", "eval_loss", loss);
    lab_record(t, LAYER, (double)batch, "", "eval_accuracy", accuracy);
    trainee_set_training(t, true);
    error = trainee_score(t, &whole_batches, batch, &loss, &accuracy);
    if (error) return error;
    lab_record(t, LAYER, (double)batch, "", "train_loss", loss);
    lab_record(t, LAYER, (double)batch, "", "train_accuracy", accuracy);
    lab_record(t, LAYER, (double)batch, "", "frozen_layers", t->one_value ? (double)count_one_value(t->network) : 0);
    return NULL;
}

/* Running statistics take some tens of batches to come near; with large batches training does not have so many. */
static nn_error settle(struct trainee *t) {
    nn_error error = NULL;
    for (int i = 0; !error && i < GAP_SETTLING; i++) error = trainee_forward(t);
    return error;
}

/* The rate is in proportion to the batch, so that all sizes learn about as much from an image (Goyal et al. 2017). */
static nn_error run_one(struct lab *lab, int seed, size_t batch) {
    struct trainee_options options = trainee_defaults(lab, SIDE_WITH, seed);
    struct trainee t;
    const size_t gap = lab->request->plan.gap_images, images = lab->train.count < gap ? lab->train.count : gap;
    options.rate *= (double)batch / (double)lab->request->batch;
    options.batch = batch;
    nn_error error = trainee_init(&t, lab, &options);
    if (error) return error;
    t.one_value = batch == 1;
    trainee_set_training(&t, true);
    for (size_t done = 0; !error && done + batch <= images; done += batch) {
        error = trainee_gradient(&t, NULL);
        if (!error) error = trainee_update(&t);
    }
    if (!error) error = settle(&t);
    if (!error) error = record_gap(&t, batch);
    trainee_free(&t);
    return error;
}

nn_error run_gap(struct lab *lab, int seed) {
    nn_error error = NULL;
    for (int i = 0; !error && i < BATCH_SIZES; i++) {
        if (plan_batch_sizes[i] > lab->train.count || plan_batch_sizes[i] > lab->test.count) break;
        progress_about(&lab->progress, "layer: seed %d of %d, batch size %zu", seed, lab->request->seeds, plan_batch_sizes[i]);
        error = run_one(lab, seed, plan_batch_sizes[i]);
    }
    return error;
}
