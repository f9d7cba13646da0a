/* SPDX-License-Identifier: MIT */
/* DLPack, of either kind of capsule. A capsule that nobody consumes frees its tensor when it goes, and so is kept as it is. */
#include "dlpack.h"

/* What dlpack.h (1.x) has before the DLTensor of a DLManagedTensorVersioned. */
struct versioned {
    uint32_t major, minor;
    void *manager_context;
    void (*deleter)(void *self);
    uint64_t flags;
};

enum { DL_READ_ONLY = 1 };

/* Asks for a capsule that tells whether the memory may be written; what is older than that knows no such argument. */
static PyObject *capsule_of(struct module_state *state, PyObject *object) {
    PyObject *method = PyObject_GetAttrString(object, "__dlpack__");
    if (!method) return NULL;
    PyObject *capsule = PyObject_Call(method, state->no_arguments, state->dlpack_version);
    if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        capsule = PyObject_CallNoArgs(method);
    }
    Py_DECREF(method);
    return capsule;
}

/* Returns whether the memory is where a CPU can read it: asked before the capsule, because making one may wait for a device. */
static int check_device(PyObject *object, const char *name) {
    PyObject *device = PyObject_CallMethod(object, "__dlpack_device__", NULL);
    if (!device) return -1;
    int type, id;
    const int ok = PyArg_ParseTuple(device, "ii;__dlpack_device__() must return two numbers", &type, &id);
    Py_DECREF(device);
    if (!ok) return -1;
    if (type == 1 || type == 3 || type == 11 || type == 13) return 0; /* main memory, also pinned or shared with a device */
    PyErr_Format(PyExc_ValueError, "%s is on a device (of DLPack's type %d), and not in the memory of the CPU", name, type);
    return -1;
}

/* PyTorch has tensors whose elements are stored with the other sign, and lets them out as if they were not. */
static int check_sign(PyObject *object, const char *name) {
    PyObject *method = PyObject_GetAttrString(object, "is_neg");
    if (!method) return PyErr_Clear(), 0;
    PyObject *answer = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    const int is_negative = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (is_negative > 0)
        PyErr_Format(PyExc_BufferError,
                     "%s has the negative bit set: its elements are stored with the other sign; give what resolve_neg() makes",
                     name);
    return is_negative == 0 ? 0 : -1;
}

static int refuse(PyObject *object, const char *name, batchnorm_status status) {
    PyObject *dtype = PyObject_GetAttrString(object, "dtype");
    if (!dtype) PyErr_Clear();
    if (status != BATCHNORM_BAD_DTYPE)
        PyErr_Format(PyExc_ValueError, "%s: %s", name, batchnorm_status_string(status));
    else if (dtype)
        PyErr_Format(PyExc_TypeError, "%s must be float32, float64, float16 or bfloat16, not %S", name, dtype);
    else
        PyErr_Format(PyExc_TypeError, "%s must be float32, float64, float16 or bfloat16", name);
    Py_XDECREF(dtype);
    return -1;
}

static int read_capsule(PyObject *object, PyObject *capsule, const char *name, batchnorm_tensor *tensor, bool *is_read_only) {
    const bool is_versioned = PyCapsule_IsValid(capsule, "dltensor_versioned");
    const char *kind = is_versioned ? "dltensor_versioned" : "dltensor";
    char *managed = PyCapsule_GetPointer(capsule, kind);
    if (!managed) return -1;
    if (is_versioned) {
        const struct versioned *versioned = (const struct versioned *)managed;
        if (versioned->major != 1) {
            PyErr_Format(PyExc_BufferError, "%s has DLPack's version %u, and 1 is known", name, (unsigned)versioned->major);
            return -1;
        }
        *is_read_only = (versioned->flags & DL_READ_ONLY) != 0;
        managed += sizeof *versioned;
    }
    const batchnorm_status status = batchnorm_tensor_from_dlpack(managed, tensor);
    if (status) return refuse(object, name, status);
    if (!tensor->data && batchnorm_tensor_elements(tensor) != 0) {
        PyErr_Format(PyExc_BufferError, "%s has elements, but no memory in which they are", name);
        return -1;
    }
    if ((uintptr_t)tensor->data % batchnorm_dtype_bytes(tensor->dtype) == 0) return 0;
    PyErr_Format(PyExc_ValueError, "%s is not aligned: its address is no multiple of the size of an element", name);
    return -1;
}

PyObject *dlpack_take(struct module_state *state, PyObject *object, const char *name, batchnorm_tensor *tensor,
                      bool *is_read_only) {
    if (!PyObject_HasAttrString(object, "__dlpack__")) {
        PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
        if (type)
            PyErr_Format(PyExc_TypeError, "%s must be an array, and an object of the type %U has neither a buffer nor DLPack",
                         name, type);
        Py_XDECREF(type);
        return NULL;
    }
    if (check_device(object, name) || check_sign(object, name)) return NULL;
    PyObject *capsule = capsule_of(state, object);
    if (capsule && read_capsule(object, capsule, name, tensor, is_read_only)) Py_CLEAR(capsule);
    return capsule;
}
