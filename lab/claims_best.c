/* SPDX-License-Identifier: MIT */
/* The best point of a longer training, and whether the training was long enough to have come to it. */
#include <math.h>
#include <stdlib.h>

#include "claims.h"

double best_accuracy(const struct metrics *metrics, enum side side, int seed) {
    const struct metric_key key = metric_key_of(BEST, side, seed, "best_accuracy");
    return metrics_value(metrics, &key);
}

double best_loss(const struct metrics *metrics, enum side side, int seed) {
    const struct metric_key key = metric_key_of(BEST, side, seed, "best_loss");
    return metrics_value(metrics, &key);
}

double best_steps(const struct metrics *metrics, enum side side, int seed) {
    const struct metric_key key = metric_key_of(BEST, side, seed, "test_accuracy");
    size_t count;
    double *steps = metrics_steps(metrics, &key, &count);
    const double last = count > 0 ? steps[count - 1] : NAN;
    free(steps);
    return last;
}

/* What a curve of tests has to lose: the loss, or the share of images that are wrong. */
static double badness(double value, bool accuracy) { return accuracy ? 1 - value : value; }

static double gain(const struct metrics *metrics, enum side side, int seed, bool accuracy) {
    struct metric_key key = metric_key_of(BEST, side, seed, accuracy ? "test_accuracy" : "test_loss");
    size_t count;
    double *steps = metrics_steps(metrics, &key, &count), before = INFINITY, late = INFINITY;
    for (size_t i = 0; i < count; i++) {
        key.step = (long)steps[i];
        const double value = badness(metrics_value(metrics, &key), accuracy);
        double *least = 3 * steps[i] > 2 * steps[count - 1] ? &late : &before;
        *least = fmin(*least, value); /* which passes over a NaN */
    }
    free(steps);
    return isfinite(before) && isfinite(late) && before > 0 ? (before - late) / before : NAN;
}

double best_accuracy_gain(const struct metrics *metrics, enum side side, int seed) { return gain(metrics, side, seed, true); }

double best_loss_gain(const struct metrics *metrics, enum side side, int seed) { return gain(metrics, side, seed, false); }

bool best_is_too_short(const struct metrics *metrics, claim_value *gained) {
    for (int side = 0; side < SIDES; side++) {
        size_t runs = 0, improving = 0;
        for (int seed = 1; seed <= metrics->seeds; seed++) {
            const double value = gained(metrics, (enum side)side, seed);
            if (!isnan(best_steps(metrics, (enum side)side, seed))) runs++;
            if (value > BEST_STILL_IMPROVES) improving++;
        }
        if (runs > 0 && 2 * improving >= runs) return true;
    }
    return false;
}
