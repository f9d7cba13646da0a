/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "metrics.h"

/* The command never calls setlocale(), so that printf's decimal point is a point. Names of layers and of quantities are words
 * of letters, digits, points and underscores: nothing has to be quoted. */
char *metrics_csv(const struct metrics *metrics) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (!file) return NULL;
    fputs("experiment,norm,at,seed,step,layer,name,value\n", file);
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *r = &metrics->rows[i];
        fprintf(file, "%s,%s,", experiment_names[r->experiment], side_names[r->side]);
        if (!isnan(r->at)) fprintf(file, "%.9g", r->at);
        fprintf(file, ",%d,%ld,%s,%s,", r->seed, r->step, r->layer, r->name);
        /* printf may give a NaN a sign, which means nothing here */
        if (isnan(r->value))
            fputs("nan\n", file);
        else
            fprintf(file, "%.9g\n", r->value);
    }
    const bool written = !ferror(file);
    if (fclose(file) == 0 && written) return text;
    free(text);
    return NULL;
}
