/* SPDX-License-Identifier: MIT */
/* Sums in runs. A run is at most BNK_RUN steps that follow each other in a row of a plane, or the elements of a channel in
 * BNK_RUN rows that are done together. It is summed up from zero in the type that outputs are computed in, and then added to
 * the sums in double.
 *   BF16, F16  A run is in float: half as many vectors as in double, and nothing to widen in a step. Float has 13 or 16 bits
 *              more than the elements, of which a run loses few.
 *   F64        Moments alone. The data have the type of the sums, so that a chain of thousands of additions shows in mean and
 *              var. With runs the chain is short, and what the sums lose in roundings is kept beside them: an outlier would
 *              otherwise swallow everything that is added to its lane after it.
 *   F32        has no runs: in double its sums lose nothing that a float could show. */
#ifndef BNK_RUNS_H
#define BNK_RUNS_H

#include "kernel/steps.h"

BNK_INLINE bool in_runs(const struct kind *kind) {
    return IS_SHORT ? !kind->exact : BNK_TYPE_IS(f64) && kind->verb == BNK_MOMENTS;
}

/* The moments of F64 alone have more than two sums. */
BNK_INLINE int sums_of(const struct kind *kind) { return BNK_TYPE_IS(f64) && kind->verb == BNK_MOMENTS ? 4 : 2; }

#if BNK_TYPE_IS(f64)
BNK_INLINE vec plus(bnk_vd one, vec a, vec b) { return add_by(one, a, b); }
BNK_INLINE vec minus(bnk_vd one, vec a, vec b) { return subtract_by(one, a, b); }
BNK_INLINE vec as_numbers(const bnk_vd *doubles) { return doubles[0]; }
#else
BNK_INLINE vec plus(bnk_vd one, vec a, vec b) {
    (void)one;
    return a + b;
}
BNK_INLINE vec minus(bnk_vd one, vec a, vec b) {
    (void)one;
    return a - b;
}
BNK_INLINE vec as_numbers(const bnk_vd *doubles) { return joined(to_float(doubles[0]), to_float(doubles[1])); }
#endif

/* What is subtracted from x, the shift, as head and tail in numbers of the computing type, for one part of a step. That of
 * moments is an element or a float, and has no tail. */
BNK_INLINE void centre_part(vec *head, vec *tail, const bnk_vd *shift) {
    enum { EACH = DOUBLES / PARTS };
    bnk_vd rest[EACH];
    *head = as_numbers(shift);
    to_doubles(*head, rest);
#pragma GCC unroll 8
    for (int i = 0; i < EACH; i++) rest[i] = shift[i] - rest[i];
    *tail = as_numbers(rest);
}

BNK_INLINE void centre_of_channel(vec (*centre)[PARTS], double shift) {
    const num head = (num)shift, tail = (num)(shift - (double)head);
#pragma GCC unroll 8
    for (int part = 0; part < PARTS; part++) centre[0][part] = splat(head), centre[1][part] = splat(tail);
}

BNK_INLINE void centre_of_channels(vec (*centre)[PARTS], const double *shift) {
    enum { EACH = DOUBLES / PARTS };
#pragma GCC unroll 8
    for (int part = 0; part < PARTS; part++) {
        bnk_vd of[EACH];
#pragma GCC unroll 8
        for (int i = 0; i < EACH; i++) of[i] = load_vd(shift + (part * EACH + i) * BNK_WD);
        centre_part(&centre[0][part], &centre[1][part], of);
    }
}

BNK_INLINE void start_run(vec (*run)[PARTS]) {
#pragma GCC unroll 8
    for (int part = 0; part < PARTS; part++) run[0][part] = run[1][part] = splat(0);
}

/* Loads the part that begins at element `at` of a step at p, of which the first `keep` elements are real. The others become
 * zeros where vectors are narrow; elsewhere they are there. */
BNK_INLINE vec load_part(const elem *p, size_t at, size_t keep) {
    return BNK_NARROW && keep < at + VEC_LANES ? load_few(p + at, keep - at) : load(p + at);
}

/* Returns part `part` of a step with zeros in the place of the step's elements from `keep` on. */
BNK_INLINE vec keep_part(vec v, int part, size_t keep) {
#if BNK_BYTES == 16 /* bytes, because GCC 12 cannot compile the comparison of first_lanes() here */
    static const signed char ones_then_zeros[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    const size_t begin = (size_t)part * VEC_LANES;
    mask here;
    if (keep >= begin + VEC_LANES) return v;
    memcpy(&here, ones_then_zeros + 16 - (keep - begin) * sizeof(num), sizeof here);
    return (vec)((mask)v & here);
#else
    return keep < BNK_LANES ? choose(first_lanes(part, keep), v, splat(0)) : v;
#endif
}

/* Adds the step that begins at element i of the row, of which the first `keep` elements are real; the others are there, and
 * are zeros, but where vectors are narrow and nothing is gated. `forward` has one entry for each part of the step. */
BNK_INLINE void run_step(vec (*run)[PARTS], bnk_vd one, vec (*centre)[PARTS], const struct affine *forward, struct act act,
                         const struct kind *kind, struct row row, size_t i, size_t keep) {
#pragma GCC unroll 8
    for (int part = 0; part < PARTS; part++) {
        const size_t begin = (size_t)part * VEC_LANES, at = i + begin;
        if (keep <= begin) break;
        vec first, second;
        if (kind->verb == BNK_MOMENTS) {
            first = minus(one, load_part(row.at[BNK_X] + i, begin, keep), centre[0][part]);
            first = keep_part(first, part, keep);
            second = first * first;
        } else {
            first = kind->active ? gated_dy(forward[part], act, kind, row, at) : load_part(row.at[BNK_DY] + i, begin, keep);
            second = first;
            if (has(kind, row, BNK_X)) {
                const elem *x = row.at[BNK_X];
                const vec v = kind->active ? load_x(act, kind, x + at) : load_part(x + i, begin, keep);
                second = first * ((v - centre[0][part]) - centre[1][part]);
            }
            second = keep_part(second, part, keep);
        }
        run[0][part] = plus(one, first, run[0][part]);
        run[1][part] = run[1][part] + second;
    }
}

/* Adds a run of rows of so many elements to the sums. */
BNK_INLINE void close_run(bnk_vd (*sums)[DOUBLES], bnk_vd one, vec (*run)[PARTS], size_t length, const struct kind *kind) {
    bnk_vd of[2][DOUBLES];
#pragma GCC unroll 8
    for (int part = 0; part < PARTS; part++) {
        to_doubles(run[0][part], of[0] + part * (DOUBLES / PARTS));
        to_doubles(run[1][part], of[1] + part * (DOUBLES / PARTS));
    }
#pragma GCC unroll 8
    for (int i = 0; i < DOUBLES; i++) {
        if (length <= (size_t)i * BNK_WD) break;
        const bnk_vd sum = add_by(one, of[0][i], sums[0][i]), second = add_by(one, of[1][i], sums[1][i]);
        if (sums_of(kind) == 4) {
            sums[2][i] += of[0][i] - (sum - sums[0][i]);
            sums[3][i] += of[1][i] - (second - sums[1][i]);
        }
        sums[0][i] = sum;
        sums[1][i] = second;
    }
}

/* Adds a run to the sums of a call, from index `at` on. */
BNK_INLINE void add_run(const struct bnk_call *k, size_t at, bnk_vd one, vec (*run)[PARTS], const struct kind *kind) {
    bnk_vd sums[4][DOUBLES];
    load_sums(sums, k->sums, at, sums_of(kind));
    close_run(sums, one, run, BNK_LANES, kind);
    store_sums(k->sums, at, sums, sums_of(kind));
}

#endif
