/* SPDX-License-Identifier: MIT */
#ifndef BN_PYTHON_LAYER_H
#define BN_PYTHON_LAYER_H

#include "array.h"
#include "batchnorm/layer.h"

struct layer {
    PyObject base;
    batchnorm_layer *layer;
    PyObject *owner; /* destroys the layer; held by arrays of its memory, too, which thus refer to no object of Python */
    PyThread_type_lock lock;
    unsigned forks;            /* pool_forks() when the lock was made */
    struct array input;        /* of the last forward, for backward */
    bool has_input, is_output; /* it is there; it is the output, which overwrote the input */
};

/* Wait until no other thread is in the layer: 0, or -1 with an exception. */
int layer_enter(struct layer *self);
void layer_leave(struct layer *self);

/* Adds the type to the module: 0, or -1 with an exception. */
int layer_add(PyObject *module, struct module_state *state);

PyObject *layer_forward(PyObject *object, PyObject *const *args, Py_ssize_t count);
PyObject *layer_backward(PyObject *object, PyObject *const *args, Py_ssize_t count);
PyObject *layer_forget(PyObject *object, PyObject *unused);
PyObject *layer_load_state(PyObject *object, PyObject *const *args, Py_ssize_t count);

#endif
