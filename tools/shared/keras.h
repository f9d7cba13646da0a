/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SHARED_KERAS_H
#define TOOLS_SHARED_KERAS_H

#include <stdbool.h>
#include <stdio.h>

/* Returns whether a file is one of Keras: HDF5, or a zip file with one in it. */
bool keras_is(const char *path);

/* Makes safetensors of it, by a program of its own: batch norms under PyTorch's keys, with eps and momentum in the metadata
 * where the file has them. Returns a file without a name, to be closed, or NULL, with a message of BATCHNORM_MODEL_MESSAGE
 * bytes. */
FILE *keras_read(const char *path, char *message);

#endif
