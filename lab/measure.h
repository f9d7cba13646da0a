/* SPDX-License-Identifier: MIT */
/* Numbers about arrays. */
#ifndef LAB_MEASURE_H
#define LAB_MEASURE_H

#include <stddef.h>

/* sqrt(sum of squares) */
double measure_norm(const float *values, size_t count);

/* The share of y = activation(x) so close to a limit of the activation, low or high, that the units hardly learn: within a
 * twentieth of the distance between the two. For a sigmoid that is y < 0.05 or y > 0.95, where its slope is below a fifth of
 * its largest. */
double measure_saturated(const float *y, size_t count, double low, double high);

/* One channel's values. */
struct distribution {
    double mean, std;     /* std: of the population */
    double q05, q50, q95; /* what 5, 50 and 95 % of the values do not exceed */
    double distance;      /* of Kolmogorov and Smirnov from the normal distribution with mean 0 and variance 1: the largest
                             difference between the two cumulative distributions, 0 to 1 */
};
/* values[0], values[stride], ...: count of them, at least 1. Mean and standard deviation are of all; the rest is of at most
 * MEASURE_SORTED of them, evenly spaced. */
enum { MEASURE_SORTED = 4096 };
struct distribution measure_channel(const float *values, size_t count, size_t stride);

#endif
