/* SPDX-License-Identifier: MIT */
/* Whether the folded model computes what the other one does. */
#ifndef TOOLS_FOLD_VERIFY_H
#define TOOLS_FOLD_VERIFY_H

#include "request.h"
#include "tools/shared/model_file.h"
#include "verify_compare.h"

/* Runs both models. */
void verify(const struct fold_request *request, const struct model_file *file, struct verdict *verdict);

void verdict_print(const struct verdict *verdict);
void verdict_print_json(const struct verdict *verdict);
/* Says on stderr why the command fails, if it does by this. */
void verdict_report(const struct verdict *verdict, const char *path);

#endif
