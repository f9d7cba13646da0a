/* SPDX-License-Identifier: MIT */
/* What a comparison came to: on the terminal, as JSON and as a page. */
#ifndef LAB_REPORT_H
#define LAB_REPORT_H

#include <stdio.h>

#include "claims.h"
#include "figures.h"
#include "lab.h"

struct report {
    const struct compare_request *request;
    const struct metrics *metrics; /* all rows, for the files */
    const struct metrics *shown;   /* those that figures show */
    const struct claim *claims;
    size_t claim_count;
    int seeds_done[EXPERIMENTS];    /* how many of the request's are complete */
    bool stopped;                   /* not everything is done */
    double seconds;                 /* it took */
    const nn_dataset *train, *test; /* NULL: no pictures, and no numbers of images */
    const struct sample *samples;
    size_t sample_count;
    const char *machine; /* one line: processor, library, backend */
    const char *run;     /* its name, the same in all files */
};

/* How many claims have a verdict. */
size_t report_count(const struct report *report, enum verdict verdict);
/* "9 of 15 claims hold, 2 are mixed, 3 do not hold, 1 was not measured" */
void report_summary(const struct report *report, char *text, size_t bytes);

void report_print_table(const struct report *report);

/* Whether there is a JSON library; without one the next two give NULL and print nothing. */
bool report_has_json(void);
/* Everything, as one object; to be freed, NULL without memory. What is not finite is null. */
char *report_json(const struct report *report);
/* One line for each claim. */
void report_print_json(const struct report *report);

/* The page; to be freed. NULL: reported. draw: with figures by gnuplot, which must be there; without, with their numbers
 * only. */
char *report_html(const struct report *report, bool draw);

#endif
