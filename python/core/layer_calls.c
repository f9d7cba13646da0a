/* SPDX-License-Identifier: MIT */
/* The calls of a layer that take arrays. */
#include <stdio.h>
#include <string.h>

#include "layer.h"
#include "pool.h"

/* The exception of a status of a layer. PyTorch has ValueError for running statistics that are half there in training mode,
 * and RuntimeError in evaluation mode. */
static PyObject *raise_layer(struct layer *self, batchnorm_status status) {
    const char *message = batchnorm_layer_message(self->layer), *size = strstr(message, "got input size [");
    if (status == BATCHNORM_ONE_VALUE && size) {
        char text[ARRAY_SIZES_TEXT + 200];
        size = strchr(size, '[');
        snprintf(text, sizeof text, "%.*storch.Size(%s)", (int)(size - message), message, size); /* as PyTorch prints it */
        PyErr_SetString(PyExc_ValueError, text);
        return NULL;
    }
    if (status == BATCHNORM_NO_STATISTICS && !batchnorm_layer_is_training(self->layer)) {
        PyErr_SetString(PyExc_RuntimeError, message);
        return NULL;
    }
    return raise_status(status, message);
}

PyObject *layer_forget(PyObject *object, PyObject *unused) {
    struct layer *self = (struct layer *)object;
    (void)unused;
    if (layer_enter(self)) return NULL;
    struct array old = self->input;
    self->input = (struct array){.capsule = NULL};
    self->has_input = false;
    layer_leave(self);
    array_release(&old);
    Py_RETURN_NONE;
}

static batchnorm_status run_forward(struct layer *self, batchnorm_tensor x, batchnorm_tensor y) {
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    const batchnorm_exec exec = pool_exec(NULL, 0);
    status = batchnorm_layer_forward(self->layer, x, y, NULL, 0, &exec);
    Py_END_ALLOW_THREADS;
    return status;
}

/* Remembers what backward will need: x, or y where it lies in its place. What was remembered before takes its place, and is
 * released after the layer was left, because that may run code of the program. */
static void remember(struct layer *self, struct array *x, struct array *y) {
    self->is_output = x->tensor.data == y->tensor.data;
    struct array *kept = self->is_output ? y : x;
    const struct array old = self->input;
    self->input = *kept;
    self->has_input = true;
    *kept = old;
}

PyObject *layer_forward(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct layer *self = (struct layer *)object;
    struct module_state *state = state_of_type(Py_TYPE(object));
    struct array x, y = {.capsule = NULL};
    if (count < 1 || count > 2) return PyErr_Format(PyExc_TypeError, "forward() takes x and out");
    if (array_take_floats(state, args[0], "input", false, &x)) return NULL;
    const bool is_known = x.tensor.rank <= BATCHNORM_MAX_RANK; /* otherwise the layer says how many it wants */
    PyObject *result = is_known ? array_for_result(state, count > 1 ? args[1] : NULL, &x, &y) : Py_NewRef(Py_None);
    if (!result || layer_enter(self)) {
        Py_XDECREF(result);
        array_release(&x);
        array_release(&y);
        return NULL;
    }
    const batchnorm_status status = run_forward(self, x.tensor, is_known ? y.tensor : x.tensor);
    if (!status || status == BATCHNORM_NOT_COMMITTED) {
        remember(self, &x, &y);
    } else {
        raise_layer(self, status);
        Py_CLEAR(result);
    }
    layer_leave(self);
    array_release(&x);
    array_release(&y);
    return result;
}

static batchnorm_status run_backward(struct layer *self, batchnorm_tensor dy, batchnorm_tensor dx, bool accumulate) {
    const batchnorm_tensor none = {.data = NULL};
    const batchnorm_layer_backward_call call = {.size = sizeof call,
                                                .x = self->is_output ? none : self->input.tensor,
                                                .y = self->is_output ? self->input.tensor : none,
                                                .dy = dy,
                                                .dx = dx,
                                                .flags = accumulate ? BATCHNORM_ACCUMULATE : 0};
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    const batchnorm_exec exec = pool_exec(NULL, 0);
    status = batchnorm_layer_backward_fused(self->layer, &call, &exec);
    Py_END_ALLOW_THREADS;
    return status;
}

PyObject *layer_backward(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct layer *self = (struct layer *)object;
    struct module_state *state = state_of_type(Py_TYPE(object));
    struct array dy, dx = {.capsule = NULL};
    if (count != 3) return PyErr_Format(PyExc_TypeError, "backward() takes dy, out and accumulate");
    const int accumulate = PyObject_IsTrue(args[2]);
    if (accumulate < 0 || array_take_floats(state, args[0], "dy", false, &dy)) return NULL;
    PyObject *result = array_for_result(state, args[1], &dy, &dx);
    if (!result || layer_enter(self)) {
        Py_XDECREF(result);
        array_release(&dy);
        array_release(&dx);
        return NULL;
    }
    const batchnorm_status status =
        self->has_input ? run_backward(self, dy.tensor, dx.tensor, accumulate) : BATCHNORM_NO_FORWARD;
    if (status) {
        if (self->has_input)
            raise_layer(self, status);
        else
            raise_status(status, batchnorm_status_string(status));
        Py_CLEAR(result);
    }
    layer_leave(self);
    array_release(&dy);
    array_release(&dx);
    return result;
}

PyObject *layer_load_state(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct layer *self = (struct layer *)object;
    if (count != 3 || !PyTuple_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "load_state() takes a tuple and two numbers");
    const long version = PyLong_AsLong(args[1]);
    const int strict = PyObject_IsTrue(args[2]);
    if (PyErr_Occurred()) return NULL;
    const Py_ssize_t entries = PyTuple_Size(args[0]);
    struct array *arrays = PyMem_Calloc((size_t)entries + 1, sizeof *arrays);
    batchnorm_named_tensor *named = PyMem_Calloc((size_t)entries + 1, sizeof *named);
    PyObject *result = NULL;
    Py_ssize_t taken = 0;
    if (!arrays || !named)
        PyErr_NoMemory();
    else
        taken = array_take_pairs(state_of_type(Py_TYPE(object)), args[0], entries, arrays, named);
    if (!PyErr_Occurred() && layer_enter(self) == 0) {
        const batchnorm_status status = batchnorm_layer_load_state(self->layer, named, (size_t)entries, (int)version, strict);
        result = status ? raise_layer(self, status) : Py_NewRef(Py_None);
        layer_leave(self);
    }
    for (Py_ssize_t i = 0; i < taken; i++) array_release(&arrays[i]);
    PyMem_Free(arrays);
    PyMem_Free(named);
    return result;
}
