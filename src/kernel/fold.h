/* SPDX-License-Identifier: MIT */
/* What becomes of the sums of several channels when their last element was added: vectors of channels. Every channel gets the
 * additions that it would get alone, in the same order. */
#ifndef BNK_FOLD_H
#define BNK_FOLD_H

#include "kernel/vectors.h"

/* The numbers of the lower halves of a and b in turns, and those of the upper halves. */
#define BNK_TURNS(a, b, ...) BNK_CHOOSE(bnk_md, a, b, __VA_ARGS__)
#if BNK_BYTES == 64
#define BNK_LOWER(a, b) BNK_TURNS(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define BNK_UPPER(a, b) BNK_TURNS(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif BNK_BYTES == 32
#define BNK_LOWER(a, b) BNK_TURNS(a, b, 0, 4, 1, 5)
#define BNK_UPPER(a, b) BNK_TURNS(a, b, 2, 6, 3, 7)
#else
#define BNK_LOWER(a, b) BNK_TURNS(a, b, 0, 2)
#define BNK_UPPER(a, b) BNK_TURNS(a, b, 1, 3)
#endif

/* Folds the lanes of BNK_WD sums, and returns the sums. Halves are added, the upper to the lower, until a vector is left of
 * each sum. The halves of two such vectors, in turns, are added at once; what comes out is a vector of both, half as long for
 * each:
 *
 *     a0 a1 a2 a3           a0 b0 a1 b1                                    and so on, with those of c and d: a, c, b and d
 *     b0 b1 b2 b3     ->    a2 b2 a3 b3  +  =  a0+a2 b0+b2 a1+a3 b1+b3 */
BNK_INLINE bnk_vd fold_lanes(const double *lanes) {
    bnk_vd sum[BNK_WD];
#pragma GCC unroll 8
    for (int i = 0; i < BNK_WD; i++) {
        bnk_vd half[BNK_LANES / BNK_WD];
#pragma GCC unroll 8
        for (int k = 0; k < BNK_LANES / BNK_WD; k++) half[k] = load_vd(lanes + i * BNK_LANES + k * BNK_WD);
#pragma GCC unroll 3
        for (int left = BNK_LANES / BNK_WD / 2; left > 0; left /= 2) {
#pragma GCC unroll 4
            for (int k = 0; k < left; k++) half[k] = half[k] + half[k + left];
        }
        sum[i] = half[0];
    }
#pragma GCC unroll 3
    for (int left = BNK_WD / 2; left > 0; left /= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < left; i++) sum[i] = BNK_LOWER(sum[i], sum[i + left]) + BNK_UPPER(sum[i], sum[i + left]);
    }
    return sum[0];
}

static void fold(const double *lanes, size_t count, double *sums) {
    size_t i = 0;
    for (; i + BNK_WD <= count; i += BNK_WD) store_vd(sums + i, fold_lanes(lanes + i * BNK_LANES));
    if (i == count) return;
    double last[BNK_WD * BNK_LANES] = {0};
    memcpy(last, lanes + i * BNK_LANES, (count - i) * BNK_LANES * sizeof *lanes);
    const bnk_vd folded = fold_lanes(last);
    memcpy(sums + i, &folded, (count - i) * sizeof *sums);
}

/* How far the lanes of channels are apart that have four sums. */
enum { PAIRS_PITCH = 4 * BNK_LANES };

/* Pairs: a number and what it lost in roundings. */
struct bnk_pair {
    bnk_vd high, low;
};

/* Returns a + b, exactly. A low part that is not finite is 0: the high part then says all there is to say. */
BNK_INLINE struct bnk_pair pair_sum(bnk_vd a, bnk_vd b) {
    const bnk_vd high = a + b, of_b = high - a, low = (a - (high - of_b)) + (b - of_b);
    return (struct bnk_pair){high, or_zero(low)};
}

/* Returns a * b, exactly where nothing overflows or is subnormal: each factor is split into halves of 26 bits. */
BNK_INLINE struct bnk_pair pair_product(bnk_vd a, bnk_vd b) {
    const bnk_vd up_a = a * 0x8000001p0, up_b = b * 0x8000001p0, high_a = up_a - (up_a - a), high_b = up_b - (up_b - b);
    const bnk_vd low_a = a - high_a, low_b = b - high_b, high = a * b;
    return (struct bnk_pair){high, ((high_a * high_b - high) + high_a * low_b + low_a * high_b) + low_a * low_b};
}

/* Returns the sum of the squared deviations from the mean, from the sums of n deviations from another number and of their
 * squares: dot - sum^2 / n. With an offset o that is sum / n rounded, it is dot - o * (sum + (sum - n * o)). */
BNK_INLINE bnk_vd pair_m2(struct bnk_pair sum, struct bnk_pair dot, bnk_vd n) {
    const bnk_vd offset = sum.high / n, plain = dot.high - sum.high * offset;
    const struct bnk_pair back = pair_product(n, offset), lost = pair_product(offset, sum.high);
    const bnk_vd rest = ((sum.high - back.high) - back.low) + sum.low;
    const bnk_vd m2 = ((dot.high - lost.high) - (lost.low + offset * (rest + sum.low))) + dot.low;
    const bnk_md finite = (bnk_md)(m2 - m2 == 0);
    return (bnk_vd)(((bnk_md)m2 & finite) | ((bnk_md)plain & ~finite));
}

/* Makes columns of rows: vector i gets number i of every row. Rows of the upper half go between those of the lower, as often as
 * there are halves. */
BNK_INLINE void turn_rows(const double *from, bnk_vd *to) {
    bnk_vd between[BNK_WD];
#pragma GCC unroll 8
    for (int i = 0; i < BNK_WD; i++) to[i] = load_vd(from + i * PAIRS_PITCH);
#pragma GCC unroll 3
    for (int done = 1; done < BNK_WD; done *= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < BNK_WD / 2; i++) {
            between[2 * i] = BNK_LOWER(to[i], to[i + BNK_WD / 2]);
            between[2 * i + 1] = BNK_UPPER(to[i], to[i + BNK_WD / 2]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < BNK_WD; i++) to[i] = between[i];
    }
}

/* Returns the sums of the lanes of BNK_WD channels, lane after lane, and what they and the lanes lost in roundings. */
BNK_INLINE struct bnk_pair fold_pair(const double *lanes, const double *lost) {
    struct bnk_pair sum = {{0}, {0}};
    bnk_vd rest = {0};
    for (int lane = 0; lane < BNK_LANES; lane += BNK_WD) {
        bnk_vd of[BNK_WD], of_lost[BNK_WD];
        turn_rows(lanes + lane, of);
        turn_rows(lost + lane, of_lost);
#pragma GCC unroll 8
        for (int i = 0; i < BNK_WD; i++) {
            const bool first = lane + i == 0;
            const struct bnk_pair more = pair_sum(sum.high, of[i]);
            sum.high = first ? of[i] : more.high; /* what is added to 0 would lose the sign of a zero */
            sum.low = first ? sum.low : sum.low + more.low;
            rest = first ? of_lost[i] : rest + of_lost[i];
        }
    }
    return pair_sum(sum.high, sum.low + or_zero(rest));
}

/* Sets the sum and the sum of the squares about the mean of BNK_WD channels, one after the other. */
BNK_INLINE void fold_channels(const double *lanes, double n, double *sums) {
    const struct bnk_pair sum = fold_pair(lanes, lanes + 2 * BNK_LANES),
                          dot = fold_pair(lanes + BNK_LANES, lanes + 3 * BNK_LANES);
    const bnk_vd of_x = sum.high + sum.low, m2 = pair_m2(sum, dot, splat_vd(n));
    store_vd(sums, BNK_LOWER(of_x, m2));
    store_vd(sums + BNK_WD, BNK_UPPER(of_x, m2));
}

static void fold_pairs(const double *lanes, size_t channels, double n, double *sums) {
    size_t c = 0;
    for (; c + BNK_WD <= channels; c += BNK_WD) fold_channels(lanes + c * PAIRS_PITCH, n, sums + 2 * c);
    if (c == channels) return;
    double last[BNK_WD * PAIRS_PITCH] = {0}, folded[2 * BNK_WD];
    memcpy(last, lanes + c * PAIRS_PITCH, (channels - c) * PAIRS_PITCH * sizeof *lanes);
    fold_channels(last, n, folded);
    memcpy(sums + 2 * c, folded, (channels - c) * 2 * sizeof *sums);
}

BNK_INLINE void finish_some(double *const *sums, size_t c, double n) {
    const struct bnk_pair sum = pair_sum(load_vd(sums[0] + c), or_zero(load_vd(sums[2] + c))),
                          dot = pair_sum(load_vd(sums[1] + c), or_zero(load_vd(sums[3] + c)));
    store_vd(sums[0] + c, sum.high + sum.low);
    store_vd(sums[1] + c, pair_m2(sum, dot, splat_vd(n)));
}

static void finish_pairs(double *const sums[4], size_t channels, double n) {
    size_t c = 0;
    for (; c + BNK_WD <= channels; c += BNK_WD) finish_some(sums, c, n);
    if (c == channels) return;
    double last[4][BNK_WD] = {{0}}, *const some[] = {last[0], last[1], last[2], last[3]};
    for (int i = 0; i < 4; i++) memcpy(last[i], sums[i] + c, (channels - c) * sizeof **last);
    finish_some(some, 0, n);
    for (int i = 0; i < 2; i++) memcpy(sums[i] + c, last[i], (channels - c) * sizeof **last);
}

#endif
