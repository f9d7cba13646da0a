/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "wrap.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numbers.h"
#include "terminal.h"

size_t wrap_columns(void) {
    const char *text = getenv("COLUMNS");
    int64_t columns = terminal_width(STDOUT_FILENO), less;
    if (text && parse_integer(text, 1, columns, &less)) columns = less;
    return columns < WRAP_LEAST ? WRAP_LEAST : (size_t)columns;
}

static size_t columns_of(const char *text, size_t bytes) { return (size_t)terminal_columns_of(text, bytes); }

size_t wrap_line(const char *text, size_t columns, const char **next) {
    size_t end = 0;
    for (size_t at = 0; text[at];) {
        at += strspn(text + at, " ");
        at += strcspn(text + at, " ");
        if (end > 0 && columns_of(text, at) > columns) break;
        end = at;
    }
    *next = text + end + strspn(text + end, " ");
    return end;
}

size_t wrap_print(const char *text, size_t at, size_t indent, size_t columns) {
    while (*text) {
        const char *next;
        const size_t length = wrap_line(text, columns > at ? columns - at : 1, &next);
        if (at > indent && at + columns_of(text, length) > columns) { /* not even a word */
            printf("\n%*s", (int)indent, "");
            at = indent;
            continue;
        }
        terminal_print_bytes(text, length);
        at += columns_of(text, length);
        text = next;
        if (!*text) break;
        printf("\n%*s", (int)indent, "");
        at = indent;
    }
    return at;
}
