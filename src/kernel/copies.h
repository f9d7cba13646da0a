/* SPDX-License-Identifier: MIT */
/* Copies of elements, of whatever type: between strided memory and packed rows, and of those that a mask chooses. */
#ifndef BNK_COPIES_H
#define BNK_COPIES_H

#include "kernel/steps.h"

/* Rows of 16 bytes, of which there are as many as elements in one: a square, which is turned in registers. */
typedef BNK_VECTOR(elem, 16) side;
enum { SIDE = sizeof(side) / sizeof(elem) };

/* The numbers of elements of sides. */
#if BNK_TYPE_IS(f64)
typedef BNK_VECTOR(int64_t, 16) numbers;
#elif BNK_TYPE_IS(f32)
typedef BNK_VECTOR(int32_t, 16) numbers;
#else
typedef BNK_VECTOR(uint16_t, 16) numbers;
#endif
#define CHOOSE(a, b, ...) BNK_CHOOSE(numbers, a, b, __VA_ARGS__)

/* The elements of the lower halves of a and b in turns, those of the upper halves, every second one of both, and the elements
 * of a backwards. */
#if BNK_TYPE_IS(f64)
#define LOWER(a, b) CHOOSE(a, b, 0, 2)
#define UPPER(a, b) CHOOSE(a, b, 1, 3)
#define SECOND(a, b) CHOOSE(a, b, 0, 2)
#define BACKWARDS(a) CHOOSE(a, a, 1, 0)
#elif BNK_TYPE_IS(f32)
#define LOWER(a, b) CHOOSE(a, b, 0, 4, 1, 5)
#define UPPER(a, b) CHOOSE(a, b, 2, 6, 3, 7)
#define SECOND(a, b) CHOOSE(a, b, 0, 2, 4, 6)
#define BACKWARDS(a) CHOOSE(a, a, 3, 2, 1, 0)
#else
#define LOWER(a, b) CHOOSE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define UPPER(a, b) CHOOSE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define SECOND(a, b) CHOOSE(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define BACKWARDS(a) CHOOSE(a, a, 7, 6, 5, 4, 3, 2, 1, 0)
#endif

/* Loads elements that are 1, 2 or -1 apart. With 2, one more element is read than the last that is wanted. */
BNK_INLINE side load_side(const elem *p, ptrdiff_t step) {
    side a, b;
    memcpy(&a, step < 0 ? p - (SIDE - 1) : p, sizeof a);
    if (step == 1) return a;
    if (step == -1) return BACKWARDS(a);
    memcpy(&b, p + SIDE, sizeof b);
    return SECOND(a, b);
}

BNK_INLINE bool has_step(ptrdiff_t step) { return step == 1 || step == 2 || step == -1; }

/* How many of some elements are loaded in whole sides, without reading beyond the last. */
BNK_INLINE size_t in_sides(size_t count, ptrdiff_t step) { return (step == 2 && count ? count - 1 : count) / SIDE * SIDE; }

/* Turns a square: q[i * to + j] = p[j * from + i * step]. Putting the rows of the upper half between those of the lower, each
 * element beside the one of the other row, log2(SIDE) times makes columns of the rows. */
BNK_INLINE void turn_square(const elem *p, ptrdiff_t step, ptrdiff_t from, elem *q, ptrdiff_t to) {
    side a[SIDE], b[SIDE];
#pragma GCC unroll 8
    for (int i = 0; i < SIDE; i++) a[i] = load_side(p + i * from, step);
#pragma GCC unroll 3
    for (int done = 1; done < SIDE; done *= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < SIDE / 2; i++) {
            b[2 * i] = LOWER(a[i], a[i + SIDE / 2]);
            b[2 * i + 1] = UPPER(a[i], a[i + SIDE / 2]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < SIDE; i++) a[i] = b[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < SIDE; i++) memcpy(q + i * to, &a[i], sizeof a[i]);
}

/* Elements of either side in squares that fit a line of the cache, so that a line of either is used up while it is there. */
enum { SQUARE = 16 };

/* Copies elements one by one: q[r * to_row + i * to] = p[r * from_row + i * from]. */
BNK_INLINE void move(const elem *p, ptrdiff_t from_row, ptrdiff_t from, size_t rows, size_t columns, elem *q, ptrdiff_t to_row,
                     ptrdiff_t to) {
    for (size_t c = 0; c < columns; c += SQUARE) {
        const size_t count = columns - c < SQUARE ? columns - c : SQUARE;
        for (size_t r = 0; r < rows; r++) {
            const elem *a = p + (ptrdiff_t)r * from_row + (ptrdiff_t)c * from;
            elem *b = q + (ptrdiff_t)r * to_row + (ptrdiff_t)c * to;
            if (count == SQUARE) {
#pragma GCC unroll 16
                for (int i = 0; i < SQUARE; i++, a += from, b += to) *b = *a;
            } else {
                for (size_t i = 0; i < count; i++, a += from, b += to) *b = *a;
            }
        }
    }
}

/* The same where the elements of one side's columns are near each other, and those of the other's rows side by side, so that
 * squares can be turned: p[r * step + i * from] to q[r * to + i]. */
BNK_INLINE void turn(const elem *p, ptrdiff_t step, ptrdiff_t from, size_t rows, size_t columns, elem *q, ptrdiff_t to) {
    const size_t whole_rows = in_sides(rows, step), whole_columns = in_sides(columns, 1);
    for (size_t r = 0; r < whole_rows; r += SIDE) {
        const elem *a = p + (ptrdiff_t)r * step;
        elem *b = q + (ptrdiff_t)r * to, *const end = b + whole_columns;
        for (; b < end; a += SIDE * from, b += SIDE) turn_square(a, step, from, b, to);
    }
    move(p + (ptrdiff_t)whole_columns * from, step, from, whole_rows, columns - whole_columns, q + whole_columns, to, 1);
    move(p + (ptrdiff_t)whole_rows * step, step, from, rows - whole_rows, columns, q + (ptrdiff_t)whole_rows * to, to, 1);
}

/* Copies elements of one row that are near each other. */
BNK_INLINE void gather_row(const elem *p, ptrdiff_t step, size_t columns, elem *q) {
    const size_t whole = in_sides(columns, step);
    for (size_t i = 0; i < whole; i += SIDE) {
        const side a = load_side(p + (ptrdiff_t)i * step, step);
        memcpy(q + i, &a, sizeof a);
    }
    for (size_t i = whole; i < columns; i++) q[i] = p[(ptrdiff_t)i * step];
}

/* Repeats one element. */
BNK_INLINE void gather_one(const elem *x, size_t columns, elem *q) {
    const size_t whole = in_sides(columns, 1);
    elem some[SIDE];
    for (size_t l = 0; l < SIDE; l++) some[l] = *x;
    for (size_t i = 0; i < whole; i += SIDE) memcpy(q + i, some, sizeof some);
    for (size_t i = whole; i < columns; i++) q[i] = *x;
}

static void gather(const void *from, ptrdiff_t row, ptrdiff_t column, size_t rows, size_t columns, void *to, size_t pitch) {
    const elem *p = from;
    elem *q = to;
    if (rows > 1 && has_step(row) && column != 0 && !has_step(column)) {
        if (row == 1) turn(p, 1, column, rows, columns, q, (ptrdiff_t)pitch);
        if (row == 2) turn(p, 2, column, rows, columns, q, (ptrdiff_t)pitch);
        if (row == -1) turn(p, -1, column, rows, columns, q, (ptrdiff_t)pitch);
    } else if (column == 0 || has_step(column)) {
        for (size_t r = 0; r < rows; r++, p += row, q += pitch) {
            if (column == 0) gather_one(p, columns, q);
            if (column == 1) gather_row(p, 1, columns, q);
            if (column == 2) gather_row(p, 2, columns, q);
            if (column == -1) gather_row(p, -1, columns, q);
        }
    } else {
        move(p, row, column, rows, columns, q, (ptrdiff_t)pitch, 1);
    }
}

static void scatter(const void *from, size_t pitch, size_t rows, size_t columns, void *to, ptrdiff_t row, ptrdiff_t column) {
    if (rows > 1 && row == 1)
        turn(from, 1, (ptrdiff_t)pitch, columns, rows, to, column);
    else
        move(from, (ptrdiff_t)pitch, 1, rows, columns, to, row, column);
}

static void pick(const void *from, ptrdiff_t row, ptrdiff_t column, size_t rows, const struct bnk_choice *choice, void *to,
                 size_t pitch) {
    for (size_t r = 0; r < rows; r++) {
        const elem *p = (const elem *)from + (ptrdiff_t)r * row;
        elem *q = (elem *)to + r * pitch;
        if (column == 1 && COMPRESSES && !IS_SHORT) {
            compress(p, choice->ones, choice->columns, q, sizeof(elem), choice->ahead);
        } else if (column == 1) {
#pragma GCC unroll 8
            for (size_t j = 0; j < choice->count; j++) q[j] = p[choice->index[j]];
        } else {
            for (size_t j = 0; j < choice->count; j++) q[j] = p[(ptrdiff_t)choice->index[j] * column];
        }
    }
}

static void replace(const void *from, size_t pitch, size_t rows, size_t columns, const struct bnk_replacement *by, void *to,
                    ptrdiff_t row) {
    for (size_t r = 0; r < rows; r++) {
        const elem *p = (const elem *)from + r * pitch;
        elem *q = (elem *)to + (ptrdiff_t)r * row;
        for (size_t i = 0; i < columns; i += BNK_LANES)
            replace_some(p + i, by, i, columns - i < BNK_LANES ? columns - i : BNK_LANES, q + i, sizeof(elem));
    }
}

#endif
