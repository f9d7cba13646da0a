/* SPDX-License-Identifier: MIT */
/* Calls with a mask against the same formulas in long double, in every type and layout; what a mask that is all ones, or has
 * none, gives; and that nothing that has a 0 gets in. Longer than 300 lines, because each promise is tried in every type,
 * layout and pattern. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/stats.h"
#include "tests/support/fused.h"
#include "tests/support/test.h"

/* Which positions have a 1. */
enum pattern { ALL, FRONT, RANDOM, SPARSE, STRIPES, COLUMNS, ONE, PATTERNS };
/* How it is said: dense, the other way round in memory, or by lengths. */
enum form { DENSE, TURNED, REVERSED_BYTES, LENGTHS, FORMS };

struct ones {
    unsigned char *at; /* (n, s) */
    unsigned char *bytes;
    size_t *lengths;
    size_t n, s, count;
    batchnorm_mask mask;
};

static unsigned char one_of(enum pattern pattern, size_t n, size_t s, size_t length, uint64_t *seed) {
    switch (pattern) {
    case FRONT:
        return s < length;
    case RANDOM:
        return random_uniform(seed) < .6;
    case SPARSE:
        return random_uniform(seed) < .03;
    case STRIPES:
        return n % 3 != 1;
    case COLUMNS:
        return s / 70 % 2 == 0;
    case ONE:
        return n == 0 && s == 1;
    default:
        return 1;
    }
}

static void release_ones(void *what) {
    struct ones *o = what;
    free(o->at);
    free(o->bytes);
    free(o->lengths);
    free(o);
}

static struct ones *make_ones(size_t n, size_t s, enum pattern pattern, enum form form, unsigned flags) {
    struct ones *o = keep(calloc(1, sizeof *o), release_ones);
    uint64_t seed = 7 + (uint64_t)pattern;
    o->n = n, o->s = s;
    o->at = calloc(n * s + 1, 1);
    o->bytes = calloc(n * s + 1, 1);
    o->lengths = calloc(n + 1, sizeof *o->lengths);
    for (size_t i = 0; i < n; i++) {
        const size_t length = (size_t)(random_uniform(&seed) * (double)(s + 1));
        o->lengths[i] = length < s ? length : s;
        for (size_t j = 0; j < s; j++) o->count += o->at[i * s + j] = one_of(pattern, i, j, o->lengths[i], &seed);
    }
    o->mask.flags = flags;
    o->mask.data = o->bytes;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < s; j++) {
            const size_t to = form == TURNED ? j * n + i : form == REVERSED_BYTES ? n * s - 1 - (i * s + j) : i * s + j;
            o->bytes[to] = o->at[i * s + j] ? (unsigned char)(1u << (i + j) % 8) : 0; /* any but 0 is a 1 */
        }
    o->mask.outer = form == TURNED ? 1 : (ptrdiff_t)s;
    o->mask.inner = form == TURNED ? (ptrdiff_t)n : 1;
    if (form == REVERSED_BYTES) {
        o->mask.data += n * s - 1;
        o->mask.outer = -o->mask.outer;
        o->mask.inner = -1;
    }
    if (form == LENGTHS) o->mask = (batchnorm_mask){.lengths = o->lengths, .flags = flags};
    return o;
}

/* A problem, its mask, and the calls. */
struct masked {
    struct problem *p;
    const struct ones *o;
    struct fused f;
    bool in_place;
    const batchnorm_exec *exec;
};

static batchnorm_forward_call forward_of(const struct masked *m) {
    struct problem_array *a = m->p->array;
    batchnorm_forward_call call =
        forward_call(&m->p->shape, a[X].data, m->f.residual ? a[Z].data : NULL, a[WEIGHT].data, a[BIAS].data,
                     m->in_place ? a[X].data : a[Y].data, a[RUNNING_MEAN].data, a[RUNNING_VAR].data, a[SAVE_MEAN].data,
                     a[SAVE_RSTD].data, m->f.activation, &m->p->options);
    if (m->in_place) call.y.strides = call.x.strides;
    call.mask = m->o->mask;
    return call;
}

static batchnorm_backward_call backward_of(const struct masked *m) {
    struct problem_array *a = m->p->array;
    batchnorm_backward_call call =
        backward_call(&m->p->shape, a[X].data, m->f.residual ? a[Z].data : NULL, m->f.from_y ? a[Y].data : NULL, a[DY].data,
                      a[WEIGHT].data, a[BIAS].data, a[SAVE_MEAN].data, a[SAVE_RSTD].data, m->in_place ? a[DY].data : a[DX].data,
                      m->f.residual ? a[DZ].data : NULL, a[DWEIGHT].data, a[DBIAS].data, m->f.activation, m->p->flags);
    if (m->in_place) call.dx.strides = call.dy.strides;
    call.mask = m->o->mask;
    return call;
}

static struct masked make(enum layout layout, batchnorm_dtype dtype, size_t n, size_t c, size_t s, const struct ones *o) {
    const struct strided shape = fused_shape(layout, dtype, n, c, s);
    struct masked m = {.o = o};
    m.p = keep(problem_create(&shape, 5, true), (void (*)(void *))problem_destroy);
    m.p->options.allow_one_value = true;
    return m;
}

/* What a call wrote is within `units` of what is wanted, in roundings of the computing type at `scale`, and half an ulp of the
 * type. */
static void compare(const struct masked *m, enum array array, size_t c, size_t i, long double want, long double scale,
                    double units) {
    const struct problem_array *a = &m->p->array[array];
    const size_t s = m->o->s;
    const double got = element_get(a->dtype, a->data, problem_index(m->p, array, i / s, c, i % s));
    const bool is_short = a->dtype == BATCHNORM_BF16 || a->dtype == BATCHNORM_F16;
    long double bound = units * (is_short ? 0x1p-20L : a->dtype == BATCHNORM_F64 ? 0x1p-53L : 0x1p-24L) * scale;
    if (is_short) bound += ulp_of(a->dtype, fabsl(want)) / 2;
    if (fabsl(got - want) <= bound) return;
    print_message("%s[%zu] of channel %zu is %.17g, wanted %.17Lg within %.3Lg (%s, n %zu, s %zu)\n", array_name(array), i, c,
                  got, want, bound, dtype_name(a->dtype), m->o->n, s);
    fail();
}

/* The ones of a channel of x. */
static struct oracle statistics(const struct masked *m, const long double *x, long double *valid) {
    size_t count = 0;
    for (size_t i = 0; i < m->o->n * m->o->s; i++)
        if (m->o->at[i]) valid[count++] = x[i];
    if (count) return oracle_batch(count, valid, m->p->options.eps);
    return (struct oracle){.rstd = 1 / sqrtl((long double)m->p->options.eps)};
}

static double number_of(const struct problem *p, enum array array, size_t c) { return problem_number(p, array, c, 0); }

static void check_numbers(const struct masked *m, size_t c, const struct oracle *o) {
    const batchnorm_dtype dtype = m->p->shape.dtype;
    const bool is_short = dtype == BATCHNORM_BF16 || dtype == BATCHNORM_F16;
    const long double u = is_short ? 0x1p-20L : 0x1p-50L, spread = 1 / o->rstd + fabsl(o->mean);
    assert_true(fabsl(number_of(m->p, SAVE_MEAN, c) - o->mean) <= u * spread);
    assert_true(fabsl(number_of(m->p, SAVE_RSTD, c) / o->rstd - 1) <= 8 * u);
}

static void check_forward(const struct masked *m) {
    const size_t all = m->o->n * m->o->s;
    const bool outputs = m->o->mask.flags & BATCHNORM_MASK_OUTPUTS;
    long double *valid = keep(calloc(all + 1, sizeof *valid), free);
    for (size_t c = 0; c < m->p->shape.channels; c++) {
        long double *x = keep(problem_channel(m->p, X, c), free);
        const struct oracle o = statistics(m, x, valid);
        const long double w = number_of(m->p, WEIGHT, c), b = number_of(m->p, BIAS, c);
        check_numbers(m, c, &o);
        for (size_t i = 0; i < all; i++) {
            const long double y = (x[i] - o.mean) * o.rstd * w + b;
            if (m->o->at[i] || !outputs)
                compare(m, Y, c, i, y, 1 + fabsl(y) + fabsl(w * o.mean * o.rstd), 8);
            else
                compare(m, Y, c, i, 0, 0, 0);
        }
    }
}

static void check_backward(const struct masked *m) {
    const size_t all = m->o->n * m->o->s;
    const bool outputs = m->o->mask.flags & BATCHNORM_MASK_OUTPUTS;
    long double *valid = keep(calloc(all + 1, sizeof *valid), free);
    for (size_t c = 0; c < m->p->shape.channels; c++) {
        long double *x = keep(problem_channel(m->p, X, c), free), *dy = keep(problem_channel(m->p, DY, c), free);
        const struct oracle o = statistics(m, x, valid);
        const long double count = m->o->count ? (long double)m->o->count : 1, w = number_of(m->p, WEIGHT, c);
        long double sum = 0, dot = 0, sum_size = 0, dot_size = 0;
        for (size_t i = 0; i < all; i++) {
            if (outputs && !m->o->at[i]) continue;
            const long double xhat = (x[i] - o.mean) * o.rstd;
            sum += dy[i];
            dot += dy[i] * xhat;
            sum_size += fabsl(dy[i]);
            dot_size += fabsl(dy[i]) * (fabsl(xhat) + 1);
        }
        for (size_t i = 0; i < all; i++) {
            const long double xhat = (x[i] - o.mean) * o.rstd, scale = fabsl(w) * o.rstd;
            const long double back = m->o->at[i] ? (sum + xhat * dot) / count : 0;
            const long double size = fabsl(dy[i]) + (m->o->at[i] ? (sum_size + fabsl(xhat) * dot_size) / count : 0);
            if (m->o->at[i] || !outputs)
                compare(m, DX, c, i, w * o.rstd * (dy[i] - back), scale * size, 16);
            else
                compare(m, DX, c, i, 0, 0, 0);
        }
        const batchnorm_dtype dtype = m->p->shape.dtype;
        const long double u = dtype == BATCHNORM_F32 ? 0x1p-40L : dtype == BATCHNORM_F64 ? 0x1p-46L : 0x1p-18L;
        assert_true(fabsl(number_of(m->p, DBIAS, c) - sum) <= u * sum_size + ulp_of(parameter_dtype(dtype), fabsl(sum)));
        assert_true(fabsl(number_of(m->p, DWEIGHT, c) - dot) <= u * dot_size + ulp_of(parameter_dtype(dtype), fabsl(dot)));
    }
}

static const struct size {
    size_t n, c, s;
} sizes[] = {{5, 3, 40},  {4, 17, 1},   {3, 16, 333},  {2, 2, 3000}, {7, 5, 7},
             {40, 64, 9}, {9, 24, 100}, {1, 1, 40000}, {3, 600, 5}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void check_both(enum layout layout, batchnorm_dtype dtype, const struct size *z, const struct ones *o) {
    struct masked m = make(layout, dtype, z->n, z->c, z->s, o);
    const batchnorm_forward_call forward = forward_of(&m);
    const batchnorm_backward_call backward = backward_of(&m);
    assert_int_equal(batchnorm_forward(&forward, m.exec), BATCHNORM_OK);
    check_forward(&m);
    assert_int_equal(batchnorm_backward(&backward, m.exec), BATCHNORM_OK);
    check_backward(&m);
    let_go(NULL);
}

TEST(formulas) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (enum pattern pattern = ALL; pattern < PATTERNS; pattern++)
                for (unsigned flags = 0; flags < 2; flags++)
                    for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
                        if (is_left_out()) continue;
                        check_both(layout, all_dtypes[d], &sizes[i], make_ones(sizes[i].n, sizes[i].s, pattern, DENSE, flags));
                    }
}

TEST(formulas_in_every_layout) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < 3; i++)
            for (enum pattern pattern = FRONT; pattern <= RANDOM; pattern++)
                for (unsigned flags = 0; flags < 2; flags++)
                    for (enum layout layout = PLANAR; layout <= MIXED; layout++)
                        check_both(layout, all_dtypes[d], &sizes[i],
                                   make_ones(sizes[i].n, sizes[i].s, pattern, (enum form)(layout % 3), flags));
}

/* Same bits */

/* Runs both calls. */
static void run_both(struct masked *m) {
    const batchnorm_forward_call forward = forward_of(m);
    assert_int_equal(batchnorm_forward(&forward, m->exec), BATCHNORM_OK);
    const batchnorm_backward_call backward = backward_of(m);
    assert_int_equal(batchnorm_backward(&backward, m->exec), BATCHNORM_OK);
}

static void assert_same(const struct masked *a, const struct masked *b) {
    const char *what = problem_same(a->p, b->p);
    if (what) print_message("%s differs (%s, n %zu, s %zu)\n", what, dtype_name(a->p->shape.dtype), a->o->n, a->o->s);
    assert_null(what);
}

TEST(all_ones_give_the_bits_of_no_mask) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (unsigned flags = 0; flags < 2; flags++)
                for (int form = 0; form < 5; form++)
                    for (enum layout layout = PLANAR; layout <= MIXED; layout += form < 2 ? 1 : 5) {
                        if (is_left_out()) continue;
                        const struct size *z = &sizes[i];
                        struct ones *o = make_ones(z->n, z->s, ALL, form < 3 ? (enum form)form : DENSE, flags),
                                    none = {.n = z->n, .s = z->s};
                        if (form >= 3) o->mask.outer = 0;
                        if (form == 4) o->mask.inner = 0;
                        struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, o),
                                      b = make(layout, all_dtypes[d], z->n, z->c, z->s, &none);
                        a.f.activation = b.f.activation =
                            i % 2 ? batchnorm_relu() : (batchnorm_activation){BATCHNORM_IDENTITY, 0};
                        a.f.residual = b.f.residual = i % 3 == 2;
                        run_both(&a);
                        run_both(&b);
                        assert_same(&a, &b);
                        let_go(NULL);
                    }
}

/* However the same ones are said. */
TEST(forms_give_the_same_bits) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (enum form form = TURNED; form < FORMS; form++)
                for (enum layout layout = PLANAR; layout <= MIXED; layout++) {
                    if (is_left_out()) continue;
                    const struct size *z = &sizes[i];
                    struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, make_ones(z->n, z->s, FRONT, DENSE, i % 2)),
                                  b = make(layout, all_dtypes[d], z->n, z->c, z->s, make_ones(z->n, z->s, FRONT, form, i % 2));
                    run_both(&a);
                    run_both(&b);
                    assert_same(&a, &b);
                    let_go(NULL);
                }
}

/* Threads, the order of items, and a workspace that is as large as it must be. */
TEST(who_runs_it_changes_no_bit) {
    static const struct size large[] = {{6, 48, 700}, {2, 4, 30000}, {200, 72, 9}};
    uint64_t seed = 3;
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < 3; i++)
            for (enum pattern pattern = FRONT; pattern <= STRIPES; pattern++)
                for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
                    if (is_left_out()) continue;
                    const struct size *z = &large[i];
                    const struct ones *o = make_ones(z->n, z->s, pattern, DENSE, (unsigned)(d + pattern) % 2);
                    const batchnorm_exec one = {.size = sizeof one, .threads = 1};
                    const batchnorm_exec many = {
                        .size = sizeof many, .parallel_for = shuffled_for, .user = &seed, .threads = 7};
                    struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, o),
                                  b = make(layout, all_dtypes[d], z->n, z->c, z->s, o);
                    a.exec = &one;
                    b.exec = &many;
                    run_both(&a);
                    run_both(&b);
                    assert_same(&a, &b);
                    let_go(NULL);
                }
}

TEST(workspaces_are_exact) {
    for (size_t i = 0; i < SIZES; i++)
        for (unsigned flags = 0; flags < 2; flags++)
            for (enum layout layout = PLANAR; layout <= MIXED; layout++) {
                const struct size *z = &sizes[i];
                struct masked m =
                    make(layout, all_dtypes[i % 4], z->n, z->c, z->s, make_ones(z->n, z->s, RANDOM, DENSE, flags));
                const batchnorm_forward_call forward = forward_of(&m);
                const batchnorm_backward_call backward = backward_of(&m);
                const size_t bytes[] = {batchnorm_forward_workspace_bytes(&forward),
                                        batchnorm_backward_workspace_bytes(&backward)};
                for (int k = 0; k < 4; k++) {
                    struct guarded memory = guarded_alloc(bytes[k / 2], true);
                    const batchnorm_exec exec = {
                        .size = sizeof exec, .workspace = memory.data, .workspace_bytes = bytes[k / 2] - k % 2};
                    const batchnorm_status status =
                        k < 2 ? batchnorm_forward(&forward, &exec) : batchnorm_backward(&backward, &exec);
                    guarded_free(&memory);
                    assert_int_equal(status, k % 2 ? BATCHNORM_WORKSPACE_TOO_SMALL : BATCHNORM_OK);
                }
                let_go(NULL);
            }
}

static void copy_values(struct problem *p, enum array from, enum array to) {
    for (size_t n = 0; n < p->shape.outer; n++)
        for (size_t c = 0; c < p->shape.channels; c++)
            for (size_t s = 0; s < p->shape.inner; s++)
                element_set(p->array[to].dtype, p->array[to].data, problem_index(p, to, n, c, s),
                            element_get(p->array[from].dtype, p->array[from].data, problem_index(p, from, n, c, s)));
}

static void assert_equal_arrays(const struct problem *a, enum array in_a, const struct problem *b, enum array in_b) {
    const ptrdiff_t at = fused_difference(a, in_a, b, in_b);
    if (at >= 0) print_message("%s and %s differ at %td\n", array_name(in_a), array_name(in_b), at);
    assert_true(at < 0);
}

TEST(in_place_gives_the_same_bits) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (enum pattern pattern = FRONT; pattern <= STRIPES; pattern++)
                for (unsigned flags = 0; flags < 2; flags++)
                    for (enum layout layout = PLANAR; layout <= MIXED; layout += layout ? 5 : 1) {
                        if (is_left_out()) continue;
                        const struct size *z = &sizes[i];
                        const struct ones *o = make_ones(z->n, z->s, pattern, DENSE, flags);
                        struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, o),
                                      b = make(layout, all_dtypes[d], z->n, z->c, z->s, o);
                        run_both(&a);
                        copy_values(b.p, X, VX);
                        b.in_place = true;
                        const batchnorm_forward_call forward = forward_of(&b);
                        assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_OK);
                        assert_equal_arrays(a.p, Y, b.p, X);
                        copy_values(b.p, VX, X);
                        const batchnorm_backward_call backward = backward_of(&b);
                        assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
                        assert_equal_arrays(a.p, DX, b.p, DY);
                        let_go(NULL);
                    }
}

/* A NaN or an infinity that has a 0 changes no statistic and no y or dx that has a 1; with outputs it is not seen at all. */
TEST(what_has_a_0_does_not_get_in) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (enum pattern pattern = FRONT; pattern < PATTERNS; pattern++)
                for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
                    const struct size *z = &sizes[i];
                    const struct ones *o = make_ones(z->n, z->s, pattern, DENSE, BATCHNORM_MASK_OUTPUTS);
                    struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, o),
                                  b = make(layout, all_dtypes[d], z->n, z->c, z->s, o);
                    const enum array inputs[] = {X, DY};
                    for (int k = 0; k < 2; k++)
                        for (size_t at = 0; at < z->n * z->s; at++)
                            for (size_t c = 0; c < z->c && !o->at[at]; c++)
                                element_set(all_dtypes[d], b.p->array[inputs[k]].data,
                                            problem_index(b.p, inputs[k], at / z->s, c, at % z->s),
                                            at % 2 ? (double)NAN : (double)INFINITY);
                    run_both(&a);
                    run_both(&b);
                    for (enum array k = Y; k < ARRAYS; k++)
                        if (k == Y || k == DX) assert_equal_arrays(a.p, k, b.p, k);
                    for (enum array k = RUNNING_MEAN; k <= SAVE_RSTD; k++)
                        if (k != TWEIGHT && k != TBIAS && k != GWEIGHT)
                            for (size_t c = 0; c < z->c; c++) assert_true(number_of(a.p, k, c) == number_of(b.p, k, c));
                    let_go(NULL);
                }
}

/* Without the flag x alone may be anything: the statistics are those of the ones, and dx where there is none has no x in it. */
TEST(an_x_that_has_a_0_is_not_needed) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (enum pattern pattern = FRONT; pattern < PATTERNS; pattern++)
                for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
                    const struct size *z = &sizes[i];
                    const struct ones *o = make_ones(z->n, z->s, pattern, DENSE, 0);
                    struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, o),
                                  b = make(layout, all_dtypes[d], z->n, z->c, z->s, o);
                    for (size_t at = 0; at < z->n * z->s; at++)
                        for (size_t c = 0; c < z->c && !o->at[at]; c++)
                            element_set(all_dtypes[d], b.p->array[X].data, problem_index(b.p, X, at / z->s, c, at % z->s),
                                        (double)NAN);
                    run_both(&a);
                    run_both(&b);
                    for (size_t at = 0; at < z->n * z->s; at++)
                        for (size_t c = 0; c < z->c; c++) {
                            const enum array k = o->at[at] ? Y : DX;
                            const ptrdiff_t place = problem_index(a.p, k, at / z->s, c, at % z->s);
                            assert_true(element_get(all_dtypes[d], a.p->array[k].data, place) ==
                                        element_get(all_dtypes[d], b.p->array[k].data, place));
                        }
                    for (enum array k = SAVE_MEAN; k <= SAVE_RSTD; k++)
                        for (size_t c = 0; c < z->c; c++) assert_true(number_of(a.p, k, c) == number_of(b.p, k, c));
                    let_go(NULL);
                }
}

/* Fused calls: y is act(y + z) of the plain call, dz is 0 where y is, and dx is that of dz. */
static void check_fused(const struct masked *plain, const struct masked *fused) {
    const struct ones *o = plain->o;
    const batchnorm_dtype dtype = plain->p->shape.dtype;
    const bool outputs = o->mask.flags & BATCHNORM_MASK_OUTPUTS;
    for (size_t i = 0; i < o->n * o->s; i++)
        for (size_t c = 0; c < plain->p->shape.channels; c++) {
            const size_t n = i / o->s, s = i % o->s;
            const double v = element_get(dtype, plain->p->array[Y].data, problem_index(plain->p, Y, n, c, s)) +
                             element_get(dtype, plain->p->array[Z].data, problem_index(plain->p, Z, n, c, s));
            const double y = element_get(dtype, fused->p->array[Y].data, problem_index(fused->p, Y, n, c, s));
            const double dz = element_get(dtype, fused->p->array[DZ].data, problem_index(fused->p, DZ, n, c, s));
            const double dy = element_get(dtype, plain->p->array[DY].data, problem_index(plain->p, DY, n, c, s));
            const bool is_0 = outputs && !o->at[i];
            assert_true(y == (is_0 ? 0 : activated(dtype, fused->f.activation, element_round(dtype, v))));
            assert_true(dz == (is_0 ? 0 : gated(dtype, fused->f.activation, element_round(dtype, v), dy)));
        }
}

TEST(fused_calls_are_the_separate_steps) {
    for (int d = 0; d < 2; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (int k = 0; k < fused_activation_count; k++)
                for (int variant = 0; variant < 8; variant++) {
                    const struct size *z = &sizes[i];
                    const enum layout layout = variant & 1 ? CHANNELS_LAST : PLANAR;
                    const enum pattern pattern = variant & 4 ? FRONT : RANDOM;
                    if (z->c * z->s * z->n > 20000 && k % 3) continue;
                    const struct ones *o = make_ones(z->n, z->s, pattern, DENSE, variant >> 1 & 1);
                    if (o->count < 2) continue; /* a backward does not know that all of them were equal */
                    struct masked a = make(layout, all_dtypes[d], z->n, z->c, z->s, o),
                                  b = make(layout, all_dtypes[d], z->n, z->c, z->s, o);
                    b.f = (struct fused){fused_activations[k], true, (i & 1) != 0};
                    run_both(&b);
                    const batchnorm_forward_call forward = forward_of(&a);
                    assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_OK);
                    check_fused(&a, &b);
                    copy_values(b.p, DZ, DY); /* of which the plain backward gives the same dx */
                    copy_values(b.p, DX, GX);
                    b.f = (struct fused){.residual = false};
                    const batchnorm_backward_call backward = backward_of(&b);
                    const double dweight = number_of(b.p, DWEIGHT, 0);
                    assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
                    assert_equal_arrays(b.p, DX, b.p, GX);
                    assert_true(number_of(b.p, DWEIGHT, 0) == dweight);
                    let_go(NULL);
                }
}

/* Numbers */

/* The loss is S[r y], over everything; dx is its derivative, at every x, be it a 1 or a 0. */
static double loss_of(const struct masked *m) {
    const batchnorm_forward_call forward = forward_of(m);
    double loss = 0;
    assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_OK);
    for (size_t i = 0; i < m->o->n * m->o->s; i++)
        for (size_t c = 0; c < m->p->shape.channels; c++) {
            const size_t n = i / m->o->s, s = i % m->o->s;
            loss += element_get(BATCHNORM_F64, m->p->array[Y].data, problem_index(m->p, Y, n, c, s)) *
                    element_get(BATCHNORM_F64, m->p->array[DY].data, problem_index(m->p, DY, n, c, s));
        }
    return loss;
}

TEST(dx_is_the_difference_quotient) {
    const double h = 1e-5;
    for (int variant = 0; variant < 8; variant++) {
        const struct ones *o = make_ones(4, 9, variant & 4 ? FRONT : RANDOM, DENSE, variant & 1);
        struct masked m = make(variant & 2 ? CHANNELS_LAST : PLANAR, BATCHNORM_F64, 4, 3, 9, o);
        run_both(&m);
        for (size_t i = 0; i < 4 * 9; i++)
            for (size_t c = 0; c < 3; c++) {
                double *x = (double *)m.p->array[X].data + problem_index(m.p, X, i / 9, c, i % 9);
                const double before = *x,
                             dx = element_get(BATCHNORM_F64, m.p->array[DX].data, problem_index(m.p, DX, i / 9, c, i % 9));
                *x = before + h;
                const double above = loss_of(&m);
                *x = before - h;
                const double below = loss_of(&m);
                *x = before;
                assert_true(fabs((above - below) / (2 * h) - dx) < 1e-6 * (1 + fabs(dx)));
            }
        let_go(NULL);
    }
}

/* The running statistics move by the ones alone: the unbiased factor is that of their number. */
TEST(running_statistics_are_those_of_the_ones) {
    const struct ones *o = make_ones(5, 40, RANDOM, DENSE, 0);
    struct masked m = make(PLANAR, BATCHNORM_F64, 5, 3, 40, o);
    m.p->options.momentum = 1;
    run_both(&m);
    long double *valid = keep(calloc(200, sizeof *valid), free);
    for (size_t c = 0; c < 3; c++) {
        const struct oracle want = statistics(&m, keep(problem_channel(m.p, X, c), free), valid);
        const long double n = (long double)want.m;
        assert_true(fabsl(number_of(m.p, RUNNING_MEAN, c) - want.mean) < 1e-13L);
        assert_true(fabsl(number_of(m.p, RUNNING_VAR, c) - want.var * n / (n - 1)) < 1e-13L);
    }
}

/* Of none, or one, there is no statistic unless it is allowed; then mean and var of none are 0. */
TEST(too_few_ones) {
    for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++)
        for (int count = 0; count < 2; count++) {
            struct ones *o = make_ones(3, 50, ONE, DENSE, 0);
            if (!count) memset(o->bytes, 0, 150), memset(o->at, 0, 150), o->count = 0;
            struct masked m = make(layout, BATCHNORM_F32, 3, 5, 50, o);
            m.p->options.allow_one_value = false;
            problem_snapshot(m.p);
            batchnorm_forward_call forward = forward_of(&m);
            assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_ONE_VALUE);
            assert_null(problem_untouched(m.p));
            m.p->options.allow_one_value = true;
            assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_OK);
            check_forward(&m);
            if (!count) {
                const struct problem_array *mean = &m.p->array[RUNNING_MEAN], *var = &m.p->array[RUNNING_VAR];
                assert_memory_equal(mean->lowest, mean->before, mean->count * 4);
                assert_memory_equal(var->lowest, var->before, var->count * 4);
            }
            const batchnorm_backward_call backward = backward_of(&m);
            assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
            check_backward(&m);
            let_go(NULL);
        }
}

/* Statistics and sums as values count ones, and are what the calls use. */
TEST(values_are_those_of_the_calls) {
    for (int d = 0; d < 4; d++)
        for (size_t i = 0; i < SIZES; i++)
            for (unsigned flags = 0; flags < 2; flags++)
                for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
                    const struct size *z = &sizes[i];
                    const struct ones *o = make_ones(z->n, z->s, RANDOM, DENSE, flags);
                    struct masked m = make(layout, all_dtypes[d], z->n, z->c, z->s, o);
                    batchnorm_stat *stats = keep(calloc(z->c, sizeof *stats), free);
                    batchnorm_sum *sums = keep(calloc(z->c, sizeof *sums), free);
                    run_both(&m);
                    copy_values(m.p, DX, GX);
                    batchnorm_backward_call backward = backward_of(&m);
                    const batchnorm_stats_call accumulate = {
                        .size = sizeof accumulate, .shape = backward.shape, .x = backward.x, .stats = stats, .mask = o->mask};
                    assert_int_equal(batchnorm_stats_accumulate(&accumulate, NULL), BATCHNORM_OK);
                    const batchnorm_sums_call add = {.size = sizeof add,
                                                     .shape = backward.shape,
                                                     .x = backward.x,
                                                     .dy = backward.dy,
                                                     .weight = backward.weight,
                                                     .save_mean = backward.save_mean,
                                                     .save_rstd = backward.save_rstd,
                                                     .sums = sums,
                                                     .mask = o->mask};
                    assert_int_equal(batchnorm_sums_accumulate(&add, NULL), BATCHNORM_OK);
                    for (size_t c = 0; c < z->c; c++)
                        assert_true(stats[c].count == (double)o->count && sums[c].count == (double)o->count &&
                                    stats[c].mean == number_of(m.p, SAVE_MEAN, c));
                    backward.sums = sums;
                    assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
                    assert_equal_arrays(m.p, DX, m.p, GX);
                    let_go(NULL);
                }
}

/* With a grain the batch falls apart anywhere between two chunks, also where chunks have no ones: two halves, whose statistics
 * and sums are merged in the order of the tree, are the whole. */
TEST(chunks_are_those_of_the_whole) {
    for (int d = 0; d < 4; d++)
        for (enum pattern pattern = FRONT; pattern < PATTERNS; pattern++)
            for (enum layout layout = PLANAR; layout <= CHANNELS_LAST; layout++) {
                enum { N = 8, C = 21, S = 130 };
                struct ones *o = make_ones(N, S, pattern, DENSE, 0);
                struct masked m = make(layout, all_dtypes[d], N, C, S, o);
                batchnorm_forward_call forward = forward_of(&m);
                forward.grain = 2;
                assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_OK);
                check_forward(&m);
                batchnorm_backward_call backward = backward_of(&m);
                backward.grain = 2;
                assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
                check_backward(&m);
                let_go(NULL);
            }
}

/* Refusals */

TEST(bad_masks_are_refused) {
    struct ones *o = make_ones(5, 40, RANDOM, DENSE, 0);
    struct masked m = make(PLANAR, BATCHNORM_F32, 5, 3, 40, o);
    char message[200];
    batchnorm_exec exec = {.size = sizeof exec, .message = message, .message_bytes = sizeof message};
    const batchnorm_forward_call good = forward_of(&m);
    const batchnorm_backward_call good_backward = backward_of(&m);
    const batchnorm_mask bad[] = {{.data = o->bytes, .outer = 40, .inner = 1, .lengths = o->lengths},
                                  {.lengths = o->lengths, .flags = 2},
                                  {.flags = 4},
                                  {.data = o->bytes, .outer = PTRDIFF_MAX / 2, .inner = 1},
                                  {.data = m.p->array[Y].data, .outer = 40, .inner = 1},
                                  {.data = m.p->array[SAVE_MEAN].data, .inner = 0}};
    static const batchnorm_status want[] = {BATCHNORM_BAD_OPTION, BATCHNORM_BAD_OPTION, BATCHNORM_BAD_OPTION,
                                            BATCHNORM_TOO_LARGE,  BATCHNORM_OVERLAP,    BATCHNORM_OVERLAP};
    problem_snapshot(m.p);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        batchnorm_forward_call call = good;
        call.mask = bad[i];
        assert_int_equal(batchnorm_forward(&call, &exec), want[i]);
        assert_null(problem_untouched(m.p));
        if (i == 4) assert_string_equal(message, "y overlaps the mask in a way that is not allowed");
        if (i == 5) assert_string_equal(message, "save_mean overlaps the mask in a way that is not allowed");
        batchnorm_backward_call backward = good_backward;
        backward.mask = bad[i];
        if (i < 4) assert_int_equal(batchnorm_backward(&backward, &exec), want[i]);
    }
    batchnorm_forward_call call = good;
    o->lengths[3] = 41;
    call.mask = (batchnorm_mask){.lengths = o->lengths};
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_BAD_OPTION);
    call = good;
    exec.workspace = o->bytes;
    exec.workspace_bytes = 1;
    assert_int_equal(batchnorm_forward(&call, &exec), BATCHNORM_OVERLAP);
    assert_string_equal(message, "the workspace overlaps the mask in a way that is not allowed");
    assert_null(problem_untouched(m.p));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(formulas, let_go),
        cmocka_unit_test_teardown(formulas_in_every_layout, let_go),
        cmocka_unit_test_teardown(all_ones_give_the_bits_of_no_mask, let_go),
        cmocka_unit_test_teardown(forms_give_the_same_bits, let_go),
        cmocka_unit_test_teardown(who_runs_it_changes_no_bit, let_go),
        cmocka_unit_test_teardown(workspaces_are_exact, let_go),
        cmocka_unit_test_teardown(in_place_gives_the_same_bits, let_go),
        cmocka_unit_test_teardown(what_has_a_0_does_not_get_in, let_go),
        cmocka_unit_test_teardown(an_x_that_has_a_0_is_not_needed, let_go),
        cmocka_unit_test_teardown(fused_calls_are_the_separate_steps, let_go),
        cmocka_unit_test_teardown(dx_is_the_difference_quotient, let_go),
        cmocka_unit_test_teardown(running_statistics_are_those_of_the_ones, let_go),
        cmocka_unit_test_teardown(too_few_ones, let_go),
        cmocka_unit_test_teardown(values_are_those_of_the_calls, let_go),
        cmocka_unit_test_teardown(chunks_are_those_of_the_whole, let_go),
        cmocka_unit_test_teardown(bad_masks_are_refused, let_go),
    };
    return cmocka_run_group_tests_name("api.masks", tests, NULL, NULL);
}
