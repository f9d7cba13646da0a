/* SPDX-License-Identifier: MIT */
/* problem_check(): what a call wrote, against the oracle. */
#include "problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sums over a channel that the formulas are made of; or the sums of their terms' magnitudes, to which errors are
 * proportional. */
struct sums {
    long double dy, dy_xhat, vx, vx_xhat, dy_vx;
};

/* One channel with everything the formulas need. */
struct channel {
    const struct problem *p;
    size_t c, m;
    long double *x, *dy, *vx;
    struct oracle o;
    long double largest; /* |x| */
    bool frozen;
    long double weight, bias, tweight, tbias;
    struct sums sum, magnitude;
};

/* An expected value, and the sum of magnitudes of its terms. */
struct expected {
    long double value, scale;
};

static bool uses_batch(enum verb verb) { return verb == ACCUMULATE_STATS || verb == FORWARD; }

static void fill_sums(struct channel *k) {
    k->sum = (struct sums){oracle_sum(k->m, k->dy), oracle_sum_xhat(&k->o, k->dy), oracle_sum(k->m, k->vx),
                           oracle_sum_xhat(&k->o, k->vx), oracle_dot(k->m, k->dy, k->vx)};
    for (size_t i = 0; i < k->m; i++) {
        long double dy = fabsl(k->dy[i]), vx = fabsl(k->vx[i]), xhat = fabsl(oracle_xhat(&k->o, i)) + k->o.blur;
        k->magnitude.dy += dy;
        k->magnitude.dy_xhat += dy * xhat;
        k->magnitude.vx += vx;
        k->magnitude.vx_xhat += vx * xhat;
        k->magnitude.dy_vx += dy * vx;
    }
}

static struct channel channel_open(const struct problem *p, enum verb verb, size_t c) {
    struct channel k = {.p = p, .c = c, .m = p->shape.outer * p->shape.inner};
    k.frozen = verb == BACKWARD_FROZEN || verb == JVP_FROZEN || verb == DOUBLE_BACKWARD_FROZEN;
    k.x = problem_channel(p, X, c);
    k.dy = problem_channel(p, DY, c);
    k.vx = problem_channel(p, VX, c);
    if (p->array[VX].data == NULL)
        for (size_t i = 0; i < k.m; i++) k.vx[i] = 0;
    k.weight = problem_number(p, WEIGHT, c, 1);
    k.bias = problem_number(p, BIAS, c, 0);
    k.tweight = problem_number(p, TWEIGHT, c, 0);
    k.tbias = problem_number(p, TBIAS, c, 0);
    if (uses_batch(verb)) {
        k.o = oracle_batch(k.m, k.x, p->options.eps);
    } else if (verb == INFER) {
        long double var = element_get(p->array[RUNNING_VAR].dtype, p->array[RUNNING_VAR].home, (ptrdiff_t)c);
        k.o = oracle_given(k.m, k.x, problem_number(p, RUNNING_MEAN, c, 0), 1 / sqrtl(var + (long double)p->options.eps));
    } else {
        k.o = oracle_given(k.m, k.x, problem_number(p, SAVE_MEAN, c, 0), problem_number(p, SAVE_RSTD, c, 0));
    }
    for (size_t i = 0; i < k.m; i++) k.largest = fmaxl(k.largest, fabsl(k.x[i]));
    /* the double mean is exact beside a rounding of float, but not beside one of double */
    k.o.blur = (k.largest + fabsl(k.o.mean)) * k.o.rstd * (p->shape.dtype == BATCHNORM_F64 ? 1 : 0x1p-20L);
    fill_sums(&k);
    return k;
}

static void channel_close(struct channel *k) {
    free(k->x);
    free(k->dy);
    free(k->vx);
}

static struct expected expected_y(const struct channel *k, size_t i) {
    long double term = oracle_xhat(&k->o, i) * k->weight;
    return (struct expected){term + k->bias, fabsl(term) + fabsl(k->bias) + fabsl(k->weight) * k->o.blur};
}

static struct expected expected_dx(const struct channel *k, const long double *dy, size_t i, long double sum, long double dot,
                                   long double sum_magnitude, long double dot_magnitude) {
    return (struct expected){oracle_dx(&k->o, dy, i, sum, dot, k->weight, k->frozen),
                             oracle_dx_scale(&k->o, dy, i, sum_magnitude, dot_magnitude, k->weight, k->frozen)};
}

/* jvp's ty and double backward's gdy: the same map of vx */
static struct expected expected_gdy(const struct channel *k, size_t i) {
    struct expected e = expected_dx(k, k->vx, i, k->sum.vx, k->sum.vx_xhat, k->magnitude.vx, k->magnitude.vx_xhat);
    long double xhat = oracle_xhat(&k->o, i);
    e.value += k->tweight * xhat + k->tbias;
    e.scale += fabsl(k->tweight) * (fabsl(xhat) + k->o.blur) + fabsl(k->tbias);
    return e;
}

/* The formula of raw_double_backward() over one kind of sums; sign is -1 for the value and 1 for the magnitude. */
static long double gx_formula(const struct channel *k, const struct sums *s, long double sign, long double weight,
                              long double tweight, long double xhat, long double dy, long double vx) {
    long double r = k->o.rstd, n = (long double)k->m;
    long double on_xhat = s->dy * s->vx / n + sign * s->dy_vx + 3 * s->dy_xhat * s->vx_xhat / n;
    long double rest = s->vx_xhat / n * (s->dy / n + sign * dy) + s->dy_xhat / n * (s->vx / n + sign * vx);
    long double g = dy + sign * s->dy / n + sign * xhat * s->dy_xhat / n;
    return weight * r * r * (xhat / n * on_xhat + rest) + tweight * r * g;
}

static struct expected expected_gx(const struct channel *k, size_t i) {
    long double xhat = oracle_xhat(&k->o, i), frozen = k->tweight * k->o.rstd * k->dy[i];
    if (k->frozen) return (struct expected){frozen, fabsl(frozen)};
    return (struct expected){gx_formula(k, &k->sum, -1, k->weight, k->tweight, xhat, k->dy[i], k->vx[i]),
                             gx_formula(k, &k->magnitude, 1, fabsl(k->weight), fabsl(k->tweight), fabsl(xhat) + k->o.blur,
                                        fabsl(k->dy[i]), fabsl(k->vx[i]))};
}

static struct expected expected_gweight(const struct channel *k) {
    struct expected e = {0, 0};
    for (size_t i = 0; i < k->m; i++) {
        e.value += k->vx[i] * oracle_dx(&k->o, k->dy, i, k->sum.dy, k->sum.dy_xhat, 1, k->frozen);
        e.scale += fabsl(k->vx[i]) * oracle_dx_scale(&k->o, k->dy, i, k->magnitude.dy, k->magnitude.dy_xhat, 1, k->frozen);
    }
    return e;
}

/* The variance is a sum of squares of numbers of this size, before a large part may cancel. */
static long double square_size(const struct channel *k) {
    long double spread = k->largest + fabsl(k->o.mean);
    return spread * spread;
}

static struct expected expected_running(const struct channel *k, enum array array) {
    const struct problem_array *a = &k->p->array[array];
    const batchnorm_options *o = &k->p->options;
    long double old = element_get(a->dtype, a->before, (ptrdiff_t)k->c), n = (long double)k->m;
    long double f = o->momentum_rule == BATCHNORM_MOMENTUM_OF_NEW ? o->momentum : 1 - (long double)o->momentum;
    long double factor = o->running_variance == BATCHNORM_VARIANCE_UNBIASED && n > 1 ? n / (n - 1) : 1;
    long double batch = array == RUNNING_VAR ? k->o.var * factor : k->o.mean;
    long double size = array == RUNNING_VAR ? square_size(k) * factor : k->largest;
    return (struct expected){(1 - f) * old + f * batch, fabsl((1 - f) * old) + fabsl(f) * size};
}

static struct expected expected_number(const struct channel *k, enum array array) {
    const struct problem_array *a = &k->p->array[array];
    long double old = k->p->flags & BATCHNORM_ACCUMULATE ? element_get(a->dtype, a->before, (ptrdiff_t)k->c) : 0;
    switch (array) {
    case DBIAS:
        return (struct expected){old + k->sum.dy, fabsl(old) + k->magnitude.dy};
    case DWEIGHT:
        return (struct expected){old + k->sum.dy_xhat, fabsl(old) + k->magnitude.dy_xhat};
    case GWEIGHT:
        return expected_gweight(k);
    case SAVE_MEAN:
        return (struct expected){k->o.mean, k->largest};
    case SAVE_RSTD:
        return (struct expected){k->o.rstd, k->o.rstd * (1 + k->o.rstd * k->o.rstd * square_size(k))};
    default:
        return expected_running(k, array);
    }
}

static struct expected expected_element(const struct channel *k, enum array array, size_t i) {
    if (array == Y) return expected_y(k, i);
    if (array == GDY) return expected_gdy(k, i);
    if (array == GX) return expected_gx(k, i);
    return expected_dx(k, k->dy, i, k->sum.dy, k->sum.dy_xhat, k->magnitude.dy, k->magnitude.dy_xhat);
}

/* A storage rounding, and `slack` roundings of the terms in the type that is computed in. */
static bool close_enough(batchnorm_dtype dtype, batchnorm_dtype computed, double got, struct expected want, double slack) {
    if (isnan(want.value)) return isnan(got);
    if (fabsl(want.value) >= (dtype == BATCHNORM_F16 ? 65504 : HUGE_VALL)) return true;
    long double storage = ulp_of(dtype, want.value) * 0.51L;
    return fabsl((long double)got - want.value) <= storage + (long double)slack * unit_roundoff(computed) * want.scale;
}

/* Sums of elements of 16 bits are partly in float: 2^-20 of the magnitudes of their terms, beside which a sum in double is
 * exact. Here in units of 2^-53 or 2^-24. */
static double lost_in_float(const struct problem *p, double units) {
    const batchnorm_dtype dtype = p->shape.dtype;
    return dtype == BATCHNORM_BF16 || dtype == BATCHNORM_F16 ? units : 0;
}

static char problem_text[300];

static bool check_number(const struct channel *k, enum array array, struct expected want) {
    const struct problem_array *a = &k->p->array[array];
    double got = element_get(a->dtype, a->home, (ptrdiff_t)k->c);
    if (close_enough(a->dtype, BATCHNORM_F64, got, want, 4 + (double)k->m + lost_in_float(k->p, 0x1p33))) return true;
    snprintf(problem_text, sizeof problem_text, "%s of channel %zu is %.17g, expected %.17Lg", array_name(array), k->c, got,
             want.value);
    return false;
}

static bool check_elements(const struct channel *k, enum array array) {
    const struct problem_array *a = &k->p->array[array];
    double lost = a->dtype == BATCHNORM_F64 ? (double)k->m / 8 : lost_in_float(k->p, 16);
    for (size_t i = 0; i < k->m; i++) {
        size_t n = i / k->p->shape.inner, s = i % k->p->shape.inner;
        double got = element_get(a->dtype, a->home, problem_index(k->p, array, n, k->c, s));
        struct expected want = expected_element(k, array, i);
        /* gx passes through memory twice; sums in double of doubles lose a little with every value of a lane */
        if (close_enough(a->dtype, array == GX ? a->dtype : parameter_dtype(a->dtype), got, want, 8 + lost)) continue;
        snprintf(problem_text, sizeof problem_text, "%s(%zu, %zu, %zu) is %.17g, expected %.17Lg", array_name(array), n, k->c,
                 s, got, want.value);
        return false;
    }
    return true;
}

static bool check_stats(const struct channel *k) {
    const batchnorm_stat *stat = (const batchnorm_stat *)k->p->array[STATS].home + k->c;
    long double n = (long double)k->m, m2 = k->o.var * n;
    struct expected mean = {k->o.mean, k->largest}, square = {m2, n * square_size(k)};
    double slack = 4 + (double)k->m + lost_in_float(k->p, 0x1p33);
    bool same = stat->count == (double)k->m && close_enough(BATCHNORM_F64, BATCHNORM_F64, stat->mean, mean, slack) &&
                close_enough(BATCHNORM_F64, BATCHNORM_F64, stat->m2, square, slack);
    if (!same)
        snprintf(problem_text, sizeof problem_text, "stats of channel %zu are %g, %.17g, %.17g, expected %zu, %.17Lg, %.17Lg",
                 k->c, stat->count, stat->mean, stat->m2, k->m, mean.value, m2);
    return same;
}

static bool check_output(const struct channel *k, enum array array) {
    if (array == STATS) return check_stats(k);
    if (array >= SHAPED) return check_number(k, array, expected_number(k, array));
    return check_elements(k, array);
}

/* Bytes that are no element of an output must be as they were. */
static bool check_rest(const struct problem *p, enum verb verb, enum array array) {
    const struct problem_array *a = &p->array[array];
    size_t bytes = batchnorm_dtype_bytes(a->dtype);
    char *now = malloc(a->count * bytes + 1), *before = a->before;
    memcpy(now, a->lowest, a->count * bytes);
    bool written = is_output(verb, array) && a->data != NULL;
    if (written && array >= SHAPED) memcpy(now, before, a->count * bytes);
    if (written && array < SHAPED) {
        ptrdiff_t first = ((char *)a->home - (char *)a->lowest) / (ptrdiff_t)bytes;
        for (size_t n = 0; n < p->shape.outer; n++)
            for (size_t c = 0; c < p->shape.channels; c++)
                for (size_t s = 0; s < p->shape.inner; s++) {
                    size_t at = (size_t)(first + problem_index(p, array, n, c, s)) * bytes;
                    memcpy(now + at, before + at, bytes);
                }
    }
    bool same = memcmp(now, before, a->count * bytes) == 0;
    free(now);
    if (!same) snprintf(problem_text, sizeof problem_text, "memory of %s that is no output was written", array_name(array));
    return same;
}

const char *problem_check(const struct problem *p, enum verb verb) {
    bool same = true;
    for (enum array i = X; i < ARRAYS && same; i++) same = check_rest(p, verb, i);
    for (size_t c = 0; c < p->shape.channels && same && p->shape.outer && p->shape.inner; c++) {
        struct channel k = channel_open(p, verb, c);
        for (enum array i = X; i < ARRAYS && same; i++)
            if (is_output(verb, i) && p->array[i].data) same = check_output(&k, i);
        channel_close(&k);
    }
    return same ? NULL : problem_text;
}
