/* SPDX-License-Identifier: MIT */
#include "api/check.h"

#include <math.h>
#include <stdio.h>

#include "api/geometry.h"
#include "api/overlap.h"

static bool is_empty(const struct bn_geometry *g) { return g->channels == 0 || g->count == 0; }

/* Computes the bytes from the first to the last element of one dimension; returns false when they do not fit. */
static bool span_of(size_t extent, ptrdiff_t stride, size_t bytes, uintptr_t *span) {
    uintptr_t step = extent == 1 ? 0 : bn_magnitude(stride);
    return bn_multiply(step, bytes, &step) && bn_multiply(extent - 1, step, span);
}

/* Finds where an array lies; returns false when that is not inside the address space. */
static bool fits(const struct bn_geometry *g, struct bn_array *a) {
    const size_t bytes = bn_element_bytes(g->dtype);
    uintptr_t below = 0, above = bytes;
    for (int d = 0; d <= g->dims; d++) {
        const ptrdiff_t stride = bn_stride_of(g, a, d);
        uintptr_t span;
        if (!span_of(bn_extent_of(g, d), stride, bytes, &span)) return false;
        uintptr_t *side = stride < 0 ? &below : &above;
        *side += span;
        if (*side > PTRDIFF_MAX) return false;
    }
    const uintptr_t at = (uintptr_t)a->data;
    if (at < below || UINTPTR_MAX - at < above) return false;
    a->low = at - below;
    a->high = at + above;
    return true;
}

/* Finds where the mask lies; returns false when that is not inside the address space. */
static bool mask_range(const struct bn_geometry *g, struct bn_range *range) {
    const uintptr_t at = (uintptr_t)(g->mask.lengths ? (const void *)g->mask.lengths : (const void *)g->mask.data);
    uintptr_t below = 0, above = 1;
    if (g->mask.lengths) {
        if (!bn_multiply(g->extent[0], sizeof *g->mask.lengths, &above)) return false;
    } else {
        for (int d = 0; d < g->dims; d++) {
            uintptr_t span, *side = g->mask.stride[d] < 0 ? &below : &above;
            if (!span_of(g->extent[d], g->mask.stride[d], 1, &span)) return false;
            *side += span;
            if (*side > PTRDIFF_MAX) return false;
        }
    }
    if (at < below || UINTPTR_MAX - at < above) return false;
    *range = (struct bn_range){at - below, at + above};
    return true;
}

batchnorm_status bn_check_mask(const struct bn_geometry *g) {
    const struct bn_mask *m = &g->mask;
    if (!m->is_there || is_empty(g)) return BATCHNORM_OK;
    if (m->data && m->lengths) return BATCHNORM_BAD_OPTION;
    const size_t most = g->dims > 1 ? g->extent[g->dims - 1] : 1;
    for (size_t n = 0; n < g->extent[0] && m->lengths; n++)
        if (m->lengths[n] > most) return BATCHNORM_BAD_OPTION;
    return BATCHNORM_OK;
}

batchnorm_status bn_check_sizes(struct bn_geometry *g) {
    size_t total = bn_element_bytes(g->dtype);
    g->placed = 0;
    for (int d = 0; d <= g->dims; d++)
        if (bn_extent_of(g, d) == 0) return BATCHNORM_OK;
    for (int d = 0; d <= g->dims; d++) {
        if (!bn_multiply(total, bn_extent_of(g, d), &total)) return BATCHNORM_TOO_LARGE;
    }
    for (int i = 0; i < BN_ARRAYS; i++) {
        if (!bn_is_there(g, i)) continue;
        if (!fits(g, &g->array[i])) return BATCHNORM_TOO_LARGE;
        g->placed |= 1u << i;
    }
    struct bn_range mask;
    if (g->mask.is_there && !mask_range(g, &mask)) return BATCHNORM_TOO_LARGE;
    return BATCHNORM_OK;
}

/* Returns where `bytes` bytes lie. A range that would not fit the address space ends where that does. */
static struct bn_range range_of_bytes(const void *data, size_t bytes) {
    const uintptr_t low = (uintptr_t)data, room = UINTPTR_MAX - low;
    return data ? (struct bn_range){low, low + (bytes < room ? bytes : room)} : (struct bn_range){0, 0};
}

static bool is_same(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b) {
    if (a->data != b->data) return false;
    for (int d = 0; d <= g->dims; d++)
        if (bn_extent_of(g, d) > 1 && bn_stride_of(g, a, d) != bn_stride_of(g, b, d)) return false;
    return true;
}

/* A set of arrays has one bit for each. These return the first of a set, and the set of the others. */
static int first_of(unsigned set) { return __builtin_ctz(set); }
static unsigned others_of(unsigned set) { return set & (set - 1); }

static batchnorm_status refuse(struct bn_fault *fault, batchnorm_status status, int what, int with) {
    *fault = (struct bn_fault){what, with};
    return status;
}

batchnorm_status bn_check_outputs(const struct bn_geometry *g, unsigned outputs, unsigned alias, struct bn_fault *fault) {
    if (is_empty(g)) return BATCHNORM_OK;
    outputs &= g->placed;
    for (unsigned set = outputs; set != 0; set = others_of(set)) {
        const int i = first_of(set);
        if (bn_overlaps_itself(g, &g->array[i])) return refuse(fault, BATCHNORM_BAD_STRIDE, i, i);
    }
    for (unsigned set = outputs; set != 0; set = others_of(set))
        for (unsigned with = g->placed & ~(1u << first_of(set)); with != 0; with = others_of(with)) {
            const int i = first_of(set), j = first_of(with);
            if (!bn_ranges_meet(bn_range_of(&g->array[i]), bn_range_of(&g->array[j]))) continue;
            if ((alias >> j & 1) && is_same(g, &g->array[i], &g->array[j])) continue;
            if (bn_arrays_overlap(g, &g->array[i], &g->array[j])) return refuse(fault, BATCHNORM_OVERLAP, i, j);
        }
    return BATCHNORM_OK;
}

batchnorm_status bn_check_apart(const struct bn_geometry *g, unsigned arrays, const void *data, size_t bytes, int what,
                                struct bn_fault *fault) {
    const struct bn_range at = range_of_bytes(data, bytes);
    if (is_empty(g)) return BATCHNORM_OK;
    for (unsigned set = arrays & g->placed; set != 0; set = others_of(set)) {
        const struct bn_array *a = &g->array[first_of(set)];
        if (bn_ranges_meet(bn_range_of(a), at) && bn_array_overlaps(g, a, at))
            return refuse(fault, BATCHNORM_OVERLAP, first_of(set), what);
    }
    return BATCHNORM_OK;
}

/* Returns whether any of the numbers, which come first, meets another or an array, written or not. Mostly none does, and then
 * nothing else needs to be checked. */
static bool any_meet(const struct bn_range *range, int numbers, int all) {
    unsigned meet = 0;
    for (int i = 1; i < all; i++) {
        const int others = i < numbers ? i : numbers;
        for (int j = 0; j < others; j++) meet |= (unsigned)bn_ranges_meet(range[i], range[j]);
    }
    return meet != 0;
}

static batchnorm_status check_numbers_and_arrays(const struct bn_geometry *g, unsigned outputs,
                                                 const struct bn_numbers *numbers, const struct bn_range *range, int count,
                                                 struct bn_fault *fault) {
    for (unsigned set = g->placed; set != 0; set = others_of(set)) {
        const int i = first_of(set);
        const struct bn_range array = bn_range_of(&g->array[i]);
        for (int j = 0; j < count; j++)
            if (bn_ranges_meet(array, range[j]) && (numbers[j].written || (outputs >> i & 1)) &&
                bn_array_overlaps(g, &g->array[i], range[j]))
                return refuse(fault, BATCHNORM_OVERLAP, i, BN_FAULT_NUMBERS + j);
    }
    return BATCHNORM_OK;
}

static void set_ranges(const struct bn_geometry *g, const struct bn_numbers *numbers, int count, struct bn_range *range) {
    const bool fits = g->channels <= SIZE_MAX / BN_MAX_NUMBER_BYTES;
    for (int i = 0; i < count; i++)
        range[i] = range_of_bytes(numbers[i].data, fits ? g->channels * numbers[i].bytes : SIZE_MAX);
}

batchnorm_status bn_check_numbers(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count,
                                  struct bn_fault *fault) {
    struct bn_range range[BN_MAX_NUMBERS + BN_ARRAYS];
    int all = count;
    if (is_empty(g)) return BATCHNORM_OK;
    set_ranges(g, numbers, count, range);
    for (unsigned set = g->placed; set != 0; set = others_of(set)) range[all++] = bn_range_of(&g->array[first_of(set)]);
    if (!any_meet(range, count, all)) return BATCHNORM_OK;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count && numbers[i].written; j++)
            if (j != i && bn_ranges_meet(range[i], range[j]))
                return refuse(fault, BATCHNORM_OVERLAP, BN_FAULT_NUMBERS + i, BN_FAULT_NUMBERS + j);
    return check_numbers_and_arrays(g, outputs, numbers, range, count, fault);
}

batchnorm_status bn_check_bytes(const void *workspace, size_t workspace_bytes, const void *own, size_t own_bytes,
                                struct bn_fault *fault) {
    if (!bn_ranges_meet(range_of_bytes(workspace, workspace_bytes), range_of_bytes(own, own_bytes))) return BATCHNORM_OK;
    return refuse(fault, BATCHNORM_OVERLAP, BN_FAULT_WORKSPACE, BN_FAULT_LAYER);
}

batchnorm_status bn_check_workspace(const struct bn_geometry *g, const struct bn_numbers *numbers, int count,
                                    const batchnorm_exec *exec, struct bn_fault *fault) {
    struct bn_range range[BN_MAX_NUMBERS];
    if (!exec || !exec->workspace || is_empty(g)) return BATCHNORM_OK;
    const struct bn_range at = range_of_bytes(exec->workspace, exec->workspace_bytes);
    set_ranges(g, numbers, count, range);
    for (int i = 0; i < count; i++)
        if (bn_ranges_meet(range[i], at)) return refuse(fault, BATCHNORM_OVERLAP, BN_FAULT_NUMBERS + i, BN_FAULT_WORKSPACE);
    return bn_check_apart(g, ~0u, exec->workspace, exec->workspace_bytes, BN_FAULT_WORKSPACE, fault);
}

batchnorm_status bn_check_options(const batchnorm_options *options) {
    if (options->size != sizeof *options) return BATCHNORM_BAD_OPTION;
    for (size_t i = 0; i < sizeof options->reserved / sizeof *options->reserved; i++)
        if (options->reserved[i]) return BATCHNORM_BAD_OPTION;
    const int rule = (int)options->momentum_rule, variance = (int)options->running_variance;
    if (rule != BATCHNORM_MOMENTUM_OF_NEW && rule != BATCHNORM_MOMENTUM_OF_OLD) return BATCHNORM_BAD_OPTION;
    if (variance != BATCHNORM_VARIANCE_UNBIASED && variance != BATCHNORM_VARIANCE_BIASED) return BATCHNORM_BAD_OPTION;
    return isnan(options->momentum) ? BATCHNORM_BAD_OPTION : BATCHNORM_OK;
}

batchnorm_status bn_check_activation(batchnorm_activation activation) {
    const double p = activation.parameter;
#define IS_NONE(p) true
#define IS_SLOPE(p) (isfinite(p) && (p) >= 0)
#define IS_CEILING(p) ((p) > 0)
#define CASE(kind, word, parameter, by_y)                                                                                      \
    case BATCHNORM_##kind:                                                                                                     \
        return IS_##parameter(p) ? BATCHNORM_OK : BATCHNORM_BAD_OPTION;
    switch ((int)activation.kind) { BATCHNORM_ACTIVATION_LIST(CASE) }
    return BATCHNORM_BAD_OPTION;
}

batchnorm_status bn_check_eps(double eps, bool batch_statistics) {
    const bool good = batch_statistics ? eps > 0 : eps >= 0;
    return good ? BATCHNORM_OK : BATCHNORM_BAD_EPS;
}

batchnorm_status bn_check_mask_apart(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count,
                                     const batchnorm_exec *exec, struct bn_fault *fault) {
    struct bn_range at, range[BN_MAX_NUMBERS];
    if (!g->mask.is_there || is_empty(g) || !mask_range(g, &at)) return BATCHNORM_OK;
    set_ranges(g, numbers, count, range);
    for (int i = 0; i < count; i++)
        if (numbers[i].written && bn_ranges_meet(range[i], at))
            return refuse(fault, BATCHNORM_OVERLAP, BN_FAULT_NUMBERS + i, BN_FAULT_MASK);
    if (exec && bn_ranges_meet(range_of_bytes(exec->workspace, exec->workspace_bytes), at))
        return refuse(fault, BATCHNORM_OVERLAP, BN_FAULT_WORKSPACE, BN_FAULT_MASK);
    return bn_check_apart(g, outputs, (const void *)at.low, at.high - at.low, BN_FAULT_MASK, fault);
}

static const char *name_of(int what, const char *const *arrays, const struct bn_numbers *numbers) {
    if (what < BN_FAULT_NUMBERS) return arrays[what];
    if (what < BN_FAULT_WORKSPACE) return numbers[what - BN_FAULT_NUMBERS].name;
    if (what == BN_FAULT_MASK) return "the mask";
    return what == BN_FAULT_WORKSPACE ? "the workspace" : "the layer's parameters or statistics";
}

const char *bn_fault_text(batchnorm_status status, const struct bn_fault *fault, const char *const *arrays,
                          const struct bn_numbers *numbers, char text[BN_FAULT_TEXT]) {
    if (status == BATCHNORM_BAD_STRIDE)
        snprintf(text, BN_FAULT_TEXT, "%s has strides that make two of its elements share memory", arrays[fault->what]);
    else
        snprintf(text, BN_FAULT_TEXT, "%s overlaps %s in a way that is not allowed", name_of(fault->what, arrays, numbers),
                 name_of(fault->with, arrays, numbers));
    return text;
}
