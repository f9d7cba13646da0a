/* SPDX-License-Identifier: MIT */
#ifndef BN_PYTHON_MEMORY_H
#define BN_PYTHON_MEMORY_H

#include "batchnorm/tensor.h"
#include "module.h"

/* A buffer of a tensor of one dimension or none, which belongs to `owner`. */
PyObject *memory_new(struct module_state *state, PyObject *owner, const batchnorm_tensor *tensor);

#endif
