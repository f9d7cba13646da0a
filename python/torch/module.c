/* SPDX-License-Identifier: MIT */
/* The module `_torch`: what `batchnorm.torch` calls. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "eager.h"
#include "layout.h"
#include "operators.h"
#include "shim.h"
#include "tensors.h"

/* begin(tensors, apply): looks PyTorch's functions up, and registers the operators. Once in a process. */
static PyObject *torch_begin(PyObject *self, PyObject *arguments) {
    (void)self;
    static bool begun;
    PyObject *tensors, *apply;
    if (!PyArg_ParseTuple(arguments, "O!O", &PyTuple_Type, &tensors, &apply)) return NULL;
    if (begun) Py_RETURN_NONE;
    const char *missing = shim_load();
    if (missing) return PyErr_Format(PyExc_ImportError, "this PyTorch lacks %s; batchnorm.torch needs 2.10 or later", missing);
    if (!tensors_begin(tensors) || !eager_begin(apply)) return NULL;
    missing = operators_register();
    if (missing) return PyErr_Format(PyExc_ImportError, "PyTorch did not register %s", missing);
    begun = true;
    Py_RETURN_NONE;
}

static PyObject *torch_unwatched(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    const int unwatched = tensors_unwatched();
    return unwatched < 0 ? NULL : PyBool_FromLong(unwatched);
}

/* None for what is no plain tensor, or so unlike one that PyTorch would not say where its elements are. */
static PyObject *torch_channels_last(PyObject *self, PyObject *object) {
    (void)self;
    batchnorm_tensor tensor;
    if (!tensors_read(object, &tensor) || object == Py_None) Py_RETURN_NONE;
    return PyBool_FromLong(layout_is_channels_last(&tensor));
}

/* How CPython wants functions that get an array; the detour over void (*)(void) says that the cast is meant. */
#define FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef functions[] = {
    {"begin", torch_begin, METH_VARARGS, "Take what is needed from PyTorch, and register the operators."},
    {"layer", FAST(eager_layer), METH_FASTCALL, "Run a module on a plain tensor, or return NotImplemented."},
    {"backward", FAST(eager_backward), METH_FASTCALL, "The gradients of a layer, or NotImplemented."},
    {"double_backward", FAST(eager_double_backward), METH_FASTCALL, "The gradients of gradients, or NotImplemented."},
    {"channels_last", torch_channels_last, METH_O, "Whether PyTorch takes the strides of a plain tensor for channels last."},
    {"unwatched", torch_unwatched, METH_NOARGS,
     "Whether no mode, transform or trace has to see what is done to plain tensors."},
    {0},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_torch", .m_doc = "What `batchnorm.torch` calls.",
                                 .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__torch(void) { return PyModule_Create(&definition); }
