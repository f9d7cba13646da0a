/* SPDX-License-Identifier: MIT */
#include "state.h"

PyObject *raise_status(batchnorm_status status, const char *message) {
    PyObject *type = PyExc_ValueError;
    switch (status) {
    case BATCHNORM_BAD_SHAPE:
    case BATCHNORM_BAD_DTYPE:
    case BATCHNORM_NO_FORWARD:
    case BATCHNORM_MISSING_KEY:
    case BATCHNORM_UNEXPECTED_KEY:
        type = PyExc_RuntimeError;
        break; /* as in PyTorch */
    case BATCHNORM_NO_MEMORY:
        return PyErr_NoMemory();
    case BATCHNORM_TOO_LARGE:
        type = PyExc_MemoryError;
        break;
    case BATCHNORM_IO:
        type = PyExc_OSError;
        break;
    default:
        break;
    }
    PyErr_SetString(type, message);
    return NULL;
}

struct module_state *state_of_type(PyTypeObject *type) {
    return PyType_GetModuleState(type);
}
