/* SPDX-License-Identifier: MIT */
/* An element lies at low + sum of step * index, so two elements share a byte where a sum of steps, each taken from 0 to so many
 * times, lies in a short interval. That is searched from the largest step down, and goes deeper only where what is left can be
 * reached by the smaller steps and is a multiple of their common divisor. For slices of one array a level has two or three
 * candidates. In general it is as hard a question as filling a knapsack, so the search has an end, which counts as an
 * overlap. */
#include "api/overlap.h"

#define TERMS_MAX (2 * (BN_MAX_DIMS + 1))

/* Far above what slices need (under 100 in all that were tried), far below a millisecond. */
#define VISITS_MAX 4096

struct term {
    uintptr_t step, most; /* taken 0 to `most` times */
};

struct sum {
    int count, visits;
    struct term term[TERMS_MAX];
    uintptr_t reach[TERMS_MAX + 1];   /* of the terms from here on */
    uintptr_t divisor[TERMS_MAX + 1]; /* of their steps; 0 of none */
};

/* Adds a term. Terms of the same step become one; a term that is never taken, or goes nowhere, is left out. */
static void add_term(struct sum *s, uintptr_t step, uintptr_t most) {
    if (step == 0 || most == 0) return;
    int at = 0;
    while (at < s->count && s->term[at].step > step) at++;
    if (at < s->count && s->term[at].step == step) {
        s->term[at].most += most;
        return;
    }
    for (int i = s->count++; i > at; i--) s->term[i] = s->term[i - 1];
    s->term[at] = (struct term){step, most};
}

static void add_array(struct sum *s, const struct bn_geometry *g, const struct bn_array *a) {
    for (int d = 0; d <= g->dims; d++)
        add_term(s, bn_magnitude(bn_stride_of(g, a, d)) * bn_element_bytes(g->dtype), bn_extent_of(g, d) - 1);
}

static uintptr_t common_divisor(uintptr_t a, uintptr_t b) {
    while (b != 0) {
        const uintptr_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void set_reach(struct sum *s) {
    s->reach[s->count] = 0;
    for (int i = s->count - 1; i >= 0; i--) s->reach[i] = s->reach[i + 1] + s->term[i].step * s->term[i].most;
}

/* Computes what a search asks for. */
static void prepare(struct sum *s) {
    set_reach(s);
    s->visits = 0;
    s->divisor[s->count] = 0;
    for (int i = s->count - 1; i >= 0; i--) s->divisor[i] = common_divisor(s->term[i].step, s->divisor[i + 1]);
}

/* Returns whether the terms from `at` on can make a sum from low to high. */
static bool can_make(struct sum *s, int at, uintptr_t low, uintptr_t high) {
    if (low == 0) return true;
    if (s->reach[at] < low || high - high % s->divisor[at] < low) return false;
    if (s->visits++ >= VISITS_MAX) return true;
    const struct term term = s->term[at];
    const uintptr_t rest = s->reach[at + 1];
    const uintptr_t least = low > rest ? (low - rest - 1) / term.step + 1 : 0;
    uintptr_t most = high / term.step;
    if (most > term.most) most = term.most;
    for (uintptr_t i = most + 1; i-- > least;) {
        const uintptr_t done = i * term.step;
        if (can_make(s, at + 1, low > done ? low - done : 0, high - done)) return true;
        if (s->visits > VISITS_MAX) return true;
    }
    return false;
}

/* Returns whether two ranges share a byte of elements. The indices of a are counted from its lowest element up, those of b from
 * its highest element down, so that the distance of two elements is a sum, too. */
static bool elements_meet(struct sum *s, struct bn_range a, uintptr_t a_bytes, struct bn_range b, uintptr_t b_bytes) {
    const uintptr_t high = b.high - 1 - a.low, spread = a_bytes + b_bytes - 2;
    prepare(s);
    return can_make(s, 0, high > spread ? high - spread : 0, high);
}

bool bn_arrays_overlap(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b) {
    const uintptr_t bytes = bn_element_bytes(g->dtype);
    struct sum s;
    s.count = 0;
    add_array(&s, g, a);
    add_array(&s, g, b);
    return elements_meet(&s, bn_range_of(a), bytes, bn_range_of(b), bytes);
}

bool bn_array_overlaps(const struct bn_geometry *g, const struct bn_array *a, struct bn_range range) {
    struct sum s;
    s.count = 0;
    add_array(&s, g, a);
    return elements_meet(&s, bn_range_of(a), bn_element_bytes(g->dtype), range, range.high - range.low);
}

/* Returns whether each step is larger than all that the smaller ones reach: no address comes twice then. */
static bool is_nested(const struct sum *s, uintptr_t bytes) {
    for (int i = 0; i < s->count; i++)
        if (s->term[i].step < s->reach[i + 1] + bytes) return false;
    return true;
}

bool bn_overlaps_itself(const struct bn_geometry *g, const struct bn_array *a) {
    const uintptr_t bytes = bn_element_bytes(g->dtype);
    struct sum s;
    int dims = 0;
    s.count = 0;
    for (int d = 0; d <= g->dims; d++) dims += bn_extent_of(g, d) > 1;
    add_array(&s, g, a);
    if (s.count < dims) return true; /* a step of 0, or the same one twice */
    set_reach(&s);
    if (is_nested(&s, bytes)) return false; /* nearly always */
    /* The distance of two elements that first differ in dimension i, by at least one step of it; differences from -most to most
     * are counted from -most up. */
    for (int i = 0; i < s.count; i++) {
        struct sum apart;
        uintptr_t middle = 0;
        apart.count = 0;
        for (int d = i + 1; d < s.count; d++) {
            add_term(&apart, s.term[d].step, 2 * s.term[d].most);
            middle += s.term[d].step * s.term[d].most;
        }
        add_term(&apart, s.term[i].step, s.term[i].most - 1);
        prepare(&apart);
        const uintptr_t first = s.term[i].step;
        /* first + sum - middle within (-bytes, bytes) */
        if (middle + bytes - 1 < first) continue;
        const uintptr_t high = middle + bytes - 1 - first, low = middle + 1 > first + bytes ? middle + 1 - bytes - first : 0;
        if (can_make(&apart, 0, low, high)) return true;
    }
    return false;
}
