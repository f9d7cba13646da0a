/* SPDX-License-Identifier: MIT */
/* The checks that every call shares: sizes, strides, overlap. Overlap is compared with the truth, found by listing every byte.
 * A little longer than 300 lines, because each check is a few lines on its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/check.h"
#include "api/geometry.h"
#include "tests/support/support.h"
#include "tests/support/test.h"

enum { ARENA = 4096 };
static char arena[ARENA];

/* A geometry of two arrays, (N, C, S) in this order, with strides in elements. */
struct two {
    int64_t n, c, s;
    ptrdiff_t at[2], stride[2][3];
    batchnorm_dtype dtype;
};

static struct bn_geometry geometry_of(const struct two *t) {
    struct bn_geometry g = {.dtype = t->dtype, .channels = (size_t)t->c, .count = (size_t)(t->n * t->s), .dims = 2};
    g.extent[0] = (size_t)t->n;
    g.extent[1] = (size_t)t->s;
    for (int i = 0; i < 2; i++)
        g.array[i] = (struct bn_array){
            .data = arena + ARENA / 2 + t->at[i], .channel = t->stride[i][1], .stride = {t->stride[i][0], t->stride[i][2]}};
    return g;
}

/* One whose arrays lie where they fit. */
static struct bn_geometry located(const struct two *t) {
    struct bn_geometry g = geometry_of(t);
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    return g;
}

/* How often the elements of array i touch each byte. */
static void touch(const struct two *t, int i, unsigned char *count) {
    const ptrdiff_t bytes = (ptrdiff_t)batchnorm_dtype_bytes(t->dtype);
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t c = 0; c < t->c; c++)
            for (int64_t s = 0; s < t->s; s++) {
                const ptrdiff_t element = n * t->stride[i][0] + c * t->stride[i][1] + s * t->stride[i][2];
                unsigned char *at = count + ARENA / 2 + t->at[i] + element * bytes;
                assert_true(at >= count && at + bytes <= count + ARENA);
                for (ptrdiff_t b = 0; b < bytes; b++)
                    if (at[b] < 255) at[b]++;
            }
}

static bool is_distinct(const struct two *t) {
    static unsigned char count[ARENA];
    memset(count, 0, sizeof count);
    touch(t, 1, count);
    for (int i = 0; i < ARENA; i++)
        if (count[i] > 1) return false;
    return true;
}

static bool is_disjoint(const struct two *t) {
    static unsigned char x[ARENA], y[ARENA];
    memset(x, 0, sizeof x);
    memset(y, 0, sizeof y);
    touch(t, 0, x);
    touch(t, 1, y);
    for (int i = 0; i < ARENA; i++)
        if (x[i] && y[i]) return false;
    return true;
}

static batchnorm_status outputs_of(const struct two *t, unsigned alias) {
    const struct bn_geometry g = located(t);
    struct bn_fault fault;
    return bn_check_outputs(&g, 2, alias, &fault);
}

/* What is accepted has distinct elements that no other array shares, and all that is so is accepted. */
TEST(exactly_what_overlaps_is_refused) {
    uint64_t seed = 1;
    int good = 0, accepted = 0;
    for (int i = 0; i < 20000; i++) {
        struct two t = {.n = 1 + (int64_t)(random_bits(&seed) % 3),
                        .c = 1 + (int64_t)(random_bits(&seed) % 3),
                        .s = 1 + (int64_t)(random_bits(&seed) % 4),
                        .dtype = random_bits(&seed) % 2 ? BATCHNORM_F32 : BATCHNORM_F16};
        for (int a = 0; a < 2; a++) {
            t.at[a] = (ptrdiff_t)(random_bits(&seed) % 48) - 24;
            for (int d = 0; d < 3; d++) t.stride[a][d] = (ptrdiff_t)(random_bits(&seed) % 33) - 16;
        }
        if (random_bits(&seed) % 2) memcpy(t.stride[1], t.stride[0], sizeof t.stride[0]);
        const bool fine = is_distinct(&t) && is_disjoint(&t), taken = outputs_of(&t, 0) == BATCHNORM_OK;
        if (taken != fine) fail_msg("case %d was %s", i, taken ? "accepted" : "refused");
        good += fine;
        accepted += taken;
    }
    assert_true(good > 1000);
    assert_int_equal(accepted, good);
}

/* Every second row or column of a matrix beside the other half, and rows that are woven into each other. */
TEST(woven_slices_are_accepted) {
    const struct two columns = {6, 3, 1, {0, 4}, {{7, 2, 0}, {7, 2, 0}}, BATCHNORM_F32}; /* q[:, 0:6:2] and q[:, 1:7:2] */
    const struct two woven = {3, 3, 1, {0, 4}, {{6, 2, 0}, {6, 2, 0}}, BATCHNORM_F32};
    const struct two itself = {3, 2, 1, {1024, 0}, {{1, 1, 0}, {2, 3, 0}}, BATCHNORM_F32}; /* 0 2 4 and 3 5 7 */
    const struct two *const table[] = {&columns, &woven, &itself};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_true(is_disjoint(table[i]) && is_distinct(table[i]));
        assert_int_equal(outputs_of(table[i], 0), BATCHNORM_OK);
    }
    struct two wrong = columns;
    wrong.at[1] = 8;
    assert_int_equal(outputs_of(&wrong, 0), BATCHNORM_OVERLAP);
    wrong = itself;
    wrong.n = 4; /* 6 is there, but no 3 + 3: still apart */
    assert_int_equal(outputs_of(&wrong, 0), BATCHNORM_OK);
    wrong.c = 3; /* 0 + 6 and 6 + 0 */
    assert_int_equal(outputs_of(&wrong, 0), BATCHNORM_BAD_STRIDE);
}

/* Steps that fit each other so badly that a search for a way around them has to give up: refused, and at once. */
TEST(what_cannot_be_decided_cheaply_is_refused) {
    struct bn_geometry g = {.dtype = BATCHNORM_F32, .channels = 1, .count = 1, .dims = BN_MAX_DIMS};
    const ptrdiff_t strange[] = {1000003, 1000033, 1000037, 1000039, 1000081, 1000099, 1000117};
    for (int d = 0; d < BN_MAX_DIMS; d++) {
        g.extent[d] = 40;
        g.array[0].stride[d] = g.array[1].stride[d] = 2 * strange[d] * (1 + d % 3);
    }
    g.array[0].data = arena;
    g.array[1].data = arena + 4;
    g.array[1].stride[6] -= 8;
    struct bn_fault fault;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    const batchnorm_status status = bn_check_outputs(&g, 2, 0, &fault);
    assert_true(status == BATCHNORM_OVERLAP || status == BATCHNORM_BAD_STRIDE);
}

/* y beside x in one buffer: channel slices of a larger tensor. */
TEST(slices_of_one_buffer_are_accepted) {
    const struct two nchw = {4, 3, 5, {0, 3 * 5 * 4}, {{35, 5, 1}, {35, 5, 1}}, BATCHNORM_F32};
    const struct two nhwc = {4, 3, 5, {0, 3 * 4}, {{35, 1, 7}, {35, 1, 7}}, BATCHNORM_F32};
    const struct two below = {4, 3, 5, {3 * 4, 0}, {{35, 1, 7}, {35, 1, 7}}, BATCHNORM_F32};
    const struct two flipped = {4, 3, 5, {0, 3 * 4}, {{35, 1, 7}, {-35, 1, -7}}, BATCHNORM_F32};
    const struct two *const table[] = {&nchw, &nhwc, &below, &flipped};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_true(is_disjoint(table[i]));
        assert_int_equal(outputs_of(table[i], 0), BATCHNORM_OK);
    }
    const struct two odd_and_even = {6, 1, 1, {0, 4}, {{2, 0, 0}, {4, 0, 0}}, BATCHNORM_F32};
    const struct two neighbours = {1, 1, 1, {0, 4}, {{0, 0, 0}, {0, 0, 0}}, BATCHNORM_F32};
    const struct two *const odd[] = {&odd_and_even, &neighbours};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        for (int swap = 0; swap < 2; swap++) {
            struct two t = *odd[i]; /* whichever of the two is the output */
            if (swap) t.at[0] = odd[i]->at[1], t.at[1] = odd[i]->at[0];
            if (swap) memcpy(t.stride[0], odd[i]->stride[1], sizeof t.stride[0]);
            if (swap) memcpy(t.stride[1], odd[i]->stride[0], sizeof t.stride[0]);
            assert_int_equal(outputs_of(&t, 0), BATCHNORM_OK);
        }
    struct two crossing = nhwc;
    crossing.at[1] = 2 * 4; /* the last channel of x is the first of y */
    assert_int_equal(outputs_of(&crossing, 0), BATCHNORM_OVERLAP);
    crossing = nchw;
    crossing.at[1] = 3 * 5 * 4 - 4;
    assert_int_equal(outputs_of(&crossing, 0), BATCHNORM_OVERLAP);
}

TEST(only_the_very_same_array_may_be_an_alias) {
    struct two t = {2, 3, 4, {0, 0}, {{12, 4, 1}, {12, 4, 1}}, BATCHNORM_F32};
    assert_int_equal(outputs_of(&t, 1), BATCHNORM_OK);
    assert_int_equal(outputs_of(&t, 0), BATCHNORM_OVERLAP);
    assert_int_equal(outputs_of(&t, 2), BATCHNORM_OVERLAP); /* the other array must be an alias, not the output */
    t.at[1] = 4;
    assert_int_equal(outputs_of(&t, 1), BATCHNORM_OVERLAP);
    t.at[1] = 0;
    t.stride[1][0] = 24;
    assert_int_equal(outputs_of(&t, 1), BATCHNORM_OVERLAP);
    t.n = 1; /* along a dimension of one element any stride is the same */
    assert_int_equal(outputs_of(&t, 1), BATCHNORM_OK);
    t.stride[1][1] = 8; /* the channels count, too */
    assert_int_equal(outputs_of(&t, 1), BATCHNORM_OVERLAP);
    struct two empty[] = {t, t};
    empty[0].n = 0;
    empty[1].c = 0;
    for (int i = 0; i < 2; i++) {
        memset(empty[i].stride, 0, sizeof empty[i].stride);
        assert_int_equal(outputs_of(&empty[i], 0), BATCHNORM_OK);
    }
}

TEST(broadcast_outputs_are_refused) {
    struct two t = {2, 3, 4, {0, 1024}, {{0, 0, 0}, {12, 4, 1}}, BATCHNORM_F32};
    assert_int_equal(outputs_of(&t, 0), BATCHNORM_OK); /* an input may be broadcast */
    t.stride[1][1] = 0;
    assert_int_equal(outputs_of(&t, 0), BATCHNORM_BAD_STRIDE);
    t.c = 1;
    assert_int_equal(outputs_of(&t, 0), BATCHNORM_OK);
    t = (struct two){2, 3, 4, {0, 0}, {{0, 0, 0}, {11, 4, 1}}, BATCHNORM_F32};
    assert_int_equal(outputs_of(&t, 0), BATCHNORM_BAD_STRIDE); /* before OVERLAP */
}

TEST(absent_arrays_are_not_there) {
    const struct two t = {2, 3, 4, {0, 0}, {{12, 4, 1}, {0, 0, 0}}, BATCHNORM_F32};
    struct bn_geometry g = geometry_of(&t);
    struct bn_fault fault;
    g.array[1].data = NULL;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    assert_int_equal(bn_check_outputs(&g, 2, 0, &fault), BATCHNORM_OK);
    assert_int_equal(bn_check_outputs(&g, 3, 0, &fault), BATCHNORM_OK);
}

static batchnorm_status apart(const struct bn_geometry *g, unsigned arrays, const void *data, size_t bytes) {
    struct bn_fault fault;
    return bn_check_apart(g, arrays, data, bytes, BN_FAULT_LAYER, &fault);
}

TEST(numbers_beside_the_tensors_are_checked) {
    const struct two t = {2, 3, 4, {0, 1024}, {{-12, 4, 1}, {12, 4, 1}}, BATCHNORM_F32};
    const struct bn_geometry g = located(&t);
    char *lowest = arena + ARENA / 2 - 12 * 4, *end = arena + ARENA / 2 + 12 * 4;
    assert_int_equal(apart(&g, 1, lowest - 8, 8), BATCHNORM_OK);
    assert_int_equal(apart(&g, 1, lowest - 8, 9), BATCHNORM_OVERLAP);
    assert_int_equal(apart(&g, 1, end, 8), BATCHNORM_OK);
    assert_int_equal(apart(&g, 1, end - 1, 8), BATCHNORM_OVERLAP);
    assert_int_equal(apart(&g, 2, end - 1, 8), BATCHNORM_OK);
    assert_int_equal(apart(&g, 1, NULL, SIZE_MAX), BATCHNORM_OK);
}

/* Between the rows of a larger tensor there is room for a parameter. */
TEST(numbers_in_gaps_are_apart) {
    const struct two t = {4, 3, 5, {0, 1024}, {{20, 5, 1}, {15, 5, 1}}, BATCHNORM_F32}; /* 60 bytes, and a gap of 20 */
    const struct bn_geometry g = located(&t);
    char *gap = arena + ARENA / 2 + 60;
    assert_int_equal(apart(&g, 1, gap + 80, 20), BATCHNORM_OK);
    assert_int_equal(apart(&g, 1, gap + 80, 21), BATCHNORM_OVERLAP);
    assert_int_equal(apart(&g, 1, gap + 79, 20), BATCHNORM_OVERLAP);
    assert_int_equal(apart(&g, 1, gap, 81), BATCHNORM_OVERLAP); /* longer than a step */
}

static batchnorm_status numbers_of(const struct bn_geometry *g, unsigned outputs, struct bn_numbers a, struct bn_numbers b) {
    const struct bn_numbers both[] = {a, b};
    struct bn_fault fault;
    const batchnorm_status status = bn_check_numbers(g, outputs, both, 2, &fault);
    const struct bn_numbers turned[] = {b, a};
    assert_int_equal(bn_check_numbers(g, outputs, turned, 2, &fault), status);
    return status;
}

TEST(numbers_that_are_written_meet_nothing) {
    const struct two t = {2, 3, 4, {0, 1024}, {{12, 4, 1}, {12, 4, 1}}, BATCHNORM_F32}; /* 96 bytes each, 3 channels */
    struct bn_geometry g = located(&t);
    char *x = arena + ARENA / 2, *y = x + 1024;
    const struct bn_numbers none = {"n", NULL, 8, true}, read = {"n", arena, 4, false}, write = {"n", arena + 64, 8, true};
    assert_int_equal(numbers_of(&g, 2, read, write), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, read, none), BATCHNORM_OK);
    /* read over read, and read over an input, are nobody's loss */
    assert_int_equal(numbers_of(&g, 2, read, read), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, read, (struct bn_numbers){"n", x, 4, false}), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, read, (struct bn_numbers){"n", y, 4, false}), BATCHNORM_OVERLAP);
    assert_int_equal(numbers_of(&g, 2, read, (struct bn_numbers){"n", x, 4, true}), BATCHNORM_OVERLAP);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", arena + 64 - 12, 4, false}), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", arena + 64 - 11, 4, false}), BATCHNORM_OVERLAP);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", arena + 64 + 24, 4, false}), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", arena + 64 + 23, 4, false}), BATCHNORM_OVERLAP);
    assert_int_equal(numbers_of(&g, 2, write, write), BATCHNORM_OVERLAP);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", x - 24, 8, true}), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", x - 23, 8, true}), BATCHNORM_OVERLAP);
    g.array[0].data = NULL;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    assert_int_equal(numbers_of(&g, 2, write, (struct bn_numbers){"n", x - 23, 8, true}), BATCHNORM_OK);
    g.array[1].data = NULL;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    g.channels = SIZE_MAX / 8; /* 2^64 bytes and more end where the address space does */
    assert_int_equal(numbers_of(&g, 0, (struct bn_numbers){"n", arena, 16, true}, (struct bn_numbers){"n", y, 4, false}),
                     BATCHNORM_OVERLAP);
    g.channels = 0;
    assert_int_equal(numbers_of(&g, 0, write, write), BATCHNORM_OK);
}

TEST(a_workspace_meets_nothing) {
    const struct two t = {2, 3, 4, {0, 1024}, {{12, 4, 1}, {12, 4, 1}}, BATCHNORM_F32}; /* 96 bytes each, 3 channels */
    const struct bn_geometry g = located(&t);
    char *x = arena + ARENA / 2, *numbers = arena + 256;
    const struct bn_numbers read = {"n", numbers, 4, false};
    const struct {
        char *at;
        size_t bytes;
        batchnorm_status status;
        int what;
    } table[] = {{x - 64, 64, BATCHNORM_OK, 0},
                 {x - 64, 65, BATCHNORM_OVERLAP, 0},
                 {x + 96, 64, BATCHNORM_OK, 0},
                 {x + 95, 1, BATCHNORM_OVERLAP, 0},
                 {x + 1024, 1, BATCHNORM_OVERLAP, 1},
                 {numbers - 8, 8, BATCHNORM_OK, 0},
                 {numbers + 11, 8, BATCHNORM_OVERLAP, BN_FAULT_NUMBERS},
                 {NULL, 8, BATCHNORM_OK, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const batchnorm_exec exec = {
            .size = sizeof(batchnorm_exec), .workspace = table[i].at, .workspace_bytes = table[i].bytes};
        struct bn_fault fault;
        assert_int_equal(bn_check_workspace(&g, &read, 1, &exec, &fault), table[i].status);
        if (table[i].status != BATCHNORM_OK) assert_int_equal(fault.what, table[i].what);
    }
}

TEST(sizes_must_fit_the_address_space) {
    const struct two t = {2, 3, 4, {0, 0}, {{12, 4, 1}, {12, 4, 1}}, BATCHNORM_F32};
    struct bn_geometry g = geometry_of(&t);
    g.extent[0] = SIZE_MAX / 4;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
    g.extent[1] = 0;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    g = geometry_of(&t);
    g.channels = 0; /* nothing is touched, so nothing can be too large */
    g.array[0].stride[0] = PTRDIFF_MAX;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    g = geometry_of(&t);
    g.extent[0] = 9;
    g.array[1].stride[0] = PTRDIFF_MAX / 16 + 1; /* each step fits; eight of them are 2^64 bytes, which wrap to 0 */
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
    g.array[1].stride[0] = -(PTRDIFF_MAX / 16 + 1);
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
    const struct two broadcast = {2, 3, 4, {0, 0}, {{0, 0, 0}, {0, 0, 0}}, BATCHNORM_F32};
    g = geometry_of(&broadcast);
    g.extent[0] = PTRDIFF_MAX / 8; /* one number in memory, but too many to count their bytes */
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
    g = geometry_of(&broadcast);
    g.channels = PTRDIFF_MAX / 8;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
    static const ptrdiff_t strides[] = {PTRDIFF_MAX, PTRDIFF_MIN, PTRDIFF_MAX / 4, PTRDIFF_MIN / 4};
    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++) {
        g = geometry_of(&t);
        g.array[1].stride[0] = strides[i];
        assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
        g.array[1].data = NULL;
        assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
        g = geometry_of(&t);
        g.extent[0] = 1;
        g.array[1].stride[0] = strides[i]; /* a dimension of one element goes nowhere */
        assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    }
    g = geometry_of(&t);
    g.array[0].data = (char *)8;
    g.array[0].channel = -4; /* begins below address 0 */
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
    g.array[0].data = (char *)(UINTPTR_MAX - 64);
    g.array[0].channel = 4;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_TOO_LARGE);
}

TEST(tensors_become_geometries) {
    const int64_t shape[] = {2, 3, 4, 5};
    batchnorm_tensor x = batchnorm_tensor_channels_last(arena, BATCHNORM_BF16, 4, shape);
    struct bn_geometry g;
    assert_int_equal(bn_geometry_from_tensor(&x, &g), BATCHNORM_OK);
    assert_int_equal(g.dtype, BATCHNORM_BF16);
    assert_int_equal(g.channels, 3);
    assert_int_equal(g.count, 40);
    assert_int_equal(g.dims, 3);
    static const size_t extents[] = {2, 4, 5};
    static const ptrdiff_t strides[] = {60, 15, 3};
    for (int d = 0; d < 3; d++) {
        assert_int_equal(g.extent[d], extents[d]);
        assert_int_equal(g.array[BN_X].stride[d], strides[d]);
    }
    assert_int_equal(g.array[BN_X].channel, 1);
    assert_ptr_equal(g.array[BN_X].data, arena);

    batchnorm_tensor y = batchnorm_tensor_contiguous(arena + 1024, BATCHNORM_BF16, 4, shape);
    assert_int_equal(bn_geometry_add_tensor(&g, BN_DX, &y), BATCHNORM_OK);
    assert_null(g.array[BN_DY].data);
    assert_int_equal(g.array[BN_DX].channel, 20);
    y.dtype = BATCHNORM_F16;
    assert_int_equal(bn_geometry_add_tensor(&g, BN_DX, &y), BATCHNORM_BAD_DTYPE);
    for (int d = 0; d < 4; d++) {
        y = batchnorm_tensor_contiguous(arena, BATCHNORM_BF16, 4, shape);
        y.shape[d]++;
        assert_int_equal(bn_geometry_add_tensor(&g, BN_DX, &y), BATCHNORM_BAD_SHAPE);
    }
    y = batchnorm_tensor_contiguous(arena, BATCHNORM_BF16, 3, shape);
    assert_int_equal(bn_geometry_add_tensor(&g, BN_DX, &y), BATCHNORM_BAD_SHAPE);
    y.data = NULL; /* absent: nothing else is looked at */
    assert_int_equal(bn_geometry_add_tensor(&g, BN_GDY, &y), BATCHNORM_OK);
    assert_null(g.array[BN_GDY].data);
}

TEST(eight_dimensions_are_enough_for_anybody) {
    const int64_t shape[] = {2, 2, 2, 2, 2, 2, 2, 2};
    const batchnorm_tensor x = batchnorm_tensor_contiguous(arena, BATCHNORM_F32, 8, shape);
    batchnorm_tensor y = batchnorm_tensor_channels_last(arena + 1024, BATCHNORM_F32, 8, shape);
    struct bn_geometry g;
    assert_int_equal(bn_geometry_from_tensor(&x, &g), BATCHNORM_OK);
    assert_int_equal(g.count, 128);
    assert_int_equal(bn_geometry_add_tensor(&g, BN_Y, &y), BATCHNORM_OK);
    struct bn_fault fault;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    assert_int_equal(bn_check_outputs(&g, 1U << BN_Y, 0, &fault), BATCHNORM_OK);
    g.array[BN_Y].data -= 4;
    assert_int_equal(bn_check_sizes(&g), BATCHNORM_OK);
    assert_int_equal(bn_check_outputs(&g, 1U << BN_Y, 0, &fault), BATCHNORM_OVERLAP);
}

static batchnorm_status from(int rank, const int64_t *shape, batchnorm_dtype dtype) {
    const batchnorm_tensor x = batchnorm_tensor_contiguous(NULL, dtype, rank, shape);
    struct bn_geometry g;
    return bn_geometry_from_tensor(&x, &g);
}

TEST(bad_tensors_are_refused) {
    const int64_t big = INT64_MAX / 2;
    assert_int_equal(from(1, (int64_t[]){3}, BATCHNORM_F32), BATCHNORM_BAD_RANK);
    assert_int_equal(from(-1, NULL, BATCHNORM_F32), BATCHNORM_BAD_RANK);
    assert_int_equal(from(2, (int64_t[]){3, -1}, BATCHNORM_F32), BATCHNORM_BAD_SHAPE);
    assert_int_equal(from(2, (int64_t[]){3, 2}, BATCHNORM_I64), BATCHNORM_BAD_DTYPE);
    assert_int_equal(from(2, (int64_t[]){3, 2}, (batchnorm_dtype)9), BATCHNORM_BAD_DTYPE);
    assert_int_equal(from(2, (int64_t[]){big, 3}, BATCHNORM_F32), BATCHNORM_TOO_LARGE);
    assert_int_equal(from(3, (int64_t[]){big, 1, 3}, BATCHNORM_F32), BATCHNORM_TOO_LARGE);
    assert_int_equal(from(3, (int64_t[]){big, big, 0}, BATCHNORM_F32), BATCHNORM_OK);
    assert_int_equal(from(4, (int64_t[]){big, 1, big, 0}, BATCHNORM_F32), BATCHNORM_OK);
    assert_int_equal(from(3, (int64_t[]){big / 2 + 1, 1, 4}, BATCHNORM_F32), BATCHNORM_TOO_LARGE); /* 2^63 */
    assert_int_equal(from(3, (int64_t[]){big + 1, 1, 4}, BATCHNORM_F32), BATCHNORM_TOO_LARGE);     /* 2^64 wraps to 0 */
    assert_int_equal(from(3, (int64_t[]){big, 0, 1}, BATCHNORM_F32), BATCHNORM_OK);
}

TEST(options_have_rules) {
    batchnorm_options o = batchnorm_convention(BATCHNORM_KERAS);
    assert_int_equal(bn_check_options(&o), BATCHNORM_OK);
    o.momentum = -7;
    assert_int_equal(bn_check_options(&o), BATCHNORM_OK);
    o.momentum = NAN;
    assert_int_equal(bn_check_options(&o), BATCHNORM_BAD_OPTION);
    o.momentum = 0;
    o.momentum_rule = (batchnorm_momentum_rule)2;
    assert_int_equal(bn_check_options(&o), BATCHNORM_BAD_OPTION);
    o.momentum_rule = BATCHNORM_MOMENTUM_OF_NEW;
    o.running_variance = (batchnorm_variance_rule)-1;
    assert_int_equal(bn_check_options(&o), BATCHNORM_BAD_OPTION);

    assert_int_equal(bn_check_eps(1e-300, true), BATCHNORM_OK);
    assert_int_equal(bn_check_eps(INFINITY, true), BATCHNORM_OK);
    assert_int_equal(bn_check_eps(0, true), BATCHNORM_BAD_EPS);
    assert_int_equal(bn_check_eps(0, false), BATCHNORM_OK);
    assert_int_equal(bn_check_eps(-1e-300, false), BATCHNORM_BAD_EPS);
    assert_int_equal(bn_check_eps(NAN, true), BATCHNORM_BAD_EPS);
    assert_int_equal(bn_check_eps(NAN, false), BATCHNORM_BAD_EPS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_what_overlaps_is_refused),
        cmocka_unit_test(woven_slices_are_accepted),
        cmocka_unit_test(what_cannot_be_decided_cheaply_is_refused),
        cmocka_unit_test(slices_of_one_buffer_are_accepted),
        cmocka_unit_test(only_the_very_same_array_may_be_an_alias),
        cmocka_unit_test(broadcast_outputs_are_refused),
        cmocka_unit_test(absent_arrays_are_not_there),
        cmocka_unit_test(numbers_beside_the_tensors_are_checked),
        cmocka_unit_test(numbers_in_gaps_are_apart),
        cmocka_unit_test(numbers_that_are_written_meet_nothing),
        cmocka_unit_test(a_workspace_meets_nothing),
        cmocka_unit_test(sizes_must_fit_the_address_space),
        cmocka_unit_test(tensors_become_geometries),
        cmocka_unit_test(eight_dimensions_are_enough_for_anybody),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(options_have_rules),
    };
    return cmocka_run_group_tests_name("api.check", tests, NULL, NULL);
}
