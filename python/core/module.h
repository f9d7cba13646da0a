/* SPDX-License-Identifier: MIT */
/* The module `_core`, and what its files share. */
#ifndef BN_PYTHON_MODULE_H
#define BN_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* What the module keeps: its types, and what is taken from other modules once. */
struct module_state {
    PyTypeObject *layer_type, *memory_type, *statistics_type;
};

extern PyModuleDef core_module;

#endif
