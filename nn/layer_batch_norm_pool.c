/* SPDX-License-Identifier: MIT */
/* Batch norm, relu and max pooling 2x2 in one: y = pool(relu(batch norm(x))), as layer_batch_norm.c and layer_max_pool.c
 * would give it, with a third of the traffic.
 *
 * What batch norm and relu do to a channel never decreases (or never increases, where the weight is negative), so that the
 * largest of four results comes from the largest (the smallest) of four inputs. So x is pooled first, and only what won is
 * normalized, with the statistics of all of x. In backward only the winners have a gradient from above; what reaches every
 * pixel of x is that of the statistics, two numbers a channel:
 *
 *     dx = weight rstd g [where it won] - ((x - mean) slope + shift),
 *     shift = weight rstd dbias / M,  slope = weight rstd^2 dweight / M,  g = dy where relu was not 0,  M pixels a channel */
#include "network_layer.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "batchnorm/stats.h"
#include "vectorize.h"

struct norm_pool_layer {
    nn_layer base;
    bool training, batch_statistics; /* the mode, and the mode of the last forward */
    float *won;                      /* the winners of x, and after backward their gradient: as large as y */
    uint8_t *choice;                 /* which of the four won, in reading order */
    batchnorm_stat *stats;           /* [NN_PILE_MAX][channels] */
    double *mean, *rstd;             /* [channels] */
    float *numbers;                  /* [3][channels]: sign in forward; mean, slope and shift in backward */
    batchnorm_exec exec;
};

static const batchnorm_activation relu = {BATCHNORM_RELU, 0};

static nn_error check(batchnorm_status status) { return status ? batchnorm_status_string(status) : NULL; }

static batchnorm_shape shape_of(size_t n, nn_shape s) {
    return (batchnorm_shape){n, s.channels, s.height * s.width, BATCHNORM_F32};
}

/* The numbers of a layer's parameters and buffers. */
static float *data(batchnorm_tensor tensor) { return tensor.data; }
static const float *weight_of(const nn_layer *base) { return base->parameters[0].value; }

static void add_stats(void *user, size_t to, size_t from) {
    const struct norm_pool_layer *l = user;
    const size_t channels = l->base.in.channels;
    batchnorm_stats_merge(l->stats + to * channels, l->stats + from * channels, channels);
}

/* Those of the whole batch, by shards, to the first slot. */
static nn_error sum_statistics(struct norm_pool_layer *l, size_t n, const float *x) {
    nn_ranks *ranks = nn_layer_group(&l->base);
    const size_t channels = l->base.in.channels, before = ranks ? l->base.part->first / NN_SHARD : 0;
    nn_pile pile = {.add = add_stats, .user = l};
    batchnorm_stats_clear(l->stats, channels); /* of no sample, if there is none */
    for (size_t first = 0; first < n; first += NN_SHARD) {
        const batchnorm_shape shape = shape_of(nn_shard_size(n, first), l->base.in);
        batchnorm_stat *stats = l->stats + pile.count * channels;
        const batchnorm_stats_call call = {.size = sizeof call,
                                           .shape = shape,
                                           .x = {x + first * nn_shape_size(l->base.in), batchnorm_channels_last(shape)},
                                           .stats = stats};
        batchnorm_stats_clear(stats, channels);
        const nn_error error = check(batchnorm_stats_accumulate(&call, &l->exec));
        if (error) return error;
        nn_pile_push(&pile, (nn_sum){before + first / NN_SHARD, 0});
    }
    return nn_ranks_fold(ranks, NN_STATISTICS, &pile, l->stats, channels * sizeof *l->stats);
}

static nn_error batch_statistics(struct norm_pool_layer *l, size_t n, const float *x) {
    batchnorm_layer *norm = l->base.norm;
    const size_t channels = l->base.in.channels;
    nn_error error = sum_statistics(l, n, x);
    if (error) return error;
    error = check(batchnorm_stats_update_running(l->stats, channels, BATCHNORM_F32, data(batchnorm_layer_running_mean(norm)),
                                                 data(batchnorm_layer_running_var(norm)), NULL));
    if (error) return error;
    ++*batchnorm_layer_num_batches_tracked(norm);
    const double eps = batchnorm_layer_get_options(norm).convention.eps;
    batchnorm_stats_finish(l->stats, channels, 0, eps, l->mean, NULL, l->rstd);
    return NULL;
}

static void running_statistics(struct norm_pool_layer *l) {
    const float *mean = data(batchnorm_layer_running_mean(l->base.norm)),
                *var = data(batchnorm_layer_running_var(l->base.norm));
    const double eps = batchnorm_layer_get_options(l->base.norm).convention.eps;
    for (size_t c = 0; c < l->base.in.channels; c++) {
        l->mean[c] = (double)mean[c];
        l->rstd[c] = 1 / sqrt((double)var[c] + eps);
    }
}

/* The first of equals wins; a NaN always does. */
static inline int larger(float v, float best) { return (v > best) | (v != v); }

/* One pixel of y: sign makes of every channel one in which the largest wins. */
NN_VECTORIZED static void pool_pixel(size_t channels, size_t row, const float *restrict sign, const float *restrict x,
                                     float *restrict won, uint8_t *restrict choice) {
    const float *restrict x1 = x + channels, *restrict x2 = x + row, *restrict x3 = x + row + channels;
    for (size_t c = 0; c < channels; c++) {
        const float v1 = x1[c] * sign[c], v2 = x2[c] * sign[c], v3 = x3[c] * sign[c];
        float best = x[c] * sign[c];
        int which = 0;
        which = larger(v1, best) ? 1 : which;
        best = larger(v1, best) ? v1 : best;
        which = larger(v2, best) ? 2 : which;
        best = larger(v2, best) ? v2 : best;
        which = larger(v3, best) ? 3 : which;
        best = larger(v3, best) ? v3 : best;
        won[c] = best * sign[c];
        choice[c] = (uint8_t)which;
    }
}

static void pool(struct norm_pool_layer *l, size_t n, const float *x) {
    const nn_shape in = l->base.in, out = l->base.out;
    const size_t row = in.width * in.channels;
    const float *weight = weight_of(&l->base);
    for (size_t c = 0; c < in.channels; c++) l->numbers[c] = weight[c] < 0 ? -1.0f : 1.0f;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < n * out.height; r++) {
        const float *from = x + (r / out.height * in.height + r % out.height * 2) * row;
        for (size_t w = 0; w < out.width; w++) {
            const size_t to = (r * out.width + w) * out.channels;
            pool_pixel(out.channels, row, l->numbers, from + 2 * w * in.channels, l->won + to, l->choice + to);
        }
    }
}

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    struct norm_pool_layer *l = (struct norm_pool_layer *)base;
    const batchnorm_shape pooled = shape_of(n, base->out);
    l->batch_statistics = l->training;
    if (l->training) {
        const nn_error error = batch_statistics(l, n, a->x);
        if (error) return error;
    } else {
        running_statistics(l);
    }
    pool(l, n, a->x);
    const batchnorm_strides nhwc = batchnorm_channels_last(pooled);
    const batchnorm_normalize_call call = {.size = sizeof call,
                                           .shape = pooled,
                                           .x = {l->won, nhwc},
                                           .y = {a->y, nhwc},
                                           .weight = weight_of(base),
                                           .bias = base->parameters[1].value,
                                           .mean = l->mean,
                                           .rstd = l->rstd,
                                           .activation = relu};
    return check(batchnorm_normalize(&call, &l->exec));
}

/* What the statistics give back, with the sign that it has in dx; nothing if they were not of this batch. */
static void statistics_gradient(struct norm_pool_layer *l) {
    const nn_shape in = l->base.in;
    const double share = l->batch_statistics ? 1 / l->stats[0].count : 0;
    float *mean = l->numbers, *slope = mean + in.channels, *shift = slope + in.channels;
    for (size_t c = 0; c < in.channels; c++) {
        const double scale = (double)weight_of(&l->base)[c] * l->rstd[c] * share;
        mean[c] = (float)l->mean[c];
        slope[c] = (float)(-scale * l->rstd[c] * (double)l->base.parameters[0].grad[c]);
        shift[c] = (float)(-scale * (double)l->base.parameters[1].grad[c]);
    }
}

/* Pixels of x that lie in no window. */
NN_VECTORIZED static void left_out_pixel(size_t channels, const float *restrict numbers, const float *x, float *dx) {
    const float *restrict mean = numbers, *restrict slope = mean + channels, *restrict shift = slope + channels;
    for (size_t c = 0; c < channels; c++) dx[c] = (x[c] - mean[c]) * slope[c] + shift[c];
}

/* One window: winners, their gradients, and those of the statistics. dx may be x. */
NN_VECTORIZED static void spread_pixel(size_t channels, size_t row, const float *restrict numbers,
                                       const float *restrict gradient, const uint8_t *restrict choice, const float *x,
                                       float *dx) {
    const float *restrict mean = numbers, *restrict slope = mean + channels, *restrict shift = slope + channels;
    for (int k = 0; k < 4; k++) {
        const size_t at = (k & 2 ? row : 0) + (k & 1 ? channels : 0);
        NN_SIMD
        for (size_t c = 0; c < channels; c++) {
            const float g = gradient[c];
            dx[at + c] = (x[at + c] - mean[c]) * slope[c] + shift[c] + (choice[c] == k ? g : 0.0f);
        }
    }
}

/* The rows r of windows and, below the last of an image and right of each, what is left out. */
static void spread_row(const struct norm_pool_layer *l, size_t r, const float *x, float *dx) {
    const nn_shape in = l->base.in, out = l->base.out;
    const size_t row = in.width * in.channels, h = r % out.height, image = r / out.height * in.height * row;
    const size_t top = image + 2 * h * row, channels = in.channels;
    for (size_t w = 0; w < out.width; w++) {
        const size_t from = (r * out.width + w) * channels, to = top + 2 * w * channels;
        spread_pixel(channels, row, l->numbers, l->won + from, l->choice + from, x + to, dx + to);
    }
    const size_t rows = h + 1 < out.height ? 2 : in.height - 2 * h; /* 3 where the last one is left out */
    for (size_t k = 0; k < rows; k++) {
        for (size_t w = k < 2 ? 2 * out.width : 0; w < in.width; w++) {
            left_out_pixel(channels, l->numbers, x + top + k * row + w * channels, dx + top + k * row + w * channels);
        }
    }
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    struct norm_pool_layer *l = (struct norm_pool_layer *)base;
    const batchnorm_shape pooled = shape_of(n, base->out);
    const nn_parameter *weight = &base->parameters[0], *bias = &base->parameters[1];
    nn_ranks *ranks = l->batch_statistics ? nn_layer_group(base) : NULL;
    /* FROZEN: without the statistics' gradient, which comes below. */
    const batchnorm_strides nhwc = batchnorm_channels_last(pooled);
    const batchnorm_backward_call call = {.size = sizeof call,
                                          .shape = pooled,
                                          .x = {l->won, nhwc},
                                          .dy = {a->dy, nhwc},
                                          .dx = {l->won, nhwc},
                                          .weight = weight->value,
                                          .bias = bias->value,
                                          .save_mean = l->mean,
                                          .save_rstd = l->rstd,
                                          .dweight = weight->grad,
                                          .dbias = bias->grad,
                                          .activation = relu,
                                          .flags = BATCHNORM_FROZEN,
                                          .grain = NN_SHARD,
                                          .first_sample = ranks ? base->part->first : 0,
                                          .group = ranks ? &ranks->group : NULL};
    const nn_error error = nn_ranks_check(ranks, batchnorm_backward(&call, &l->exec));
    if (error || !a->dx) return error;
    statistics_gradient(l);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < n * base->out.height; r++) spread_row(l, r, a->x, a->dx);
    return NULL;
}

static void set_training(nn_layer *base, bool training) {
    ((struct norm_pool_layer *)base)->training = training;
    if (training)
        batchnorm_layer_train(base->norm);
    else
        batchnorm_layer_eval(base->norm);
}

static void destroy(nn_layer *base) {
    struct norm_pool_layer *l = (struct norm_pool_layer *)base;
    batchnorm_layer_destroy(base->norm);
    free(l->won);
    free(l->choice);
    free(l->stats);
    free(l->mean);
    free(l->numbers);
    free(l);
}

nn_error nn_layer_batch_norm_pool(nn_shape in, size_t capacity, int threads, nn_layer **layer) {
    static const nn_layer_kind kind = {"batch norm, relu, max pool", forward, backward, set_training, destroy};
    struct norm_pool_layer *l = calloc(1, sizeof *l);
    *layer = NULL;
    if (!l) return NN_NO_MEMORY;
    const nn_shape out = {in.height / 2, in.width / 2, in.channels};
    l->base.kind = &kind;
    l->base.in = in;
    l->base.out = out;
    l->base.uses = (nn_uses){.reads_x = true, .dx_may_be_x = true};
    l->training = true;
    l->exec = (batchnorm_exec){.size = sizeof l->exec, .threads = threads};
    *layer = &l->base;
    l->won = nn_floats(capacity * nn_shape_size(out));
    l->choice = calloc(capacity, nn_shape_size(out));
    l->stats = calloc(NN_PILE_MAX * in.channels, sizeof *l->stats);
    l->mean = calloc(2 * in.channels, sizeof *l->mean);
    l->numbers = nn_floats(3 * in.channels);
    if (!l->won || !l->choice || !l->stats || !l->mean || !l->numbers) return NN_NO_MEMORY;
    l->rstd = l->mean + in.channels;
    return nn_add_norm(*layer, 2, false);
}
