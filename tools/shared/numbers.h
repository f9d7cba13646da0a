/* SPDX-License-Identifier: MIT */
/* Numbers on the command line: the whole text or nothing, with a decimal point in every locale. */
#ifndef TOOLS_SHARED_NUMBERS_H
#define TOOLS_SHARED_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* A finite decimal number. */
bool parse_real(const char *text, double *value);

/* An integer in [least, most]. */
bool parse_integer(const char *text, int64_t least, int64_t most, int64_t *value);

#endif
