/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* TIOCGWINSZ */
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clean.h"
#include "json.h"
#include "numbers.h"

enum { USUAL = 80, LEAST = 20, MOST = 10000 };

int terminal_width(int fd) {
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    int64_t width;
    if (!isatty(fd)) return TERMINAL_ELSEWHERE;
    if (columns && parse_integer(columns, LEAST, MOST, &width)) return (int)width;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col < LEAST ? LEAST : size.ws_col;
    return USUAL;
}

int terminal_columns_of(const char *text, size_t bytes) {
    int columns = 0;
    for (size_t at = 0; at < bytes; columns++) {
        const size_t length = utf8_length(text + at);
        at += length ? length : 1;
    }
    return columns;
}

int terminal_columns(const char *name) { return terminal_columns_of(name, strlen(name)); }

void terminal_print_bytes(const char *text, size_t bytes) {
    char *copy = strndup(text, bytes);
    if (copy) clean_text(copy);
    fputs(copy ? copy : "?", stdout);
    free(copy);
}

void terminal_print_name(const char *name, int width) {
    const int columns = terminal_columns(name);
    const bool cut = columns > width;
    const int kept = cut ? width - 3 : columns;
    size_t bytes = 0;
    for (int i = 0; i < kept; i++) {
        const size_t length = utf8_length(name + bytes);
        bytes += length ? length : 1;
    }
    terminal_print_bytes(name, bytes);
    printf("%s%*s", cut ? "..." : "", cut ? 0 : width - columns, "");
}
