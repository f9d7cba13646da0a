/* SPDX-License-Identifier: MIT */
/* The figure of ranks. */
#include <stdlib.h>

#include "claims.h"
#include "figures.h"

/* Over images of a rank. */
static void add_local(struct figure *f, struct panel *panel, const struct metrics *metrics, const char *name, const char *label,
                      enum colour colour) {
    const struct metric_key key = metric_key(RANKS, SIDE_WITH, name);
    panel_groups(f, panel, metrics, &key, label, colour, metrics_by_at);
}

/* A level, which does not depend on ranks. */
static void add_level(struct figure *f, struct panel *panel, const struct metrics *metrics, enum side side, const char *name,
                      const char *label) {
    const struct metric_key local = metric_key(RANKS, SIDE_WITH, "local_loss"), key = metric_key(RANKS, side, name);
    const struct spread s = metrics_spread(metrics, &key);
    size_t count;
    double *sizes = metrics_ats(metrics, &local, &count);
    struct series *series = s.count > 0 ? panel_series(panel, label, (enum colour)side, MARK_LINE) : NULL;
    for (size_t i = 0; i < count; i++) series_add(f, series, &(struct point){sizes[i], s.median, s.low, s.high, NULL});
    free(sizes);
}

static void say_ranks(struct figure *f, const struct metrics *metrics) {
    const struct spread synchronized = claim_spread(metrics, SIDE_WITH, synchronized_accuracy),
                        without = claim_spread(metrics, SIDE_WITHOUT, synchronized_accuracy);
    struct metric_key local = metric_key(RANKS, SIDE_WITH, "local_accuracy"), batch = local;
    char word[WORD_BYTES], other[WORD_BYTES];
    size_t count;
    double *sizes = metrics_ats(metrics, &local, &count);
    figure_say(f, "With synchronized statistics the test accuracy is %s", word_spread(&synchronized, UNIT_PERCENT, word));
    batch.name = "local_batch_accuracy";
    for (size_t i = 0; i < count; i++) {
        local.at = batch.at = sizes[i];
        const struct spread own = metrics_spread(metrics, &local), by_batch = metrics_spread(metrics, &batch);
        figure_say(f, "%s with those of %g images %s", i == 0 ? ";" : ",", sizes[i], word_spread(&own, UNIT_PERCENT, word));
        if (i == 0)
            figure_say(f, " (%s when tested with the statistics of the test batches)",
                       word_spread(&by_batch, UNIT_PERCENT, other));
    }
    free(sizes);
    figure_say(f, ". Without batch norm it is %s.", word_spread(&without, UNIT_PERCENT, word));
}

void figures_ranks(const struct metrics *metrics, struct figure *figures, size_t *count) {
    const struct metric_key local = metric_key(RANKS, SIDE_WITH, "local_accuracy");
    if (metrics_seeds(metrics, &local) == 0) return;
    struct figure *f = &figures[(*count)++];
    *f = (struct figure){.experiment = RANKS, .id = "ranks-statistics", .title = "A batch that is spread over ranks"};
    struct panel *panel = figure_panel(f, "accuracy", "images of a rank", "test accuracy (%)");
    panel->percent = panel->log_x = true;
    add_level(f, panel, metrics, SIDE_WITH, "final_accuracy", "synchronized");
    add_level(f, panel, metrics, SIDE_WITHOUT, "final_accuracy", "without batch norm");
    add_local(f, panel, metrics, "local_accuracy", "statistics of each rank", COLOUR_THIRD);
    add_local(f, panel, metrics, "local_batch_accuracy", "likewise, tested by those of the test batches", COLOUR_FOURTH);
    panel = figure_panel(f, "loss", "images of a rank", "test loss (nats)");
    panel->log_x = panel->log_y = true;
    add_level(f, panel, metrics, SIDE_WITH, "final_loss", "synchronized");
    add_level(f, panel, metrics, SIDE_WITHOUT, "final_loss", "without batch norm");
    add_local(f, panel, metrics, "local_loss", "statistics of each rank", COLOUR_THIRD);
    say_ranks(f, metrics);
}
