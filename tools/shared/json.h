/* SPDX-License-Identifier: MIT */
/* The few words of JSON that verbs print line by line. */
#ifndef TOOLS_SHARED_JSON_H
#define TOOLS_SHARED_JSON_H

/* A string with its quotes. */
void print_json_text(const char *text);

/* `, "name": value`; null where the value is not finite, for which JSON has no word. */
void print_json_number(const char *name, const char *format, double value);

#endif
