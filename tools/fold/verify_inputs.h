/* SPDX-License-Identifier: MIT */
/* What the models are run on. */
#ifndef TOOLS_FOLD_VERIFY_INPUTS_H
#define TOOLS_FOLD_VERIFY_INPUTS_H

#include "request.h"
#include "tools/shared/runtime.h"

enum filled { FILLED, FILLED_NOT, FILLED_WRONG };

/* Fills all inputs: with the files of --input, or random numbers, which are the same in every run. FILLED_NOT: there are no
 * random numbers for one. FILLED_WRONG: a file cannot be read, or fits no input. Both with a message of MESSAGE_BYTES. */
enum filled inputs_fill(const struct fold_request *request, struct runtime_array *inputs, size_t count, char *message);

#endif
