/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "lab.h"
#include "nn/machine.h"

volatile sig_atomic_t lab_stop;
const char LAB_STOPPED[] = "stopped";

struct trainee_options trainee_defaults(const struct lab *lab, enum side side, int seed) {
    return (struct trainee_options){.side = side,
                                    .activation = lab->request->activation,
                                    .rate = lab->request->rate,
                                    .batch = lab->request->batch,
                                    .seed = seed};
}

static nn_error make_network(struct trainee *t) {
    const struct compare_request *r = t->lab->request;
    const nn_model_options options = {.kind = r->model,
                                      .separate = true, /* so that everything can be looked at */
                                      .depth = (size_t)r->depth,
                                      .image = t->lab->train.image,
                                      .classes = t->lab->train.classes,
                                      .norm = t->options.side == SIDE_WITH ? NN_NORM_BEFORE : NN_NORM_NONE,
                                      .activation = t->options.activation,
                                      .batch = t->options.capacity,
                                      .threads = r->threads,
                                      .seed = (uint64_t)t->options.seed};
    return nn_model_create(t->lab->backend, &options, &t->network);
}

static void in_order(uint32_t *order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
}

nn_error trainee_init(struct trainee *trainee, struct lab *lab, const struct trainee_options *options) {
    const uint32_t train = lab->train.count, test = lab->test.count, most = train > test ? train : test;
    *trainee = (struct trainee){.lab = lab, .options = *options};
    struct trainee_options *o = &trainee->options;
    if (o->batch > train) o->batch = train;
    if (o->capacity < o->batch) o->capacity = o->batch;
    trainee->rng = nn_rng_create((uint64_t)o->seed, 0); /* the layers have streams 1, 2, ... */
    trainee->next = train;                              /* the first batch begins a pass */
    trainee->order = calloc(train, sizeof *trainee->order);
    trainee->in_turn = calloc(most, sizeof *trainee->in_turn);
    trainee->labels = calloc(o->capacity, sizeof *trainee->labels);
    nn_error error = trainee->order && trainee->in_turn && trainee->labels ? make_network(trainee) : NN_NO_MEMORY;
    nn_optimizer_options sgd = nn_optimizer_defaults(NN_SGD);
    sgd.momentum = (float)lab->request->momentum;
    if (!error) error = nn_optimizer_init(&trainee->optimizer, trainee->network, &sgd);
    if (error) {
        trainee_free(trainee);
        return error;
    }
    in_order(trainee->in_turn, most);
    trainee_set_training(trainee, true);
    return NULL;
}

void trainee_free(struct trainee *trainee) {
    nn_optimizer_free(&trainee->optimizer);
    nn_network_destroy(trainee->network);
    free(trainee->order);
    free(trainee->in_turn);
    free(trainee->labels);
    free(trainee->sums);
    *trainee = (struct trainee){0};
}

/* A layer that sees one value per channel has no statistics: those stay in evaluation mode where one_value says that batches
 * may be of one image. */
void trainee_set_training(struct trainee *trainee, bool training) {
    nn_network *network = trainee->network;
    nn_network_set_training(network, training);
    for (size_t i = 0; training && trainee->one_value && i < network->count; i++) {
        const nn_layer *layer = network->nodes[i].layer;
        if (layer->norm && layer->in.height * layer->in.width == 1) batchnorm_layer_eval(layer->norm);
    }
}

/* What is left over at the end of a pass, too little for a batch, is not used: all steps are alike. The order is another in
 * each pass, so it is others each time. */
static size_t images_per_pass(uint32_t count, size_t batch) { return count - count % batch; }

static void choose_batch(struct trainee *t) {
    const size_t total = images_per_pass(t->lab->train.count, t->options.batch);
    if (t->next >= total) {
        in_order(t->order, t->lab->train.count);
        nn_rng_shuffle(&t->rng, t->order, t->lab->train.count);
        t->next = 0;
    }
    t->n = t->options.batch;
}

static void next_batch(struct trainee *t) {
    choose_batch(t);
    nn_dataset_batch(&t->lab->train, t->order + t->next, t->n, NULL, nn_network_input(t->network), t->labels);
    t->next += t->n;
}

nn_error trainee_gradient_again(struct trainee *t, double *loss) {
    if (lab_stop) return LAB_STOPPED;
    nn_error error = nn_network_forward(t->network, t->n);
    if (error) return error;
    const nn_score score = nn_softmax_cross_entropy(t->n, t->lab->train.classes, nn_network_output(t->network), t->labels,
                                                    nn_network_output_gradient(t->network));
    if (loss) *loss = score.loss / (double)t->n;
    error = nn_network_backward(t->network, t->n);
    progress_add(&t->lab->progress, (double)t->n);
    return error;
}

nn_error trainee_forward(struct trainee *t) {
    if (lab_stop) return LAB_STOPPED;
    next_batch(t);
    progress_add(&t->lab->progress, PROGRESS_TEST * (double)t->n);
    return nn_network_forward(t->network, t->n);
}

nn_error trainee_gradient(struct trainee *t, double *loss) {
    const double start = nn_seconds();
    nn_error error;
    if (t->options.local) {
        choose_batch(t);
        error = trainee_gradient_of_ranks(t, loss);
        t->next += t->n;
    } else {
        next_batch(t);
        error = trainee_gradient_again(t, loss);
    }
    t->seconds += nn_seconds() - start;
    return error;
}

nn_error trainee_update(struct trainee *t) {
    const double start = nn_seconds();
    nn_optimizer_step(&t->optimizer, (float)t->options.rate);
    t->step++;
    t->seconds += nn_seconds() - start;
    return NULL;
}

/* The score of n images from `start` on, added to the sum. */
static nn_error add_score(struct trainee *t, const nn_dataset *data, size_t start, size_t n, nn_score *sum) {
    if (lab_stop) return LAB_STOPPED;
    nn_dataset_batch(data, t->in_turn + start, n, NULL, nn_network_input(t->network), t->labels);
    const nn_error error = nn_network_forward(t->network, n);
    if (error) return error;
    const nn_score score = nn_softmax_cross_entropy(n, data->classes, nn_network_output(t->network), t->labels, NULL);
    sum->loss += score.loss;
    sum->correct += score.correct;
    progress_add(&t->lab->progress, PROGRESS_TEST * (double)n);
    return NULL;
}

nn_error trainee_score(struct trainee *t, const nn_dataset *data, size_t batch, double *loss, double *accuracy) {
    nn_score sum = {0};
    for (size_t start = 0; start < data->count; start += batch) {
        const size_t n = data->count - start < batch ? data->count - start : batch;
        const nn_error error = add_score(t, data, start, n, &sum);
        if (error) return error;
    }
    if (loss) *loss = sum.loss / (double)data->count;
    if (accuracy) *accuracy = (double)sum.correct / (double)data->count;
    return NULL;
}

nn_error trainee_test(struct trainee *t, double *loss, double *accuracy) {
    trainee_set_training(t, false);
    const nn_error error = trainee_score(t, &t->lab->test, t->options.capacity, loss, accuracy);
    trainee_set_training(t, true);
    return error;
}

/* In as few batches as go into the network, of nearly the same size, so that none has only a few images to take statistics
 * from. One of a single image, which has none, is passed over. */
static nn_error score_batches(struct trainee *t, const nn_dataset *data, double *loss, double *accuracy) {
    const size_t batches = (data->count + t->options.capacity - 1) / t->options.capacity;
    nn_score sum = {0};
    size_t seen = 0;
    for (size_t i = 0; i < batches; i++) {
        const size_t start = i * data->count / batches, n = (i + 1) * data->count / batches - start;
        if (n < 2) continue;
        const nn_error error = add_score(t, data, start, n, &sum);
        if (error) return error;
        seen += n;
    }
    *loss = sum.loss / (double)seen;
    *accuracy = (double)sum.correct / (double)seen;
    return NULL;
}

nn_error trainee_test_batch_statistics(struct trainee *t, double *loss, double *accuracy) {
    struct trainee_copy copy;
    if (!trainee_save(t, &copy)) return NN_NO_MEMORY;
    const nn_error error = score_batches(t, &t->lab->test, loss, accuracy);
    trainee_restore_running(t, &copy);
    trainee_copy_free(&copy);
    return error;
}

void lab_record(struct trainee *t, enum experiment experiment, double at, const char *layer, const char *name, double value) {
    const struct metric row = {experiment, t->options.side, at, t->options.seed, t->step, layer, name, value};
    metrics_add(&t->lab->metrics, &row);
}

/* The largest logit's class, and its probability. */
static uint8_t guess_of(const float *logits, size_t classes, float *probability) {
    size_t best = 0;
    double sum = 0;
    for (size_t c = 1; c < classes; c++)
        if (logits[c] > logits[best]) best = c;
    for (size_t c = 0; c < classes; c++) sum += exp((double)logits[c] - logits[best]);
    *probability = (float)(1 / sum);
    return (uint8_t)best;
}

nn_error lab_predict_samples(struct trainee *t) {
    struct lab *lab = t->lab;
    if (!lab->samples) {
        lab->sample_count = lab->test.count < SAMPLES ? lab->test.count : SAMPLES;
        lab->samples = calloc(lab->sample_count, sizeof *lab->samples);
        if (!lab->samples) return NN_NO_MEMORY;
    }
    trainee_set_training(t, false);
    for (size_t i = 0; i < lab->sample_count; i++) {
        struct sample *sample = &lab->samples[i];
        sample->image = (uint32_t)(i * (lab->test.count / lab->sample_count));
        nn_dataset_batch(&lab->test, &sample->image, 1, NULL, nn_network_input(t->network), &sample->label);
        const nn_error error = nn_network_forward(t->network, 1);
        if (error) return error;
        const enum side side = t->options.side;
        sample->guess[side] = guess_of(nn_network_output(t->network), lab->test.classes, &sample->probability[side]);
    }
    trainee_set_training(t, true);
    return NULL;
}
