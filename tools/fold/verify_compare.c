/* SPDX-License-Identifier: MIT */
#include "verify_compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/shared/convert.h"

/* How large a difference may be, by the largest number of the output. A float has 24 bits, and a deep network leaves a few
 * thousand roundings; 16 bits have 11 or 8. */
static const double most = 1e-3, most_of_half = 5e-2;

/* Outputs that are all smaller than this are measured against it: what rounds at 1 inside, as a sigmoid does, leaves
 * differences of 1e-7 in numbers that are next to nothing. */
static const double least_scale = 1e-3;

static double number(const struct runtime_array *a, batchnorm_dtype dtype, size_t i) {
    double value;
    convert_elements(dtype, (const char *)a->data + i * batchnorm_dtype_bytes(dtype), BATCHNORM_F64, &value, 1);
    return value;
}

static void other(struct verdict *v, const struct runtime_array *a, size_t count, const char *what) {
    v->kind = VERDICT_OTHER;
    snprintf(v->output, sizeof v->output, "%.60s", a->name);
    snprintf(v->why, sizeof v->why, "%zu %s output \"%.60s\"", count, what, a->name);
}

/* Numbers that are not finite in the first model have nothing that they could be compared with. */
static void compare_floats(const struct runtime_array *a, const struct runtime_array *b, batchnorm_dtype dtype, bool is_half,
                           struct verdict *v) {
    const size_t count = a->bytes / batchnorm_dtype_bytes(dtype);
    double difference = 0, scale = least_scale;
    size_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        const double x = number(a, dtype, i), y = number(b, dtype, i);
        if (!isfinite(x)) continue;
        lost += !isfinite(y);
        difference = fmax(difference, fabs(x - y));
        scale = fmax(scale, fabs(x));
    }
    if (lost) {
        other(v, a, lost, "numbers are finite before, and not after, in");
        return;
    }
    is_half = is_half || dtype == BATCHNORM_F16 || dtype == BATCHNORM_BF16;
    const double allowed = (is_half ? most_of_half : most) * scale;
    if (difference > allowed) v->kind = VERDICT_OTHER;
    if (v->output[0] && difference / allowed <= v->absolute / v->allowed) return;
    v->absolute = difference;
    v->relative = difference / scale;
    v->allowed = allowed;
    snprintf(v->output, sizeof v->output, "%.60s", a->name);
}

static void compare(const struct runtime_array *a, const struct runtime_array *b, bool is_half, struct verdict *v) {
    const size_t each = runtime_type_bytes(a->type);
    batchnorm_dtype dtype;
    size_t differing = 0;
    bool same = a->type == b->type && a->rank == b->rank && a->bytes == b->bytes;
    for (int d = 0; d < a->rank && same; d++) same = a->shape[d] == b->shape[d];
    if (!same) {
        v->kind = VERDICT_OTHER;
        snprintf(v->why, sizeof v->why, "output \"%.60s\" has another type or other sizes", a->name);
    } else if (runtime_is_float(a->type, &dtype)) {
        compare_floats(a, b, dtype, is_half, v);
    } else {
        for (size_t i = 0; each && i < a->bytes / each; i++)
            differing += memcmp((const char *)a->data + i * each, (const char *)b->data + i * each, each) != 0;
        if (differing) other(v, a, differing, "integers are others in");
    }
}

void outputs_compare(const struct runtime_array *before, size_t before_count, const struct runtime_array *after,
                     size_t after_count, bool is_half, struct verdict *v) {
    size_t compared = 0;
    v->kind = VERDICT_SAME;
    if (before_count != after_count) {
        v->kind = VERDICT_OTHER;
        snprintf(v->why, sizeof v->why, "it has %zu outputs, not %zu", after_count, before_count);
    }
    for (size_t i = 0; i < before_count && i < after_count && !v->why[0]; i++) {
        compare(&before[i], &after[i], is_half, v);
        compared += runtime_type_bytes(before[i].type) > 0;
    }
    if (v->kind != VERDICT_SAME || compared > 0) return;
    v->kind = VERDICT_UNKNOWN;
    snprintf(v->why, sizeof v->why, "the model has no output of numbers");
}
