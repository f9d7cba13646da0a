/* SPDX-License-Identifier: MIT */
/* Folding: the pieces of each chunk in their order, then the chunks in a tree. */
#include <math.h>

#include "plan/pass.h"
#include "plan/tree.h"

/* The folds work in place: the slots of the first piece become the result, for moments with the mean as `sum` and m2 as `dot`.
 * Means are offsets from the shift of the first piece, the origin, and so of the size of the deviations: nothing is lost to a
 * large common mean. */
struct piece_moments {
    double mean, m2;
};

/* `dot` is m2 already where sums are pairs. The squares of finite values may overflow, and m2 is infinite then. */
static inline struct piece_moments moments_of(double shift, double sum, double dot, double n, double origin, bool pairs) {
    const double offset = sum / n, m2 = pairs ? dot : dot - sum * offset;
    const bool overflows = sum - sum == 0 && !(m2 - m2 == 0);
    return (struct piece_moments){bn_offset_from(origin, shift, offset), overflows ? INFINITY : m2 < 0 ? 0 : m2};
}

/* Returns the values of a piece. */
static double count_of(const struct bn_sweep *s, size_t piece) {
    const struct bn_piece p = bn_view_piece(&s->view, piece);
    return bn_sweep_count(s, &p, piece);
}

/* Brings the first piece that has values to the first slots, where a mask leaves the first none; returns which one that was,
 * `pieces` if no piece has any. The numbers are 0 then. */
static size_t skip_empty(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels) {
    double *const to[] = {s->shift + first, s->sums[0] + first, s->sums[1] + first};
    size_t k = 0;
    if (!s->counts || s->counts[piece] > 0) return 0;
    while (k < pieces && s->counts[piece + k] == 0) k++;
    for (int i = 0; i < 3; i++)
        for (size_t c = 0; c < channels; c++) to[i][c] = k < pieces ? to[i][k * s->slot_piece + c] : 0;
    return k;
}

/* Where sums are pairs, what m2 loses in roundings stands in the slots of the second piece, where nobody reads any more once
 * one was merged. */
static double fold_pairs(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels) {
    double *mean = s->sums[0] + first, *m2 = s->sums[1] + first, *lost = m2 + s->slot_piece;
    const double *origin = s->shift + first;
    const size_t begin = skip_empty(s, first, piece, pieces, channels);
    bool merged = false;
    if (begin == pieces) return 0;
    double count = count_of(s, piece + begin);
    for (size_t c = 0; c < channels; c++) {
        const struct piece_moments m = moments_of(origin[c], mean[c], m2[c], count, origin[c], true);
        mean[c] = m.mean;
        m2[c] = m.m2;
    }
    for (size_t k = begin + 1; k < pieces; k++) {
        const double n = count_of(s, piece + k);
        const size_t from = first + k * s->slot_piece;
        if (n == 0) continue;
        const struct bn_merging by = bn_merging_of(count, n);
        for (size_t c = 0; c < channels; c++) {
            const struct piece_moments m =
                moments_of(s->shift[from + c], s->sums[0][from + c], s->sums[1][from + c], n, origin[c], true);
            double more = 0;
            bn_merge_by(by, mean + c, &more, m.mean, m.m2);
            const struct bn_pair sum = bn_pair_sum(m2[c], more);
            m2[c] = sum.high;
            lost[c] = (merged ? lost[c] : 0) + sum.low;
        }
        merged = true;
        count += n;
    }
    for (size_t c = 0; c < channels && merged; c++) m2[c] += lost[c];
    return count;
}

/* Folds the pieces of a chunk, in some channels, into its first slot: offsets from the origin. Returns its values. */
static double fold_moments(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels) {
    const size_t begin = skip_empty(s, first, piece, pieces, channels);
    if (begin == pieces) return 0;
    double count = s->view.pieces == 1 && !s->counts ? (double)s->view.count : count_of(s, piece + begin);
    double *restrict mean = s->sums[0] + first, *restrict m2 = s->sums[1] + first;
    const double *restrict origin = s->shift + first;
    for (size_t c = 0; c < channels; c++) {
        struct piece_moments m = moments_of(origin[c], mean[c], m2[c], count, origin[c], false);
        mean[c] = m.mean;
        m2[c] = m.m2;
    }
    for (size_t k = begin + 1; k < pieces; k++) {
        double n = count_of(s, piece + k);
        size_t from = first + k * s->slot_piece;
        if (n == 0) continue;
        const double *restrict shift = s->shift + from, *restrict sum = s->sums[0] + from, *restrict dot = s->sums[1] + from;
        struct bn_merging by = bn_merging_of(count, n);
        for (size_t c = 0; c < channels; c++) {
            struct piece_moments m = moments_of(shift[c], sum[c], dot[c], n, origin[c], false);
            bn_merge_by(by, mean + c, m2 + c, m.mean, m.m2);
        }
        count += n;
    }
    return count;
}

/* Merges the moments of a chunk, or of several, into those before it. */
static void merge_moments(const struct bn_sweep *s, const struct bn_node *into, const struct bn_node *from, size_t channels) {
    double *restrict mean = s->sums[0] + into->slot, *restrict m2 = s->sums[1] + into->slot;
    const double *restrict more = s->sums[0] + from->slot, *restrict more_m2 = s->sums[1] + from->slot;
    const double *origin = s->shift + into->slot, *restrict other = s->shift + from->slot;
    const struct bn_merging by = bn_merging_of(into->count, from->count);
    if (from->count == 0) return;
    for (size_t c = 0; c < channels && into->count == 0; c++) {
        s->shift[into->slot + c] = other[c];
        mean[c] = more[c];
        m2[c] = more_m2[c];
    }
    for (size_t c = 0; c < channels && into->count > 0; c++)
        bn_merge_by(by, mean + c, m2 + c, bn_offset_from(origin[c], other[c], more[c]), more_m2[c]);
}

static double fold_dots(const struct bn_sweep *s, size_t first, size_t piece, size_t pieces, size_t channels,
                        bool wants_count) {
    double *restrict sum = s->sums[0] + first, *restrict dot = s->sums[1] + first;
    for (size_t k = 1; k < pieces; k++) {
        const double *restrict more = sum + k * s->slot_piece, *restrict more_dot = dot + k * s->slot_piece;
        for (size_t c = 0; c < channels; c++) {
            sum[c] += more[c];
            dot[c] += more_dot[c];
        }
    }
    double count = 0;
    for (size_t k = 0; k < pieces && wants_count; k++) count += count_of(s, piece + k);
    return count;
}

static void merge_dots(const struct bn_sweep *s, const struct bn_node *into, const struct bn_node *from, size_t channels) {
    for (size_t c = 0; c < channels; c++) {
        s->sums[0][into->slot + c] += s->sums[0][from->slot + c];
        s->sums[1][into->slot + c] += s->sums[1][from->slot + c];
    }
}

static void merge(const struct bn_sweep *s, struct bn_tree *t, size_t channels) {
    const struct bn_node *into = &t->node[t->nodes - 2], *from = into + 1;
    if (s->verb == BNK_MOMENTS)
        merge_moments(s, into, from, channels);
    else
        merge_dots(s, into, from, channels);
    bn_tree_pop(t);
}

/* Copies the nodes of some channels to where they are sent from. */
static void give_nodes(const struct bn_pass *p, const struct bn_sweep *s, const struct bn_tree *t, size_t channel,
                       size_t channels) {
    const bool moments = s->verb == BNK_MOMENTS;
    double *to = p->nodes + channel;
    for (int i = 0; i < t->nodes; i++) {
        const double *const from[] = {s->sums[0], s->sums[1], s->shift};
        for (int k = 0; k < (moments ? 3 : 2); k++, to += p->channels)
            for (size_t c = 0; c < channels; c++) to[c] = from[k][t->node[i].slot + c];
    }
    for (int i = 0; i < t->nodes && channel == 0; i++) to[i] = t->node[i].count;
}

/* Folds some channels of a reduction, which have the slots from `first` on. */
static void fold(const struct bn_pass *p, const struct bn_sweep *s, size_t channel, size_t channels) {
    const struct bn_view *v = &s->view;
    const size_t first = channel * s->slot_channel;
    struct bn_tree t;
    bn_tree_start(&t);
    for (size_t k = 0; k < v->chunks; k++) {
        const size_t piece = k ? k * v->cut.pieces : 0, pieces = k + 1 < v->chunks ? v->cut.pieces : v->last.pieces;
        const size_t slot = first + piece * s->slot_piece;
        const double count = bn_sums_of(s) == BN_SUMS ? fold_pairs(s, slot, piece, pieces, channels)
                             : s->verb == BNK_MOMENTS ? fold_moments(s, slot, piece, pieces, channels)
                                                      : fold_dots(s, slot, piece, pieces, channels, p->nodes != NULL);
        bn_tree_push(&t, v->first_chunk + k, 0, slot, count);
        while (bn_tree_joins(&t)) merge(s, &t, channels);
    }
    if (p->nodes) give_nodes(p, s, &t, channel, channels);
    while (t.nodes > 1) merge(s, &t, channels);
    for (size_t c = 0; c < channels && s->verb == BNK_MOMENTS; c++) s->sums[0][first + c] += s->shift[first + c];
}

/* Folds in the order of memory: channel by channel where a channel's pieces lie together, else piece by piece. */
void bn_pass_fold(const struct bn_pass *p, size_t channel, size_t channels) {
    for (int i = 0; i < p->reduces; i++) {
        const struct bn_sweep *s = &p->reduce[i];
        const size_t each = s->slot_channel == 1 ? channels : 1;
        for (size_t c = channel; c < channel + channels; c += each) fold(p, s, c, each);
    }
}
