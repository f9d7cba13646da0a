/* SPDX-License-Identifier: MIT */
/* Arrays from files: NumPy files, and tensors of safetensors files. */
#ifndef TOOLS_SHARED_INPUTS_H
#define TOOLS_SHARED_INPUTS_H

#include "array.h"

/* "x.npy" or "model.safetensors:name". false: message, MESSAGE_BYTES long, says what is wrong. */
bool array_read(struct array *array, const char *argument, char *message);

#endif
