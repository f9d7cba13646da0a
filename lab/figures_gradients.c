/* SPDX-License-Identifier: MIT */
/* Figures of the experiments about gradients: gradients and sigmoid. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "figures.h"

enum { LAYERS_SHOWN = 4 };

/* Of many layers some, the first and the last among them. */
static size_t shown(size_t i, size_t kept, size_t count) { return kept < 2 ? 0 : i * (count - 1) / (kept - 1); }

/* A panel for each of some layers: a quantity over steps. */
static void panels_by_layer(struct figure *f, const struct metrics *metrics, const struct metric_key *wanted,
                            const char *y_label, size_t most) {
    struct metric_key key = *wanted;
    size_t count;
    const char **layers = metrics_layers(metrics, &key, &count);
    if (count == 0) {
        key.side = SIDE_WITHOUT;
        layers = metrics_layers(metrics, &key, &count);
    }
    const size_t kept = count < most ? count : most;
    for (size_t i = 0; i < kept; i++) {
        key.layer = layers[shown(i, kept, count)];
        panel_over_steps(f, figure_panel(f, key.layer, "training steps", y_label), metrics, &key);
    }
    free(layers);
}

static bool any(const struct metrics *metrics, enum experiment experiment, const char *name) {
    const struct metric_key with = metric_key(experiment, SIDE_WITH, name),
                            without = metric_key(experiment, SIDE_WITHOUT, name);
    return metrics_seeds(metrics, &with) + metrics_seeds(metrics, &without) > 0;
}

/* "1.9 (1.7 to 2.1) with batch norm and 2.4 without", and how it compares. */
static void say_both(struct figure *f, const struct metrics *metrics, claim_value *value, enum unit unit) {
    const struct spread w = claim_spread(metrics, SIDE_WITH, value), o = claim_spread(metrics, SIDE_WITHOUT, value);
    char with[WORD_BYTES], without[WORD_BYTES];
    figure_say(f, "%s with batch norm and %s without", word_spread(&w, unit, with), word_spread(&o, unit, without));
}

/* At each step, median over the seeds of the lowest, the middle and the highest along the step direction. */
static void panel_along(struct figure *f, struct panel *panel, const struct metrics *metrics, const char *name) {
    for (int side = 0; side < SIDES; side++) {
        struct metric_key key = metric_key(GRADIENTS, (enum side)side, name);
        size_t count, seeds = metrics_seeds(metrics, &key);
        double *steps = metrics_steps(metrics, &key, &count), *lows = calloc(3 * seeds + 1, sizeof *lows);
        struct series *series =
            panel_series(panel, side == SIDE_WITH ? "with batch norm" : "without", (enum colour)side, MARK_LINE);
        if (!lows) f->failed = true;
        for (size_t i = 0; lows && i < count; i++) {
            double *middles = lows + seeds, *highs = middles + seeds;
            size_t known = 0;
            key.step = (long)steps[i];
            for (key.seed = 1; known < seeds && key.seed <= 100; key.seed++) {
                const struct spread s = metrics_spread(metrics, &key);
                if (s.count == 0) continue;
                lows[known] = s.low;
                middles[known] = s.median;
                highs[known++] = s.high;
            }
            const struct point point = {steps[i], spread_of(middles, known).median, spread_of(lows, known).median,
                                        spread_of(highs, known).median, NULL};
            if (known > 0) series_add(f, series, &point);
        }
        free(steps);
        free(lows);
    }
}

static void figure_landscape(const struct metrics *metrics, struct figure *f) {
    *f = (struct figure){.experiment = GRADIENTS, .id = "gradients-landscape", .title = "Along the step direction"};
    struct panel *panel = figure_panel(f, "loss", "training steps", "loss of the batch (nats)");
    panel->log_y = true;
    panel_along(f, panel, metrics, "loss_along");
    panel = figure_panel(f, "gradient", "training steps", "distance to the gradient (L2)");
    panel->log_y = true;
    panel_along(f, panel, metrics, "gradient_distance");
    panel = figure_panel(f, "smoothness", "training steps", "change of the gradient / distance");
    panel->log_y = true;
    panel_along(f, panel, metrics, "smoothness");
    figure_say(
        f,
        "At a step, the parameters are moved against the gradient by half, one, two and four times the learning rate, on the "
        "same batch; bands go from the lowest to the highest value there (medians over the seeds). The loss spreads over ");
    say_both(f, metrics, loss_range, UNIT_NONE);
    figure_say(f, " (medians over the steps); the gradient moves by up to ");
    say_both(f, metrics, gradient_change, UNIT_NONE);
    figure_say(f, "; for each unit of distance moved that is ");
    say_both(f, metrics, smoothness, UNIT_NONE);
    figure_say(f, ".");
}

void figures_gradients(const struct metrics *metrics, struct figure *figures, size_t *count) {
    const struct metric_key key = metric_key(GRADIENTS, SIDE_WITH, "gradient_norm");
    if (!any(metrics, GRADIENTS, "gradient_norm")) return;
    struct figure *f = &figures[(*count)++];
    *f = (struct figure){.experiment = GRADIENTS, .id = "gradients-norms", .title = "The norm of the gradient, layer by layer"};
    panels_by_layer(f, metrics, &key, "gradient norm (L2)", LAYERS_SHOWN);
    for (size_t i = 0; i < f->count; i++) f->panels[i].log_y = true;
    figure_say(f, "Along training, the 90th percentile of a layer's gradient norm divided by the 10th is ");
    say_both(f, metrics, gradient_spread, UNIT_NONE);
    figure_say(f, " (median over the layers).");
    if (any(metrics, GRADIENTS, "loss_along")) figure_landscape(metrics, &figures[(*count)++]);
}

static long last_step(const struct metrics *metrics, const struct metric_key *key) {
    size_t count;
    double *steps = metrics_steps(metrics, key, &count);
    const long last = count > 0 ? (long)steps[count - 1] : -1;
    free(steps);
    return last;
}

/* At one step: "; conv1: 1.2 % with, 0.0 % without; ..." for the layers that are shown. */
static void say_layers(struct figure *f, const struct metrics *metrics, const struct metric_key *wanted) {
    struct metric_key key = *wanted;
    size_t count;
    const char **layers = metrics_layers(metrics, &key, &count);
    const size_t kept = count < LAYERS_SHOWN ? count : LAYERS_SHOWN;
    for (size_t i = 0; i < kept; i++) {
        char with[WORD_BYTES], without[WORD_BYTES];
        key.layer = layers[shown(i, kept, count)];
        key.side = SIDE_WITH;
        const double w = metrics_spread(metrics, &key).median;
        key.side = SIDE_WITHOUT;
        const double o = metrics_spread(metrics, &key).median;
        figure_say(f, "; %s: %s with, %s without", key.layer, word_number(w, UNIT_PERCENT, with),
                   word_number(o, UNIT_PERCENT, without));
    }
    free(layers);
}

static void figure_saturated(const struct metrics *metrics, struct figure *f) {
    struct metric_key key = metric_key(SIGMOID, SIDE_WITH, "saturated");
    *f = (struct figure){.experiment = SIGMOID, .id = "sigmoid-saturated", .title = "Saturated sigmoid units"};
    panels_by_layer(f, metrics, &key, "saturated (%)", LAYERS_SHOWN - 1);
    key.step = last_step(metrics, &key);
    panel_over_layers(f, figure_panel(f, "at the end", "layer before the sigmoid", "saturated (%)"), metrics, &key);
    for (size_t i = 0; i < f->count; i++) f->panels[i].percent = f->panels[i].from_zero = true;
    figure_say(f, "A unit counts as saturated for an image where its output is below 0.05 or above 0.95. At the end that is ");
    say_both(f, metrics, saturated_share, UNIT_PERCENT);
    figure_say(f, " (mean over the layers");
    say_layers(f, metrics, &key);
    figure_say(f, ").");
    char layers[CLAIM_BYTES];
    if (more_saturated_layers(metrics, layers, sizeof layers) > 0)
        figure_say(
            f,
            " After %s more units are saturated with batch norm than without: the mean hides that. Saturation alone does not "
            "decide what is learnt; how much of the gradient comes through to the first layer does, which is in the next "
            "figure.",
            layers);
}

static void say_accuracy(struct figure *f, const struct metrics *metrics) {
    const struct metric_key with = metric_key(SIGMOID, SIDE_WITH, "final_accuracy"),
                            without = metric_key(SIGMOID, SIDE_WITHOUT, "final_accuracy");
    const struct spread w = metrics_spread(metrics, &with), o = metrics_spread(metrics, &without);
    char a[WORD_BYTES], b[WORD_BYTES];
    figure_say(f, " The sigmoid network ends at a test accuracy of %s with batch norm and %s without.",
               word_spread(&w, UNIT_PERCENT, a), word_spread(&o, UNIT_PERCENT, b));
}

/* From the last layer to the first, as the gradient travels. */
static void turn_round(struct panel *panel) {
    for (size_t k = 0; k < panel->count; k++) {
        struct series *s = &panel->series[k];
        for (size_t i = 0; i < s->count / 2; i++) {
            const struct point other = s->points[i];
            s->points[i] = s->points[s->count - 1 - i];
            s->points[s->count - 1 - i] = other;
        }
        for (size_t i = 0; i < s->count; i++) s->points[i].x = (double)i;
    }
}

void figures_sigmoid(const struct metrics *metrics, struct figure *figures, size_t *count) {
    struct metric_key key = metric_key(SIGMOID, SIDE_WITH, "gradient_norm");
    if (any(metrics, SIGMOID, "saturated")) figure_saturated(metrics, &figures[(*count)++]);
    if (!any(metrics, SIGMOID, "gradient_norm")) return;
    struct figure *f = &figures[(*count)++];
    *f = (struct figure){
        .experiment = SIGMOID, .id = "sigmoid-gradients", .title = "The gradient from the last layer to the first"};
    key.step = 0;
    struct panel *panel = figure_panel(f, "before the first step", "weights, last layer to first", "gradient norm (L2)");
    panel_over_layers(f, panel, metrics, &key);
    turn_round(panel);
    panel->log_y = true;
    key.step = -1;
    key.step = last_step(metrics, &key);
    panel = figure_panel(f, "at the end", "weights, last layer to first", "gradient norm (L2)");
    panel_over_layers(f, panel, metrics, &key);
    turn_round(panel);
    panel->log_y = true;
    figure_say(f, "The norm in the first layer, divided by that in the last, is ");
    say_both(f, metrics, first_to_last, UNIT_NONE);
    figure_say(f, " (median over the steps).");
    say_accuracy(f, metrics);
}
