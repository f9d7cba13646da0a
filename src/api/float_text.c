/* SPDX-License-Identifier: MIT */
#include "api/float_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DIGITS = 17 };

/* 0.d1d2d3... times 10^point */
struct decimal {
    char digits[MOST_DIGITS + 1];
    int point;
};

/* Digits alone and an exponent: no decimal point, so no locale. */
static bool is_value(const struct decimal *d, double value, bool single) {
    char text[BN_FLOAT_TEXT];
    snprintf(text, sizeof text, "%se%d", d->digits, d->point - (int)strlen(d->digits));
    return single ? (double)strtof(text, NULL) == value : strtod(text, NULL) == value;
}

/* Returns the decimal of so many digits that is nearest to a positive value. */
static struct decimal round_to(double value, int digits) {
    char text[BN_FLOAT_TEXT];
    struct decimal d;
    int count = 0;
    snprintf(text, sizeof text, "%.*e", digits - 1, value);
    const char *at = text;
    for (; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9') d.digits[count++] = *at;
    d.digits[count] = '\0';
    d.point = (int)strtol(at + 1, NULL, 10) + 1;
    return d;
}

/* Returns the next decimal of as many digits. After a 9 it would have fewer, and those have been tried. */
static bool step_up(struct decimal *d) {
    char *last = d->digits + strlen(d->digits) - 1;
    if (*last == '9') return false;
    ++*last;
    return true;
}

/* Above a power of two the numbers lie twice as far apart as below it, so the second nearest decimal may do where the nearest,
 * which is below, does not. */
static struct decimal shortest(double value, bool single) {
    for (int digits = 1; digits < MOST_DIGITS; digits++) {
        struct decimal d = round_to(value, digits);
        if (is_value(&d, value, single)) return d;
        if (step_up(&d) && is_value(&d, value, single)) return d;
    }
    return round_to(value, MOST_DIGITS);
}

static size_t write_fixed(const struct decimal *d, char *text) {
    const int count = (int)strlen(d->digits);
    size_t at = 0;
    if (d->point <= 0) text[at++] = '0';
    for (int i = 0; i < d->point; i++) text[at++] = i < count ? d->digits[i] : '0';
    text[at++] = '.';
    for (int i = d->point; i < 0; i++) text[at++] = '0';
    for (int i = d->point < 0 ? 0 : d->point; i < count; i++) text[at++] = d->digits[i];
    if (d->point >= count) text[at++] = '0';
    text[at] = '\0';
    return at;
}

static size_t write_exponent(const struct decimal *d, char *text) {
    const char *dot = d->digits[1] == '\0' ? "" : ".";
    return (size_t)snprintf(text, BN_FLOAT_TEXT - 1, "%c%s%se%+03d", d->digits[0], dot, d->digits + 1, d->point - 1);
}

size_t bn_float_text(double value, bool single, char text[BN_FLOAT_TEXT]) {
    size_t at = 0;
    if (isnan(value)) {
        strcpy(text, "nan");
        return 3;
    }
    if (signbit(value)) text[at++] = '-';
    if (isinf(value)) {
        strcpy(text + at, "inf");
        return at + 3;
    }
    const struct decimal d = value == 0 ? (struct decimal){"0", 1} : shortest(fabs(value), single);
    const bool fixed = d.point > -4 && d.point <= 16;
    return at + (fixed ? write_fixed(&d, text + at) : write_exponent(&d, text + at));
}
