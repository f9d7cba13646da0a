/* SPDX-License-Identifier: MIT */
/* Figures about the layer itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "claims.h"
#include "figures.h"
#include "lab.h"

#define NORMAL_90 1.6449 /* 5 and 95 % of N(0, 1) lie beyond it */

struct channel {
    const char *layer;
    double at;
};

/* Every channel of every layer of seed 1; to be freed. */
static struct channel *channels_of(const struct metrics *metrics, size_t *count) {
    struct metric_key key = metric_key(LAYER, SIDE_WITH, "normalized_mean");
    struct channel *channels = malloc((metrics->count ? metrics->count : 1) * sizeof *channels);
    *count = 0;
    key.seed = 1;
    for (size_t i = 0; channels && i < metrics->count; i++)
        if (metric_matches(&metrics->rows[i], &key))
            channels[(*count)++] = (struct channel){metrics->rows[i].layer, metrics->rows[i].at};
    return channels;
}

static double value_of(const struct metrics *metrics, const struct channel *channel, const char *name) {
    struct metric_key key = metric_key(LAYER, SIDE_WITH, name);
    key.seed = 1;
    key.layer = channel->layer;
    key.at = channel->at;
    return metrics_value(metrics, &key);
}

/* For every channel the middle of its values and where 5 and 95 % of them lie. */
static void panel_quantiles(struct figure *f, struct panel *panel, const struct metrics *metrics,
                            const struct channel *channels, size_t count, const char *const names[3], const char *label,
                            enum colour colour) {
    struct series *series = panel_series(panel, label, colour, MARK_BARS);
    for (size_t i = 0; i < count; i++) {
        const struct point point = {(double)i, value_of(metrics, &channels[i], names[1]),
                                    value_of(metrics, &channels[i], names[0]), value_of(metrics, &channels[i], names[2]), NULL};
        series_add(f, series, &point);
    }
}

/* A point for each channel, beside the diagonal. magnitude: of |x|. */
static void panel_against(struct figure *f, struct panel *panel, const struct metrics *metrics, const struct channel *channels,
                          size_t count, const char *x, bool magnitude, const char *y) {
    struct series *series = panel_series(panel, "a channel", COLOUR_WITH, MARK_POINTS);
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        const double value = value_of(metrics, &channels[i], x), wanted = magnitude ? fabs(value) : value;
        const double found = value_of(metrics, &channels[i], y);
        const struct point point = {wanted, found, found, found, NULL};
        series_add(f, series, &point);
        low = fmin(low, fmin(wanted, found));
        high = fmax(high, fmax(wanted, found));
    }
    series = panel_series(panel, "equal", COLOUR_FOURTH, MARK_DIAGONAL);
    series_add(f, series, &(struct point){low, low, low, low, NULL});
    series_add(f, series, &(struct point){high, high, high, high, NULL});
}

static void say_channels(struct figure *f, const struct metrics *metrics, size_t channels) {
    const struct metric_key mean_key = metric_key(LAYER, SIDE_WITH, "before_mean"),
                            std_key = metric_key(LAYER, SIDE_WITH, "before_std"),
                            far_key = metric_key(LAYER, SIDE_WITH, "normalized_distance");
    const struct spread mean = metrics_spread(metrics, &mean_key), std = metrics_spread(metrics, &std_key),
                        far = metrics_spread(metrics, &far_key), error = claim_spread(metrics, SIDE_WITH, normalized_error),
                        affine = claim_spread(metrics, SIDE_WITH, affine_error);
    char a[WORD_BYTES], b[WORD_BYTES], c[WORD_BYTES], d[WORD_BYTES];
    figure_say(f, "Before, the means of the channels lie from %s to %s and their standard deviations from %s to %s.",
               word_number(mean.low, UNIT_NONE, a), word_number(mean.high, UNIT_NONE, b), word_number(std.low, UNIT_NONE, c),
               word_number(std.high, UNIT_NONE, d));
    figure_say(
        f,
        " Normalized, no mean is farther from 0 and no deviation farther from 1 than %s; after weight and bias, no channel is "
        "farther from mean bias and deviation |weight| than %s.",
        word_number(error.high, UNIT_NONE, a), word_number(affine.high, UNIT_NONE, b));
    figure_say(f,
               " Only mean and deviation are made so, not the shape: the largest difference between a channel's cumulative "
               "distribution and that of N(0, 1) is %s, where 0 would be normal. The figure has all %zu channels of seed 1.",
               word_spread(&far, UNIT_NONE, c), channels);
}

static void figure_channels(const struct metrics *metrics, struct figure *f, const struct channel *channels, size_t count) {
    static const char *const before[] = {"before_q05", "before_q50", "before_q95"};
    static const char *const normalized[] = {"normalized_q05", "normalized_q50", "normalized_q95"};
    *f = (struct figure){.experiment = LAYER, .id = "layer-channels", .title = "Every channel before and after the layer"};
    panel_quantiles(f, figure_panel(f, "before", "channel, first layer to last", "value"), metrics, channels, count, before,
                    "5 to 95 % and median of a channel before", COLOUR_THIRD);
    struct panel *panel = figure_panel(f, "normalized (dashed: N(0, 1))", "channel, first layer to last", "value");
    panel_quantiles(f, panel, metrics, channels, count, normalized, "the same, normalized", COLOUR_WITH);
    panel->guides[panel->guide_count++] = -NORMAL_90;
    panel->guides[panel->guide_count++] = 0;
    panel->guides[panel->guide_count++] = NORMAL_90;
    panel_against(f, figure_panel(f, "after: mean", "bias", "mean of the channel"), metrics, channels, count, "bias", false,
                  "after_mean");
    panel_against(f, figure_panel(f, "after: deviation", "|weight|", "standard deviation"), metrics, channels, count, "weight",
                  true, "after_std");
    say_channels(f, metrics, count);
}

/* The statistic of the claim: the mean over the layers in each run; of these the median and the range over the seeds. */
static void panel_running_error(struct figure *f, struct panel *panel, const struct metrics *metrics, const char *name) {
    struct metric_key key = metric_key(LAYER, SIDE_WITH, name);
    size_t count;
    double *steps = metrics_steps(metrics, &key, &count);
    struct series *series = panel_series(panel, "with batch norm", COLOUR_WITH, MARK_LINE);
    for (size_t i = 0; i < count; i++) {
        double means[MOST_SEEDS];
        size_t known = 0;
        key.step = (long)steps[i];
        for (key.seed = 1; key.seed <= metrics->seeds && key.seed <= MOST_SEEDS; key.seed++) {
            const double mean = metrics_mean(metrics, &key);
            if (!isnan(mean)) means[known++] = mean;
        }
        const struct spread s = spread_of(means, known);
        if (known > 0) series_add(f, series, &(struct point){steps[i], s.median, s.low, s.high, NULL});
    }
    free(steps);
    panel->log_y = true;
}

static const char *spread_words(const struct point *p, enum unit unit, char *text) {
    return word_spread(&(struct spread){1, p->y, p->low, p->high}, unit, text);
}

static void figure_running(const struct metrics *metrics, struct figure *f) {
    char a[WORD_BYTES], b[WORD_BYTES], c[WORD_BYTES], d[WORD_BYTES];
    *f = (struct figure){.experiment = LAYER, .id = "layer-running", .title = "Running statistics and the population's"};
    struct panel *panel = figure_panel(f, "mean", "training steps", "distance (standard deviations)");
    panel_running_error(f, panel, metrics, "running_mean_error");
    panel = figure_panel(f, "variance", "training steps", "relative error");
    panel_running_error(f, panel, metrics, "running_var_error");
    const struct series *means = &f->panels[0].series[0], *vars = &f->panels[1].series[0];
    if (means->count == 0 || vars->count == 0) return;
    figure_say(
        f,
        "The running mean is %s standard deviations from the population's mean at first, and %s after %.0f steps; the running "
        "variance is off by %s of the population's at first and by %s then (means over channels and layers; of these the "
        "median over the seeds, and the range).",
        spread_words(&means->points[0], UNIT_NONE, a), spread_words(&means->points[means->count - 1], UNIT_NONE, b),
        means->points[means->count - 1].x, spread_words(&vars->points[0], UNIT_PERCENT, c),
        spread_words(&vars->points[vars->count - 1], UNIT_PERCENT, d));
}

/* Train and eval are two series of one panel. */
static void panel_modes(struct figure *f, struct panel *panel, const struct metrics *metrics, const char *train,
                        const char *eval) {
    static const char *const labels[] = {"training mode: the batch's statistics", "evaluation mode: running statistics"};
    const char *const names[] = {train, eval};
    for (int i = 0; i < 2; i++) {
        struct metric_key key = metric_key(LAYER, SIDE_WITH, names[i]);
        size_t count;
        struct metric_group *groups = metrics_by_at(metrics, &key, &count);
        struct series *series = panel_series(panel, labels[i], i == 0 ? COLOUR_THIRD : COLOUR_WITH, MARK_LINE);
        for (size_t j = 0; j < count; j++) {
            const struct spread *of = &groups[j].spread;
            series_add(f, series, &(struct point){groups[j].x, of->median, of->low, of->high, NULL});
        }
        free(groups);
    }
    panel->log_x = true;
}

static void figure_batch(const struct metrics *metrics, struct figure *f) {
    struct metric_key frozen = metric_key(LAYER, SIDE_WITH, "frozen_layers");
    const struct spread small = claim_spread(metrics, SIDE_WITH, gap_small),
                        large = claim_spread(metrics, SIDE_WITH, gap_large);
    const struct series *s;
    char a[WORD_BYTES], b[WORD_BYTES];
    *f = (struct figure){.experiment = LAYER, .id = "layer-batch", .title = "The size of the batch and the train/eval gap"};
    struct panel *panel = figure_panel(f, "accuracy", "batch size (images)", "test accuracy (%)");
    panel_modes(f, panel, metrics, "train_accuracy", "eval_accuracy");
    panel->percent = panel->from_zero = true;
    panel = figure_panel(f, "loss", "batch size (images)", "test loss (nats)");
    panel_modes(f, panel, metrics, "train_loss", "eval_loss");
    panel->log_y = true;
    s = &f->panels[0].series[0];
    if (s->count > 0)
        figure_say(
            f,
            "Test accuracy in the two modes differs by %s at the smallest batch of those that train every layer, and by %s at "
            "batch size %g.",
            word_spread(&small, UNIT_PERCENT, a), word_spread(&large, UNIT_PERCENT, b), s->points[s->count - 1].x);
    frozen.at = 1;
    const double layers = metrics_value(metrics, &frozen);
    if (layers > 0)
        figure_say(
            f,
            " At batch size 1, %.0f layer%s of this network would see 1 x 1 maps, one value per channel: its mean is the value "
            "itself and its variance 0, so that every image would give the bias and nothing could be learnt. The library "
            "refuses that; here such layers keep their initial running statistics at that size, while layers with larger maps "
            "take the statistics of one image's pixels.",
            layers, layers == 1 ? "" : "s");
    else if (layers == 0)
        figure_say(
            f, " At batch size 1 every layer of this network sees maps of more than one pixel, and takes the statistics of one "
               "image.");
    figure_say(f,
               " Each size trains on the same number of images, with a learning rate in proportion; then running statistics "
               "see %d more batches, with the weights as they are.",
               GAP_SETTLING);
}

void figures_layer(const struct metrics *metrics, struct figure *figures, size_t *count) {
    const struct metric_key running = metric_key(LAYER, SIDE_WITH, "running_mean_error"),
                            gap = metric_key(LAYER, SIDE_WITH, "eval_loss");
    size_t channel_count;
    struct channel *channels = channels_of(metrics, &channel_count);
    if (channel_count > 0) figure_channels(metrics, &figures[(*count)++], channels, channel_count);
    free(channels);
    if (metrics_seeds(metrics, &running) > 0) figure_running(metrics, &figures[(*count)++]);
    if (metrics_seeds(metrics, &gap) > 0) figure_batch(metrics, &figures[(*count)++]);
}
