/* SPDX-License-Identifier: MIT */
/* Arrays from files: NumPy files, and tensors of safetensors files. */
#ifndef TOOLS_SHARED_INPUTS_H
#define TOOLS_SHARED_INPUTS_H

#include "array.h"

/* "x.npy", "model.safetensors:name", or "-" for an .npy file on standard input; a pipe is fine. The elements are converted,
 * unless `to` is NULL; integers must be. false: message, MESSAGE_BYTES long, says what is wrong. */
bool array_read(struct array *array, const char *argument, const batchnorm_dtype *to, char *message);

#endif
