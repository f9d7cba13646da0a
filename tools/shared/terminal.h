/* SPDX-License-Identifier: MIT */
/* How wide lines may be, and text that keeps to it and moves no cursor. */
#ifndef TOOLS_SHARED_TERMINAL_H
#define TOOLS_SHARED_TERMINAL_H

/* Columns of a terminal, as COLUMNS or the terminal itself says; of what is none (a pipe, a file), TERMINAL_ELSEWHERE. */
enum { TERMINAL_ELSEWHERE = 100 };
int terminal_width(int fd);

/* A sentence to stdout, in lines of at most `width` columns; those after the first begin with two spaces. Only a word that is
 * longer than a line stands out. */
void terminal_print_wrapped(const char *text, int width);

/* A name in a column: filled up with spaces, or cut. Columns are characters, not bytes. */
void terminal_print_name(const char *name, int width);
/* How many columns it takes. */
int terminal_columns(const char *name);

#endif
