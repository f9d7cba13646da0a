/* SPDX-License-Identifier: MIT */
/* What kernel.golden works on, and the scalar model of the kernels. */
#ifndef TESTS_KERNEL_GOLDEN_H
#define TESTS_KERNEL_GOLDEN_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batchnorm/batchnorm.h"
#include "kernel/kernel.h"

enum { SPACE = 16384, PITCH = 304, CHANNELS = 3, LINE = 64 };

/* An array of any element type. Its place within a line of the cache is that of its offset. */
union elements {
    alignas(LINE) float f32[SPACE];
    double f64[SPACE];
    uint16_t half[SPACE];
};

extern const char *const dtype_names[BNK_DTYPES];

/* Whether the program's argument is the name of this type, or it has none. */
bool is_asked_for(int argc, char **argv, int dtype);

double get(const union elements *a, int dtype, size_t i);
void put(union elements *a, int dtype, size_t i, double v);
uint64_t bits_of(const union elements *a, int dtype, size_t i); /* one pattern for all NaNs */

/* In the place of a verb: there is none. */
#define NONE BNK_VERBS

/* Which arrays a call has, and its flags. Outputs: `out` unless it is left out, and perhaps dz. */
struct variant {
    const char *name;
    unsigned verbs; /* 1 << verb for those that have it */
    bool active, z, y, no_x, without_x, dz, no_out, exact, from_y;
};

/* One call: of the elements (row r, channel c, i) at first + r * row + c * channel + i. In rows, i is the channel. */
struct side {
    int dtype;
    enum bnk_verb verb;
    bool rows_layout;
    const struct variant *variant;
    struct bnk_act act;
    size_t rows, channels, length, row, channel, first, first_dz;
    const union elements *in[BNK_INPUTS]; /* NULL: not there */
    bool has_out, has_dz;
    const float (*numbers32)[PITCH];
    const double (*numbers64)[PITCH], *shift;
    union elements out, dz, expected_out, expected_dz;
    double sums[4 * PITCH], expected_sums[4 * PITCH];
};

/* The lanes of all sums of a channel of a plane. */
size_t lanes_of(const struct side *s);

/* Where the second sum is that belongs to one in `sums`; two more follow, each as far from the one before. */
size_t second_sum(const struct side *s);

/* Fills what is expected. The outputs and sums before the call are in it already. */
void model(struct side *s);

/* pivot, gather, scatter and stream; x has elements of all kinds. Says what differs. */
bool check_copies(const struct bnk_table *table, int dtype, const union elements *x);

#endif
