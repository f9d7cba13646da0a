/* SPDX-License-Identifier: MIT */
#include "api/check.h"

#include <math.h>

/* One dimension of an array in bytes; the channels are the last one. Distances are absolute: where an array begins in memory
 * is counted separately. */
struct dim {
    uintptr_t extent, stride;
};

struct dims {
    int count;
    struct dim dim[BN_MAX_DIMS + 1];
    uintptr_t low, high; /* the lowest address, and the first one after the highest element */
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
    if (step > PTRDIFF_MAX / bytes) return false;
    step *= bytes;
    if (step != 0 && extent - 1 > PTRDIFF_MAX / step) return false;
    *span = (extent - 1) * step;
    return true;
}

/* Whether an array lies inside the address space. */
static bool fits(const struct bn_geometry *g, const struct bn_array *a) {
    const size_t bytes = batchnorm_dtype_bytes(g->dtype);
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
    return at >= below && UINTPTR_MAX - at >= above;
}

batchnorm_status bn_check_sizes(const struct bn_geometry *g) {
    size_t total = batchnorm_dtype_bytes(g->dtype);
    for (int d = 0; d <= g->dims; d++)
        if (extent_of(g, d) == 0) return BATCHNORM_OK;
    for (int d = 0; d <= g->dims; d++) {
        if (extent_of(g, d) > PTRDIFF_MAX / total) return BATCHNORM_TOO_LARGE;
        total *= extent_of(g, d);
    }
    for (int i = 0; i < g->arrays; i++)
        if (g->array[i].data != NULL && !fits(g, &g->array[i])) return BATCHNORM_TOO_LARGE;
    return BATCHNORM_OK;
}

/* The dimensions of an array that has passed bn_check_sizes(), without those of one element. */
static struct dims dims_of(const struct bn_geometry *g, const struct bn_array *a) {
    const size_t bytes = batchnorm_dtype_bytes(g->dtype);
    struct dims r = {.low = (uintptr_t)a->data, .high = (uintptr_t)a->data + bytes};
    for (int d = 0; d <= g->dims; d++) {
        const size_t extent = extent_of(g, d);
        const ptrdiff_t stride = stride_of(g, a, d);
        const struct dim dim = {extent, magnitude(stride) * bytes};
        if (extent == 1) continue;
        r.dim[r.count++] = dim;
        if (stride < 0)
            r.low -= (extent - 1) * dim.stride;
        else
            r.high += (extent - 1) * dim.stride;
    }
    return r;
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
static bool has_distinct_elements(struct dims a, size_t bytes) {
    uintptr_t reach = bytes;
    sort_by_stride(&a);
    for (int i = 0; i < a.count; i++) {
        if (a.dim[i].stride < reach) return false;
        reach += (a.dim[i].extent - 1) * a.dim[i].stride;
    }
    return true;
}

/* Bytes that an array covers modulo m: the dimensions whose step is a multiple of m do not count. */
static uintptr_t reach_modulo(const struct dims *a, uintptr_t m, size_t bytes) {
    uintptr_t reach = bytes;
    for (int i = 0; i < a->count; i++)
        if (a->dim[i].stride % m != 0) reach += (a->dim[i].extent - 1) * a->dim[i].stride;
    return reach;
}

/* Whether the two never meet because, modulo the step m, they lie side by side: slices of one larger array. */
static bool is_apart_modulo(const struct dims *a, const struct dims *b, uintptr_t m, size_t bytes) {
    const uintptr_t forth = b->low >= a->low ? (b->low - a->low) % m : (m - (a->low - b->low) % m) % m;
    return forth >= reach_modulo(a, m, bytes) && m - forth >= reach_modulo(b, m, bytes);
}

static bool is_apart(const struct dims *a, const struct dims *b, size_t bytes) {
    if (a->high <= b->low || b->high <= a->low) return true;
    for (int i = 0; i < a->count; i++)
        if (a->dim[i].stride != 0 && is_apart_modulo(a, b, a->dim[i].stride, bytes)) return true;
    for (int i = 0; i < b->count; i++)
        if (b->dim[i].stride != 0 && is_apart_modulo(a, b, b->dim[i].stride, bytes)) return true;
    return false;
}

static bool is_same(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b) {
    if (a->data != b->data) return false;
    for (int d = 0; d <= g->dims; d++)
        if (extent_of(g, d) > 1 && stride_of(g, a, d) != stride_of(g, b, d)) return false;
    return true;
}

static batchnorm_status check_pair(const struct bn_geometry *g, int output, int other, unsigned alias) {
    const struct bn_array *a = &g->array[output], *b = &g->array[other];
    if (b->data == NULL) return BATCHNORM_OK;
    if ((alias >> other & 1) && is_same(g, a, b)) return BATCHNORM_OK;
    const struct dims in_a = dims_of(g, a), in_b = dims_of(g, b);
    return is_apart(&in_a, &in_b, batchnorm_dtype_bytes(g->dtype)) ? BATCHNORM_OK : BATCHNORM_OVERLAP;
}

static bool is_there(const struct bn_geometry *g, unsigned set, int i) {
    return (set >> i & 1) != 0 && g->array[i].data != NULL;
}

batchnorm_status bn_check_outputs(const struct bn_geometry *g, unsigned outputs, unsigned alias) {
    batchnorm_status status = BATCHNORM_OK;
    if (is_empty(g)) return BATCHNORM_OK;
    for (int i = 0; i < g->arrays; i++)
        if (is_there(g, outputs, i) && !has_distinct_elements(dims_of(g, &g->array[i]), batchnorm_dtype_bytes(g->dtype)))
            return BATCHNORM_BAD_STRIDE;
    for (int i = 0; i < g->arrays && status == BATCHNORM_OK; i++) {
        if (!is_there(g, outputs, i)) continue;
        for (int j = 0; j < g->arrays && status == BATCHNORM_OK; j++)
            if (j != i) status = check_pair(g, i, j, alias);
    }
    return status;
}

batchnorm_status bn_check_apart(const struct bn_geometry *g, unsigned arrays, const void *data, size_t bytes) {
    const uintptr_t low = (uintptr_t)data;
    if (is_empty(g) || data == NULL) return BATCHNORM_OK;
    for (int i = 0; i < g->arrays; i++) {
        if (!is_there(g, arrays, i)) continue;
        const struct dims a = dims_of(g, &g->array[i]);
        if (low < a.high && a.low < low + bytes) return BATCHNORM_OVERLAP;
    }
    return BATCHNORM_OK;
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
