/* SPDX-License-Identifier: MIT */
#include "fused.h"

#include "activations.h"

#define WITH_NONE(kind) {kind, 0},
#define WITH_SLOPE(kind) {kind, 0.01}, {kind, 0},
#define WITH_CEILING(kind) {kind, 6}, {kind, 0.5},
#define WITH(kind, word, parameter, by_y) WITH_##parameter(BATCHNORM_##kind)
const batchnorm_activation fused_activations[] = {BATCHNORM_ACTIVATION_LIST(WITH)};
const int fused_activation_count = sizeof fused_activations / sizeof *fused_activations;

#define ONE(kind, word, parameter, by_y) +1
const batchnorm_activation_kind fused_no_kind = (batchnorm_activation_kind)(BATCHNORM_ACTIVATION_LIST(ONE));

bool fused_told_by_y(batchnorm_activation activation) {
#define BY_Y(kind, word, parameter, by_y) by_y,
    static const bool by_y[] = {BATCHNORM_ACTIVATION_LIST(BY_Y)};
    return by_y[activation.kind];
}

const char *fused_verb_name(enum fused_verb verb) {
    static const char *const names[FUSED_VERBS] = {"infer fused", "normalize fused", "forward fused", "backward fused",
                                                   "backward fused frozen"};
    return names[verb];
}

struct strided fused_shape(enum layout layout, batchnorm_dtype dtype, size_t n, size_t c, size_t s) {
    struct strided shape = layout_shape(layout, dtype, n, c, s);
    shape.z = shape.dx;
    shape.dz = shape.dy;
    return shape;
}

union fused_call {
    batchnorm_infer_call infer;
    batchnorm_normalize_call normalize;
    batchnorm_forward_call forward;
    batchnorm_backward_call backward;
};

static union fused_call call_of(const struct problem *p, enum fused_verb verb, const struct fused *f) {
    void *a[ARRAYS];
    for (enum array i = X; i < ARRAYS; i++) a[i] = p->array[i].data;
    const void *z = f->residual ? a[Z] : NULL, *y = f->from_y ? a[Y] : NULL;
    unsigned flags = p->flags | (verb == BACKWARD_FUSED_FROZEN ? (unsigned)BATCHNORM_FROZEN : 0u);
    union fused_call call;
    switch (verb) {
    case INFER_FUSED:
        call.infer = infer_call(&p->shape, a[X], z, a[WEIGHT], a[BIAS], a[RUNNING_MEAN], a[RUNNING_VAR], a[Y], a[SAVE_MEAN],
                                a[SAVE_RSTD], f->activation, &p->options);
        break;
    case NORMALIZE_FUSED:
        call.normalize =
            normalize_call(&p->shape, a[X], z, a[WEIGHT], a[BIAS], a[SAVE_MEAN], a[SAVE_RSTD], a[Y], f->activation);
        break;
    case FORWARD_FUSED:
        call.forward = forward_call(&p->shape, a[X], z, a[WEIGHT], a[BIAS], a[Y], a[RUNNING_MEAN], a[RUNNING_VAR], a[SAVE_MEAN],
                                    a[SAVE_RSTD], f->activation, &p->options);
        break;
    default:
        call.backward = backward_call(&p->shape, a[X], z, y, a[DY], a[WEIGHT], a[BIAS], a[SAVE_MEAN], a[SAVE_RSTD], a[DX],
                                      a[DZ], a[DWEIGHT], a[DBIAS], f->activation, flags);
    }
    return call;
}

batchnorm_status fused_run(struct problem *p, enum fused_verb verb, const struct fused *f, const batchnorm_exec *exec) {
    const union fused_call call = call_of(p, verb, f);
    switch (verb) {
    case INFER_FUSED:
        return batchnorm_infer(&call.infer, exec);
    case NORMALIZE_FUSED:
        return batchnorm_normalize(&call.normalize, exec);
    case FORWARD_FUSED:
        return batchnorm_forward(&call.forward, exec);
    default:
        return batchnorm_backward(&call.backward, exec);
    }
}

size_t fused_workspace_bytes(const struct problem *p, enum fused_verb verb, const struct fused *f) {
    const union fused_call call = call_of(p, verb, f);
    switch (verb) {
    case INFER_FUSED:
        return batchnorm_workspace_bytes(&call.infer);
    case NORMALIZE_FUSED:
        return batchnorm_workspace_bytes(&call.normalize);
    case FORWARD_FUSED:
        return batchnorm_workspace_bytes(&call.forward);
    default:
        return batchnorm_workspace_bytes(&call.backward);
    }
}

/* In the type that is computed in. */
static double computed(batchnorm_dtype dtype, double v) { return dtype == BATCHNORM_F64 ? v : (double)(float)v; }

double activated(batchnorm_dtype dtype, batchnorm_activation a, double v) {
    const double parameter = computed(dtype, a.parameter);
    switch (a.kind) {
    case BATCHNORM_IDENTITY:
        return v;
    case BATCHNORM_RELU:
        return v < 0 ? 0 : v;
    case BATCHNORM_LEAKY_RELU:
        return v > 0 ? v : computed(dtype, parameter * v);
    case BATCHNORM_CLIPPED_RELU:
        return v < 0 ? 0 : v > parameter ? parameter : v;
    default:
        return computed(dtype, curve_value(a.kind, v));
    }
}

double gated(batchnorm_dtype dtype, batchnorm_activation a, double v, double dy) {
    const double parameter = computed(dtype, a.parameter);
    switch (a.kind) {
    case BATCHNORM_IDENTITY:
        return dy;
    case BATCHNORM_RELU:
        return v <= 0 ? 0 : dy;
    case BATCHNORM_LEAKY_RELU:
        return v > 0 ? dy : computed(dtype, parameter * dy);
    case BATCHNORM_CLIPPED_RELU:
        return v <= 0 || v >= parameter ? 0 : dy;
    default:
        return computed(dtype, dy * computed(dtype, curve_slope(a.kind, v)));
    }
}

ptrdiff_t fused_index(const struct problem *p, enum array array, size_t i) {
    const struct strided *g = &p->shape;
    return problem_index(p, array, i / g->inner / g->channels, i / g->inner % g->channels, i % g->inner);
}

ptrdiff_t fused_difference(const struct problem *a, enum array in_a, const struct problem *b, enum array in_b) {
    size_t bytes = batchnorm_dtype_bytes(a->array[in_a].dtype), count = a->shape.channels;
    if (in_a < SHAPED) count *= a->shape.outer * a->shape.inner;
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t ia = in_a < SHAPED ? fused_index(a, in_a, i) : (ptrdiff_t)i;
        ptrdiff_t ib = in_b < SHAPED ? fused_index(b, in_b, i) : (ptrdiff_t)i;
        const char *at_a = (const char *)a->array[in_a].home + ia * (ptrdiff_t)bytes,
                   *at_b = (const char *)b->array[in_b].home + ib * (ptrdiff_t)bytes;
        if (first_difference(a->array[in_a].dtype, at_a, at_b, 1) >= 0) return (ptrdiff_t)i;
    }
    return -1;
}
