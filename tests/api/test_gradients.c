/* SPDX-License-Identifier: MIT */
/* Derivatives against central finite differences of the functions themselves, in double through the raw calls: no formula but
 * that of the forward is trusted. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/problem.h"
#include "tests/support/test.h"

enum { N = 3, C = 2, S = 4, M = N * S, ELEMENTS = N * C * S };
static const double step = 1e-5, tolerance = 2e-8;

/* A point at which to differentiate: everything is an input of something. */
struct point {
    double x[ELEMENTS], dy[ELEMENTS], weight[C], bias[C], mean[C], var[C];
};

/* A direction, or cotangents, of the same shapes. */
struct vectors {
    double x[ELEMENTS], weight[C], bias[C];
};

static struct strided shape_of(enum layout layout) { return layout_shape(layout, BATCHNORM_F64, N, C, S); }

static void fill(double *v, size_t count, uint64_t *seed) {
    for (size_t i = 0; i < count; i++) v[i] = random_normal(seed);
}

static struct point make_point(uint64_t seed) {
    struct point p;
    fill(p.x, ELEMENTS, &seed);
    fill(p.dy, ELEMENTS, &seed);
    fill(p.weight, C, &seed);
    fill(p.bias, C, &seed);
    fill(p.mean, C, &seed);
    fill(p.var, C, &seed);
    for (size_t c = 0; c < C; c++) p.var[c] = 0.5 + fabs(p.var[c]);
    return p;
}

static struct vectors make_vectors(uint64_t seed) {
    struct vectors v;
    fill(v.x, ELEMENTS, &seed);
    fill(v.weight, C, &seed);
    fill(v.bias, C, &seed);
    return v;
}

static double dot(const double *a, const double *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

static void forward(const struct point *p, enum layout layout, bool frozen, double *y, double *mean, double *rstd) {
    struct strided shape = shape_of(layout);
    batchnorm_status status = frozen ? raw_infer(&shape, p->x, p->weight, p->bias, p->mean, p->var, y, mean, rstd, NULL, NULL)
                                     : raw_forward(&shape, p->x, p->weight, p->bias, y, NULL, NULL, mean, rstd, NULL, NULL);
    assert_int_equal(status, BATCHNORM_OK);
}

static void backward(const struct point *p, enum layout layout, bool frozen, struct vectors *d) {
    struct strided shape = shape_of(layout);
    double y[ELEMENTS], mean[C], rstd[C];
    forward(p, layout, frozen, y, mean, rstd);
    assert_int_equal(
        raw_backward(&shape, p->x, p->dy, p->weight, mean, rstd, d->x, d->weight, d->bias, frozen ? BATCHNORM_FROZEN : 0, NULL),
        BATCHNORM_OK);
}

/* What is differentiated: the sum of dy * y, and the sum of cotangents times gradients. */
static double value(const struct point *p, enum layout layout, bool frozen, const struct vectors *v) {
    if (!v) {
        double y[ELEMENTS], mean[C], rstd[C];
        forward(p, layout, frozen, y, mean, rstd);
        return dot(p->dy, y, ELEMENTS);
    }
    struct vectors d;
    backward(p, layout, frozen, &d);
    return dot(v->x, d.x, ELEMENTS) + dot(v->weight, d.weight, C) + dot(v->bias, d.bias, C);
}

/* The derivative of value() by the number at `at`, which is a member of *p. */
static double difference(struct point *p, double *at, enum layout layout, bool frozen, const struct vectors *v) {
    double old = *at;
    *at = old + step;
    double above = value(p, layout, frozen, v);
    *at = old - step;
    double below = value(p, layout, frozen, v);
    *at = old;
    return (above - below) / (2 * step);
}

static void expect(const char *what, size_t i, double got, double want) {
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want)))) fail_msg("%s[%zu] is %.12g, expected %.12g", what, i, got, want);
}

static void check_backward(enum layout layout, bool frozen, uint64_t seed) {
    struct point p = make_point(seed);
    struct vectors d;
    backward(&p, layout, frozen, &d);
    for (size_t i = 0; i < ELEMENTS; i++) expect("dx", i, d.x[i], difference(&p, &p.x[i], layout, frozen, NULL));
    for (size_t c = 0; c < C; c++) {
        expect("dweight", c, d.weight[c], difference(&p, &p.weight[c], layout, frozen, NULL));
        expect("dbias", c, d.bias[c], difference(&p, &p.bias[c], layout, frozen, NULL));
    }
}

TEST(backward_is_the_derivative) {
    for (enum layout layout = PLANAR; layout < SPACED; layout++)
        for (uint64_t seed = 1; seed < 4; seed++) check_backward(layout, false, seed);
}

TEST(frozen_backward_is_the_derivative) {
    for (enum layout layout = PLANAR; layout < SPACED; layout++)
        for (uint64_t seed = 1; seed < 4; seed++) check_backward(layout, true, seed);
}

/* The tangent of y along a direction, and the same by moving along it. */
static void check_jvp(enum layout layout, bool frozen, uint64_t seed) {
    struct point p = make_point(seed);
    struct vectors t = make_vectors(seed + 100);
    struct strided shape = shape_of(layout);
    double y[2][ELEMENTS], mean[C], rstd[C], ty[ELEMENTS];
    forward(&p, layout, frozen, y[0], mean, rstd);
    assert_int_equal(raw_jvp(&shape, p.x, t.x, p.weight, t.weight, t.bias, mean, rstd, ty, frozen ? BATCHNORM_FROZEN : 0, NULL),
                     BATCHNORM_OK);
    for (int side = 0; side < 2; side++) {
        struct point q = p;
        double by = side ? step : -step;
        for (size_t i = 0; i < ELEMENTS; i++) q.x[i] += by * t.x[i];
        for (size_t c = 0; c < C; c++) q.weight[c] += by * t.weight[c];
        for (size_t c = 0; c < C; c++) q.bias[c] += by * t.bias[c];
        forward(&q, layout, frozen, y[side], mean, rstd);
    }
    for (size_t i = 0; i < ELEMENTS; i++) expect("ty", i, ty[i], (y[1][i] - y[0][i]) / (2 * step));
}

TEST(jvp_is_the_derivative) {
    for (enum layout layout = PLANAR; layout < SPACED; layout++)
        for (uint64_t seed = 1; seed < 4; seed++)
            for (int frozen = 0; frozen < 2; frozen++) check_jvp(layout, frozen, seed);
}

static void check_double(enum layout layout, bool frozen, uint64_t seed) {
    struct point p = make_point(seed);
    struct vectors v = make_vectors(seed + 200);
    struct strided shape = shape_of(layout);
    double y[ELEMENTS], mean[C], rstd[C], gx[ELEMENTS], gdy[ELEMENTS], gweight[C];
    forward(&p, layout, frozen, y, mean, rstd);
    assert_int_equal(raw_double_backward(&shape, p.x, p.dy, p.weight, mean, rstd, v.x, v.weight, v.bias, gx, gdy, gweight,
                                         frozen ? BATCHNORM_FROZEN : 0, NULL),
                     BATCHNORM_OK);
    for (size_t i = 0; i < ELEMENTS; i++) {
        expect("gx", i, gx[i], difference(&p, &p.x[i], layout, frozen, &v));
        expect("gdy", i, gdy[i], difference(&p, &p.dy[i], layout, frozen, &v));
    }
    for (size_t c = 0; c < C; c++) expect("gweight", c, gweight[c], difference(&p, &p.weight[c], layout, frozen, &v));
}

TEST(double_backward_is_the_derivative_of_backward) {
    for (enum layout layout = PLANAR; layout < SPACED; layout++)
        for (uint64_t seed = 1; seed < 4; seed++)
            for (int frozen = 0; frozen < 2; frozen++) check_double(layout, frozen, seed);
}

/* Exact relations: in training the gradient has no component along 1, and along xhat only eps leaves one. */
TEST(training_gradient_is_orthogonal) {
    struct point p = make_point(7);
    struct vectors d;
    double y[ELEMENTS], mean[C], rstd[C];
    forward(&p, PLANAR, false, y, mean, rstd);
    backward(&p, PLANAR, false, &d);
    for (size_t c = 0; c < C; c++) {
        double sum = 0, along = 0;
        for (size_t i = 0; i < M; i++) {
            size_t at = i / S * C * S + c * S + i % S;
            sum += d.x[at];
            along += d.x[at] * (p.x[at] - mean[c]) * rstd[c];
        }
        assert_true(fabs(sum) < 1e-13);
        expect("S[dx * xhat]", c, along, p.weight[c] * rstd[c] * d.weight[c] * 1e-5 * rstd[c] * rstd[c]);
    }
}

/* jvp and backward are transposes of each other. */
TEST(jvp_is_the_transpose_of_backward) {
    for (int frozen = 0; frozen < 2; frozen++) {
        struct point p = make_point(9);
        struct vectors d, t = make_vectors(10);
        struct strided shape = shape_of(PLANAR);
        double y[ELEMENTS], mean[C], rstd[C], ty[ELEMENTS];
        forward(&p, PLANAR, frozen, y, mean, rstd);
        backward(&p, PLANAR, frozen, &d);
        assert_int_equal(
            raw_jvp(&shape, p.x, t.x, p.weight, t.weight, t.bias, mean, rstd, ty, frozen ? BATCHNORM_FROZEN : 0, NULL),
            BATCHNORM_OK);
        double one = dot(ty, p.dy, ELEMENTS);
        double other = dot(t.x, d.x, ELEMENTS) + dot(t.weight, d.weight, C) + dot(t.bias, d.bias, C);
        assert_true(fabs(one - other) < 1e-12);
    }
}

/* In 16 bits everything is computed in float and rounded once, at its end. */
TEST(double_backward_of_16_bits_is_rounded_once) {
    enum { OUTER = 3, CHANNELS = 5, INNER = 37, ALL = OUTER * CHANNELS * INNER };
    static const batchnorm_dtype halves[] = {BATCHNORM_BF16, BATCHNORM_F16};
    for (int h = 0; h < 2; h++) {
        for (int last = 0; last < 2; last++) {
            uint64_t seed = 11;
            uint16_t in[3 * ALL], out[2 * ALL];
            float wide[3 * ALL], wide_out[2 * ALL], weight[CHANNELS], vweight[CHANNELS];
            double mean[CHANNELS], rstd[CHANNELS];
            for (int i = 0; i < 3 * ALL; i++) {
                element_set(halves[h], in, i, random_normal(&seed));
                wide[i] = (float)element_get(halves[h], in, i);
            }
            for (int c = 0; c < CHANNELS; c++) {
                weight[c] = (float)random_normal(&seed), vweight[c] = (float)random_normal(&seed);
                mean[c] = random_normal(&seed) / 8, rstd[c] = 1 + random_uniform(&seed);
            }
            struct strided (*make)(batchnorm_dtype, size_t, size_t, size_t) = last ? channels_last : planar;
            const struct strided small = make(halves[h], OUTER, CHANNELS, INNER);
            const struct strided large = make(BATCHNORM_F32, OUTER, CHANNELS, INNER);
            assert_int_equal(raw_double_backward(&small, in, in + ALL, weight, mean, rstd, in + 2 * ALL, vweight, NULL, out,
                                                 out + ALL, NULL, 0, NULL),
                             BATCHNORM_OK);
            assert_int_equal(raw_double_backward(&large, wide, wide + ALL, weight, mean, rstd, wide + 2 * ALL, vweight, NULL,
                                                 wide_out, wide_out + ALL, NULL, 0, NULL),
                             BATCHNORM_OK);
            for (int i = 0; i < 2 * ALL; i++)
                assert_true(element_get(halves[h], out, i) == element_round(halves[h], (double)wide_out[i]));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_is_the_derivative),
        cmocka_unit_test(frozen_backward_is_the_derivative),
        cmocka_unit_test(jvp_is_the_derivative),
        cmocka_unit_test(double_backward_is_the_derivative_of_backward),
        cmocka_unit_test(training_gradient_is_orthogonal),
        cmocka_unit_test(jvp_is_the_transpose_of_backward),
        cmocka_unit_test(double_backward_of_16_bits_is_rounded_once),
    };
    return cmocka_run_group_tests_name("api.gradients", tests, NULL, NULL);
}
