/* SPDX-License-Identifier: MIT */
/* How cases would go, for people and programs. */
#ifndef TOOLS_BENCH_EXPLAIN_H
#define TOOLS_BENCH_EXPLAIN_H

#include "request.h"

/* Prints every case with what is decided for it. False without memory; main looks at stdout. */
bool bench_explain(const struct bench_request *request);

#endif
