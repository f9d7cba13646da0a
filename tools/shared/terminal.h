/* SPDX-License-Identifier: MIT */
/* Text that fits the width of where it goes. */
#ifndef TOOLS_SHARED_TERMINAL_H
#define TOOLS_SHARED_TERMINAL_H

#include <stddef.h>

enum { PIPE_COLUMNS = 100, LEAST_COLUMNS = 40 };

/* Of standard output: COLUMNS where the environment has it, else what the terminal says; PIPE_COLUMNS in a pipe or a file, or
 * less if COLUMNS is less. At least LEAST_COLUMNS. */
size_t terminal_columns(void);

/* The text on standard output, broken between words: `at` columns of the first line are there already, and the others are
 * indented by `indent`. A word that is longer than a line is not cut. Returns the column in which it ends; no line end
 * follows. */
size_t print_wrapped(const char *text, size_t at, size_t indent, size_t columns);

/* The length of the first line of a text broken between words, in bytes; *next is where the second begins, its end if there is
 * none. */
size_t wrapped_line(const char *text, size_t columns, const char **next);

#endif
