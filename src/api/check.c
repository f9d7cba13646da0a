/* SPDX-License-Identifier: MIT */
#include "api/check.h"

#include <math.h>

#include "api/shape.h"

/* Where an array lies: the lowest address, and the first one after the highest element. An absent one is nowhere. */
struct range {
    uintptr_t low, high;
};

/* One dimension of an array in bytes; the channels are the last one. Distances are absolute: where an array begins in memory
 * is counted separately. */
struct dim {
    uintptr_t extent, stride;
};

/* All of an array, for where ranges say too little. */
struct dims {
    int count;
    uintptr_t bytes; /* of one element */
    struct range range;
    struct dim dim[BN_MAX_DIMS + 1];
};

static bool is_empty(const struct bn_geometry *g) { return g->channels == 0 || g->count == 0; }

static ptrdiff_t stride_of(const struct bn_geometry *g, const struct bn_array *a, int dim) {
    return dim < g->dims ? a->stride[dim] : a->channel;
}

static size_t extent_of(const struct bn_geometry *g, int dim) { return dim < g->dims ? g->extent[dim] : g->channels; }

static uintptr_t magnitude(ptrdiff_t stride) { return stride < 0 ? 0 - (uintptr_t)stride : (uintptr_t)stride; }

/* Bytes that one dimension spans, from its first to its last element: false when that does not fit. */
static bool span_of(size_t extent, ptrdiff_t stride, size_t bytes, uintptr_t *span) {
    uintptr_t step = extent == 1 ? 0 : magnitude(stride);
    return bn_multiply(step, bytes, &step) && bn_multiply(extent - 1, step, span);
}

/* Whether an array lies inside the address space, and where. */
static bool fits(const struct bn_geometry *g, struct bn_array *a) {
    const size_t bytes = bn_element_bytes(g->dtype);
    uintptr_t below = 0, above = bytes;
    for (int d = 0; d <= g->dims; d++) {
        const ptrdiff_t stride = stride_of(g, a, d);
        uintptr_t span;
        if (!span_of(extent_of(g, d), stride, bytes, &span)) return false;
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

batchnorm_status bn_check_sizes(struct bn_geometry *g) {
    size_t total = bn_element_bytes(g->dtype);
    for (int d = 0; d <= g->dims; d++)
        if (extent_of(g, d) == 0) return BATCHNORM_OK;
    for (int d = 0; d <= g->dims; d++) {
        if (!bn_multiply(total, extent_of(g, d), &total)) return BATCHNORM_TOO_LARGE;
    }
    for (int i = 0; i < g->arrays; i++)
        if (g->array[i].data != NULL && !fits(g, &g->array[i])) return BATCHNORM_TOO_LARGE;
    return BATCHNORM_OK;
}

/* The range of an array that has passed bn_check_sizes(). */
static struct range range_of(const struct bn_array *a) {
    return a->data == NULL ? (struct range){0, 0} : (struct range){a->low, a->high};
}

/* Bytes side by side. What would not fit the address space ends where that does. */
static struct range range_of_bytes(const void *data, size_t bytes) {
    const uintptr_t low = (uintptr_t)data, room = UINTPTR_MAX - low;
    return data == NULL ? (struct range){0, 0} : (struct range){low, low + (bytes < room ? bytes : room)};
}

static bool do_ranges_meet(struct range a, struct range b) { return (a.low < b.high) & (b.low < a.high); }

/* The dimensions of an array that has passed bn_check_sizes(), without those of one element. */
static void dims_of(const struct bn_geometry *g, const struct bn_array *a, struct dims *r) {
    r->count = 0;
    r->bytes = bn_element_bytes(g->dtype);
    r->range = range_of(a);
    for (int d = 0; d <= g->dims; d++)
        if (extent_of(g, d) != 1) r->dim[r->count++] = (struct dim){extent_of(g, d), magnitude(stride_of(g, a, d)) * r->bytes};
}

/* As one large element. */
static void dims_of_range(struct range range, struct dims *r) {
    r->count = 0;
    r->bytes = range.high - range.low;
    r->range = range;
}

static void sort_by_stride(struct dims *a) {
    for (int i = 1; i < a->count; i++)
        for (int j = i; j > 0 && a->dim[j].stride < a->dim[j - 1].stride; j--) {
            const struct dim swap = a->dim[j];
            a->dim[j] = a->dim[j - 1];
            a->dim[j - 1] = swap;
        }
}

/* Whether no two elements share an address: each step must leave everything that the smaller steps reach. */
static bool has_distinct_elements(const struct bn_geometry *g, const struct bn_array *array) {
    struct dims a;
    dims_of(g, array, &a);
    sort_by_stride(&a);
    uintptr_t reach = a.bytes;
    for (int i = 0; i < a.count; i++) {
        if (a.dim[i].stride < reach) return false;
        reach += (a.dim[i].extent - 1) * a.dim[i].stride;
    }
    return true;
}

/* Bytes that an array covers modulo m: the dimensions whose step is a multiple of m do not count. */
static uintptr_t reach_modulo(const struct dims *a, uintptr_t m) {
    uintptr_t reach = a->bytes;
    for (int i = 0; i < a->count; i++)
        if (a->dim[i].stride % m != 0) reach += (a->dim[i].extent - 1) * a->dim[i].stride;
    return reach;
}

/* Whether the two never meet because, modulo the step m, they lie side by side: slices of one larger array. */
static bool is_apart_modulo(const struct dims *a, const struct dims *b, uintptr_t m) {
    const uintptr_t low_a = a->range.low, low_b = b->range.low;
    const uintptr_t forth = low_b >= low_a ? (low_b - low_a) % m : (m - (low_a - low_b) % m) % m;
    return forth >= reach_modulo(a, m) && m - forth >= reach_modulo(b, m);
}

/* For two whose ranges meet. */
static bool is_apart(const struct dims *a, const struct dims *b) {
    for (int i = 0; i < a->count; i++)
        if (a->dim[i].stride != 0 && is_apart_modulo(a, b, a->dim[i].stride)) return true;
    for (int i = 0; i < b->count; i++)
        if (b->dim[i].stride != 0 && is_apart_modulo(a, b, b->dim[i].stride)) return true;
    return false;
}

static bool is_same(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b) {
    if (a->data != b->data) return false;
    for (int d = 0; d <= g->dims; d++)
        if (extent_of(g, d) > 1 && stride_of(g, a, d) != stride_of(g, b, d)) return false;
    return true;
}

/* Two arrays whose ranges meet. */
static bool do_arrays_overlap(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b) {
    struct dims in_a, in_b;
    dims_of(g, a, &in_a);
    dims_of(g, b, &in_b);
    return !is_apart(&in_a, &in_b);
}

/* The same, of an array and bytes. */
static bool does_array_overlap(const struct bn_geometry *g, const struct bn_array *a, struct range range) {
    struct dims in_a, in_b;
    dims_of(g, a, &in_a);
    dims_of_range(range, &in_b);
    return !is_apart(&in_a, &in_b);
}

static bool is_there(const struct bn_geometry *g, unsigned set, int i) {
    return (set >> i & 1) != 0 && g->array[i].data != NULL;
}

batchnorm_status bn_check_outputs(const struct bn_geometry *g, unsigned outputs, unsigned alias) {
    struct range range[BN_MAX_ARRAYS];
    if (is_empty(g)) return BATCHNORM_OK;
    for (int i = 0; i < g->arrays; i++)
        if (is_there(g, outputs, i) && !has_distinct_elements(g, &g->array[i])) return BATCHNORM_BAD_STRIDE;
    for (int i = 0; i < g->arrays; i++) range[i] = range_of(&g->array[i]);
    for (int i = 0; i < g->arrays; i++)
        for (int j = 0; j < g->arrays && is_there(g, outputs, i); j++) {
            if (j == i || !do_ranges_meet(range[i], range[j])) continue;
            if ((alias >> j & 1) && is_same(g, &g->array[i], &g->array[j])) continue;
            if (do_arrays_overlap(g, &g->array[i], &g->array[j])) return BATCHNORM_OVERLAP;
        }
    return BATCHNORM_OK;
}

batchnorm_status bn_check_apart(const struct bn_geometry *g, unsigned arrays, const void *data, size_t bytes) {
    const struct range at = range_of_bytes(data, bytes);
    if (is_empty(g)) return BATCHNORM_OK;
    for (int i = 0; i < g->arrays; i++)
        if (is_there(g, arrays, i) && do_ranges_meet(range_of(&g->array[i]), at) && does_array_overlap(g, &g->array[i], at))
            return BATCHNORM_OVERLAP;
    return BATCHNORM_OK;
}

/* Whether any of the numbers, which come first, meets another or an array, whatever is written: mostly none does. */
static bool does_any_meet(const struct range *range, int numbers, int all) {
    unsigned meet = 0;
    for (int i = 1; i < all; i++) {
        const int others = i < numbers ? i : numbers;
        for (int j = 0; j < others; j++) meet |= (unsigned)do_ranges_meet(range[i], range[j]);
    }
    return meet != 0;
}

static batchnorm_status check_numbers_and_arrays(const struct bn_geometry *g, unsigned outputs,
                                                 const struct bn_numbers *numbers, const struct range *range, int count) {
    for (int i = 0; i < g->arrays; i++) {
        const struct range array = range_of(&g->array[i]);
        for (int j = 0; j < count; j++)
            if (do_ranges_meet(array, range[j]) && (numbers[j].written || (outputs >> i & 1)) &&
                does_array_overlap(g, &g->array[i], range[j]))
                return BATCHNORM_OVERLAP;
    }
    return BATCHNORM_OK;
}

batchnorm_status bn_check_numbers(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count) {
    struct range range[BN_MAX_NUMBERS + BN_MAX_ARRAYS];
    if (is_empty(g)) return BATCHNORM_OK;
    const bool fits = g->channels <= SIZE_MAX / BN_MAX_NUMBER_BYTES;
    for (int i = 0; i < count; i++)
        range[i] = range_of_bytes(numbers[i].data, fits ? g->channels * numbers[i].bytes : SIZE_MAX);
    for (int i = 0; i < g->arrays; i++) range[count + i] = range_of(&g->array[i]);
    if (!does_any_meet(range, count, count + g->arrays)) return BATCHNORM_OK;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count && numbers[i].written; j++)
            if (j != i && do_ranges_meet(range[i], range[j])) return BATCHNORM_OVERLAP;
    return check_numbers_and_arrays(g, outputs, numbers, range, count);
}

batchnorm_status bn_check_options(const batchnorm_options *options) {
    const int rule = (int)options->momentum_rule, variance = (int)options->running_variance;
    if (rule != BATCHNORM_MOMENTUM_OF_NEW && rule != BATCHNORM_MOMENTUM_OF_OLD) return BATCHNORM_BAD_OPTION;
    if (variance != BATCHNORM_VARIANCE_UNBIASED && variance != BATCHNORM_VARIANCE_BIASED) return BATCHNORM_BAD_OPTION;
    return isnan(options->momentum) ? BATCHNORM_BAD_OPTION : BATCHNORM_OK;
}

batchnorm_status bn_check_activation(batchnorm_activation activation) {
    const double parameter = activation.parameter;
    switch ((int)activation.kind) {
    case BATCHNORM_IDENTITY:
    case BATCHNORM_RELU:
        return BATCHNORM_OK;
    case BATCHNORM_LEAKY_RELU:
        return isfinite(parameter) && parameter >= 0 ? BATCHNORM_OK : BATCHNORM_BAD_OPTION;
    case BATCHNORM_CLIPPED_RELU:
        return parameter > 0 ? BATCHNORM_OK : BATCHNORM_BAD_OPTION;
    default:
        return BATCHNORM_BAD_OPTION;
    }
}

batchnorm_status bn_check_eps(double eps, bool batch_statistics) {
    const bool good = batch_statistics ? eps > 0 : eps >= 0;
    return good ? BATCHNORM_OK : BATCHNORM_BAD_EPS;
}
