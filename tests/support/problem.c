/* SPDX-License-Identifier: MIT */
#include "problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const array_names[ARRAYS] = {"x",           "y",         "dy",    "dx",      "vx",    "gx",
                                                "gdy",         "z",         "dz",    "weight",  "bias",  "running_mean",
                                                "running_var", "dweight",   "dbias", "tweight", "tbias", "gweight",
                                                "save_mean",   "save_rstd", "stats"};
static const char *const verb_names[VERBS] = {
    "stats",           "infer", "normalize",  "forward",         "backward",
    "backward frozen", "jvp",   "jvp frozen", "double backward", "double backward frozen"};
static const char *const layout_names[LAYOUTS] = {"(n,c,s)",     "(n,s,c)",     "(c,n,s)",      "(c,s,n)", "(s,n,c)",
                                                  "(s,c,n)",     "spaced",      "reversed",     "mixed",   "broadcast n",
                                                  "broadcast s", "broadcast c", "broadcast all"};

const char *array_name(enum array array) { return array_names[array]; }
const char *verb_name(enum verb verb) { return verb_names[verb]; }
const char *layout_name(enum layout layout) { return layout_names[layout]; }

static batchnorm_strides ordered(enum layout layout, size_t n, size_t c, size_t s) {
    ptrdiff_t N = (ptrdiff_t)n, C = (ptrdiff_t)c, S = (ptrdiff_t)s;
    switch (layout) {
    case CHANNELS_LAST:
        return (batchnorm_strides){C * S, 1, C};
    case CHANNEL_N_S:
        return (batchnorm_strides){S, N * S, 1};
    case CHANNEL_S_N:
        return (batchnorm_strides){1, N * S, N};
    case S_N_CHANNEL:
        return (batchnorm_strides){C, 1, N * C};
    case S_CHANNEL_N:
        return (batchnorm_strides){1, N, N * C};
    case SPACED:
        return (batchnorm_strides){C * (S * 2 + 3) + 5, S * 2 + 3, 2};
    case REVERSED:
        return (batchnorm_strides){-C * S, -S, -1};
    default:
        return (batchnorm_strides){C * S, S, 1};
    }
}

struct strided layout_shape(enum layout layout, batchnorm_dtype dtype, size_t n, size_t c, size_t s) {
    struct strided shape = {.outer = n, .channels = c, .inner = s, .dtype = dtype};
    shape.x = shape.y = shape.dy = shape.dx = ordered(layout, n, c, s);
    if (layout == MIXED) {
        shape.y = ordered(CHANNELS_LAST, n, c, s);
        shape.dy = ordered(REVERSED, n, c, s);
        shape.dx = ordered(CHANNEL_S_N, n, c, s);
    }
    if (layout == BROADCAST_N || layout == BROADCAST_ALL) shape.x.outer = 0;
    if (layout == BROADCAST_S || layout == BROADCAST_ALL) shape.x.inner = 0;
    if (layout == BROADCAST_CHANNEL || layout == BROADCAST_ALL) shape.x.channel = 0;
    return shape;
}

static batchnorm_strides strides_of(const struct strided *shape, enum array array) {
    if (array == X) return shape->x;
    if (array == Z || array == DZ) return array == Z ? shape->z : shape->dz;
    if (array == Y || array == GX) return shape->y;
    return array == DY || array == GDY ? shape->dy : shape->dx;
}

static void place(struct problem_array *a, const struct strided *shape, enum array array, bool at_end) {
    ptrdiff_t low = 0, high = 0;
    if (array < SHAPED) {
        a->dtype = shape->dtype;
        a->strides = strides_of(shape, array);
        const size_t size[] = {shape->outer, shape->channels, shape->inner};
        const ptrdiff_t stride[] = {a->strides.outer, a->strides.channel, a->strides.inner};
        for (int i = 0; i < 3; i++) *(stride[i] < 0 ? &low : &high) += stride[i] * ((ptrdiff_t)size[i] - 1);
        a->count = shape->outer && shape->channels && shape->inner ? (size_t)(high - low + 1) : 0;
    } else {
        a->dtype = array < SAVE_MEAN ? parameter_dtype(shape->dtype) : BATCHNORM_F64;
        a->count = shape->channels * (array == STATS ? sizeof(batchnorm_stat) / sizeof(double) : 1);
        a->strides.channel = 1;
    }
    size_t bytes = batchnorm_dtype_bytes(a->dtype);
    a->where = guarded_alloc(a->count * bytes, at_end);
    a->lowest = a->where.data;
    a->data = a->home = (char *)a->lowest - (a->count ? low : 0) * (ptrdiff_t)bytes;
    a->before = malloc(a->count * bytes + 1);
}

ptrdiff_t problem_index(const struct problem *p, enum array array, size_t n, size_t c, size_t s) {
    const batchnorm_strides *t = &p->array[array].strides;
    return (ptrdiff_t)n * t->outer + (ptrdiff_t)c * t->channel + (ptrdiff_t)s * t->inner;
}

long double *problem_channel(const struct problem *p, enum array array, size_t c) {
    long double *v = calloc(p->shape.outer * p->shape.inner + 1, sizeof *v);
    for (size_t n = 0, i = 0; n < p->shape.outer; n++)
        for (size_t s = 0; s < p->shape.inner; s++)
            v[i++] = element_get(p->shape.dtype, p->array[array].home, problem_index(p, array, n, c, s));
    return v;
}

double problem_number(const struct problem *p, enum array array, size_t c, double absent) {
    const struct problem_array *a = &p->array[array];
    return a->data ? element_get(a->dtype, a->data, (ptrdiff_t)c) : absent;
}

/* Bell-shaped within 3.5, for little time. */
static double quick_normal(uint64_t *seed) {
    uint64_t bits = random_bits(seed);
    double sum = -2;
    for (int i = 0; i < 4; i++, bits >>= 16) sum += (double)(bits & 0xffff) * 0x1p-16;
    return sum * 1.7320508;
}

static void fill(struct problem *p, uint64_t seed) {
    for (enum array i = X; i < STATS; i++)
        for (size_t j = 0; j < p->array[i].count; j++) {
            double v = quick_normal(&seed);
            if (i == RUNNING_VAR) v = 0.1 + v * v;
            element_set(p->array[i].dtype, p->array[i].lowest, (ptrdiff_t)j, v);
        }
    size_t m = p->shape.outer * p->shape.inner;
    for (size_t c = 0; c < p->shape.channels; c++) {
        long double *x = problem_channel(p, X, c);
        struct oracle o = oracle_batch(m, x, p->options.eps);
        element_set(BATCHNORM_F64, p->array[SAVE_MEAN].home, (ptrdiff_t)c, (double)o.mean);
        element_set(BATCHNORM_F64, p->array[SAVE_RSTD].home, (ptrdiff_t)c, (double)o.rstd);
        free(x);
    }
    memset(p->array[STATS].lowest, 0, p->array[STATS].count * sizeof(double));
}

struct problem *problem_create(const struct strided *shape, uint64_t seed, bool at_end) {
    struct problem *p = calloc(1, sizeof *p);
    p->shape = *shape;
    p->options = batchnorm_convention(BATCHNORM_PYTORCH);
    p->options.allow_one_value = true;
    for (enum array i = X; i < ARRAYS; i++) place(&p->array[i], shape, i, at_end);
    fill(p, seed);
    problem_snapshot(p);
    return p;
}

void problem_destroy(struct problem *p) {
    for (enum array i = X; i < ARRAYS; i++) {
        guarded_free(&p->array[i].where);
        free(p->array[i].before);
    }
    free(p);
}

static bool only_output(enum array i) {
    return i == Y || i == DX || i == GX || i == GDY || i == DZ || i == DWEIGHT || i == DBIAS || i == GWEIGHT;
}

void problem_snapshot(struct problem *p) {
    for (enum array i = X; i < ARRAYS; i++) {
        struct problem_array *a = &p->array[i];
        size_t bytes = a->count * batchnorm_dtype_bytes(a->dtype);
        if (only_output(i)) memset(a->lowest, 0x2b, bytes);
        memcpy(a->before, a->lowest, bytes);
    }
}

void problem_restore(struct problem *p) {
    for (enum array i = X; i < ARRAYS; i++)
        memcpy(p->array[i].lowest, p->array[i].before, p->array[i].count * batchnorm_dtype_bytes(p->array[i].dtype));
}

/* A call of any kind. */
union call {
    batchnorm_stats_call stats;
    batchnorm_infer_call infer;
    batchnorm_normalize_call normalize;
    batchnorm_forward_call forward;
    batchnorm_backward_call backward;
    batchnorm_jvp_call jvp;
    batchnorm_double_backward_call double_backward;
};

static union call call_of(const struct problem *p, enum verb verb) {
    const batchnorm_activation none = {BATCHNORM_IDENTITY, 0};
    void *a[ARRAYS];
    for (enum array i = X; i < ARRAYS; i++) a[i] = p->array[i].data;
    unsigned frozen = p->flags | BATCHNORM_FROZEN;
    unsigned flags = verb == BACKWARD_FROZEN || verb == JVP_FROZEN || verb == DOUBLE_BACKWARD_FROZEN ? frozen : p->flags;
    union call call;
    switch (verb) {
    case ACCUMULATE_STATS:
        call.stats = stats_call(&p->shape, a[X], a[STATS]);
        break;
    case INFER:
        call.infer = infer_call(&p->shape, a[X], NULL, a[WEIGHT], a[BIAS], a[RUNNING_MEAN], a[RUNNING_VAR], a[Y], a[SAVE_MEAN],
                                a[SAVE_RSTD], none, &p->options);
        break;
    case NORMALIZE:
        call.normalize = normalize_call(&p->shape, a[X], NULL, a[WEIGHT], a[BIAS], a[SAVE_MEAN], a[SAVE_RSTD], a[Y], none);
        break;
    case FORWARD:
        call.forward = forward_call(&p->shape, a[X], NULL, a[WEIGHT], a[BIAS], a[Y], a[RUNNING_MEAN], a[RUNNING_VAR],
                                    a[SAVE_MEAN], a[SAVE_RSTD], none, &p->options);
        break;
    case BACKWARD:
    case BACKWARD_FROZEN:
        call.backward = backward_call(&p->shape, a[X], NULL, NULL, a[DY], a[WEIGHT], NULL, a[SAVE_MEAN], a[SAVE_RSTD], a[DX],
                                      NULL, a[DWEIGHT], a[DBIAS], none, flags);
        break;
    case JVP:
    case JVP_FROZEN:
        call.jvp = jvp_call(&p->shape, a[X], a[VX], a[WEIGHT], a[TWEIGHT], a[TBIAS], a[SAVE_MEAN], a[SAVE_RSTD], a[GDY], flags);
        break;
    default:
        call.double_backward = double_backward_call(&p->shape, a[X], a[DY], a[WEIGHT], a[SAVE_MEAN], a[SAVE_RSTD], a[VX],
                                                    a[TWEIGHT], a[TBIAS], a[GX], a[GDY], a[GWEIGHT], flags);
    }
    return call;
}

batchnorm_status problem_run(struct problem *p, enum verb verb, const batchnorm_exec *exec) {
    const union call call = call_of(p, verb);
    switch (verb) {
    case ACCUMULATE_STATS:
        return batchnorm_stats_accumulate(&call.stats, exec);
    case INFER:
        return batchnorm_infer(&call.infer, exec);
    case NORMALIZE:
        return batchnorm_normalize(&call.normalize, exec);
    case FORWARD:
        return batchnorm_forward(&call.forward, exec);
    case BACKWARD:
    case BACKWARD_FROZEN:
        return batchnorm_backward(&call.backward, exec);
    case JVP:
    case JVP_FROZEN:
        return batchnorm_jvp(&call.jvp, exec);
    default:
        return batchnorm_double_backward(&call.double_backward, exec);
    }
}

size_t problem_workspace_bytes(const struct problem *p, enum verb verb) {
    const union call call = call_of(p, verb);
    switch (verb) {
    case ACCUMULATE_STATS:
        return batchnorm_stats_workspace_bytes(&call.stats);
    case INFER:
        return batchnorm_workspace_bytes(&call.infer);
    case NORMALIZE:
        return batchnorm_workspace_bytes(&call.normalize);
    case FORWARD:
        return batchnorm_workspace_bytes(&call.forward);
    case BACKWARD:
    case BACKWARD_FROZEN:
        return batchnorm_workspace_bytes(&call.backward);
    case JVP:
    case JVP_FROZEN:
        return batchnorm_workspace_bytes(&call.jvp);
    default:
        return batchnorm_workspace_bytes(&call.double_backward);
    }
}

bool is_output(enum verb verb, enum array array) {
    switch (verb) {
    case ACCUMULATE_STATS:
        return array == STATS;
    case INFER:
        return array == Y || array == SAVE_MEAN || array == SAVE_RSTD;
    case NORMALIZE:
        return array == Y;
    case FORWARD:
        return array == Y || array == SAVE_MEAN || array == SAVE_RSTD || array == RUNNING_MEAN || array == RUNNING_VAR;
    case BACKWARD:
    case BACKWARD_FROZEN:
        return array == DX || array == DWEIGHT || array == DBIAS;
    case JVP:
    case JVP_FROZEN:
        return array == GDY;
    default:
        return array == GX || array == GDY || array == GWEIGHT;
    }
}

const char *problem_untouched(const struct problem *p) {
    for (enum array i = X; i < ARRAYS; i++) {
        const struct problem_array *a = &p->array[i];
        if (memcmp(a->before, a->lowest, a->count * batchnorm_dtype_bytes(a->dtype)) != 0) return array_names[i];
    }
    return NULL;
}

const char *problem_same(const struct problem *a, const struct problem *b) {
    for (enum array i = X; i < ARRAYS; i++)
        if (first_difference(a->array[i].dtype, a->array[i].lowest, b->array[i].lowest, a->array[i].count) >= 0)
            return array_names[i];
    return NULL;
}
