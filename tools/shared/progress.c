/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "nn/machine.h"
#include "terminal.h"

struct progress progress_begin(double total) {
    return (struct progress){.shown = isatty(STDERR_FILENO), .total = total, .start = nn_seconds(), .unit = "images"};
}

void progress_about(struct progress *progress, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(progress->what, sizeof progress->what, format, arguments);
    va_end(arguments);
}

void progress_add(struct progress *progress, double work) {
    progress->done += work;
    const double now = nn_seconds(), gone = now - progress->start;
    if (!progress->shown || now - progress->last < 0.2 || gone <= 0) return;
    progress->last = now;
    const double rest = progress->total - progress->done;
    const long left = rest > 0 ? (long)(gone / progress->done * rest) : 0;
    char line[256];
    snprintf(line, sizeof line, "%3.0f %%  %s  %.0f %s/s  %ld:%02ld left", 100 * progress->done / progress->total,
             progress->what, progress->done / gone, progress->unit, left / 60, left % 60);
    fprintf(stderr, "\r%.*s\033[K", terminal_width(STDERR_FILENO) - 1, line); /* a line that breaks cannot be taken back */
    fflush(stderr);
}

void progress_hide(const struct progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
}
