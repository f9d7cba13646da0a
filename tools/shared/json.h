/* SPDX-License-Identifier: MIT */
/* The few words of JSON that verbs print line by line. */
#ifndef TOOLS_SHARED_JSON_H
#define TOOLS_SHARED_JSON_H

#include <stddef.h>

/* How many bytes of UTF-8 the first character of text has; 0 if they are none (or text is empty). */
size_t utf8_length(const char *text);

/* A string with its quotes. JSON is UTF-8: a byte that is not (names of files may be anything) becomes U+FFFD. */
void print_json_text(const char *text);

/* `, "name": value`; null where the value is not finite, for which JSON has no word. */
void print_json_number(const char *name, const char *format, double value);

#endif
