/* SPDX-License-Identifier: MIT */
/* One number for each run, from the rows that its experiment has left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "plan.h"

static double last_step(const struct metrics *metrics, const struct metric_key *key) {
    size_t count;
    double *steps = metrics_steps(metrics, key, &count);
    const double last = count > 0 ? steps[count - 1] : NAN;
    free(steps);
    return last;
}

/* The median of what `of` gives for each step that the key has. */
static double median_over_steps(const struct metrics *metrics, struct metric_key key,
                                double (*of)(const struct metrics *metrics, const struct metric_key *at_step)) {
    size_t count, known = 0;
    double *steps = metrics_steps(metrics, &key, &count);
    for (size_t i = 0; i < count; i++) {
        key.step = (long)steps[i];
        const double value = of(metrics, &key);
        if (!isnan(value)) steps[known++] = value; /* the steps before i are done with */
    }
    const double median = spread_of(steps, known).median;
    free(steps);
    return median;
}

/* By linear interpolation between neighbours, as NumPy has it. values are sorted. */
static double percentile(const double *values, size_t count, double share) {
    const double place = share * (double)(count - 1);
    const size_t low = (size_t)place, high = low + 1 < count ? low + 1 : low;
    return values[low] + (place - (double)low) * (values[high] - values[low]);
}

static double spread_in_layer(const struct metrics *metrics, struct metric_key key) {
    size_t count;
    double *values = metrics_values(metrics, &key, &count);
    spread_of(values, count); /* sorts */
    const double result = count > 1 ? percentile(values, count, 0.9) / percentile(values, count, 0.1) : NAN;
    free(values);
    return result;
}

double gradient_spread(const struct metrics *metrics, enum side side, int seed) {
    struct metric_key key = metric_key_of(GRADIENTS, side, seed, "gradient_norm");
    size_t count;
    const char **layers = metrics_layers(metrics, &key, &count);
    double *values = count > 0 ? malloc(count * sizeof *values) : NULL;
    size_t known = 0;
    for (size_t i = 0; values && i < count; i++) {
        key.layer = layers[i];
        const double value = spread_in_layer(metrics, key);
        if (!isnan(value)) values[known++] = value;
    }
    const double median = spread_of(values, known).median;
    free(values);
    free(layers);
    return median;
}

static double range_of(const struct metrics *metrics, const struct metric_key *key) {
    const struct spread s = metrics_spread(metrics, key);
    return isinf(s.high) ? INFINITY : s.high - s.low;
}

static double highest_of(const struct metrics *metrics, const struct metric_key *key) {
    return metrics_spread(metrics, key).high;
}

double loss_range(const struct metrics *metrics, enum side side, int seed) {
    return median_over_steps(metrics, metric_key_of(GRADIENTS, side, seed, "loss_along"), range_of);
}

double gradient_change(const struct metrics *metrics, enum side side, int seed) {
    return median_over_steps(metrics, metric_key_of(GRADIENTS, side, seed, "gradient_distance"), highest_of);
}

double smoothness(const struct metrics *metrics, enum side side, int seed) {
    return median_over_steps(metrics, metric_key_of(GRADIENTS, side, seed, "smoothness"), highest_of);
}

double sweep_threshold(const struct metrics *metrics) {
    double best = NAN, chance = NAN;
    for (int side = 0; side < SIDES; side++) {
        const struct metric_key key = metric_key(SWEEP, (enum side)side, "final_accuracy");
        const struct metric_key classes = metric_key(SWEEP, (enum side)side, "classes");
        const double high = metrics_spread(metrics, &key).high, count = metrics_value(metrics, &classes);
        if (!isnan(high) && !(best > high)) best = high;
        if (!isnan(count)) chance = 1 / count;
    }
    return (best + chance) / 2;
}

double sweep_best_rate(const struct metrics *metrics, enum side side) {
    struct metric_key key = metric_key(SWEEP, side, "final_accuracy"), loss = metric_key(SWEEP, side, "final_loss");
    size_t count;
    double *rates = metrics_ats(metrics, &key, &count), best = NAN, best_accuracy = 0, best_loss = 0;
    for (size_t i = 0; i < count; i++) {
        key.at = loss.at = rates[i];
        const double accuracy = metrics_spread(metrics, &key).median, its_loss = metrics_spread(metrics, &loss).median;
        const bool better = accuracy > best_accuracy || (accuracy == best_accuracy && its_loss < best_loss);
        if (!isnan(best) && !better) continue;
        best = rates[i];
        best_accuracy = accuracy;
        best_loss = its_loss;
    }
    free(rates);
    return best;
}

/* How many rates train, or the largest of them; 0 if none does. */
static double over_rates(const struct metrics *metrics, enum side side, int seed, bool largest) {
    struct metric_key key = metric_key_of(SWEEP, side, seed, "final_accuracy");
    const double threshold = sweep_threshold(metrics);
    size_t count;
    double *rates = metrics_ats(metrics, &key, &count), result = count > 0 ? 0 : NAN;
    for (size_t i = 0; i < count; i++) {
        key.at = rates[i];
        if (metrics_value(metrics, &key) >= threshold) result = largest ? rates[i] : result + 1;
    }
    free(rates);
    return result;
}

double largest_rate(const struct metrics *metrics, enum side side, int seed) { return over_rates(metrics, side, seed, true); }

double rates_that_train(const struct metrics *metrics, enum side side, int seed) {
    return over_rates(metrics, side, seed, false);
}

/* The mean over the layers at the last measured step. */
static double mean_at_end(const struct metrics *metrics, struct metric_key key) {
    const double last = last_step(metrics, &key);
    if (isnan(last)) return NAN;
    key.step = (long)last;
    return metrics_mean(metrics, &key);
}

double saturated_share(const struct metrics *metrics, enum side side, int seed) {
    return mean_at_end(metrics, metric_key_of(SIGMOID, side, seed, "saturated"));
}

static void list_layers(const char *const *layers, size_t count, char *text, size_t bytes) {
    const size_t named = count > 4 ? 3 : count;
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < named && length < bytes; i++) {
        const char *separator = i == 0 ? "" : i + 1 == count ? " and " : ", ";
        length += (size_t)snprintf(text + length, bytes - length, "%s%s", separator, layers[i]);
    }
    if (named < count && length < bytes) snprintf(text + length, bytes - length, " and %zu more", count - named);
}

size_t more_saturated_layers(const struct metrics *metrics, char *text, size_t bytes) {
    struct metric_key with = metric_key(SIGMOID, SIDE_WITH, "saturated"),
                      without = metric_key(SIGMOID, SIDE_WITHOUT, "saturated");
    size_t count, more = 0;
    const char **layers = metrics_layers(metrics, &with, &count);
    const double last = last_step(metrics, &with), its_last = last_step(metrics, &without);
    with.step = isnan(last) ? 0 : (long)last;
    without.step = isnan(its_last) ? 0 : (long)its_last;
    for (size_t i = 0; i < count; i++) {
        with.layer = without.layer = layers[i];
        if (metrics_spread(metrics, &with).median > metrics_spread(metrics, &without).median) layers[more++] = layers[i];
    }
    list_layers(layers, more, text, bytes);
    free(layers);
    return more;
}

/* key: all layers at one step. */
static double ratio_of(const struct metrics *metrics, const struct metric_key *key) {
    struct metric_key first = *key, last = *key;
    size_t count;
    const char **layers = metrics_layers(metrics, key, &count);
    double ratio = NAN;
    if (count > 1) {
        first.layer = layers[0];
        last.layer = layers[count - 1];
        ratio = metrics_value(metrics, &first) / metrics_value(metrics, &last);
    }
    free(layers);
    return ratio;
}

double first_to_last(const struct metrics *metrics, enum side side, int seed) {
    return median_over_steps(metrics, metric_key_of(SIGMOID, side, seed, "gradient_norm"), ratio_of);
}

/* The next row of the key with the layer and the channel of another row, round the end if need be. */
static size_t partner(const struct metrics *metrics, struct metric_key key, const struct metric *row, size_t from) {
    key.layer = row->layer;
    key.at = row->at;
    const size_t found = metrics_next(metrics, &key, from);
    return found < metrics->count ? found : metrics_next(metrics, &key, 0);
}

/* The largest |a - b| over the channels of all layers; of |a - otherwise| where b has no name. Rows of both come in the same
 * order, so that the next partner is never far. */
static double largest_error(const struct metrics *metrics, int seed, const char *a, const char *b, double otherwise,
                            bool magnitude) {
    const struct metric_key key = metric_key_of(LAYER, SIDE_WITH, seed, a),
                            other = metric_key_of(LAYER, SIDE_WITH, seed, b ? b : a);
    double largest = NAN;
    size_t last = 0;
    for (size_t i = metrics_next(metrics, &key, 0); i < metrics->count; i = metrics_next(metrics, &key, i + 1)) {
        double wanted = otherwise;
        if (b) {
            last = partner(metrics, other, &metrics->rows[i], last);
            wanted = last < metrics->count ? metrics->rows[last].value : NAN;
            if (magnitude) wanted = fabs(wanted);
        }
        const double error = fabs(metrics->rows[i].value - wanted);
        if (!(largest >= error)) largest = error;
    }
    return largest;
}

double normalized_error(const struct metrics *metrics, enum side side, int seed) {
    (void)side;
    return fmax(largest_error(metrics, seed, "normalized_mean", NULL, 0, false),
                largest_error(metrics, seed, "normalized_std", NULL, 1, false));
}

double affine_error(const struct metrics *metrics, enum side side, int seed) {
    (void)side;
    return fmax(largest_error(metrics, seed, "after_mean", "bias", 0, false),
                largest_error(metrics, seed, "after_std", "weight", 0, true));
}

/* The mean over the layers at the first measured step. */
static double mean_at_start(const struct metrics *metrics, struct metric_key key) {
    size_t count;
    double *steps = metrics_steps(metrics, &key, &count);
    key.step = count > 0 ? (long)steps[0] : 0;
    free(steps);
    return metrics_mean(metrics, &key);
}

double running_start(const struct metrics *metrics, enum side side, int seed) {
    return mean_at_start(metrics, metric_key_of(LAYER, side, seed, "running_mean_error"));
}

double running_end(const struct metrics *metrics, enum side side, int seed) {
    return mean_at_end(metrics, metric_key_of(LAYER, side, seed, "running_mean_error"));
}

/* At the smallest batch that was trained as all others, or at the largest. */
static double gap(const struct metrics *metrics, int seed, bool largest) {
    struct metric_key key = metric_key_of(LAYER, SIDE_WITH, seed, "train_accuracy");
    size_t count;
    double *batches = metrics_ats(metrics, &key, &count), result = NAN;
    for (size_t i = 0; i < count; i++) {
        struct metric_key frozen = metric_key_of(LAYER, SIDE_WITH, seed, "frozen_layers"), eval = key;
        frozen.at = eval.at = key.at = batches[i];
        eval.name = "eval_accuracy";
        if (metrics_value(metrics, &frozen) > 0) continue;
        result = fabs(metrics_value(metrics, &key) - metrics_value(metrics, &eval));
        if (!largest) break;
    }
    free(batches);
    return result;
}

double gap_small(const struct metrics *metrics, enum side side, int seed) {
    (void)side;
    return gap(metrics, seed, false);
}

double gap_large(const struct metrics *metrics, enum side side, int seed) {
    (void)side;
    return gap(metrics, seed, true);
}
