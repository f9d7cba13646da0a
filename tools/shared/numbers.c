/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* strtod_l */
#include "numbers.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Neither spaces, nor hexadecimal, nor "inf" and "nan", all of which strtod would take. */
static bool only(const char *text, const char *characters) {
    return text[0] != '\0' && strspn(text, characters) == strlen(text);
}

bool parse_real(const char *text, double *value) {
    if (!only(text, "0123456789+-.eE")) return false;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return false;
    char *end;
    errno = 0;
    double number = strtod_l(text, &end, c);
    freelocale(c);
    if (end == text || *end != '\0' || !isfinite(number)) return false;
    if (errno == ERANGE && number == 0) return false; /* 1e-310 is out of the normal range, too, but is kept */
    *value = number;
    return true;
}

bool parse_integer(const char *text, int64_t least, int64_t most, int64_t *value) {
    if (!only(text, "0123456789+-")) return false;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno == ERANGE || number < least || number > most) return false;
    *value = number;
    return true;
}
