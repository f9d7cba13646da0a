/* SPDX-License-Identifier: MIT */
/* Whether the folded model computes what the other one does. */
#ifndef TOOLS_FOLD_VERIFY_H
#define TOOLS_FOLD_VERIFY_H

#include "request.h"

struct verdict {
    bool asked, done;
    double absolute, relative; /* the largest difference; the same by the largest number of that output */
    char output[64], runtime[32];
    char why[400]; /* it was not done */
};

/* Runs both models. Returns false, after a report, if the folded one does not run where the other one does. */
bool verify(const struct fold_request *request, struct verdict *verdict);

void verdict_print(const struct verdict *verdict);
void verdict_print_json(const struct verdict *verdict);

#endif
