/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const side_names[SIDES] = {"with", "without"};
#define NAME(constant, name) #name,
const char *const experiment_names[] = {LAB_EXPERIMENTS(NAME) NULL};

/* There are few distinct names, and every row points to one of them. */
static const char *intern(struct metrics *metrics, const char *name) {
    for (size_t i = metrics->name_count; i-- > 0;)
        if (strcmp(metrics->names[i], name) == 0) return metrics->names[i];
    char **names = realloc(metrics->names, (metrics->name_count + 1) * sizeof *names);
    if (!names) return NULL;
    metrics->names = names;
    const size_t bytes = strlen(name) + 1;
    char *copy = malloc(bytes);
    if (!copy) return NULL;
    return names[metrics->name_count++] = memcpy(copy, name, bytes);
}

static bool grow(struct metrics *metrics) {
    if (metrics->count < metrics->room) return true;
    const size_t room = metrics->room ? 2 * metrics->room : 1024;
    struct metric *rows = realloc(metrics->rows, room * sizeof *rows);
    if (!rows) return false;
    metrics->rows = rows;
    metrics->room = room;
    return true;
}

void metrics_add(struct metrics *metrics, const struct metric *row) {
    struct metric copy = *row;
    if (row->seed > metrics->seeds) metrics->seeds = row->seed;
    copy.layer = intern(metrics, row->layer ? row->layer : "");
    copy.name = intern(metrics, row->name);
    if (copy.layer && copy.name && grow(metrics))
        metrics->rows[metrics->count++] = copy;
    else
        metrics->failed = true;
}

struct metrics metrics_of_seeds(const struct metrics *metrics, const int last_seed[EXPERIMENTS]) {
    struct metrics some = *metrics;
    some.borrowed = true;
    some.count = 0;
    some.rows = malloc((metrics->count ? metrics->count : 1) * sizeof *some.rows);
    if (!some.rows) some.failed = true;
    for (size_t i = 0; some.rows && i < metrics->count; i++)
        if (metrics->rows[i].seed <= last_seed[metrics->rows[i].experiment]) some.rows[some.count++] = metrics->rows[i];
    return some;
}

void metrics_free(struct metrics *metrics) {
    for (size_t i = 0; i < metrics->name_count && !metrics->borrowed; i++) free(metrics->names[i]);
    if (!metrics->borrowed) free(metrics->names);
    free(metrics->rows);
    *metrics = (struct metrics){0};
}

struct metric_key metric_key(enum experiment experiment, enum side side, const char *name) {
    return (struct metric_key){.experiment = experiment, .side = side, .at = NAN, .seed = -1, .step = -1, .name = name};
}

struct metric_key metric_key_of(enum experiment experiment, enum side side, int seed, const char *name) {
    struct metric_key key = metric_key(experiment, side, name);
    key.seed = seed;
    return key;
}

bool metric_matches(const struct metric *row, const struct metric_key *key) {
    return row->experiment == key->experiment && row->side == key->side && strcmp(row->name, key->name) == 0 &&
           (isnan(key->at) || row->at == key->at) && (key->seed < 0 || row->seed == key->seed) &&
           (key->step < 0 || row->step == key->step) && (!key->layer || strcmp(row->layer, key->layer) == 0);
}

size_t metrics_next(const struct metrics *metrics, const struct metric_key *key, size_t from) {
    while (from < metrics->count && !metric_matches(&metrics->rows[from], key)) from++;
    return from;
}

double metrics_value(const struct metrics *metrics, const struct metric_key *key) {
    const size_t i = metrics_next(metrics, key, 0);
    return i < metrics->count ? metrics->rows[i].value : NAN;
}

double metrics_mean(const struct metrics *metrics, const struct metric_key *key) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = metrics_next(metrics, key, 0); i < metrics->count; i = metrics_next(metrics, key, i + 1), count++)
        sum += metrics->rows[i].value;
    return count > 0 ? sum / (double)count : NAN;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(double *values, size_t count) {
    if (count == 0) return (struct spread){0, NAN, NAN, NAN};
    for (size_t i = 0; i < count; i++)
        if (isnan(values[i])) values[i] = INFINITY;
    qsort(values, count, sizeof *values, ascending);
    const double median = (values[(count - 1) / 2] + values[count / 2]) / 2; /* infinite if one of the two is */
    return (struct spread){count, median, values[0], values[count - 1]};
}

/* A number from each row of the key; to be freed. */
static double *column(const struct metrics *metrics, const struct metric_key *key, double (*of)(const struct metric *row),
                      size_t *count) {
    *count = 0;
    double *values = malloc((metrics->count ? metrics->count : 1) * sizeof *values);
    if (!values) return NULL;
    for (size_t i = metrics_next(metrics, key, 0); i < metrics->count; i = metrics_next(metrics, key, i + 1))
        values[(*count)++] = of(&metrics->rows[i]);
    return values;
}

static double value_of(const struct metric *row) { return row->value; }
static double at_of(const struct metric *row) { return row->at; }
static double step_of(const struct metric *row) { return (double)row->step; }
static double seed_of(const struct metric *row) { return row->seed; }

struct spread metrics_spread(const struct metrics *metrics, const struct metric_key *key) {
    size_t count;
    double *values = column(metrics, key, value_of, &count);
    const struct spread spread = spread_of(values, count);
    free(values);
    return spread;
}

double *metrics_values(const struct metrics *metrics, const struct metric_key *key, size_t *count) {
    double *values = column(metrics, key, value_of, count);
    if (*count > 0) return values;
    free(values);
    return NULL;
}

struct pair {
    double x, value;
};

static int by_x(const void *a, const void *b) {
    const double x = ((const struct pair *)a)->x, y = ((const struct pair *)b)->x;
    return (x > y) - (x < y);
}

/* The values of pairs that agree in x, from `from` on; returns where they end. */
static size_t gather(const struct pair *pairs, size_t all, size_t from, double *values) {
    size_t end = from;
    for (; end < all && pairs[end].x == pairs[from].x; end++) values[end - from] = pairs[end].value;
    return end;
}

static struct metric_group *groups(const struct metrics *metrics, const struct metric_key *key,
                                   double (*of)(const struct metric *row), size_t *count) {
    size_t all;
    double *values = metrics_values(metrics, key, &all);
    struct pair *pairs = values ? malloc(all * sizeof *pairs) : NULL;
    struct metric_group *groups = pairs ? malloc(all * sizeof *groups) : NULL;
    *count = 0;
    if (groups) {
        size_t at = 0;
        for (size_t i = metrics_next(metrics, key, 0); i < metrics->count; i = metrics_next(metrics, key, i + 1), at++)
            pairs[at] = (struct pair){of(&metrics->rows[i]), values[at]};
        qsort(pairs, all, sizeof *pairs, by_x);
        for (size_t i = 0, end; i < all; i = end) {
            end = gather(pairs, all, i, values);
            groups[(*count)++] = (struct metric_group){pairs[i].x, spread_of(values, end - i)};
        }
    }
    free(values);
    free(pairs);
    return groups;
}

struct metric_group *metrics_by_step(const struct metrics *metrics, const struct metric_key *key, size_t *count) {
    return groups(metrics, key, step_of, count);
}

struct metric_group *metrics_by_at(const struct metrics *metrics, const struct metric_key *key, size_t *count) {
    return groups(metrics, key, at_of, count);
}

static double *distinct(const struct metrics *metrics, const struct metric_key *key, double (*of)(const struct metric *row),
                        size_t *count) {
    size_t all, kept = 0;
    double *values = column(metrics, key, of, &all);
    if (values) qsort(values, all, sizeof *values, ascending);
    for (size_t i = 0; i < all; i++)
        if (kept == 0 || values[i] != values[kept - 1]) values[kept++] = values[i];
    *count = kept;
    if (kept > 0) return values;
    free(values);
    return NULL;
}

double *metrics_ats(const struct metrics *metrics, const struct metric_key *key, size_t *count) {
    return distinct(metrics, key, at_of, count);
}

double *metrics_steps(const struct metrics *metrics, const struct metric_key *key, size_t *count) {
    return distinct(metrics, key, step_of, count);
}

size_t metrics_seeds(const struct metrics *metrics, const struct metric_key *key) {
    size_t count;
    free(distinct(metrics, key, seed_of, &count));
    return count;
}

const char **metrics_layers(const struct metrics *metrics, const struct metric_key *key, size_t *count) {
    *count = 0;
    const char **layers = malloc((metrics->name_count ? metrics->name_count : 1) * sizeof *layers);
    for (size_t i = metrics_next(metrics, key, 0); layers && i < metrics->count; i = metrics_next(metrics, key, i + 1)) {
        size_t known = 0;
        while (known < *count && layers[known] != metrics->rows[i].layer) known++;
        if (known == *count) layers[(*count)++] = metrics->rows[i].layer;
    }
    if (*count > 0) return layers;
    free(layers);
    return NULL;
}

/* The command never calls setlocale(), so that printf's decimal point is a point. Names of layers and of quantities are words
 * of letters, digits, points and underscores: nothing has to be quoted. */
char *metrics_csv(const struct metrics *metrics, const char *run) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (!file) return NULL;
    fputs("experiment,norm,at,seed,step,layer,name,value,run\n", file);
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *r = &metrics->rows[i];
        fprintf(file, "%s,%s,", experiment_names[r->experiment], side_names[r->side]);
        if (!isnan(r->at)) fprintf(file, "%.9g", r->at);
        fprintf(file, ",%d,%ld,%s,%s,", r->seed, r->step, r->layer, r->name);
        /* printf may give a NaN a sign, which means nothing here */
        if (isnan(r->value))
            fprintf(file, "nan,%s\n", run);
        else
            fprintf(file, "%.9g,%s\n", r->value, run);
    }
    const bool written = !ferror(file);
    if (fclose(file) == 0 && written) return text;
    free(text);
    return NULL;
}
