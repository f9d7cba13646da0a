/* SPDX-License-Identifier: MIT */
/* Masked calls against what flax and Keras gave: tests/golden/make_masks.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"
#include "tests/support/test.h"

enum { MOST = 128 };

/* The arrays of a record, in the order of the file. */
enum { ONES, X, DY, WEIGHT, BIAS, Y, DX, DWEIGHT, DBIAS, RUNNING_MEAN, RUNNING_VAR, ARRAYS };
static const char *const names[ARRAYS] = {"mask", "x",       "dy",    "weight",       "bias",       "y",
                                          "dx",   "dweight", "dbias", "running_mean", "running_var"};

struct record {
    char who[16];
    size_t n, c, s;
    double array[ARRAYS][MOST];
};

static size_t count_of(const struct record *r, int array) {
    return array == ONES ? r->n * r->s : array == X || array == DY || array == Y || array == DX ? r->n * r->c * r->s : r->c;
}

static bool read_record(FILE *file, struct record *r) {
    char name[32];
    if (fscanf(file, "%15s %zu %zu %zu", r->who, &r->n, &r->c, &r->s) != 4) return false;
    for (int i = 0; i < ARRAYS; i++) {
        assert_int_equal(fscanf(file, "%31s", name), 1);
        assert_string_equal(name, names[i]);
        assert_true(count_of(r, i) <= MOST);
        for (size_t k = 0; k < count_of(r, i); k++) assert_int_equal(fscanf(file, "%lf", &r->array[i][k]), 1);
    }
    return true;
}

static void put(const struct record *r, int array, batchnorm_strides strides, double *to) {
    for (size_t i = 0; i < r->n * r->c * r->s; i++)
        to[i / r->c / r->s * (size_t)strides.outer + i / r->s % r->c * (size_t)strides.channel +
           i % r->s * (size_t)strides.inner] = r->array[array][i];
}

/* flax computes the variance as a difference of squares, and so loses some digits; Keras computes in float what it is given in
 * double. */
static void compare(const struct record *r, int array, const double *got, batchnorm_strides strides) {
    const double bound = strcmp(r->who, "keras") == 0 ? 4e-6 : 1e-12;
    double want[MOST];
    if (count_of(r, array) == r->c)
        memcpy(want, r->array[array], sizeof want);
    else
        put(r, array, strides, want);
    for (size_t i = 0; i < count_of(r, array); i++)
        if (!(fabs(got[i] - want[i]) <= bound * (1 + fabs(want[i]))))
            fail_msg("%s's %s[%zu] is %.17g, ours %.17g", r->who, names[array], i, want[i], got[i]);
}

static void replay(const struct record *r, bool rows) {
    const bool is_keras = strcmp(r->who, "keras") == 0;
    const batchnorm_shape shape = {r->n, r->c, r->s, BATCHNORM_F64};
    const batchnorm_strides strides = rows ? batchnorm_channels_last(shape) : batchnorm_planar(shape);
    batchnorm_options options = batchnorm_convention(is_keras ? BATCHNORM_KERAS : BATCHNORM_FLAX);
    double x[MOST], dy[MOST], y[MOST], dx[MOST], dweight[MOST], dbias[MOST], save[2][MOST], mean[MOST] = {0}, var[MOST];
    unsigned char ones[MOST];
    options.momentum = 0.9;
    put(r, X, strides, x);
    put(r, DY, strides, dy);
    for (size_t i = 0; i < r->n * r->s; i++) ones[i] = r->array[ONES][i] != 0;
    for (size_t c = 0; c < r->c; c++) var[c] = 1;
    const batchnorm_mask mask = {.data = ones, .outer = (ptrdiff_t)r->s, .inner = 1};
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {x, strides},
                                            .y = {y, strides},
                                            .weight = r->array[WEIGHT],
                                            .bias = r->array[BIAS],
                                            .running_mean = mean,
                                            .running_var = var,
                                            .save_mean = save[0],
                                            .save_rstd = save[1],
                                            .options = &options,
                                            .mask = mask};
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = {x, strides},
                                              .dy = {dy, strides},
                                              .dx = {dx, strides},
                                              .weight = r->array[WEIGHT],
                                              .save_mean = save[0],
                                              .save_rstd = save[1],
                                              .dweight = dweight,
                                              .dbias = dbias,
                                              .mask = mask};
    assert_int_equal(batchnorm_forward(&forward, NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
    const double *const got[ARRAYS] = {
        [Y] = y, [DX] = dx, [DWEIGHT] = dweight, [DBIAS] = dbias, [RUNNING_MEAN] = mean, [RUNNING_VAR] = var};
    for (int i = Y; i < ARRAYS; i++) compare(r, i, got[i], strides);
}

TEST(flax_and_keras_give_the_same) {
    static struct record r;
    FILE *file = fopen("golden/masks.txt", "r");
    int records = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "#%*[^\n]"), 0);
    for (; read_record(file, &r); records++)
        for (int rows = 0; rows < 2; rows++) replay(&r, rows != 0);
    fclose(file);
    assert_int_equal(records, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(flax_and_keras_give_the_same)};
    return cmocka_run_group_tests_name("api.masks.golden", tests, NULL, NULL);
}
