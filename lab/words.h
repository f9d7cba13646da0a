/* SPDX-License-Identifier: MIT */
/* Numbers as a reader wants them. Every function writes into `text`, WORD_BYTES long, and returns it. */
#ifndef LAB_WORDS_H
#define LAB_WORDS_H

#include "metrics.h"

enum { WORD_BYTES = 96 };

enum unit {
    UNIT_NONE,    /* three digits */
    UNIT_PERCENT, /* a share, as "84.2 %" */
    UNIT_STEPS,   /* a whole number; infinite is "never" */
    UNIT_SECONDS, /* "3.1 s"; infinite is "never" */
    UNIT_RATE     /* as it was given: "0.003"; 0 is "none" */
};

/* Infinite is "diverged" where the unit says nothing else, and NaN is "-". */
const char *word_number(double value, enum unit unit, char *text);
/* "84.2 % (83.0 to 85.1)"; the median alone where all are equal, and "-" where there is none. */
const char *word_spread(const struct spread *spread, enum unit unit, char *text);

#endif
