/* SPDX-License-Identifier: MIT */
/* What `batchnorm bench` times: every case is one shape, layout, type, operation and number of threads. */
#ifndef TOOLS_BENCH_CASES_H
#define TOOLS_BENCH_CASES_H

#include "batchnorm/batchnorm.h"

enum bench_layout { BENCH_NCHW, BENCH_NHWC, BENCH_LAYOUTS };
enum bench_operation { BENCH_TRAIN, BENCH_EVAL, BENCH_BACKWARD, BENCH_STATS, BENCH_OPERATIONS };

/* As the user writes them. */
extern const char *const bench_layout_names[];
extern const char *const bench_operation_names[];
extern const char *const bench_activation_words[];
/* The kind that one of these words names, and the word that is printed for a kind. */
batchnorm_activation_kind bench_activation_kind(size_t word);
const char *bench_activation_name(batchnorm_activation_kind kind);

enum { BENCH_RANK = 5 };

/* N, C, and any sizes after them. */
struct bench_shape {
    int rank;
    long size[BENCH_RANK];
};

struct bench_case {
    struct bench_shape shape;
    batchnorm_dtype dtype;
    enum bench_layout layout;
    enum bench_operation operation;
    batchnorm_activation_kind activation; /* the identity for stats */
    bool residual;                        /* false for stats */
    int threads;
};

size_t bench_inner(const struct bench_shape *shape);
/* Of one array; 0 if that, times the six arrays that a case can have, does not fit size_t. */
size_t bench_array_bytes(const struct bench_shape *shape, batchnorm_dtype dtype);

/* How many arrays of that size have to be read and written at least. */
int bench_reads(const struct bench_case *c);
int bench_writes(const struct bench_case *c);
/* The bytes that have to move at least. */
size_t bench_bytes(const struct bench_case *c);

/* "nchw", "nhwc", or "nc" where both are the same. */
const char *bench_layout_name(const struct bench_case *c);

enum { BENCH_SHAPE_TEXT_BYTES = 21 * BENCH_RANK, BENCH_CASE_TEXT_BYTES = BENCH_SHAPE_TEXT_BYTES + 64 };
/* "32x64x56x56" */
const char *bench_shape_text(const struct bench_shape *shape, char text[BENCH_SHAPE_TEXT_BYTES]);
/* "32x64x56x56 nchw f32 train, 2 threads" */
const char *bench_case_text(const struct bench_case *c, char text[BENCH_CASE_TEXT_BYTES]);

#endif
