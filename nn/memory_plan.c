/* SPDX-License-Identifier: MIT */
#include "memory_plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static int larger_first(const void *a, const void *b) {
    const nn_span *s = *(nn_span *const *)a, *t = *(nn_span *const *)b;
    if (s->size != t->size) return s->size > t->size ? -1 : 1;
    return s < t ? -1 : s > t; /* the same on every machine */
}

static bool meet(const nn_span *s, const nn_span *t) { return s->first <= t->last && t->first <= s->last; }

/* placed[0..count) are in the order of their offsets. */
static size_t smallest_gap(nn_span *const *placed, size_t count, const nn_span *span) {
    size_t end = 0, best = 0, best_gap = SIZE_MAX; /* end: of all that span meets, so far */
    for (size_t i = 0; i < count; i++) {
        const nn_span *other = placed[i];
        if (!meet(other, span)) continue;
        if (other->offset >= end + span->size && other->offset - end < best_gap) {
            best = end;
            best_gap = other->offset - end;
        }
        if (other->offset + other->size > end) end = other->offset + other->size;
    }
    return best_gap < SIZE_MAX ? best : end;
}

static void insert(nn_span **placed, size_t count, nn_span *span) {
    size_t i = count;
    for (; i > 0 && placed[i - 1]->offset > span->offset; i--) placed[i] = placed[i - 1];
    placed[i] = span;
}

size_t nn_memory_plan(nn_span *spans, size_t count) {
    nn_span **order = calloc(2 * count + 1, sizeof *order);
    size_t total = 0;
    if (!order) return SIZE_MAX;
    nn_span **placed = order + count;
    for (size_t i = 0; i < count; i++) order[i] = &spans[i];
    qsort(order, count, sizeof *order, larger_first);
    for (size_t i = 0; i < count; i++) {
        nn_span *span = order[i];
        span->offset = smallest_gap(placed, i, span);
        insert(placed, i, span);
        if (span->offset + span->size > total) total = span->offset + span->size;
    }
    free(order);
    return total;
}
