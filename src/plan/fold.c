/* SPDX-License-Identifier: MIT */
/* Folding: the pieces of each chunk in their order, then the chunks in a tree. */
#include <math.h>

#include "plan/pass.h"
#include "plan/tree.h"

/* Pieces that are so few that those of several channels stay in the cache until all are folded. */
enum { FEW_PIECES = 64 };

/* Compiled for channels whose slots lie side by side, and for those that are `stride` apart. */
#define FOLDING static inline __attribute__((always_inline))

/* The folds work in place: the slots of the first piece become the result, for moments with the mean as `sum` and m2 as `dot`.
 * Means are offsets from the shift of the first piece, the origin, and so of the size of the deviations: nothing is lost to a
 * large common mean. */

/* Returns the values of a piece. */
static double count_of(const struct bn_sweep *s, size_t piece) {
    const struct bn_piece p = bn_view_piece(&s->view, piece);
    return bn_sweep_count(s, &p, piece);
}

/* Brings the first piece that has values to the first slots, where a mask leaves the first none; returns which one that was,
 * `pieces` if no piece has any. The numbers are 0 then. */
FOLDING size_t skip_empty(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels, size_t stride) {
    double *const to[] = {s->shift + first, s->sums[0] + first, s->sums[1] + first};
    size_t k = 0;
    if (!s->counts || s->counts[piece] > 0) return 0;
    while (k < pieces && s->counts[piece + k] == 0) k++;
    for (int i = 0; i < 3; i++)
        for (size_t c = 0; c < channels * stride; c += stride) to[i][c] = k < pieces ? to[i][k * s->slot_piece + c] : 0;
    return k;
}

/* Merges a piece where sums are pairs. What mean and m2 lose in roundings stands in the slots of the second piece, where
 * nobody reads any more once one was merged. */
static void merge_pairs(const struct bn_sweep *s, size_t at, size_t to, size_t lost, double origin, double n,
                        struct bn_merging by, bool first) {
    const struct bnk_moments m = bnk_moments(s->shift[at], s->sums[0][at], s->sums[1][at], n, origin, true);
    double *mean = s->sums[0] + to, *m2 = s->sums[1] + to, *mean_lost = s->sums[0] + lost, *m2_lost = s->sums[1] + lost;
    if (first) *mean_lost = *m2_lost = 0;
    const double d = (m.mean - *mean) - *mean_lost, moved = d * by.weight_b;
    const struct bn_pair square = bn_pair_sum(*m2, m.m2 + d * d * by.product), sum = bn_pair_sum(*mean, moved);
    *m2 = square.high;
    *m2_lost += square.low;
    *mean = isfinite(d) ? sum.high : *mean * by.weight_a + m.mean * by.weight_b;
    *mean_lost = isfinite(d) ? *mean_lost + sum.low : 0;
}

FOLDING double fold_pairs(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels, size_t stride) {
    double *mean = s->sums[0] + first, *m2 = s->sums[1] + first;
    const double *origin = s->shift + first;
    const size_t begin = skip_empty(s, first, piece, pieces, channels, stride);
    bool merged = false;
    if (begin == pieces) return 0;
    double count = count_of(s, piece + begin);
    bnk_table()->numbers->moments(origin, count, true, channels, stride, mean, m2);
    for (size_t k = begin + 1; k < pieces; k++) {
        const double n = count_of(s, piece + k);
        if (n == 0) continue;
        const struct bn_merging by = bn_merging_of(count, n);
        for (size_t c = first; c < first + channels * stride; c += stride)
            merge_pairs(s, c + k * s->slot_piece, c, c + s->slot_piece, s->shift[c], n, by, !merged);
        merged = true;
        count += n;
    }
    for (size_t c = 0; c < channels * stride && merged; c += stride) {
        mean[c] += mean[c + s->slot_piece];
        m2[c] += m2[c + s->slot_piece];
    }
    return count;
}

/* Folds the pieces of a chunk, in some channels, into its first slot: offsets from the origin. Returns its values. */
FOLDING double fold_moments(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels,
                            size_t stride) {
    const size_t begin = skip_empty(s, first, piece, pieces, channels, stride);
    if (begin == pieces) return 0;
    double count = s->view.pieces == 1 && !s->counts ? (double)s->view.count : count_of(s, piece + begin);
    double *restrict mean = s->sums[0] + first, *restrict m2 = s->sums[1] + first;
    const double *restrict origin = s->shift + first;
    bnk_table()->numbers->moments(origin, count, false, channels, stride, mean, m2);
    for (size_t k = begin + 1; k < pieces; k++) {
        double n = count_of(s, piece + k);
        size_t from = first + k * s->slot_piece;
        if (n == 0) continue;
        const double *restrict shift = s->shift + from, *restrict sum = s->sums[0] + from, *restrict dot = s->sums[1] + from;
        struct bn_merging by = bn_merging_of(count, n);
        for (size_t c = 0; c < channels * stride; c += stride) {
            const struct bnk_moments m = bnk_moments(shift[c], sum[c], dot[c], n, origin[c], false);
            bn_merge_by(by, mean + c, m2 + c, m.mean, m.m2);
        }
        count += n;
    }
    return count;
}

/* Merges the moments of a chunk, or of several, into those before it. */
FOLDING void merge_moments(const struct bn_sweep *s, const struct bn_node *into, const struct bn_node *from, size_t channels,
                           size_t stride) {
    double *restrict mean = s->sums[0] + into->slot, *restrict m2 = s->sums[1] + into->slot;
    const double *restrict more = s->sums[0] + from->slot, *restrict more_m2 = s->sums[1] + from->slot;
    const double *origin = s->shift + into->slot, *restrict other = s->shift + from->slot;
    const struct bn_merging by = bn_merging_of(into->count, from->count);
    if (from->count == 0) return;
    for (size_t c = 0; c < channels * stride && into->count == 0; c += stride) {
        s->shift[into->slot + c] = other[c];
        mean[c] = more[c];
        m2[c] = more_m2[c];
    }
    for (size_t c = 0; c < channels * stride && into->count > 0; c += stride)
        bn_merge_by(by, mean + c, m2 + c, bn_offset_from(origin[c], other[c], more[c]), more_m2[c]);
}

FOLDING double fold_dots(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels, size_t stride,
                         bool wants_count) {
    double *restrict sum = s->sums[0] + first, *restrict dot = s->sums[1] + first;
    for (size_t k = 1; k < pieces; k++) {
        const double *restrict more = sum + k * s->slot_piece, *restrict more_dot = dot + k * s->slot_piece;
        for (size_t c = 0; c < channels * stride; c += stride) {
            sum[c] += more[c];
            dot[c] += more_dot[c];
        }
    }
    double count = 0;
    for (size_t k = 0; k < pieces && wants_count; k++) count += count_of(s, piece + k);
    return count;
}

FOLDING void merge_dots(const struct bn_sweep *s, const struct bn_node *into, const struct bn_node *from, size_t channels,
                        size_t stride) {
    for (size_t c = 0; c < channels * stride; c += stride) {
        s->sums[0][into->slot + c] += s->sums[0][from->slot + c];
        s->sums[1][into->slot + c] += s->sums[1][from->slot + c];
    }
}

FOLDING void merge(const struct bn_sweep *s, struct bn_tree *t, size_t channels, size_t stride) {
    const struct bn_node *into = &t->node[t->nodes - 2], *from = into + 1;
    if (s->verb == BNK_MOMENTS)
        merge_moments(s, into, from, channels, stride);
    else
        merge_dots(s, into, from, channels, stride);
    bn_tree_pop(t);
}

/* Copies the nodes of some channels to where they are sent from. */
static void give_nodes(const struct bn_pass *p, const struct bn_sweep *s, const struct bn_tree *t, size_t channel,
                       size_t channels, size_t stride) {
    const bool moments = s->verb == BNK_MOMENTS;
    double *to = p->nodes + channel;
    for (int i = 0; i < t->nodes; i++) {
        const double *const from[] = {s->sums[0], s->sums[1], s->shift};
        for (int k = 0; k < (moments ? 3 : 2); k++, to += p->channels)
            for (size_t c = 0; c < channels; c++) to[c] = from[k][t->node[i].slot + c * stride];
    }
    for (int i = 0; i < t->nodes && channel == 0; i++) to[i] = t->node[i].count;
}

/* Brings the second sums of a chunk to their unit, so that they merge with those of parts that have another. A unit of 0
 * belongs to a y that is all bias. No sum is -0, which would vanish when it is merged. */
FOLDING void divide_dots(const struct bn_pass *p, const struct bn_sweep *s, size_t slot, size_t channel, size_t channels,
                         size_t stride) {
    double *restrict dot = s->sums[1] + slot;
    const double *restrict unit = p->dot_unit + channel;
    for (size_t c = 0; c < channels; c++) dot[c * stride] = unit[c] == 0 ? 0 : dot[c * stride] / unit[c] + 0.0;
}

/* Folds some channels of a reduction. */
FOLDING void fold(const struct bn_pass *p, const struct bn_sweep *s, size_t channel, size_t channels, size_t stride) {
    const struct bn_view *v = &s->view;
    const size_t first = channel * s->slot_channel;
    struct bn_tree t;
    bn_tree_start(&t);
    for (size_t k = 0; k < v->chunks; k++) {
        const size_t piece = k ? k * v->cut.pieces : 0, pieces = k + 1 < v->chunks ? v->cut.pieces : v->last.pieces;
        const size_t slot = first + piece * s->slot_piece;
        const double count = bn_sums_of(s) == BN_SUMS ? fold_pairs(s, slot, piece, pieces, channels, stride)
                             : s->verb == BNK_MOMENTS ? fold_moments(s, slot, piece, pieces, channels, stride)
                                                      : fold_dots(s, slot, piece, pieces, channels, stride, p->nodes != NULL);
        if (p->dot_unit && s->verb == BNK_DOTS) divide_dots(p, s, slot, channel, channels, stride);
        bn_tree_push(&t, v->first_chunk + k, 0, slot, count);
        while (bn_tree_joins(&t)) merge(s, &t, channels, stride);
    }
    if (p->nodes) give_nodes(p, s, &t, channel, channels, stride);
    while (t.nodes > 1) merge(s, &t, channels, stride);
    for (size_t c = first; c < first + channels * stride && s->verb == BNK_MOMENTS; c += stride) s->sums[0][c] += s->shift[c];
}

/* Folds in the order of memory: channel by channel where the pieces of a channel lie together and are many, else piece by
 * piece. */
void bn_pass_fold(const struct bn_pass *p, size_t channel, size_t channels) {
    for (int i = 0; i < p->reduces; i++) {
        const struct bn_sweep *s = &p->reduce[i];
        if (s->slot_channel == 1)
            fold(p, s, channel, channels, 1);
        else if (s->view.chunks > 1 && s->view.pieces <= FEW_PIECES)
            fold(p, s, channel, channels, s->slot_channel);
        else
            for (size_t c = channel; c < channel + channels; c++) fold(p, s, c, 1, 1);
    }
}
