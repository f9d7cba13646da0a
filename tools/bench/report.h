/* SPDX-License-Identifier: MIT */
/* What `batchnorm bench` shows: the machine, a row for each case, and progress on a terminal. */
#ifndef TOOLS_BENCH_REPORT_H
#define TOOLS_BENCH_REPORT_H

#include "machine.h"
#include "measure.h"
#include "request.h"

/* It goes to stderr, and only if that is a terminal. */
struct bench_line {
    bool shown;
    size_t number, count; /* of the case, from 1, and of all */
    const struct bench_case *what;
    double start, last; /* moments: of the first case, and when the line was shown last */
    double seconds;     /* that a case should take */
};

struct bench_line bench_line_begin(size_t count, double seconds);
/* From now on it is about this case. */
void bench_line_case(struct bench_line *line, const struct bench_case *c);
/* A bench_progress; user is the struct. */
void bench_line_show(void *user, double share, double rate);
/* Clear the line. */
void bench_line_hide(const struct bench_line *line);

void bench_print_head(const struct bench_request *request, const struct bench_machine *machine);
void bench_print_result(const struct bench_request *request, const struct bench_machine *machine,
                        const struct bench_result *result);
/* A table ends with what its columns mean, and the mean shares. */
void bench_print_foot(const struct bench_request *request, const struct bench_result *results, size_t count);

#endif
