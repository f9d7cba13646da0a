/* SPDX-License-Identifier: MIT */
/* A batch that is cut between ranks in any way gives what it gives whole: the same bits, in y, dx, dweight, dbias and the running
 * statistics of every rank. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/stats.h"
#include "ranks.h"
#include "tests/support/test.h"

enum { SAMPLES_MAX = 40, CHANNELS_MAX = 40, ELEMENTS_MAX = 1 << 19 };

/* A batch: elements of any type, in memory for 8 bytes each. */
struct batch {
    batchnorm_shape shape; /* of the whole */
    bool rows;
    size_t grain;
    batchnorm_activation activation;
    bool has_z;
    double x[ELEMENTS_MAX], z[ELEMENTS_MAX], dy[ELEMENTS_MAX];
};

/* What comes out. */
struct result {
    batchnorm_status forward, backward;
    double running[2][CHANNELS_MAX], save[2][CHANNELS_MAX], gradient[2][CHANNELS_MAX];
};

struct outputs {
    double y[ELEMENTS_MAX], dx[ELEMENTS_MAX], dz[ELEMENTS_MAX];
};

static struct batch batch;
static struct outputs whole, parts;

static uint64_t random_state;

/* From -1 to 1. */
static double next(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(random_state >> 11) * 0x1p-52 - 1;
}

static uint16_t half_of(float v, bool is_bf16) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (is_bf16) return (uint16_t)(bits >> 16);
    const int exponent = (int)(bits >> 23 & 255) - 112;
    if (exponent <= 0) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits >> 16 & 0x8000) | ((uint32_t)exponent << 10) | (bits >> 13 & 0x3ff));
}

static void put(void *array, batchnorm_dtype dtype, size_t i, double v) {
    if (dtype == BATCHNORM_F64)
        ((double *)array)[i] = v;
    else if (dtype == BATCHNORM_F32)
        ((float *)array)[i] = (float)v;
    else
        ((uint16_t *)array)[i] = half_of((float)v, dtype == BATCHNORM_BF16);
}

static void make_batch(batchnorm_shape shape, bool rows, size_t grain) {
    const size_t elements = shape.outer * shape.channels * shape.inner;
    assert_true(elements <= ELEMENTS_MAX && shape.channels <= CHANNELS_MAX);
    batch.shape = shape;
    batch.rows = rows;
    batch.grain = grain;
    for (size_t i = 0; i < elements; i++) {
        put(batch.x, shape.dtype, i, 100 + 3 * next());
        put(batch.z, shape.dtype, i, next());
        put(batch.dy, shape.dtype, i, next());
    }
}

/* The samples [first, first + count) of an array. */
static void *part_of(void *array, size_t first) {
    const size_t each = batch.shape.channels * batch.shape.inner;
    return (char *)array + first * each * batchnorm_dtype_bytes(batch.shape.dtype);
}

static batchnorm_strides strides(void) {
    return batch.rows ? batchnorm_channels_last(batch.shape) : batchnorm_planar(batch.shape);
}

static double weight[CHANNELS_MAX], bias[CHANNELS_MAX];

/* The ranks are threads enough. */
static const batchnorm_exec exec = {.size = sizeof exec, .threads = 1};

static void set_parameters(void) {
    for (size_t c = 0; c < batch.shape.channels; c++) {
        put(weight, batch.shape.dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32, c, 1 + 0.25 * (double)c);
        put(bias, batch.shape.dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32, c, 0.5 - 0.125 * (double)c);
    }
}

/* Runs a part through forward and backward. */
static void run_part(batchnorm_group *group, size_t first, size_t count, struct outputs *o, struct result *r) {
    batchnorm_shape shape = batch.shape;
    shape.outer = count;
    const batchnorm_strides s = strides();
    const bool acts = batch.activation.kind != BATCHNORM_IDENTITY;
    memset(r, 0, sizeof *r);
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {part_of(batch.x, first), s},
                                            .z = {batch.has_z ? part_of(batch.z, first) : NULL, s},
                                            .y = {part_of(o->y, first), s},
                                            .weight = weight,
                                            .bias = bias,
                                            .running_mean = r->running[0],
                                            .running_var = r->running[1],
                                            .save_mean = r->save[0],
                                            .save_rstd = r->save[1],
                                            .activation = batch.activation,
                                            .grain = batch.grain,
                                            .first_sample = first,
                                            .group = group};
    r->forward = batchnorm_forward(&forward, &exec);
    if (r->forward) return;
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = forward.x,
                                              .z = forward.z,
                                              .y = {acts ? forward.y.data : NULL, s},
                                              .dy = {part_of(batch.dy, first), s},
                                              .dx = {part_of(o->dx, first), s},
                                              .dz = {batch.has_z ? part_of(o->dz, first) : NULL, s},
                                              .weight = weight,
                                              .bias = bias,
                                              .save_mean = r->save[0],
                                              .save_rstd = r->save[1],
                                              .dweight = r->gradient[0],
                                              .dbias = r->gradient[1],
                                              .activation = batch.activation,
                                              .grain = batch.grain,
                                              .first_sample = first,
                                              .group = group};
    r->backward = batchnorm_backward(&backward, &exec);
}

/* A cut of the batch. */
struct cut {
    int ranks;
    size_t at[RANKS_MAX + 1];
    struct result result[RANKS_MAX];
};

static void run_rank(batchnorm_group *group, void *arg) {
    struct cut *cut = arg;
    const size_t first = cut->at[group->rank];
    run_part(group, first, cut->at[group->rank + 1] - first, &parts, &cut->result[group->rank]);
}

static void same(const char *what, const void *a, const void *b, size_t bytes, const struct cut *cut) {
    if (memcmp(a, b, bytes) == 0) return;
    print_message("%s: n %zu, c %zu, s %zu, dtype %d, %s, grain %zu, cut", what, batch.shape.outer, batch.shape.channels,
                  batch.shape.inner, (int)batch.shape.dtype, batch.rows ? "rows" : "planes", batch.grain);
    for (int i = 0; i <= cut->ranks; i++) print_message(" %zu", cut->at[i]);
    fail_msg(": %s differs", what);
}

static void compare(struct cut *cut, const struct result *wanted) {
    const size_t bytes =
        batch.shape.outer * batch.shape.channels * batch.shape.inner * batchnorm_dtype_bytes(batch.shape.dtype);
    memset(&parts, 0xaa, sizeof parts);
    run_ranks(cut->ranks, run_rank, cut);
    for (int i = 0; i < cut->ranks; i++) {
        const struct result *got = &cut->result[i];
        assert_int_equal(got->forward, BATCHNORM_OK);
        assert_int_equal(got->backward, BATCHNORM_OK);
        same("running statistics", got->running, wanted->running, sizeof got->running, cut);
        same("saved statistics", got->save, wanted->save, sizeof got->save, cut);
        same("gradients of parameters", got->gradient, wanted->gradient, sizeof got->gradient, cut);
    }
    same("y", parts.y, whole.y, bytes, cut);
    same("dx", parts.dx, whole.dx, bytes, cut);
    if (batch.has_z) same("dz", parts.dz, whole.dz, bytes, cut);
}

/* Cuts the batch between chunks, evenly, or anywhere, so that some ranks may have nothing. */
static void make_cut(struct cut *cut, int ranks, bool even) {
    const size_t grain = batch.grain, n = batch.shape.outer, chunks = (n + grain - 1) / grain;
    cut->ranks = ranks;
    for (int i = 0; i <= ranks; i++) {
        const size_t chunk = even ? chunks * (size_t)i / (size_t)ranks : (size_t)((next() + 1) / 2 * (double)(chunks + 1));
        cut->at[i] = i == 0 ? 0 : chunk * grain > n || i == ranks ? n : chunk * grain;
    }
    for (int i = 1; i <= ranks; i++)
        for (int k = i; k > 1 && cut->at[k] < cut->at[k - 1]; k--) {
            const size_t swap = cut->at[k];
            cut->at[k] = cut->at[k - 1];
            cut->at[k - 1] = swap;
        }
}

static void try_cuts(void) {
    static const int ranks[] = {1, 2, 3, 4, 5, 7};
    struct result wanted;
    struct cut cut;
    set_parameters();
    memset(&whole, 0xaa, sizeof whole);
    run_part(NULL, 0, batch.shape.outer, &whole, &wanted);
    assert_int_equal(wanted.forward, BATCHNORM_OK);
    assert_int_equal(wanted.backward, BATCHNORM_OK);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        for (int even = 0; even < 2; even++) {
            make_cut(&cut, ranks[i], even != 0);
            compare(&cut, &wanted);
        }
}

static void try_all(batchnorm_activation activation, bool has_z) {
    static const struct {
        size_t n, c, s, grain;
    } shapes[] = {{8, 3, 50, 1},   {8, 3, 50, 2},    {7, 5, 49, 2},   {13, 17, 9, 3}, {32, 40, 1, 4}, {33, 16, 1, 1},
                  {12, 2, 700, 4}, {5, 1, 40000, 1}, {9, 4, 6000, 2}, {40, 1, 3, 8},  {6, 40, 100, 8}};
    batch.activation = activation;
    batch.has_z = has_z;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++)
            for (int rows = 0; rows < 2; rows++) {
                const batchnorm_shape shape = {shapes[i].n, shapes[i].c, shapes[i].s, (batchnorm_dtype)dtype};
                make_batch(shape, rows != 0, shapes[i].grain);
                try_cuts();
            }
}

TEST(any_cut_gives_the_bits_of_the_whole) { try_all((batchnorm_activation){BATCHNORM_IDENTITY, 0}, false); }
TEST(any_cut_gives_the_bits_of_the_whole_with_relu_and_residual) { try_all(batchnorm_relu(), true); }
TEST(any_cut_gives_the_bits_of_the_whole_with_silu) { try_all(batchnorm_silu(), false); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_with_relu_and_residual),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_with_silu),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
