/* SPDX-License-Identifier: MIT */
#include "figures.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_labels[SIDES] = {"with batch norm", "without"};

#define BUILDER(constant, name) figures_##name,
size_t figures_make(const struct metrics *metrics, unsigned experiments, struct figure figures[MOST_FIGURES]) {
    static void (*const builders[EXPERIMENTS])(const struct metrics *metrics, struct figure *figures,
                                               size_t *count) = {LAB_EXPERIMENTS(BUILDER)};
    size_t count = 0;
    for (int i = 0; i < EXPERIMENTS; i++)
        if (experiments >> i & 1) builders[i](metrics, figures, &count);
    return count;
}

void figures_free(struct figure *figures, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < figures[i].count; j++)
            for (size_t k = 0; k < figures[i].panels[j].count; k++) free(figures[i].panels[j].series[k].points);
}

struct panel *figure_panel(struct figure *figure, const char *title, const char *x_label, const char *y_label) {
    struct panel *panel = &figure->panels[figure->count < MOST_PANELS ? figure->count++ : MOST_PANELS - 1];
    snprintf(panel->title, sizeof panel->title, "%s", title);
    snprintf(panel->x_label, sizeof panel->x_label, "%s", x_label);
    snprintf(panel->y_label, sizeof panel->y_label, "%s", y_label);
    return panel;
}

struct series *panel_series(struct panel *panel, const char *label, enum colour colour, enum mark mark) {
    if (panel->count == MOST_SERIES) return NULL;
    struct series *series = &panel->series[panel->count++];
    *series = (struct series){.colour = colour, .mark = mark};
    snprintf(series->label, sizeof series->label, "%s", label);
    return series;
}

void series_add(struct figure *figure, struct series *series, const struct point *point) {
    if (!series) return;
    if ((series->count & (series->count - 1)) == 0) { /* room is the next power of two */
        struct point *points = realloc(series->points, (series->count ? 2 * series->count : 1) * sizeof *points);
        if (!points) {
            figure->failed = true;
            return;
        }
        series->points = points;
    }
    series->points[series->count++] = *point;
}

void figure_say(struct figure *figure, const char *format, ...) {
    const size_t length = strlen(figure->sentence);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(figure->sentence + length, sizeof figure->sentence - length, format, arguments);
    va_end(arguments);
}

static void add_spread(struct figure *figure, struct series *series, double x, const char *name, const struct spread *s) {
    const struct point point = {x, s->median, s->low, s->high, name};
    if (s->count > 0) series_add(figure, series, &point);
}

void panel_groups(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key,
                  const char *label, enum colour colour, metric_groups *of) {
    size_t count;
    struct metric_group *groups = of(metrics, key, &count);
    struct series *series = count > 0 ? panel_series(panel, label, colour, MARK_LINE) : NULL;
    for (size_t i = 0; i < count; i++) add_spread(figure, series, groups[i].x, NULL, &groups[i].spread);
    free(groups);
}

/* A series for each side, from groups of rows. */
static void panel_over(struct figure *figure, struct panel *panel, const struct metrics *metrics,
                       const struct metric_key *wanted, metric_groups *of) {
    for (int side = 0; side < SIDES; side++) {
        struct metric_key key = *wanted;
        key.side = (enum side)side;
        panel_groups(figure, panel, metrics, &key, side_labels[side], (enum colour)side, of);
    }
}

void panel_over_steps(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key) {
    panel_over(figure, panel, metrics, key, metrics_by_step);
}

void panel_over_at(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key) {
    panel_over(figure, panel, metrics, key, metrics_by_at);
}

void panel_over_layers(struct figure *figure, struct panel *panel, const struct metrics *metrics,
                       const struct metric_key *wanted) {
    for (int side = 0; side < SIDES; side++) {
        struct metric_key key = *wanted;
        size_t count;
        key.side = (enum side)side;
        const char **layers = metrics_layers(metrics, &key, &count);
        struct series *series = count > 0 ? panel_series(panel, side_labels[side], (enum colour)side, MARK_POINTS) : NULL;
        for (size_t i = 0; i < count; i++) {
            key.layer = layers[i];
            const struct spread s = metrics_spread(metrics, &key);
            add_spread(figure, series, (double)i, layers[i], &s);
        }
        free(layers);
    }
    panel->named = true;
}
