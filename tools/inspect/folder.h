/* SPDX-License-Identifier: MIT */
/* A folder of checkpoints: one line for each. */
#ifndef TOOLS_INSPECT_FOLDER_H
#define TOOLS_INSPECT_FOLDER_H

#include <stdbool.h>

#include "batchnorm/model.h"
#include "request.h"

/* Prints the table, or an object for each file. Returns false if the folder or one of its models cannot be read. */
bool folder_inspect(const char *path, const struct inspect_request *request, const batchnorm_model_options *options,
                    bool *unhealthy);

#endif
