/* SPDX-License-Identifier: MIT */
/* One problem with every array that any call of batchnorm.h and stats.h can need, so that a test can run over all calls, types,
 * layouts and sizes without knowing them. problem_check() compares what a call wrote with the long double oracle. */
#ifndef TESTS_SUPPORT_PROBLEM_H
#define TESTS_SUPPORT_PROBLEM_H

#include "raw_calls.h"
#include "support.h"

/* The arrays. The first nine have the sizes of the shape; Z and DZ are those of the fused calls. Jvp and double backward have
 * one map and so its arrays in common: jvp reads tx from VX and writes ty to GDY, with TWEIGHT and TBIAS, which are vweight and
 * vbias in double backward. */
enum array {
    X,
    Y,
    DY,
    DX,
    VX,
    GX,
    GDY,
    Z,
    DZ,
    WEIGHT,
    BIAS,
    RUNNING_MEAN,
    RUNNING_VAR,
    DWEIGHT,
    DBIAS,
    TWEIGHT,
    TBIAS,
    GWEIGHT,
    SAVE_MEAN,
    SAVE_RSTD,
    STATS,
    ARRAYS,
    SHAPED = WEIGHT /* the arrays before this one have strides */
};

enum verb {
    ACCUMULATE_STATS,
    INFER,
    NORMALIZE,
    FORWARD,
    BACKWARD,
    BACKWARD_FROZEN,
    JVP,
    JVP_FROZEN,
    DOUBLE_BACKWARD,
    DOUBLE_BACKWARD_FROZEN,
    VERBS
};

enum layout {
    PLANAR,
    CHANNELS_LAST,
    CHANNEL_N_S, /* the three other orders: outermost first */
    CHANNEL_S_N,
    S_N_CHANNEL,
    S_CHANNEL_N,
    SPACED,   /* planar with gaps everywhere */
    REVERSED, /* planar with all strides negative */
    MIXED,    /* every array in another order */
    BROADCAST_N,
    BROADCAST_S,
    BROADCAST_CHANNEL,
    BROADCAST_ALL, /* these four: x has stride 0 */
    LAYOUTS
};

struct problem_array {
    void *data; /* what the call gets: the element (0, 0, 0), or NULL when a test sets that */
    void *home; /* the same, kept */
    batchnorm_dtype dtype;
    batchnorm_strides strides;
    size_t count;         /* of elements in memory, gaps included */
    void *lowest;         /* the first of them */
    void *before;         /* what they were at the last problem_snapshot() */
    struct guarded where; /* their memory */
};

struct problem {
    struct strided shape;
    batchnorm_options options;
    unsigned flags; /* added to those of the verb */
    struct problem_array array[ARRAYS];
};

/* Without strides for Z and DZ: fused_shape() has them. */
struct strided layout_shape(enum layout layout, batchnorm_dtype dtype, size_t n, size_t c, size_t s);
const char *layout_name(enum layout layout);
const char *verb_name(enum verb verb);
const char *array_name(enum array array);

/* Random data; the saved statistics are those of x. at_end: where the arrays lie between their guard pages. */
struct problem *problem_create(const struct strided *shape, uint64_t seed, bool at_end);
void problem_destroy(struct problem *p);

/* Fill the outputs with a pattern and remember every byte of every array. */
void problem_snapshot(struct problem *p);
/* Every byte as it was at the snapshot. */
void problem_restore(struct problem *p);
batchnorm_status problem_run(struct problem *p, enum verb verb, const batchnorm_exec *exec);
/* The scratch of that call. */
size_t problem_workspace_bytes(const struct problem *p, enum verb verb);
bool is_output(enum verb verb, enum array array);

/* NULL, or what differs: every output against the oracle, every other byte against the snapshot. */
const char *problem_check(const struct problem *p, enum verb verb);
/* NULL, or the array of which a byte differs from the snapshot. */
const char *problem_untouched(const struct problem *p);
/* NULL, or the array that differs between two problems of one shape after the same call. */
const char *problem_same(const struct problem *a, const struct problem *b);

/* Where element (n, c, s) of an array is, in elements from its data. */
ptrdiff_t problem_index(const struct problem *p, enum array array, size_t n, size_t c, size_t s);
/* The values of one channel of an array, in the order (n, s), freshly allocated. */
long double *problem_channel(const struct problem *p, enum array array, size_t c);
double problem_number(const struct problem *p, enum array array, size_t c, double absent);

#endif
