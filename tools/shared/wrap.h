/* SPDX-License-Identifier: MIT */
/* Tables and their texts, broken between words. */
#ifndef TOOLS_SHARED_WRAP_H
#define TOOLS_SHARED_WRAP_H

#include <stddef.h>

enum { WRAP_LEAST = 40 };

/* The columns of standard output: those of a terminal, or TERMINAL_ELSEWHERE; less where COLUMNS says less in a pipe, too. At
 * least WRAP_LEAST. */
size_t wrap_columns(void);

/* The text on standard output, broken between words: `at` columns of the first line are there already, and the others are
 * indented by `indent`. A word that is longer than a line is not cut. Returns the column in which it ends; no line end
 * follows. */
size_t wrap_print(const char *text, size_t at, size_t indent, size_t columns);

/* The length of the first line of a text broken between words, in bytes; *next is where the second begins, its end if there is
 * none. */
size_t wrap_line(const char *text, size_t columns, const char **next);

#endif
