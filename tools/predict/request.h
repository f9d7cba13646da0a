/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm predict. */
#ifndef TOOLS_PREDICT_REQUEST_H
#define TOOLS_PREDICT_REQUEST_H

#include "tools/shared/options.h"

struct predict_request {
    struct option_arguments images;
    const char *checkpoint, *data;
    int top, threads;
    bool json, skip_bad;
};

extern const struct option_table predict_options;

#endif
