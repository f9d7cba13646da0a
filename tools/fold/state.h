/* SPDX-License-Identifier: MIT */
/* Folding of states: pairs that the user names. */
#ifndef TOOLS_FOLD_STATE_H
#define TOOLS_FOLD_STATE_H

#include "request.h"
#include "tools/shared/model_file.h"

/* Returns an exit status, after a report if something is wrong. */
int fold_state(const struct fold_request *request, const struct model_file *file);

#endif
