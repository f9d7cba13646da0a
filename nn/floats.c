/* SPDX-License-Identifier: MIT */
#include "floats.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vectorize.h"

float *nn_floats(size_t count) {
    const size_t line = 64;
    if (count > (SIZE_MAX - line) / sizeof(float)) return NULL;
    const size_t bytes = (count * sizeof(float) + line - 1) / line * line;
    float *floats = aligned_alloc(line, bytes > 0 ? bytes : line);
    if (floats) memset(floats, 0, bytes);
    return floats;
}

NN_VECTORIZED void nn_sum_rows(size_t rows, size_t columns, const float *x, float *sums) {
    memset(sums, 0, columns * sizeof *sums);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) sums[j] += x[i * columns + j];
    }
}

NN_VECTORIZED static void add_to(size_t count, float *restrict sum, const float *restrict x) {
    for (size_t i = 0; i < count; i++) sum[i] += x[i];
}

void nn_add(size_t count, float *restrict sum, const float *restrict x) {
#pragma omp parallel for schedule(static) if (count > NN_BLOCK)
    for (size_t b = 0; b < nn_blocks(count); b++) add_to(nn_block_size(count, b), sum + b * NN_BLOCK, x + b * NN_BLOCK);
}

uint64_t nn_hash(uint64_t value, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < count; i++) value = (value ^ at[i]) * UINT64_C(0x100000001b3);
    return value;
}
