/* SPDX-License-Identifier: MIT */
/* The affine of 16-bit elements, for every element and coefficients at which the kernels choose between a sum and a product
 * that has the addition in it: every instruction set gives the bits of the scalar formula, signs of zeros included. Plain C, so
 * that it also runs under an emulator. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernel/golden.h"

/* Rows end within a step. Of the channels of a call one may have other coefficients than the rest. */
enum { VALUES = 65536, COUNT = 37, ODD = 20, ROWS = SPACE / COUNT };

static const float sets[][BNK_AFFINE_COEFFICIENTS] = {
    {0.5f, 1e-9f, 1.25f, 0},
    {-3, -1e-8f, -0.7f, 0},
    {0.1f, 0, 3e4f, 0},
    {0, 0, 1.5f, 0},
    {0, 0, -1.5f, 0},
    {0x1p-60f, 0x1p-60f, -0x1p-60f, 0}, /* the least that are taken for a product */
    {0x1p-61f, 0x1p-60f, 0x1p-60f, 0},
    {0x1p-60f, 0x1p-61f, 0x1p-60f, 0},
    {0x1p-60f, 0x1p-60f, 0x1p-61f, 0},
    {0, 0x1p-149f, 0x1p-30f, 0}, /* products that vanish */
    {0, -0x1p-140f, -0x1p-30f, 0},
    {0, 0, 0x1p-30f, 0},
    {0, 0, -0x1p-149f, 0},
    {1, 0, -1, -0.0f}, /* addends that are something */
    {1, 0, 1, -0.0f},
    {1, 0, 2, 0x1p-140f},
    {1, 0, 2, -7},
    {1, 0, 0, 0},
    {INFINITY, 0, 1, 0},
    {1, 0, INFINITY, 0},
    {NAN, 0, 1, 0},
    {1, 0, -NAN, 0},
    {1, 0, 1, NAN},
};
enum { SETS = sizeof sets / sizeof *sets };

static float coefficients[BNK_AFFINE_COEFFICIENTS][COUNT + BNK_LANES];
static union elements x, y, expected;

static const float *set_of(size_t most, size_t odd, size_t channel) { return sets[channel == ODD ? odd : most]; }

static void set_all(size_t most, size_t odd) {
    for (size_t i = 0; i < BNK_AFFINE_COEFFICIENTS; i++)
        for (size_t c = 0; c < COUNT; c++) coefficients[i][c] = set_of(most, odd, c)[i];
}

/* In steps, because a compiler may keep more digits within an expression. */
static float formula(const float k[BNK_AFFINE_COEFFICIENTS], float v) {
    const float by_head = v - k[BNK_M1], distance = by_head - k[BNK_M2], product = distance * k[BNK_K];
    return product + k[BNK_B];
}

/* ROWS times COUNT elements: in rows, and as planes whose rows are of COUNT elements or of one. */
static bool check(const struct bnk_table *table, int dtype, size_t first, size_t most, size_t odd) {
    static const char *const names[] = {"rows", "planes", "planes of one element"};
    bool same = true;
    for (size_t i = 0; i < (size_t)ROWS * COUNT; i++) x.half[i] = (uint16_t)(first + i);
    set_all(most, odd);
    for (int shape = 0; shape < 3; shape++) {
        const bool in_planes = shape == 1;
        struct bnk_call call = {.rows = in_planes ? ROWS / COUNT : ROWS,
                                .channels = COUNT,
                                .length = shape == 2 ? 1 : COUNT,
                                .coefficients = {coefficients, COUNT + BNK_LANES}};
        const ptrdiff_t row = in_planes ? COUNT * COUNT : COUNT, channel = in_planes ? COUNT : 1;
        call.array[BNK_X] = (struct bnk_array){(char *)x.half, row, channel, 0};
        call.array[BNK_OUT] = (struct bnk_array){(char *)y.half, row, channel, 0};
        table->verbs[dtype]->verb[shape ? BNK_PLANE : BNK_ROWS][BNK_AFFINE](&call);
        const size_t count = call.rows * (size_t)row;
        for (size_t i = 0; i < count; i++) {
            const size_t c = in_planes ? i / COUNT % COUNT : i % COUNT;
            if (shape == 0 || most != odd) /* where all channels are alike, so is what is expected */
                put(&expected, dtype, i, (double)formula(set_of(most, odd, c), (float)get(&x, dtype, i)));
            if (bits_of(&y, dtype, i) == bits_of(&expected, dtype, i)) continue;
            if (same)
                printf("%s %s, %s, set %zu: 0x%04x becomes 0x%04x, expected 0x%04x\n", table->name, dtype_names[dtype],
                       names[shape], c == ODD ? odd : most, x.half[i], y.half[i], expected.half[i]);
            same = false;
        }
    }
    return same;
}

int main(int argc, char **argv) {
    bool right = true, any_type = false;
    const struct bnk_table *table;
    for (size_t t = 0; (table = bnk_runnable(t)); t++) {
        for (int dtype = BATCHNORM_BF16; dtype <= BATCHNORM_F16; dtype++) {
            if (!is_asked_for(argc, argv, dtype)) continue;
            any_type = true;
            for (size_t set = 0; set < SETS; set++) {
                for (size_t first = 0; first < VALUES; first += (size_t)ROWS * COUNT)
                    right = check(table, dtype, first, set, set) && right;
                right = check(table, dtype, 0, 0, set) && right;
            }
            printf("%s %s: %d sets of coefficients, all elements\n", table->name, dtype_names[dtype], SETS);
        }
    }
    return !(right && any_type);
}
