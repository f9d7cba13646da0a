/* SPDX-License-Identifier: MIT */
/* Copies of elements, of whatever type: between strided memory and packed rows, and of those that a mask chooses. */
#ifndef BNK_COPIES_H
#define BNK_COPIES_H

#include "kernel/steps.h"

/* Rows of 16 bytes, of which there are as many as elements in one: a square, which is turned in registers. */
typedef BNK_VECTOR(elem, 16) side;
enum { SIDE = sizeof(side) / sizeof(elem) };

/* The elements of the lower halves of a and b in turns, those of the upper halves, and the elements of a backwards. */
#if BNK_TYPE_IS(f64)
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 2)
#define UPPER(a, b) __builtin_shufflevector(a, b, 1, 3)
#define BACKWARDS(a) __builtin_shufflevector(a, a, 1, 0)
#elif BNK_TYPE_IS(f32)
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define UPPER(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define BACKWARDS(a) __builtin_shufflevector(a, a, 3, 2, 1, 0)
#else
#define LOWER(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define UPPER(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define BACKWARDS(a) __builtin_shufflevector(a, a, 7, 6, 5, 4, 3, 2, 1, 0)
#endif

/* Turns a square: q[i * to + j] = p[j * from + i]. Putting the rows of the upper half between those of the lower, each element
 * beside the one of the other row, log2(SIDE) times makes columns of the rows. */
BNK_INLINE void turn_square(const elem *p, ptrdiff_t from, elem *q, ptrdiff_t to) {
    side a[SIDE], b[SIDE];
#pragma GCC unroll 8
    for (int i = 0; i < SIDE; i++) memcpy(&a[i], p + i * from, sizeof a[i]);
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
        const size_t end = columns - c < SQUARE ? columns : c + SQUARE;
        for (size_t r = 0; r < rows; r++)
            for (size_t i = c; i < end; i++)
                q[(ptrdiff_t)r * to_row + (ptrdiff_t)i * to] = p[(ptrdiff_t)r * from_row + (ptrdiff_t)i * from];
    }
}

/* The same where one side's rows are the other's columns: p[r + i * from] and q[r * to + i], so that squares can be turned. */
BNK_INLINE void turn(const elem *p, ptrdiff_t from, size_t rows, size_t columns, elem *q, ptrdiff_t to) {
    const size_t whole_rows = rows - rows % SIDE, whole_columns = columns - columns % SIDE;
    for (size_t i = 0; i < whole_columns; i += SIDE)
        for (size_t r = 0; r < whole_rows; r += SIDE)
            turn_square(p + r + (ptrdiff_t)i * from, from, q + (ptrdiff_t)r * to + i, to);
    move(p + (ptrdiff_t)whole_columns * from, 1, from, whole_rows, columns - whole_columns, q + whole_columns, to, 1);
    move(p + whole_rows, 1, from, rows - whole_rows, columns, q + (ptrdiff_t)whole_rows * to, to, 1);
}

static void gather_backwards(const elem *p, size_t columns, elem *q) {
    size_t i = 0;
    for (; i + SIDE <= columns; i += SIDE) {
        side a;
        memcpy(&a, p - (ptrdiff_t)(i + SIDE - 1), sizeof a);
        a = BACKWARDS(a);
        memcpy(q + i, &a, sizeof a);
    }
    for (; i < columns; i++) q[i] = p[-(ptrdiff_t)i];
}

static void gather_one(elem x, size_t columns, elem *q) {
    side a;
    size_t i = 0;
    for (int l = 0; l < SIDE; l++) memcpy((char *)&a + (size_t)l * sizeof x, &x, sizeof x);
    for (; i + SIDE <= columns; i += SIDE) memcpy(q + i, &a, sizeof a);
    for (; i < columns; i++) q[i] = x;
}

static void gather(const void *from, ptrdiff_t row, ptrdiff_t column, size_t rows, size_t columns, void *to, size_t pitch) {
    const elem *p = from;
    elem *q = to;
    if (row == 1 && rows > 1 && column != 0) {
        turn(p, column, rows, columns, q, (ptrdiff_t)pitch);
    } else if (column == 0) {
        for (size_t r = 0; r < rows; r++) gather_one(p[(ptrdiff_t)r * row], columns, q + r * pitch);
    } else if (column == -1) {
        for (size_t r = 0; r < rows; r++) gather_backwards(p + (ptrdiff_t)r * row, columns, q + r * pitch);
    } else {
        move(p, row, column, rows, columns, q, (ptrdiff_t)pitch, 1);
    }
}

static void scatter(const void *from, size_t pitch, size_t rows, size_t columns, void *to, ptrdiff_t row, ptrdiff_t column) {
    if (row == 1 && rows > 1)
        turn(from, (ptrdiff_t)pitch, columns, rows, to, column);
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
