/* SPDX-License-Identifier: MIT */
/* Figures as data: what is drawn, what is tabulated beside it and what is said under it are made from the same points. */
#ifndef LAB_FIGURES_H
#define LAB_FIGURES_H

#include "metrics.h"

/* Two colours for the two sides everywhere, and others for what is neither. */
enum colour { COLOUR_WITH, COLOUR_WITHOUT, COLOUR_THIRD, COLOUR_FOURTH, COLOURS };

enum mark {
    MARK_LINE,    /* through y, with a band from low to high */
    MARK_POINTS,  /* y, with a bar from low to high */
    MARK_BARS,    /* from low to high, and a dot at y: many beside each other */
    MARK_DIAGONAL /* y = x, from the first point to the last */
};

struct point {
    double x, y, low, high;
    const char *name; /* of a category, instead of x; NULL otherwise */
};

struct series {
    char label[64];
    enum colour colour;
    enum mark mark;
    struct point *points;
    size_t count;
};

enum { MOST_SERIES = 8, MOST_PANELS = 6, SENTENCE_BYTES = 1200 };

struct panel {
    char title[80], x_label[80], y_label[80];
    bool log_x, log_y;
    bool from_zero;   /* the vertical axis begins at 0 */
    bool percent;     /* y is a share; shown as a percentage */
    bool named;       /* the points have names */
    double guides[3]; /* horizontal lines */
    size_t guide_count;
    struct series series[MOST_SERIES];
    size_t count;
};

struct figure {
    enum experiment experiment;
    const char *id, *title;
    struct panel panels[MOST_PANELS];
    size_t count;
    char sentence[SENTENCE_BYTES]; /* what is seen, computed from the measurements */
    bool failed;                   /* there was no memory */
};

enum { MOST_FIGURES = 16 };

/* The figures of the wanted experiments (bits) that have something to show. To be freed. Returns how many. */
size_t figures_make(const struct metrics *metrics, unsigned experiments, struct figure figures[MOST_FIGURES]);
void figures_free(struct figure *figures, size_t count);

/* For the builders. */

struct panel *figure_panel(struct figure *figure, const char *title, const char *x_label, const char *y_label);
/* A series without points; they are appended with series_add(). NULL where there are too many. */
struct series *panel_series(struct panel *panel, const char *label, enum colour colour, enum mark mark);
void series_add(struct figure *figure, struct series *series, const struct point *point);
/* Adds to the sentence. */
void figure_say(struct figure *figure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One series, over what the groups are made by. */
void panel_groups(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key,
                  const char *label, enum colour colour, metric_groups *of);
/* A series for each side, over steps or over what the experiment varies: median and range over the seeds. */
void panel_over_steps(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key);
void panel_over_at(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key);
/* The same over layers, as points with names. */
void panel_over_layers(struct figure *figure, struct panel *panel, const struct metrics *metrics, const struct metric_key *key);

#define FIGURES_DECLARE(constant, name)                                                                                        \
    void figures_##name(const struct metrics *metrics, struct figure *figures, size_t *count);
LAB_EXPERIMENTS(FIGURES_DECLARE)

#endif
