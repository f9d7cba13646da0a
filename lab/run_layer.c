/* SPDX-License-Identifier: MIT */
/* What the layer itself does: channels before and after, running statistics, and the size of the batch. */
#include <math.h>
#include <stdlib.h>

#include "batchnorm/layer.h"
#include "batchnorm/stats.h"
#include "lab.h"
#include "measure.h"

enum { AT_ONCE = 256, LOOKED_AT = 128 }; /* images: for statistics, and for the distributions of channels */

/* What an observer needs to see the input of every batch norm. */
struct norm_watch {
    struct trainee *trainee;
    batchnorm_stat *stats; /* of all channels of all batch norms, one after the other */
    size_t offset;         /* of the next batch norm in it */
    nn_error error;
};

static batchnorm_layer *norm_of(const struct trainee *t, size_t layer) { return t->network->nodes[layer].layer->norm; }

static size_t all_channels(const struct trainee *t) {
    size_t sum = 0;
    for (size_t i = 0; i < t->network->count; i++)
        if (norm_of(t, i)) sum += t->network->nodes[i].layer->in.channels;
    return sum;
}

/* Add a batch to the statistics of the population. */
static void accumulate(void *user, size_t layer, size_t n, const float *x, const float *y) {
    (void)y;
    struct norm_watch *watch = user;
    if (!norm_of(watch->trainee, layer) || watch->error) return;
    const nn_shape s = watch->trainee->network->nodes[layer].layer->in;
    const batchnorm_shape shape = {n, s.channels, s.height * s.width, BATCHNORM_F32};
    const batchnorm_stats_call call = {
        .size = sizeof call, .shape = shape, .x = {x, batchnorm_channels_last(shape)}, .stats = watch->stats + watch->offset};
    const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = watch->trainee->lab->request->threads};
    const batchnorm_status status = batchnorm_stats_accumulate(&call, &exec);
    if (status) watch->error = batchnorm_status_string(status);
    watch->offset += s.channels;
}

/* The statistics of all layers' inputs over many images, with the weights as they are. Running statistics are put back. */
static nn_error population(struct trainee *t, batchnorm_stat *stats) {
    struct norm_watch watch = {.trainee = t, .stats = stats};
    const nn_observer observer = {.user = &watch, .forward = accumulate};
    const size_t images = t->lab->request->plan.population_images,
                 count = t->lab->train.count < images ? t->lab->train.count : images;
    struct trainee_copy copy;
    nn_error error = NULL;
    if (!trainee_save(t, &copy)) return NN_NO_MEMORY;
    nn_network_observe(t->network, &observer);
    for (size_t start = 0; !error && start + 1 < count; start += AT_ONCE) { /* one image has no statistics */
        const size_t n = count - start < AT_ONCE ? count - start : AT_ONCE;
        nn_dataset_batch(&t->lab->train, t->in_turn + start, n, NULL, nn_network_input(t->network), t->labels);
        watch.offset = 0;
        error = lab_stop ? LAB_STOPPED : nn_network_forward(t->network, n);
        progress_add(&t->lab->progress, PROGRESS_TEST * (double)n);
    }
    nn_network_observe(t->network, NULL);
    trainee_restore_running(t, &copy);
    trainee_copy_free(&copy);
    return error ? error : watch.error;
}

/* How far running statistics are from the population's: means in its standard deviations, variances as a share of its own. */
static nn_error record_running(struct trainee *t) {
    batchnorm_stat *stats = calloc(all_channels(t), sizeof *stats), *stat = stats;
    if (!stats) return NN_NO_MEMORY;
    const nn_error error = population(t, stats);
    for (size_t i = 0; !error && i < t->network->count; i++) {
        batchnorm_layer *norm = norm_of(t, i);
        if (!norm) continue;
        const nn_layer *layer = t->network->nodes[i].layer;
        const float *mean = batchnorm_layer_running_mean(norm).data, *var = batchnorm_layer_running_var(norm).data;
        const double channels = (double)layer->in.channels, tiny = 1e-12; /* a channel may be constant */
        double mean_error = 0, var_error = 0;
        for (size_t c = 0; c < layer->in.channels; c++, stat++) {
            const double v = stat->m2 / stat->count + tiny;
            mean_error += fabs(mean[c] - stat->mean) / sqrt(v) / channels;
            var_error += fabs(var[c] / v - 1) / channels;
        }
        lab_record(t, LAYER, NAN, layer->name, "running_mean_error", mean_error);
        lab_record(t, LAYER, NAN, layer->name, "running_var_error", var_error);
    }
    free(stats);
    return error;
}

static void record_channel(struct trainee *t, const nn_layer *layer, size_t channel, const char *const names[6],
                           const struct distribution *d) {
    const double values[] = {d->mean, d->std, d->q05, d->q50, d->q95, d->distance};
    for (int i = 0; i < 6; i++)
        if (names[i]) lab_record(t, LAYER, (double)channel, layer->name, names[i], values[i]);
}

/* Of one batch norm: x, (x - mean) / sqrt(var + eps), and with weight and bias. */
static nn_error record_distributions(struct trainee *t, const nn_layer *layer, size_t n, const float *x, float *y) {
    static const char *const before[] = {"before_mean", "before_std", "before_q05", "before_q50", "before_q95", NULL};
    static const char *const normalized[] = {"normalized_mean", "normalized_std", "normalized_q05",
                                             "normalized_q50",  "normalized_q95", "normalized_distance"};
    static const char *const after[] = {"after_mean", "after_std", NULL, NULL, NULL, NULL};
    batchnorm_layer *norm = layer->norm, *bare;
    const size_t channels = layer->in.channels, count = n * layer->in.height * layer->in.width;
    batchnorm_layer_options options = batchnorm_layer_get_options(norm);
    options.affine = options.track_running_stats = false;
    batchnorm_status status = batchnorm_layer_create(&options, &bare);
    if (status) return batchnorm_status_string(status);
    status = batchnorm_layer_forward(bare, nn_layer_view(layer, n, x), nn_layer_view(layer, n, y), NULL, 0, NULL);
    for (size_t c = 0; !status && c < channels; c++) {
        struct distribution d = measure_channel(x + c, count, channels);
        record_channel(t, layer, c, before, &d);
        d = measure_channel(y + c, count, channels);
        record_channel(t, layer, c, normalized, &d);
    }
    if (!status) status = batchnorm_layer_forward(norm, nn_layer_view(layer, n, x), nn_layer_view(layer, n, y), NULL, 0, NULL);
    const float *weight = batchnorm_layer_weight(norm)->value.data, *bias = batchnorm_layer_bias(norm)->value.data;
    for (size_t c = 0; !status && c < channels; c++) {
        const struct distribution d = measure_channel(y + c, count, channels);
        record_channel(t, layer, c, after, &d);
        lab_record(t, LAYER, (double)c, layer->name, "weight", weight[c]);
        lab_record(t, LAYER, (double)c, layer->name, "bias", bias[c]);
    }
    batchnorm_layer_destroy(bare);
    return status ? batchnorm_status_string(status) : NULL;
}

static void look(void *user, size_t index, size_t n, const float *x, const float *y) {
    (void)y;
    struct norm_watch *watch = user;
    const nn_layer *layer = watch->trainee->network->nodes[index].layer;
    if (!layer->norm || watch->error) return;
    const size_t count = n * nn_shape_size(layer->in);
    float *result = nn_floats(count);
    watch->error = result ? record_distributions(watch->trainee, layer, n, x, result) : NN_NO_MEMORY;
    free(result);
}

static nn_error record_channels(struct trainee *t) {
    struct norm_watch watch = {.trainee = t};
    const nn_observer observer = {.user = &watch, .forward = look};
    const size_t n = t->lab->train.count < LOOKED_AT ? t->lab->train.count : LOOKED_AT;
    struct trainee_copy copy;
    if (!trainee_save(t, &copy)) return NN_NO_MEMORY;
    nn_dataset_batch(&t->lab->train, t->in_turn, n, NULL, nn_network_input(t->network), t->labels);
    nn_network_observe(t->network, &observer);
    const nn_error error = nn_network_forward(t->network, n);
    nn_network_observe(t->network, NULL);
    trainee_restore_running(t, &copy);
    trainee_copy_free(&copy);
    return error ? error : watch.error;
}

static nn_error train_and_look(struct trainee *t, long steps, long points) {
    nn_error error = record_running(t);
    for (long i = 1, done = 0; !error && i <= points; i++) {
        const long until = steps * i / points;
        if (until == done) continue;
        for (; !error && done < until; done++) {
            error = trainee_gradient(t, NULL);
            if (!error) error = trainee_update(t);
        }
        if (!error) error = record_running(t);
    }
    return error ? error : record_channels(t);
}

double work_layer(const struct lab *lab) {
    const struct plan *p = &lab->request->plan;
    const double population = lab->train.count < p->population_images ? lab->train.count : p->population_images;
    const double gap = lab->train.count < p->gap_images ? lab->train.count : p->gap_images;
    double settling = 0;
    for (int i = 0; i < BATCH_SIZES; i++) settling += PROGRESS_TEST * GAP_SETTLING * (double)plan_batch_sizes[i];
    return settling + (double)p->layer_passes * lab->train.count + (double)(p->layer_points + 1) * PROGRESS_TEST * population +
           BATCH_SIZES * (gap + 2 * PROGRESS_TEST * lab->test.count);
}

/* run_gap.c has the last part. */
nn_error run_layer(struct lab *lab, int seed) {
    const struct plan *p = &lab->request->plan;
    struct trainee_options options = trainee_defaults(lab, SIDE_WITH, seed);
    struct trainee t;
    options.capacity = AT_ONCE;
    progress_about(&lab->progress, "layer: seed %d of %d", seed, lab->request->seeds);
    nn_error error = trainee_init(&t, lab, &options);
    if (error) return error;
    error = train_and_look(&t, plan_steps(lab->request, LAYER, lab->train.count), p->layer_points);
    trainee_free(&t);
    return error ? error : run_gap(lab, seed);
}
