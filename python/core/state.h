/* SPDX-License-Identifier: MIT */
/* What all files of the module `_core` share. */
#ifndef BN_PYTHON_STATE_H
#define BN_PYTHON_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "batchnorm/batchnorm.h"

/* What the module keeps: its types, and what it takes from NumPy once. All are objects, and may be NULL. */
struct module_state {
    PyObject *layer_type, *memory_type;
    PyObject *array_type, *dtype, *empty;    /* numpy.ndarray, numpy.dtype, numpy.empty */
    PyObject *dtypes[4];                     /* by batchnorm_dtype; that of bfloat16 is NULL until it is needed */
    PyObject *no_arguments, *dlpack_version; /* (), {"max_version": (1, 0)} */
};

/* The state of the module that a type belongs to. */
struct module_state *state_of_type(PyTypeObject *type);

/* Sets the exception that PyTorch has for a status, with a sentence. Returns NULL. */
PyObject *raise_status(batchnorm_status status, const char *message);

#endif
