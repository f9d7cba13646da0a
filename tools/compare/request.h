/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm compare, which fills a struct compare_request. */
#ifndef TOOLS_COMPARE_REQUEST_H
#define TOOLS_COMPARE_REQUEST_H

#include "lab/plan.h"
#include "tools/shared/options.h"

extern const struct option_table compare_options;

#endif
