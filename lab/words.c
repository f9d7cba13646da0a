/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const suffixes[] = {"", " %", "", " s", ""};

/* Three digits without an exponent where that is short, and with one where it is not. */
static void plain(double value, char *text) {
    const double size = fabs(value);
    if (size == 0)
        snprintf(text, WORD_BYTES, "0");
    else if (size >= 99.95 && size < 1e7)
        snprintf(text, WORD_BYTES, "%.0f", value);
    else if (size >= 1e-4 && size < 1e7)
        snprintf(text, WORD_BYTES, "%#.3g", value);
    else
        snprintf(text, WORD_BYTES, "%.2e", value);
    const size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '.') text[length - 1] = '\0'; /* what # leaves of 100 */
}

static void bare(double value, enum unit unit, char *text) {
    const bool waits = unit == UNIT_STEPS || unit == UNIT_SECONDS;
    if (isnan(value))
        snprintf(text, WORD_BYTES, "-");
    else if (isinf(value))
        snprintf(text, WORD_BYTES, waits ? "never" : "diverged");
    else if (unit == UNIT_PERCENT)
        snprintf(text, WORD_BYTES, "%.1f", 100 * value);
    else if (unit == UNIT_STEPS)
        snprintf(text, WORD_BYTES, "%.0f", value);
    else if (unit == UNIT_SECONDS)
        snprintf(text, WORD_BYTES, "%.1f", value);
    else if (unit == UNIT_RATE)
        snprintf(text, WORD_BYTES, value > 0 ? "%g" : "none", value);
    else
        plain(value, text);
}

const char *word_number(double value, enum unit unit, char *text) {
    bare(value, unit, text);
    if (isfinite(value)) strncat(text, suffixes[unit], WORD_BYTES - 1 - strlen(text));
    return text;
}

const char *word_spread(const struct spread *spread, enum unit unit, char *text) {
    char median[WORD_BYTES], low[WORD_BYTES], high[WORD_BYTES];
    if (spread->count == 0) return strcpy(text, "-");
    word_number(spread->median, unit, median);
    bare(spread->low, unit, low);
    bare(spread->high, unit, high);
    if (strcmp(low, high) == 0)
        snprintf(text, WORD_BYTES, "%.30s", median);
    else
        snprintf(text, WORD_BYTES, "%.30s (%.24s to %.24s)", median, low, high);
    return text;
}
