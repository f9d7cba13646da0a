/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SHARED_CLEAN_H
#define TOOLS_SHARED_CLEAN_H

#include <stdio.h>

/* Names come from files and from others' archives: what would move a terminal's cursor, or begin a new line, becomes "?".
 * Reports do so by themselves; what is printed otherwise needs it where it holds a name. */
void clean_text(char *text);
void print_clean(FILE *to, const char *text);

/* What messages call an input, or an output: "-" is standard input, or output. */
const char *input_name(const char *argument);
const char *output_name(const char *argument);

#endif
