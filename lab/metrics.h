/* SPDX-License-Identifier: MIT */
/* Everything that `batchnorm compare` measures, as one table. The files, the terminal's table, the figures and the sentences
 * are all made from it, and from nothing else.
 */
#ifndef LAB_METRICS_H
#define LAB_METRICS_H

#include <stdbool.h>
#include <stddef.h>

enum side { SIDE_WITH, SIDE_WITHOUT, SIDES }; /* batch norm */

/* The experiments: EXPERIMENT(CONSTANT, name), with the name as in --only, in the files and at the end of functions' names. */
#define LAB_EXPERIMENTS(EXPERIMENT)                                                                                            \
    EXPERIMENT(CONVERGENCE, convergence)                                                                                       \
    EXPERIMENT(GRADIENTS, gradients)                                                                                           \
    EXPERIMENT(SWEEP, sweep)                                                                                                   \
    EXPERIMENT(BEST, best)                                                                                                     \
    EXPERIMENT(SIGMOID, sigmoid)                                                                                               \
    EXPERIMENT(LAYER, layer)                                                                                                   \
    EXPERIMENT(RANKS, ranks)

#define LAB_CONSTANT(constant, name) constant,
enum experiment { LAB_EXPERIMENTS(LAB_CONSTANT) EXPERIMENTS };

extern const char *const side_names[SIDES];  /* "with", "without" */
extern const char *const experiment_names[]; /* NULL at the end */

struct metric {
    enum experiment experiment;
    enum side side;
    double at;         /* what the experiment varies: learning rate, batch size, target, channel; NaN where it varies nothing */
    int seed;          /* from 1 */
    long step;         /* training steps before the measurement */
    const char *layer; /* a layer's or a parameter's name; "" for the whole network */
    const char *name;  /* of the quantity */
    double value;      /* NaN or infinite where training diverged */
};

struct metrics {
    struct metric *rows;
    size_t count, room;
    char **names; /* copies of layers' and quantities' names */
    size_t name_count;
    bool borrowed; /* the names are those of another table, which must outlive this one */
    int seeds;     /* the largest seed in a row */
    bool failed;   /* a row was lost for lack of memory */
};

void metrics_add(struct metrics *metrics, const struct metric *row);
void metrics_free(struct metrics *metrics);

/* The rows of seeds 1 to last_seed[experiment], to be freed. Without memory `failed` is set. */
struct metrics metrics_of_seeds(const struct metrics *metrics, const int last_seed[EXPERIMENTS]);

/* Which rows. A negative seed or step, a NaN for at and a NULL for layer mean any; the rest must be given. */
struct metric_key {
    enum experiment experiment;
    enum side side;
    double at;
    int seed;
    long step;
    const char *layer, *name;
};

struct metric_key metric_key(enum experiment experiment, enum side side, const char *name);
/* Of one seed. */
struct metric_key metric_key_of(enum experiment experiment, enum side side, int seed, const char *name);
bool metric_matches(const struct metric *row, const struct metric_key *key);

/* The next row of the key from `from` on; the count of rows at the end. */
size_t metrics_next(const struct metrics *metrics, const struct metric_key *key, size_t from);
/* The value in the only row, or the first of several; NaN if there is none. */
double metrics_value(const struct metrics *metrics, const struct metric_key *key);
/* The mean of all rows; NaN if there is none. */
double metrics_mean(const struct metrics *metrics, const struct metric_key *key);

/* A median and its range. NaN, the result of a diverged run, counts as infinite. */
struct spread {
    size_t count; /* 0: nothing was measured, and the rest is NaN */
    double median, low, high;
};

struct spread spread_of(double *values, size_t count); /* sorts them */
struct spread metrics_spread(const struct metrics *metrics, const struct metric_key *key);

/* The same for every value of a column, in ascending order. To be freed; NULL if there are no rows, with count 0. */
struct metric_group {
    double x;
    struct spread spread;
};
typedef struct metric_group *metric_groups(const struct metrics *metrics, const struct metric_key *key, size_t *count);
metric_groups metrics_by_step, metrics_by_at;
/* The values of all rows of a key, in their order; likewise. */
double *metrics_values(const struct metrics *metrics, const struct metric_key *key, size_t *count);

/* The distinct values of one column in the rows of a key, ascending, or for layers in the order of their first rows. To be
 * freed; NULL if there are none, with count 0. */
double *metrics_ats(const struct metrics *metrics, const struct metric_key *key, size_t *count);
double *metrics_steps(const struct metrics *metrics, const struct metric_key *key, size_t *count);
const char **metrics_layers(const struct metrics *metrics, const struct metric_key *key, size_t *count);
/* How many seeds have a row. */
size_t metrics_seeds(const struct metrics *metrics, const struct metric_key *key);

/* All rows as text; to be freed, NULL without memory. Numbers have as many digits as tell floats apart, and a decimal point in
 * every locale; what is not finite is "nan", "inf" or "-inf" in CSV. The last column of every row is the run's name. */
char *metrics_csv(const struct metrics *metrics, const char *run);

#endif
