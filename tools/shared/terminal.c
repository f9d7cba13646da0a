/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* TIOCGWINSZ */
#include "terminal.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "numbers.h"

enum { MOST_COLUMNS = 1000 };

size_t terminal_columns(void) {
    struct winsize size;
    const char *text = getenv("COLUMNS");
    int64_t wanted = 0, columns = PIPE_COLUMNS;
    if (!text || !parse_integer(text, 1, MOST_COLUMNS, &wanted)) wanted = 0;
    if (!isatty(STDOUT_FILENO)) {
        if (wanted > 0 && wanted < columns) columns = wanted;
    } else if (wanted > 0) {
        columns = wanted;
    } else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        columns = size.ws_col;
    }
    return columns < LEAST_COLUMNS ? LEAST_COLUMNS : (size_t)columns;
}

size_t wrapped_line(const char *text, size_t columns, const char **next) {
    size_t end = 0;
    for (size_t at = 0; text[at];) {
        at += strspn(text + at, " ");
        at += strcspn(text + at, " ");
        if (end > 0 && at > columns) break;
        end = at;
    }
    *next = text + end + strspn(text + end, " ");
    return end;
}

size_t print_wrapped(const char *text, size_t at, size_t indent, size_t columns) {
    while (*text) {
        const char *next;
        const size_t length = wrapped_line(text, columns > at ? columns - at : 1, &next);
        if (at > indent && at + length > columns) { /* not even a word */
            printf("\n%*s", (int)indent, "");
            at = indent;
            continue;
        }
        printf("%.*s", (int)length, text);
        at += length;
        text = next;
        if (!*text) break;
        printf("\n%*s", (int)indent, "");
        at = indent;
    }
    return at;
}
