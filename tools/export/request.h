/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm export. */
#ifndef TOOLS_EXPORT_REQUEST_H
#define TOOLS_EXPORT_REQUEST_H

#include "tools/shared/options.h"

struct export_request {
    struct option_arguments checkpoints; /* one */
    const char *output;
    bool fold, json;
};

extern const struct option_table export_options;

#endif
