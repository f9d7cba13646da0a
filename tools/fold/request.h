/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm fold. */
#ifndef TOOLS_FOLD_REQUEST_H
#define TOOLS_FOLD_REQUEST_H

#include "tools/shared/options.h"

enum { FOLD_MOST_PAIRS = 256, FOLD_MOST_INPUTS = 16 };

struct fold_request {
    struct option_arguments models; /* one */
    const char *output, *runtime;
    const char *pairs[FOLD_MOST_PAIRS];   /* "conv1=bn1" */
    const char *inputs[FOLD_MOST_INPUTS]; /* "x=x.npy" */
    int pair_count, input_count;
    double eps;
    bool has_eps;
    bool rewrite, explain, json, require_all, verify, assume_constant, follow_symlinks;
};

extern const struct option_table fold_options;

#endif
