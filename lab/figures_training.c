/* SPDX-License-Identifier: MIT */
/* Figures of the experiments that train and test: convergence, sweep, best. */
#include <math.h>
#include <stdlib.h>

#include "claims.h"
#include "figures.h"

static bool measured(const struct metrics *metrics, enum experiment experiment, const char *name) {
    const struct metric_key with = metric_key(experiment, SIDE_WITH, name),
                            without = metric_key(experiment, SIDE_WITHOUT, name);
    return metrics_seeds(metrics, &with) + metrics_seeds(metrics, &without) > 0;
}

/* Test accuracy against the median of the seconds at the same step. */
static void over_seconds(struct figure *f, struct panel *panel, const struct metrics *metrics) {
    for (int side = 0; side < SIDES; side++) {
        struct metric_key accuracy = metric_key(CONVERGENCE, (enum side)side, "test_accuracy"), seconds = accuracy;
        size_t count;
        double *steps = metrics_steps(metrics, &accuracy, &count);
        struct series *series =
            panel_series(panel, side == SIDE_WITH ? "with batch norm" : "without", (enum colour)side, MARK_LINE);
        seconds.name = "seconds";
        for (size_t i = 0; i < count; i++) {
            accuracy.step = seconds.step = (long)steps[i];
            const struct spread s = metrics_spread(metrics, &accuracy);
            const struct point point = {metrics_spread(metrics, &seconds).median, s.median, s.low, s.high, NULL};
            series_add(f, series, &point);
        }
        free(steps);
    }
}

/* The network with batch norm, with the statistics of the test batches. */
static void panel_batch_statistics(struct figure *f, struct panel *panel, const struct metrics *metrics,
                                   enum experiment experiment, const char *name) {
    const struct metric_key key = metric_key(experiment, SIDE_WITH, name);
    panel_groups(f, panel, metrics, &key, "with, by the statistics of the test batches", COLOUR_THIRD, metrics_by_step);
}

/* Where the two differ, running statistics are not what the network sees. */
static void say_modes(struct figure *f, const struct metrics *metrics, enum experiment experiment) {
    struct metric_key running = metric_key(experiment, SIDE_WITH, "test_accuracy"),
                      batch = metric_key(experiment, SIDE_WITH, "batch_accuracy");
    size_t count;
    double *steps = metrics_steps(metrics, &batch, &count);
    char a[WORD_BYTES], b[WORD_BYTES];
    if (count == 0) return;
    running.step = batch.step = (long)steps[count - 1];
    free(steps);
    const struct spread r = metrics_spread(metrics, &running), s = metrics_spread(metrics, &batch);
    figure_say(
        f,
        " At the end the network with batch norm has a test accuracy of %s with its running statistics (evaluation mode) and "
        "of %s with those of the test batches.",
        word_spread(&r, UNIT_PERCENT, a), word_spread(&s, UNIT_PERCENT, b));
}

/* Of one side, at a target: "30 steps (25 to 40) and 1.2 s" or "does not reach it". */
static void say_target(struct figure *f, const struct metrics *metrics, enum side side, double target) {
    struct metric_key key = metric_key(CONVERGENCE, side, "steps_to");
    char steps_text[WORD_BYTES], seconds_text[WORD_BYTES];
    key.at = target;
    const struct spread steps = metrics_spread(metrics, &key);
    key.name = "seconds_to";
    const struct spread seconds = metrics_spread(metrics, &key);
    if (steps.count == 0)
        figure_say(f, "has not been measured");
    else if (isinf(steps.low))
        figure_say(f, "does not get there with any seed");
    else
        figure_say(f, "takes %s steps and %s", word_spread(&steps, UNIT_STEPS, steps_text),
                   word_spread(&seconds, UNIT_SECONDS, seconds_text));
}

static void say_convergence(struct figure *f, const struct metrics *metrics) {
    char word[WORD_BYTES];
    const double target = claims_target(metrics);
    if (isnan(target)) {
        figure_say(f, "No accuracy of the list was reached by all seeds of either network.");
        return;
    }
    figure_say(f, "To %s test accuracy the network with batch norm ", word_number(target, UNIT_PERCENT, word));
    say_target(f, metrics, SIDE_WITH, target);
    figure_say(f, "; the one without ");
    say_target(f, metrics, SIDE_WITHOUT, target);
    figure_say(f, ".");
}

static void say_cost(struct figure *f, const struct metrics *metrics) {
    double each[SIDES];
    for (int side = 0; side < SIDES; side++) {
        struct metric_key key = metric_key(CONVERGENCE, (enum side)side, "seconds");
        size_t count;
        double *steps = metrics_steps(metrics, &key, &count);
        key.step = count > 0 ? (long)steps[count - 1] : 0;
        each[side] = metrics_spread(metrics, &key).median / (double)key.step;
        free(steps);
    }
    if (!isfinite(each[SIDE_WITH]) || !isfinite(each[SIDE_WITHOUT])) return;
    figure_say(f, " A step takes %.1f ms with it and %.1f ms without (medians over the runs).", 1e3 * each[SIDE_WITH],
               1e3 * each[SIDE_WITHOUT]);
}

void figures_convergence(const struct metrics *metrics, struct figure *figures, size_t *count) {
    struct metric_key key = metric_key(CONVERGENCE, SIDE_WITH, "test_accuracy");
    if (!measured(metrics, CONVERGENCE, "test_accuracy")) return;
    struct figure *f = &figures[(*count)++];
    *f = (struct figure){
        .experiment = CONVERGENCE, .id = "convergence-curves", .title = "Test accuracy and loss along training"};
    struct panel *panel = figure_panel(f, "by steps", "training steps", "test accuracy (%)");
    panel->percent = true;
    panel_over_steps(f, panel, metrics, &key);
    panel_batch_statistics(f, panel, metrics, CONVERGENCE, "batch_accuracy");
    panel = figure_panel(f, "by time", "seconds of training", "test accuracy (%)");
    panel->percent = true;
    over_seconds(f, panel, metrics);
    panel = figure_panel(f, "loss", "training steps", "test loss (nats)");
    key.name = "test_loss";
    panel->log_y = true;
    panel_over_steps(f, panel, metrics, &key);
    panel_batch_statistics(f, panel, metrics, CONVERGENCE, "batch_loss");
    say_convergence(f, metrics);
    say_cost(f, metrics);
    say_modes(f, metrics, CONVERGENCE);
    if (!measured(metrics, CONVERGENCE, "steps_to")) return;
    f = &figures[(*count)++];
    *f = (struct figure){
        .experiment = CONVERGENCE, .id = "convergence-targets", .title = "Steps and seconds to a test accuracy"};
    key.name = "steps_to";
    panel_over_at(f, figure_panel(f, "steps", "test accuracy to reach", "training steps"), metrics, &key);
    key.name = "seconds_to";
    panel_over_at(f, figure_panel(f, "time", "test accuracy to reach", "seconds of training"), metrics, &key);
    for (size_t i = 0; i < f->count; i++) f->panels[i].from_zero = true;
    figure_say(f,
               "Each point is the first test at which the accuracy was reached. The table compares at the highest one that all "
               "seeds of both networks reach, or if there is none those of one. A line ends where the median seed does not get "
               "further, and a range ends where a seed does not.");
}

static void say_rates(struct figure *f, const struct metrics *metrics) {
    char with[WORD_BYTES], without[WORD_BYTES], word[WORD_BYTES];
    const struct spread w = claim_spread(metrics, SIDE_WITH, largest_rate),
                        o = claim_spread(metrics, SIDE_WITHOUT, largest_rate);
    const struct spread wn = claim_spread(metrics, SIDE_WITH, rates_that_train),
                        on = claim_spread(metrics, SIDE_WITHOUT, rates_that_train);
    figure_say(f, "A network counts as trained above %s (the dashed line: halfway from chance to the best result here). ",
               word_number(sweep_threshold(metrics), UNIT_PERCENT, word));
    if (w.count > 0)
        figure_say(f, "With batch norm %s of 8 rates train, up to %s. ", word_spread(&wn, UNIT_STEPS, word),
                   word_spread(&w, UNIT_RATE, with));
    if (o.count > 0)
        figure_say(f, "Without it %s do, up to %s.", word_spread(&on, UNIT_STEPS, word), word_spread(&o, UNIT_RATE, without));
}

void figures_sweep(const struct metrics *metrics, struct figure *figures, size_t *count) {
    struct metric_key key = metric_key(SWEEP, SIDE_WITH, "final_accuracy");
    if (!measured(metrics, SWEEP, "final_accuracy")) return;
    struct figure *f = &figures[(*count)++];
    *f = (struct figure){.experiment = SWEEP, .id = "sweep-rates", .title = "What is learnt at each learning rate"};
    struct panel *panel = figure_panel(f, "accuracy", "learning rate", "final test accuracy (%)");
    panel->percent = panel->log_x = panel->from_zero = true;
    panel->guides[panel->guide_count++] = sweep_threshold(metrics);
    panel_over_at(f, panel, metrics, &key);
    panel = figure_panel(f, "loss", "learning rate", "final test loss (nats)");
    panel->log_x = panel->log_y = true;
    key.name = "final_loss";
    panel_over_at(f, panel, metrics, &key);
    say_rates(f, metrics);
    figure_say(f, " Where the loss has no point, training diverged.");
}

static void say_best(struct figure *f, const struct metrics *metrics) {
    for (int side = 0; side < SIDES; side++) {
        const struct metric_key key = metric_key(BEST, (enum side)side, "test_accuracy");
        const struct spread accuracy = claim_spread(metrics, (enum side)side, best_accuracy),
                            loss = claim_spread(metrics, (enum side)side, best_loss);
        char a[WORD_BYTES], l[WORD_BYTES];
        size_t count;
        double *rates = metrics_ats(metrics, &key, &count);
        if (accuracy.count > 0)
            figure_say(f, "%s, at its best rate of %g: accuracy up to %s, loss down to %s. ",
                       side == SIDE_WITH ? "With batch norm" : "Without", count > 0 ? rates[0] : NAN,
                       word_spread(&accuracy, UNIT_PERCENT, a), word_spread(&loss, UNIT_NONE, l));
        free(rates);
    }
    const struct spread steps = claim_spread(metrics, SIDE_WITH, best_steps);
    if (steps.count > 0) figure_say(f, "Each training has %.0f steps. ", steps.median);
    if (best_is_too_short(metrics, best_accuracy_gain) || best_is_too_short(metrics, best_loss_gain))
        figure_say(f,
                   "It was too short to tell which minimum is better: a curve still improves by more than %g %% in the last "
                   "third of the steps. ",
                   100 * BEST_STILL_IMPROVES);
    figure_say(
        f, "Rates were chosen in the sweep and the best points along these curves, both on the test images: for both networks "
           "alike, but unseen images would give a little less.");
}

void figures_best(const struct metrics *metrics, struct figure *figures, size_t *count) {
    struct metric_key key = metric_key(BEST, SIDE_WITH, "test_accuracy");
    if (!measured(metrics, BEST, "test_accuracy")) return;
    struct figure *f = &figures[(*count)++];
    *f = (struct figure){.experiment = BEST, .id = "best-curves", .title = "Each network at its own best learning rate"};
    struct panel *panel = figure_panel(f, "accuracy", "training steps", "test accuracy (%)");
    panel->percent = true;
    panel_over_steps(f, panel, metrics, &key);
    panel_batch_statistics(f, panel, metrics, BEST, "batch_accuracy");
    panel = figure_panel(f, "loss", "training steps", "test loss (nats)");
    key.name = "test_loss";
    panel->log_y = true;
    panel_over_steps(f, panel, metrics, &key);
    panel_batch_statistics(f, panel, metrics, BEST, "batch_loss");
    say_best(f, metrics);
    say_modes(f, metrics, BEST);
}
