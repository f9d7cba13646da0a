/* SPDX-License-Identifier: MIT */
/* The kernels element by element, in the order and with the roundings that kernel.h promises. */
#include "tests/kernel/golden.h"

#include <math.h>
#include <string.h>

#include "tests/support/activations.h"

const char *const dtype_names[BNK_DTYPES] = {"f32", "f64", "bf16", "f16"};

bool is_asked_for(int argc, char **argv, int dtype) { return argc < 2 || strcmp(argv[1], dtype_names[dtype]) == 0; }

/* 16-bit floats, written with ldexp and nearbyint instead of bit tricks. mantissa: stored bits; low: exponent of the smallest
 * normal. */
static double half_value(uint16_t h, int mantissa, int low) {
    int exponent = (h & 0x7fff) >> mantissa, fraction = h & ((1 << mantissa) - 1);
    double v = exponent ? ldexp(fraction + (1 << mantissa), exponent - 1 + low - mantissa) : ldexp(fraction, low - mantissa);
    if (exponent == 0x7fff >> mantissa) v = fraction ? (double)NAN : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static uint16_t half_bits(double v, int mantissa, int low, int top) {
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    double size = fabs(v);
    int infinity = ((top - low + 2) << mantissa);
    if (isnan(v)) return (uint16_t)(infinity | 1 << (mantissa - 1));
    if (isinf(v)) return (uint16_t)(sign | infinity);
    int exponent = size > 0 ? ilogb(size) : low;
    if (exponent < low) exponent = low;
    double steps = nearbyint(ldexp(size, mantissa - exponent));
    if (steps >= ldexp(2, mantissa)) {
        steps /= 2;
        exponent++;
    }
    if (exponent > top) return (uint16_t)(sign | infinity);
    if (steps < ldexp(1, mantissa)) return (uint16_t)(sign | (int)steps);
    return (uint16_t)(sign | (((exponent - low) << mantissa) + (int)steps));
}

double get(const union elements *a, int dtype, size_t i) {
    switch (dtype) {
    case BATCHNORM_F32:
        return (double)a->f32[i];
    case BATCHNORM_F64:
        return a->f64[i];
    case BATCHNORM_BF16:
        return half_value(a->half[i], 7, -126);
    default:
        return half_value(a->half[i], 10, -14);
    }
}

void put(union elements *a, int dtype, size_t i, double v) {
    switch (dtype) {
    case BATCHNORM_F32:
        a->f32[i] = (float)v;
        break;
    case BATCHNORM_F64:
        a->f64[i] = v;
        break;
    case BATCHNORM_BF16:
        a->half[i] = half_bits(v, 7, -126, 127);
        break;
    default:
        a->half[i] = half_bits(v, 10, -14, 15);
        break;
    }
}

uint64_t bits_of(const union elements *a, int dtype, size_t i) {
    uint32_t f;
    uint64_t d;
    if (isnan(get(a, dtype, i))) return UINT64_MAX;
    if (dtype >= BATCHNORM_BF16) return a->half[i];
    memcpy(&f, &a->f32[i], sizeof f);
    memcpy(&d, &a->f64[i], sizeof d);
    return dtype == BATCHNORM_F64 ? d : f;
}

/* One operation, rounded to the type that outputs are computed in. A double operation on floats, rounded to float, is the float
 * operation. */
static double computed(const struct side *s, double v) { return s->dtype == BATCHNORM_F64 ? v : (double)(float)v; }

static double rounded(const struct side *s, double v) {
    static union elements one;
    put(&one, s->dtype, 0, v);
    return get(&one, s->dtype, 0);
}

static double number(const struct side *s, int which, size_t c) {
    return s->dtype == BATCHNORM_F64 ? s->numbers64[which][c] : (double)s->numbers32[which][c];
}

static double centred(const struct side *s, int first, double x, size_t c) {
    return computed(s, computed(s, x - number(s, first + BNK_M1, c)) - number(s, first + BNK_M2, c));
}

static double affine(const struct side *s, int first, double x, size_t c) {
    double scaled = computed(s, centred(s, first, x, c) * number(s, first + BNK_K, c));
    return computed(s, scaled + number(s, first + BNK_B, c));
}

/* From y, x is the number of which y is the activation. */
static double in(const struct side *s, enum bnk_role role, size_t at) {
    const double v = s->in[role] ? get(s->in[role], s->dtype, s->first + at) : 0;
    if (!s->variant->from_y || role != BNK_X || !(v < 0)) return v;
    return computed(s, v * computed(s, 1 / computed(s, s->act.slope)));
}

static double activated(const struct side *s, double v) {
    const double ceiling = computed(s, s->act.ceiling);
    if (s->act.curve) return computed(s, curve_value((batchnorm_activation_kind)s->act.curve, v));
    if (s->act.cut && v < 0) return 0;
    if (v < 0) v = computed(s, v * computed(s, s->act.slope));
    return v > ceiling ? ceiling : v;
}

/* What the activation gets: computed from x, and the residual if there is one. */
static double before(const struct side *s, int first, size_t at, size_t c) {
    double v = affine(s, first, in(s, BNK_X, at), c);
    return s->in[BNK_Z] ? computed(s, v + in(s, BNK_Z, at)) : v;
}

static double gated(const struct side *s, size_t at, size_t c) {
    const double dy = in(s, BNK_DY, at);
    if (!s->variant->active) return dy;
    const double v = s->variant->from_y ? in(s, BNK_X, at) : s->in[BNK_Y] ? in(s, BNK_Y, at) : before(s, BNK_GATE, at, c);
    if (s->act.curve) return rounded(s, computed(s, dy * computed(s, curve_slope((batchnorm_activation_kind)s->act.curve, v))));
    const double ceiling = computed(s, s->act.ceiling);
    if (s->act.cut) return v <= 0 || v >= (s->in[BNK_Y] ? rounded(s, ceiling) : ceiling) ? 0 : dy;
    return v > 0 ? dy : rounded(s, computed(s, dy * computed(s, s->act.slope)));
}

static double blended(const struct side *s, size_t at, size_t c, double g) {
    double dx = computed(s, number(s, BNK_P, c) * g);
    if (!s->variant->without_x)
        dx = computed(s, dx + computed(s, number(s, BNK_Q, c) * centred(s, BNK_M1, in(s, BNK_X, at), c)));
    dx = computed(s, dx + number(s, BNK_S, c));
    return s->in[BNK_Y] && s->in[BNK_Z] ? computed(s, affine(s, BNK_GATE, in(s, BNK_Z, at), c) + dx) : dx;
}

/* Writes element i of a row of channel c, at `at` in the arrays. */
static void write_element(struct side *s, size_t at, size_t c) {
    const double x = in(s, BNK_X, at), g = s->verb == BNK_BLEND ? gated(s, at, c) : 0;
    double y = 0;
    if (s->verb == BNK_BLEND) y = blended(s, at, c, g);
    if (s->verb == BNK_AFFINE) y = s->variant->active ? activated(s, before(s, BNK_M1, at, c)) : affine(s, BNK_M1, x, c);
    if (s->has_out) put(&s->expected_out, s->dtype, s->first + at, y);
    if (s->has_dz) put(&s->expected_dz, s->dtype, s->first_dz + at, g);
}

static bool is_short(const struct side *s) { return s->dtype == BATCHNORM_BF16 || s->dtype == BATCHNORM_F16; }

static bool in_runs(const struct side *s) {
    return is_short(s) ? !s->variant->exact : s->dtype == BATCHNORM_F64 && s->verb == BNK_MOMENTS;
}

/* Adds to a pair of sums, which are in the type that is computed in if they are of a run. */
static void add_element(const struct side *s, double sums[2], size_t at, size_t c) {
    const double x = in(s, BNK_X, at), head = (double)(float)s->shift[c];
    const bool in_float = is_short(s) && in_runs(s);
    double d = x - s->shift[c], first = d, second;
    if (in_float) d = first = computed(s, x - head);
    if (s->verb == BNK_DOTS) {
        if (in_float) d = computed(s, d - (double)(float)(s->shift[c] - head));
        first = gated(s, at, c);
        second = s->in[BNK_X] ? first * d : first;
    } else {
        second = d * d;
    }
    sums[0] = in_float ? computed(s, sums[0] + first) : sums[0] + first;
    sums[1] = in_float ? computed(s, sums[1] + computed(s, second)) : sums[1] + second;
}

/* Adds some elements of some rows, from row r and element i on, to the lane that is theirs, as a run or each for itself. */
static void reduce_some(struct side *s, size_t r, size_t rows, size_t c, size_t i, size_t end, size_t step) {
    double *sum = s->expected_sums + (s->rows_layout ? i : c * lanes_of(s) + i % BNK_LANES), *dot = sum + second_sum(s),
           run[2] = {0, 0}, direct[2] = {*sum, *dot}, *sums = in_runs(s) ? run : direct;
    for (size_t j = r; j < r + rows; j++)
        for (size_t k = i; k < end; k += step) add_element(s, sums, j * s->row + c * s->channel + k, s->rows_layout ? k : c);
    if (in_runs(s)) {
        direct[0] += run[0];
        direct[1] += run[1];
        for (int k = 0; k < 2 && s->dtype == BATCHNORM_F64; k++)
            dot[(size_t)(k + 1) * second_sum(s)] += run[k] - (direct[k] - (k ? *dot : *sum));
    }
    *sum = direct[0];
    *dot = direct[1];
}

/* A run is BNK_RUN rows of a channel in rows, or as many steps of a row of a plane. */
static void reduce(struct side *s) {
    const size_t tall = s->rows_layout ? BNK_RUN : 1, wide = BNK_RUN * BNK_LANES;
    for (size_t r = 0; r < s->rows; r += tall)
        for (size_t c = 0; c < s->channels; c++)
            for (size_t i = 0; i < s->length; i++) {
                const size_t end = i / wide * wide + wide;
                if (s->rows_layout)
                    reduce_some(s, r, s->rows - r < tall ? s->rows - r : tall, c, i, i + 1, 1);
                else if (i % wide < BNK_LANES)
                    reduce_some(s, r, 1, c, i, end < s->length ? end : s->length, BNK_LANES);
            }
}

size_t lanes_of(const struct side *s) { return BNK_LANES * (s->dtype == BATCHNORM_F64 && s->verb == BNK_MOMENTS ? 4 : 2); }

size_t second_sum(const struct side *s) { return s->rows_layout ? PITCH : BNK_LANES; }

void model(struct side *s) {
    if (s->verb == BNK_MOMENTS || s->verb == BNK_DOTS) {
        reduce(s);
        return;
    }
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->channels; c++)
            for (size_t i = 0; i < s->length; i++) write_element(s, r * s->row + c * s->channel + i, s->rows_layout ? i : c);
}
