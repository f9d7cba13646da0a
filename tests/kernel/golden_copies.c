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

/* Rows and columns that lie apart by so much, in elements, from and to packed rows of 64; nothing beyond the last of either is
 * read, which sanitizers see, or written. */
struct moved {
    size_t rows;
    ptrdiff_t row, column;
    bool scatters;
};

static size_t place(const struct moved *m, size_t r, size_t i) {
    return (size_t)(SPACE / 2 + (ptrdiff_t)r * m->row + (ptrdiff_t)i * m->column);
}

static bool check_moves(const struct bnk_table *table, int dtype, const union elements *x, size_t length,
                        const struct moved *m) {
    const size_t bytes = table->verbs[dtype]->bytes;
    const char *from = (const char *)x;
    bool same;
    memset(&to, 0, sizeof to), memset(&expected, 0, sizeof expected);
    for (size_t r = 0; r < m->rows; r++)
        for (size_t i = 0; i < length; i++)
            memcpy((char *)&expected + (r * 64 + i) * bytes, from + place(m, r, i) * bytes, bytes);
    table->verbs[dtype]->gather(from + place(m, 0, 0) * bytes, m->row, m->column, m->rows, length, &to, 64);
    same = told(memcmp(&to, &expected, sizeof to) == 0, table, dtype, "gather", length, m->row * 1000 + m->column);
    if (!m->scatters) return same;
    memset(&to, 0, sizeof to), memset(&expected, 0, sizeof expected);
    for (size_t r = 0; r < m->rows; r++)
        for (size_t i = 0; i < length; i++)
            memcpy((char *)&expected + place(m, r, i) * bytes, from + (r * 64 + i) * bytes, bytes);
    table->verbs[dtype]->scatter(from, 64, m->rows, length, (char *)&to + place(m, 0, 0) * bytes, m->row, m->column);
    return told(memcmp(&to, &expected, sizeof to) == 0, table, dtype, "scatter", length, m->row * 1000 + m->column) && same;
}

static bool check_stream(const struct bnk_table *table, const union elements *x, size_t first, size_t bytes) {
    memset(&to, 0, sizeof to), memset(&expected, 0, sizeof expected);
    memcpy((char *)&expected + first, (const char *)x + 3, bytes);
    table->stream((const char *)x + 3, bytes, (char *)&to + first);
    table->fence();
    return told(memcmp(&to, &expected, 2048) == 0, table, -1, "stream", bytes, (ptrdiff_t)first);
}

bool check_copies(const struct bnk_table *table, int dtype, const union elements *x) {
    static const struct moved moves[] = {{5, 400, 1, true},   {5, 400, 6, true},   {21, 1, 100, true}, {1, 1, 100, true},
                                         {21, 1, -100, true}, {21, -1, 100, true}, {21, 2, 100, true}, {17, -1, -90, true},
                                         {4, 2, 60, true},    {19, 200, -1, true}, {19, 200, 2, true}, {19, -200, -3, true},
                                         {9, 300, 0, false},  {9, 1, 0, false},    {9, 0, 0, false},   {9, 0, 1, false},
                                         {9, 0, -1, false},   {9, 0, 2, false},    {9, 0, 5, false},   {2, 2, 1, false}};
    bool good = true;
    for (size_t length = 0; length < 64; length++) {
        good &= check_pivot(table, dtype, x, length, 1);
        good &= check_pivot(table, dtype, x, length, 3);
        good &= check_pivot(table, dtype, x, length, -2);
        const bool is_edge = length < 10 || length % 16 == 15 || length % 32 < 2; /* all would take minutes in an emulator */
        for (size_t i = 0; i < sizeof moves / sizeof *moves && is_edge; i++)
            good &= check_moves(table, dtype, x, length, &moves[i]);
        good &= check_stream(table, x, length, 200 + length * 3);
        good &= check_stream(table, x, length, length);
    }
    return good;
}
