/* SPDX-License-Identifier: MIT */
#ifndef BN_PYTHON_MEMORY_H
#define BN_PYTHON_MEMORY_H

#include "batchnorm/tensor.h"
#include "state.h"

/* Adds the type to the module: 0, or -1 with an exception. */
int memory_add(PyObject *module, struct module_state *state);

/* A buffer of a tensor of one dimension or none, which belongs to `owner`. */
PyObject *memory_new(struct module_state *state, PyObject *owner, const batchnorm_tensor *tensor);

#endif
