/* SPDX-License-Identifier: MIT */
/* The command's verbs: one table, from which come the dispatch, --help and the options in the manual page. */
#ifndef TOOLS_VERBS_H
#define TOOLS_VERBS_H

#include "tools/shared/options.h"

struct verb {
    const char *name, *full_name; /* "train", "batchnorm train" */
    /* Gets its own arguments; argv[0] is full_name. Returns an exit status. */
    int (*run)(int argc, char **argv);
    const struct option_table *options;
    const char *summary;
};

extern const struct verb verbs[];
extern const size_t verb_count;

#endif
