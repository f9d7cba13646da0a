/* SPDX-License-Identifier: MIT */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

double measure_norm(const float *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i] * values[i];
    return sqrt(sum);
}

double measure_saturated(const float *y, size_t count, double low, double high) {
    const double margin = (high - low) / 20;
    size_t saturated = 0;
    for (size_t i = 0; i < count; i++) saturated += y[i] < low + margin || y[i] > high - margin;
    return (double)saturated / (double)count;
}

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double normal(double x) { return 0.5 * erfc(-x / sqrt(2)); }

/* At value i the empirical distribution jumps from i / count to (i + 1) / count. (Where values are equal it jumps further; the
 * ends of that jump are among those looked at, and what lies between them is no farther.) */
static double distance_from_normal(const float *sorted, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        const double expected = normal(sorted[i]), below = (double)i / (double)count, above = (double)(i + 1) / (double)count;
        largest = fmax(largest, fmax(fabs(expected - below), fabs(above - expected)));
    }
    return largest;
}

struct distribution measure_channel(const float *values, size_t count, size_t stride) {
    float sorted[MEASURE_SORTED];
    struct distribution d = {0};
    for (size_t i = 0; i < count; i++) d.mean += values[i * stride];
    d.mean /= (double)count;
    for (size_t i = 0; i < count; i++) d.std += (values[i * stride] - d.mean) * (values[i * stride] - d.mean);
    d.std = sqrt(d.std / (double)count);
    const size_t kept = count < MEASURE_SORTED ? count : MEASURE_SORTED;
    for (size_t i = 0; i < kept; i++) sorted[i] = values[i * count / kept * stride];
    qsort(sorted, kept, sizeof *sorted, ascending);
    d.q05 = sorted[(size_t)(0.05 * (double)(kept - 1))];
    d.q50 = sorted[(size_t)(0.5 * (double)(kept - 1))];
    d.q95 = sorted[(size_t)(0.95 * (double)(kept - 1))];
    d.distance = distance_from_normal(sorted, kept);
    return d;
}
