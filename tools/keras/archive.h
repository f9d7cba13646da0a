/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_KERAS_ARCHIVE_H
#define TOOLS_KERAS_ARCHIVE_H

#include "network.h"

/* Reads a .keras file: a zip file with model.weights.h5 and config.json. */
bool archive_read(struct network *network, const char *path);

#endif
