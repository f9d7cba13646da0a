/* SPDX-License-Identifier: MIT */
/* One line on a terminal: what is being measured, how fast, and how long it takes yet. */
#ifndef TOOLS_SHARED_PROGRESS_H
#define TOOLS_SHARED_PROGRESS_H

#include <stdbool.h>

/* Work is counted in images that are trained on; to test one costs less. */
#define PROGRESS_TEST (1 / 3.0)

struct progress {
    bool shown;
    double done, total;
    double start, last; /* moments: of the first work, and when it was shown last */
    char what[96];
    const char *unit; /* "images" */
};

/* It goes to stderr, and only if that is a terminal. */
struct progress progress_begin(double total);
/* From now on it is about this. */
void progress_about(struct progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
void progress_add(struct progress *progress, double work);
/* Clear the line. */
void progress_hide(const struct progress *progress);

#endif
