/* SPDX-License-Identifier: MIT */
/* The kernels that make one number of the lanes of a sum: every instruction set gives the bits of the scalar code below, of any
 * count of channels, and writes nothing beyond them. Plain C, so that it also runs under an emulator. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

enum { CHANNELS = 35, GUARD = 8 };

static double lanes[4 * CHANNELS * BNK_LANES];

/* Numbers of many sizes, so that every addition rounds; some that are not finite. */
static void fill(bool odd) {
    static const double not_finite[] = {INFINITY, -INFINITY, NAN, 1.7e308, -1.7e308, -0.0};
    uint32_t state = 7;
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) {
        state = state * 1664525u + 1013904223u;
        lanes[i] = ldexp((double)(int32_t)state / 3, (int)(state >> 7 & 31) - 40);
        if (odd && (state >> 16) % 37 == 0) lanes[i] = not_finite[(state >> 24) % 6];
    }
}

static bool same(double a, double b) { return isnan(a) ? isnan(b) : memcmp(&a, &b, sizeof a) == 0; }

static double fold(const double *from) {
    double sum[BNK_LANES];
    memcpy(sum, from, sizeof sum);
    for (int half = BNK_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

struct pair {
    double high, low;
};

static double finite_or_zero(double v) { return isfinite(v) ? v : 0; }

static struct pair add(double a, double b) {
    const double high = a + b, of_b = high - a;
    return (struct pair){high, finite_or_zero((a - (high - of_b)) + (b - of_b))};
}

static struct pair fold_pair(const double *from, const double *lost) {
    struct pair sum = {from[0], 0};
    double rest = lost[0];
    for (int i = 1; i < BNK_LANES; i++) {
        const struct pair more = add(sum.high, from[i]);
        sum = (struct pair){more.high, sum.low + more.low};
        rest += lost[i];
    }
    return add(sum.high, sum.low + finite_or_zero(rest));
}

/* The product by fma(), which gives what the kernels make of halves of numbers wherever nothing overflows. */
static struct pair multiply(double a, double b) { return (struct pair){a * b, fma(a, b, -(a * b))}; }

static double m2_of(struct pair sum, struct pair dot, double n) {
    const double offset = sum.high / n, plain = dot.high - sum.high * offset;
    const struct pair back = multiply(n, offset), lost = multiply(offset, sum.high);
    const double rest = ((sum.high - back.high) - back.low) + sum.low;
    const double m2 = ((dot.high - lost.high) - (lost.low + offset * (rest + sum.low))) + dot.low;
    return isfinite(m2) ? m2 : plain;
}

static bool told(bool same, const struct bnk_table *table, const char *name, size_t count) {
    if (!same) printf("%s: %s of %zu differs\n", table->name, name, count);
    return same;
}

static bool check_fold(const struct bnk_table *table, size_t count) {
    double out[CHANNELS + GUARD];
    bool good = true;
    for (size_t i = 0; i < CHANNELS + GUARD; i++) out[i] = 77;
    table->fold(lanes, count, out);
    for (size_t i = 0; i < CHANNELS + GUARD; i++) good = good && same(out[i], i < count ? fold(lanes + i * BNK_LANES) : 77);
    return told(good, table, "fold", count);
}

static bool check_fold_pairs(const struct bnk_table *table, size_t channels, double n) {
    double out[2 * CHANNELS + GUARD];
    bool good = true;
    for (size_t i = 0; i < 2 * CHANNELS + GUARD; i++) out[i] = 77;
    table->fold_pairs(lanes, channels, n, out);
    for (size_t c = 0; c < channels; c++) {
        const double *of = lanes + 4 * c * BNK_LANES;
        const struct pair sum = fold_pair(of, of + 2 * BNK_LANES), dot = fold_pair(of + BNK_LANES, of + 3 * BNK_LANES);
        good = good && same(out[2 * c], sum.high + sum.low) && same(out[2 * c + 1], m2_of(sum, dot, n));
    }
    for (size_t i = 2 * channels; i < 2 * CHANNELS + GUARD; i++) good = good && out[i] == 77;
    return told(good, table, "fold_pairs", channels);
}

static bool check_finish_pairs(const struct bnk_table *table, size_t channels, double n) {
    double numbers[4][CHANNELS + GUARD], *const sums[] = {numbers[0], numbers[1], numbers[2], numbers[3]};
    bool good = true;
    for (int i = 0; i < 4; i++) memcpy(numbers[i], lanes + i * (CHANNELS + GUARD), sizeof numbers[i]);
    table->finish_pairs(sums, channels, n);
    for (size_t c = 0; c < CHANNELS + GUARD; c++) {
        double was[4];
        for (size_t i = 0; i < 4; i++) was[i] = lanes[i * (CHANNELS + GUARD) + c];
        const struct pair sum = add(was[0], finite_or_zero(was[2])), dot = add(was[1], finite_or_zero(was[3]));
        good = good && same(numbers[0][c], c < channels ? sum.high + sum.low : was[0]);
        good = good && same(numbers[1][c], c < channels ? m2_of(sum, dot, n) : was[1]);
    }
    return told(good, table, "finish_pairs", channels);
}

int main(void) {
    const struct bnk_table *table;
    bool good = true;
    for (size_t i = 0; (table = bnk_runnable(i)) != NULL; i++)
        for (size_t channels = 0; channels <= CHANNELS; channels++)
            for (int odd = 0; odd < 2; odd++) {
                fill(odd);
                good &= check_fold(table, channels);
                good &= check_fold_pairs(table, channels, 49);
                good &= check_finish_pairs(table, channels, 7);
            }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
