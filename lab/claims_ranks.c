/* SPDX-License-Identifier: MIT */
/* The accuracies of ranks, with synchronized statistics and with their own. */
#include "claims.h"

double synchronized_accuracy(const struct metrics *metrics, enum side side, int seed) {
    const struct metric_key key = metric_key_of(RANKS, side, seed, "final_accuracy");
    return metrics_value(metrics, &key);
}

static double local_accuracy(const struct metrics *metrics, enum side side, int seed, double images) {
    struct metric_key key = metric_key_of(RANKS, side, seed, "local_accuracy");
    key.at = images;
    return metrics_value(metrics, &key);
}

double local_accuracy_2(const struct metrics *metrics, enum side side, int seed) {
    return local_accuracy(metrics, side, seed, 2);
}

double local_accuracy_4(const struct metrics *metrics, enum side side, int seed) {
    return local_accuracy(metrics, side, seed, 4);
}

double local_accuracy_8(const struct metrics *metrics, enum side side, int seed) {
    return local_accuracy(metrics, side, seed, 8);
}
