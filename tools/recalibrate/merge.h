/* SPDX-License-Identifier: MIT */
/* Statistics that were taken elsewhere, by a model that `--instrument` wrote. */
#ifndef TOOLS_RECALIBRATE_MERGE_H
#define TOOLS_RECALIBRATE_MERGE_H

#include "layers.h"

/* Puts the statistics of all files together. False: message, NN_MESSAGE_BYTES long, says which file is wrong, and how. */
bool merge_files(struct layers *layers, char **paths, size_t count, char *message);

#endif
