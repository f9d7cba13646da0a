/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "option_row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Larger limits are there to keep numbers in their types; help does not tell them. */
enum { NO_LIMIT = 1000000 };

bool option_in_range(const struct option_row *row, double value) {
    if (row->range.any) return true;
    const double least = row->range.least, most = row->range.most;
    if (row->range.above ? value <= least : value < least) return false;
    return most == 0 || (row->range.below ? value < most : value <= most);
}

/* "above 0, at most 1"; nothing where every number will do. */
static void write_range(const struct option_row *row, FILE *to) {
    const double least = row->range.least, most = row->range.most;
    if (row->range.any) return;
    if (most == 0)
        fprintf(to, row->range.above ? "above %g" : "from %g on", least);
    else if (row->range.above)
        fprintf(to, "above %g, %s %g", least, row->range.below ? "below" : "at most", most);
    else
        fprintf(to, "from %g to %s%g", least, row->range.below ? "below " : "", most);
}

/* "a, b or c" */
static void write_words(const struct option_row *row, FILE *to) {
    for (int i = 0; row->words[i]; i++) {
        const bool last = !row->words[i + 1] && !row->all;
        fprintf(to, "%s%s", i == 0 ? "" : last ? " or " : ", ", row->words[i]);
    }
    if (row->all) fprintf(to, " or %s", row->all);
}

const char *option_right(const struct option_row *row, char *text) {
    FILE *to = fmemopen(text, OPTION_MESSAGE_BYTES, "w");
    text[0] = '\0';
    if (!to) return text;
    if (row->words) {
        write_words(row, to);
    } else if (row->kind == OPTION_WHOLE) {
        fprintf(to, "a whole number from %" PRId64 " to %" PRId64, row->limits.least, row->limits.most);
    } else {
        fputs(row->range.any ? "a number" : "a number ", to);
        write_range(row, to);
    }
    fclose(to);
    return text;
}

static void write_value(const struct option_row *row, const void *defaults, FILE *to) {
    (void)defaults;
    if (row->value) {
        fprintf(to, "%s", row->value);
        return;
    }
    for (int i = 0; row->words[i]; i++) fprintf(to, "%s%s", i ? "|" : "", row->words[i]);
    if (row->all) fprintf(to, "|%s", row->all);
}

static bool takes_value(const struct option_row *row) { return row->kind != OPTION_ON && row->kind != OPTION_OFF; }

static void write_limits(const struct option_row *row, const void *defaults, FILE *to) {
    (void)defaults;
    const int64_t least = row->limits.least, most = row->limits.most;
    if (row->words && row->value)
        write_words(row, to);
    else if (row->kind == OPTION_REAL)
        write_range(row, to);
    else if (row->kind == OPTION_WHOLE && !row->words && most < NO_LIMIT)
        fprintf(to, "%" PRId64 " to %" PRId64, least, most);
    else if (row->kind == OPTION_WHOLE && !row->words && least > 1)
        fprintf(to, "at least %" PRId64, least);
}

static int64_t integer_at(const struct option_row *row, const void *request) {
    const char *at = (const char *)request + row->offset;
    int32_t narrow;
    int64_t wide;
    memcpy(&narrow, at, sizeof narrow);
    if (row->bytes == sizeof narrow) return narrow;
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static double real_at(const struct option_row *row, const void *request) {
    const char *at = (const char *)request + row->offset;
    return row->bytes == sizeof(float) ? (double)*(const float *)at : *(const double *)at;
}

/* The default, if it is a value that could be given. */
static void write_default(const struct option_row *row, const void *defaults, FILE *to) {
    const int64_t whole = row->kind == OPTION_WORD || row->kind == OPTION_WHOLE ? integer_at(row, defaults) : 0;
    if (row->usual) {
        fprintf(to, "%s", row->usual);
    } else if (row->kind == OPTION_WORD) {
        fprintf(to, "%s", row->words[whole - row->first]);
    } else if (row->kind == OPTION_WHOLE && (row->words ? whole > 0 : whole >= row->limits.least)) {
        fprintf(to, "%" PRId64, whole);
    } else if (row->kind == OPTION_REAL && option_in_range(row, real_at(row, defaults))) {
        fprintf(to, "%g", real_at(row, defaults));
    } else if (row->kind == OPTION_TEXT) {
        const char *text = *(const char *const *)((const char *)defaults + row->offset);
        if (text) fprintf(to, "%s", text);
    }
}

/* What `write` writes. */
static char *text_of(void (*write)(const struct option_row *row, const void *defaults, FILE *to), const struct option_row *row,
                     const void *defaults) {
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (!to) return NULL;
    write(row, defaults, to);
    fclose(to);
    return text;
}

char *option_value(const struct option_row *row) { return takes_value(row) ? text_of(write_value, row, NULL) : NULL; }
char *option_limits(const struct option_row *row) { return text_of(write_limits, row, NULL); }
char *option_default(const struct option_row *row, const void *defaults) { return text_of(write_default, row, defaults); }
