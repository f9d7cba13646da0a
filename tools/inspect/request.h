/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm inspect. */
#ifndef TOOLS_INSPECT_REQUEST_H
#define TOOLS_INSPECT_REQUEST_H

#include "tools/shared/options.h"

struct inspect_request {
    struct option_arguments files;
    const char *prefix;
    const char *cfg;
    double eps;
    bool all, strict, json, assume_constant, follow_symlinks;
};

/* Returns whether --prefix lets a name through. */
bool inspect_wants(const struct inspect_request *request, const char *name);

extern const struct option_table inspect_options;

#endif
