/* SPDX-License-Identifier: MIT */
/* Sums of F64 are pairs of numbers until they are statistics: the data have their type, and what a double loses would show. */
#ifndef BN_PAIRS_H
#define BN_PAIRS_H

/* The sum of the two; the second is what the first lost in roundings. */
struct bn_pair {
    double high, low;
};

/* Returns a + b, exactly. A low part that is not finite is 0: the high part then says all there is to say. */
static inline struct bn_pair bn_pair_sum(double a, double b) {
    const double high = a + b, of_b = high - a, low = (a - (high - of_b)) + (b - of_b);
    return (struct bn_pair){high, low - low == 0 ? low : 0};
}

static inline struct bn_pair bn_pair_add(struct bn_pair to, double a) {
    const struct bn_pair sum = bn_pair_sum(to.high, a);
    return (struct bn_pair){sum.high, to.low + sum.low};
}

/* Returns a * b, exactly where nothing overflows or is subnormal: each factor is split into halves of 26 bits. */
static inline struct bn_pair bn_pair_product(double a, double b) {
    const double up_a = a * 0x8000001p0, up_b = b * 0x8000001p0, high_a = up_a - (up_a - a), high_b = up_b - (up_b - b);
    const double low_a = a - high_a, low_b = b - high_b, high = a * b;
    return (struct bn_pair){high, ((high_a * high_b - high) + high_a * low_b + low_a * high_b) + low_a * low_b};
}

/* Returns the sum of the squared deviations from the mean, from the sums of n deviations from another number and of their
 * squares: dot - sum^2 / n. With an offset o that is sum / n rounded, it is dot - o * (sum + (sum - n * o)). */
static inline double bn_pair_m2(struct bn_pair sum, struct bn_pair dot, double n) {
    const double offset = sum.high / n, plain = dot.high - sum.high * offset;
    const struct bn_pair back = bn_pair_product(n, offset), lost = bn_pair_product(offset, sum.high);
    const double rest = ((sum.high - back.high) - back.low) + sum.low;
    const double m2 = ((dot.high - lost.high) - (lost.low + offset * (rest + sum.low))) + dot.low;
    return m2 - m2 == 0 ? m2 : plain;
}

#endif
