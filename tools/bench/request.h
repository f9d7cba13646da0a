/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm bench. */
#ifndef TOOLS_BENCH_REQUEST_H
#define TOOLS_BENCH_REQUEST_H

#include "cases.h"
#include "tools/shared/options.h"

enum { BENCH_MOST_SHAPES = 256, BENCH_MOST_THREAD_COUNTS = 64 }; /* messages tell these numbers */
enum bench_format { BENCH_TABLE, BENCH_JSON, BENCH_CSV };

struct bench_request {
    struct bench_shape shapes[BENCH_MOST_SHAPES];
    int threads[BENCH_MOST_THREAD_COUNTS];
    size_t shape_count, thread_count;
    unsigned dtypes, layouts, operations; /* bit i: the type, layout or operation i */
    batchnorm_activation_kind activation;
    bool residual;
    double seconds; /* of each case */
    bool json, csv, explain, tune;
    const char *svg; /* NULL: none */
};

extern const struct option_table bench_options;

enum bench_format bench_request_format(const struct bench_request *request);

/* The cases it asks for, in the order in which they are run; to be freed. NULL without memory. */
struct bench_case *bench_request_cases(const struct bench_request *request, size_t *count);

#endif
