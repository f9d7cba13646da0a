/* SPDX-License-Identifier: MIT */
/* Room 4: the only code that reads or writes elements. A kernel knows a run of elements and a few numbers; it cannot fail and
 * cannot allocate. One table per instruction set; every table gives the same bits. */
#ifndef BN_KERNEL_H
#define BN_KERNEL_H

#include <stddef.h>

/* Virtual lanes: in a plane, element i of a run is added to lane i % BNK_LANES, whatever the register width is. */
#define BNK_LANES 16

/* The element types that have kernels: BATCHNORM_F32, F64, BF16, F16, in that order. */
#define BNK_DTYPES 4

/* `rows` pieces of `length` contiguous elements. In a plane a row is a run of one channel; in rows it is one element of every
 * channel. Strides between rows are per array, in elements. */
struct bnk_span {
    size_t rows, length;
};

/* A per-channel number k of an affine or blend is numbers[k * pitch + channel], in the type that the elements are computed in:
 * double for F64, float for the others. */
struct bnk_numbers {
    const void *numbers;
    size_t pitch;
};

/* affine: y = ((x - M1) - M2) * K + B. blend: dx = (P * dy + Q * ((x - M1) - M2)) + S. */
enum { BNK_M1, BNK_M2, BNK_K, BNK_B, BNK_AFFINE_NUMBERS, BNK_P = BNK_K, BNK_Q = BNK_B, BNK_S = 4, BNK_BLEND_NUMBERS };

/* One element type. Accumulators are added to, so that a sum may go on over several calls. plane: sums[0..LANES) gets the sum
 * of (x - shift) or of dy, sums[LANES..2 * LANES) the sum of (x - shift)^2 or of dy * (x - mean). rows: the same with one lane
 * per channel, in `sum` and `dot`. Outputs may be the very same memory as an input. */
struct bnk_verbs {
    size_t bytes;        /* of an element */
    size_t number_bytes; /* of a number in struct bnk_numbers */
    /* out[i] = x[i * stride], or 0 where that is not finite: a shift that is close to the data and never poisons a sum */
    void (*pivot)(const void *x, ptrdiff_t stride, size_t count, double *out);
    void (*moments_plane)(struct bnk_span span, const void *x, ptrdiff_t x_row, double shift, double *sums);
    void (*moments_rows)(struct bnk_span span, const void *x, ptrdiff_t x_row, const double *shift, double *sum, double *dot);
    void (*affine_plane)(struct bnk_span span, const void *x, ptrdiff_t x_row, struct bnk_numbers k, void *y, ptrdiff_t y_row);
    void (*affine_rows)(struct bnk_span span, const void *x, ptrdiff_t x_row, struct bnk_numbers k, void *y, ptrdiff_t y_row);
    void (*dots_plane)(struct bnk_span span, const void *dy, ptrdiff_t dy_row, const void *x, ptrdiff_t x_row, double mean,
                       double *sums);
    void (*dots_rows)(struct bnk_span span, const void *dy, ptrdiff_t dy_row, const void *x, ptrdiff_t x_row,
                      const double *mean, double *sum, double *dot);
    void (*blend_plane)(struct bnk_span span, const void *dy, ptrdiff_t dy_row, const void *x, ptrdiff_t x_row,
                        struct bnk_numbers k, void *dx, ptrdiff_t dx_row);
    void (*blend_rows)(struct bnk_span span, const void *dy, ptrdiff_t dy_row, const void *x, ptrdiff_t x_row,
                       struct bnk_numbers k, void *dx, ptrdiff_t dx_row);
    /* copies between strided and contiguous memory, for arrays that have no contiguous direction */
    void (*gather)(const void *from, ptrdiff_t stride, size_t count, void *to);
    void (*scatter)(const void *from, size_t count, void *to, ptrdiff_t stride);
};

struct bnk_table {
    const char *name;
    struct bnk_verbs verbs[BNK_DTYPES];
};

/* The table in use: the best that this machine runs, or the one that the environment variable BATCHNORM_ISA names. */
const struct bnk_table *bnk_table(void);

/* Every table of this build that can run here, best first, then NULL: for tests. */
const struct bnk_table *bnk_runnable(size_t index);

/* Use another table from now on: for tests, while no call is running. */
void bnk_use(const struct bnk_table *table);

#endif
