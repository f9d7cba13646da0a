/* SPDX-License-Identifier: MIT */
#ifndef BN_PYTHON_DLPACK_H
#define BN_PYTHON_DLPACK_H

#include "batchnorm/tensor.h"
#include "state.h"

/* The tensor of an object that has DLPack, and the capsule that keeps its memory there. On error NULL and an exception. */
PyObject *dlpack_take(struct module_state *state, PyObject *object, const char *name, batchnorm_tensor *tensor,
                      bool *is_read_only);

#endif
