/* SPDX-License-Identifier: MIT */
/* The table of `batchnorm bench`, as wide as the terminal. */
#ifndef TOOLS_BENCH_TABLE_H
#define TOOLS_BENCH_TABLE_H

#include "machine.h"
#include "measure.h"
#include "request.h"

/* The machine, and the names of the columns that have room; of the others it says so. */
void bench_table_head(const struct bench_request *request, const struct bench_machine *machine);
void bench_table_row(const struct bench_result *result);
/* What the columns mean, and the mean shares. */
void bench_table_foot(const struct bench_result *results, size_t count);

#endif
