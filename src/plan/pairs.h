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

#endif
