/* SPDX-License-Identifier: MIT */
/* The kernels that only move elements: what they give is what was there, bit for bit. */
#include "tests/kernel/golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static union elements to, expected;

static bool told(bool same, const struct bnk_table *table, int dtype, const char *name, size_t length, ptrdiff_t stride) {
    if (!same) printf("%s dtype %d: kernel %s (stride %td) length %zu differs\n", table->name, dtype, name, stride, length);
    return same;
}

static double or_zero(double v) { return isfinite(v) ? v : 0; }

static double median(double a, double b, double c) {
    if (a > b) return median(b, a, c);
    return c < a ? a : c < b ? c : b;
}

/* Three rows, 97 elements apart. */
static bool check_pivot(const struct bnk_table *table, int dtype, const union elements *x, size_t length, ptrdiff_t stride) {
    double out[PITCH], *end = out + length;
    const size_t first = stride < 0 ? length * (size_t)-stride : 1;
    const void *at[3];
    bool same = true;
    for (size_t r = 0; r < 3; r++) at[r] = (const char *)x + (first + 97 * r) * table->verbs[dtype]->bytes;
    *end = 77;
    table->verbs[dtype]->pivot(at, stride, length, out);
    for (size_t i = 0; i < length; i++) {
        double of[3];
        for (size_t r = 0; r < 3; r++)
            of[r] = or_zero(get(x, dtype, (size_t)((ptrdiff_t)(first + 97 * r) + (ptrdiff_t)i * stride)));
        same = same && out[i] == median(of[0], of[1], of[2]);
    }
    return told(same && *end == 77, table, dtype, "pivot", length, stride);
}

/* 5 rows, 400 elements apart, of columns `stride` apart, from and to rows of 64. */
static bool check_moves(const struct bnk_table *table, int dtype, const union elements *x, size_t length, size_t stride) {
    const size_t bytes = table->verbs[dtype]->bytes;
    const char *from = (const char *)x;
    bool same;
    memset(&to, 0, sizeof to), memset(&expected, 0, sizeof expected);
    for (size_t r = 0; r < 5; r++)
        for (size_t i = 0; i < length; i++)
            memcpy((char *)&expected + (r * 64 + i) * bytes, from + (r * 400 + i * stride) * bytes, bytes);
    table->verbs[dtype]->gather(from, 400, (ptrdiff_t)stride, 5, length, &to, 64);
    same = told(memcmp(&to, &expected, sizeof to) == 0, table, dtype, "gather", length, (ptrdiff_t)stride);
    memset(&to, 0, sizeof to), memset(&expected, 0, sizeof expected);
    for (size_t r = 0; r < 5; r++)
        for (size_t i = 0; i < length; i++)
            memcpy((char *)&expected + (r * 400 + i * stride) * bytes, from + (r * 64 + i) * bytes, bytes);
    table->verbs[dtype]->scatter(from, 64, 5, length, &to, 400, (ptrdiff_t)stride);
    return told(memcmp(&to, &expected, sizeof to) == 0, table, dtype, "scatter", length, (ptrdiff_t)stride) && same;
}

static bool check_stream(const struct bnk_table *table, const union elements *x, size_t first, size_t bytes) {
    memset(&to, 0, sizeof to), memset(&expected, 0, sizeof expected);
    memcpy((char *)&expected + first, (const char *)x + 3, bytes);
    table->stream((const char *)x + 3, bytes, (char *)&to + first);
    table->fence();
    return told(memcmp(&to, &expected, 2048) == 0, table, -1, "stream", bytes, (ptrdiff_t)first);
}

bool check_copies(const struct bnk_table *table, int dtype, const union elements *x) {
    bool good = true;
    for (size_t length = 0; length < 64; length++) {
        good &= check_pivot(table, dtype, x, length, 1);
        good &= check_pivot(table, dtype, x, length, 3);
        good &= check_pivot(table, dtype, x, length, -2);
        good &= check_moves(table, dtype, x, length, 1);
        good &= check_moves(table, dtype, x, length, 6);
        good &= check_stream(table, x, length, 200 + length * 3);
        good &= check_stream(table, x, length, length);
    }
    return good;
}
