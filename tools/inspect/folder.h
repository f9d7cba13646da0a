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

/* Says what is wrong with a file; in JSON an object says it, too, so that there is one for each file. */
void inspect_report(const char *path, const char *name, const char *message, bool json);

#endif
