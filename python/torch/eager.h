/* SPDX-License-Identifier: MIT */
/* Layers and their gradients called on plain tensors, without an operator: what an operator costs is more than a small layer.
 * Each function returns NotImplemented for what PyTorch has to do. */
#ifndef BN_TORCH_EAGER_H
#define BN_TORCH_EAGER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "run.h"

/* The names that are looked up in modules; `apply` is that of the function by which PyTorch differentiates. */
bool eager_begin(PyObject *apply);

/* layer(module, x, ranks, residual, activation, group): y of a module in its mode. `ranks` has a bit for every number of
 * dimensions that x may have. */
PyObject *eager_layer(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* backward(dy, x, z, y, weight, bias, done, wanted): dx, dz, dweight, dbias, or None for those that are not wanted, and None
 * for done. */
PyObject *eager_backward(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* double_backward(vx, vweight, vbias, dy, x, weight, done): gdy, gx, gweight. */
PyObject *eager_double_backward(PyObject *self, PyObject *const *arguments, Py_ssize_t count);

/* What a forward leaves for its backward, as a tuple: the statistics in bytes, whether they were frozen, eps, the activation
 * and the group. A forward has y in front of it. */
enum done { DONE_SAVED, DONE_FROZEN, DONE_EPS, DONE_ACTIVATION, DONE_GROUP, DONE_COUNT };

/* An activation from None or (kind, parameter). False with an exception. */
bool eager_activation(PyObject *object, batchnorm_activation *activation);

/* The exception of a status, unless one is set. */
PyObject *eager_failed(batchnorm_status status);

#endif
