/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm convert. */
#ifndef TOOLS_CONVERT_REQUEST_H
#define TOOLS_CONVERT_REQUEST_H

#include "tools/shared/options.h"

enum { CONVERT_MOST_COUNTS = 256 };

struct convert_request {
    struct option_arguments files; /* one */
    const char *output, *cfg;
    int from, to; /* in the table of conventions; from -1: it is recognized */
    bool has_from, has_to;
    struct {
        char *layers; /* a pattern of names, to be freed; NULL: all */
        double elements;
    } counts[CONVERT_MOST_COUNTS]; /* of a channel, by which running variances were made */
    int count_count;
    double eps, momentum;
    bool has_eps, has_momentum;
    int fix_gamma; /* 1: yes, 0: no */
    bool has_fix_gamma, json;
};

extern const struct option_table convert_options;

#endif
