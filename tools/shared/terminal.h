/* SPDX-License-Identifier: MIT */
/* How wide lines may be, and text that keeps to it and moves no cursor. */
#ifndef TOOLS_SHARED_TERMINAL_H
#define TOOLS_SHARED_TERMINAL_H

#include <stddef.h>

/* Columns of a terminal, as COLUMNS or the terminal itself says; of what is none (a pipe, a file), TERMINAL_ELSEWHERE. */
enum { TERMINAL_ELSEWHERE = 100 };
int terminal_width(int fd);

/* A name in a column: filled up with spaces, or cut. Columns are characters, not bytes. */
void terminal_print_name(const char *name, int width);
/* How many columns it takes, or its first bytes. What is no UTF-8 is one column a byte. */
int terminal_columns(const char *name);
int terminal_columns_of(const char *text, size_t bytes);

/* Some bytes to stdout, of which none moves the cursor. */
void terminal_print_bytes(const char *text, size_t bytes);

#endif
