/* SPDX-License-Identifier: MIT */
/* New arrays, which NumPy makes. */
#include <stdlib.h>

#include "array.h"

/* Returns NumPy's type of elements, borrowed. That of bfloat16 is in a package of its own, asked for when it is needed. */
static PyObject *numpy_type(struct module_state *state, batchnorm_dtype dtype) {
    if (state->dtypes[dtype]) return state->dtypes[dtype];
    PyObject *package = PyImport_ImportModule("ml_dtypes"), *type = NULL;
    if (!package && PyErr_ExceptionMatches(PyExc_ImportError)) {
        PyErr_SetString(PyExc_ImportError, "NumPy has no bfloat16 without the package ml_dtypes, which is not installed");
        return NULL;
    }
    if (package) type = PyObject_GetAttrString(package, "bfloat16");
    if (type) state->dtypes[dtype] = PyObject_CallFunctionObjArgs(state->dtype, type, NULL);
    Py_XDECREF(package);
    Py_XDECREF(type);
    return state->dtypes[dtype];
}

static int64_t distance(const batchnorm_tensor *t, int d) { return t->stride[d] < 0 ? -t->stride[d] : t->stride[d]; }

/* Orders the dimensions by their distances, the largest first. Those of one element and those that repeat one have no say, and
 * come before the others. Returns whether the others are in the order in which they are given. */
static bool order_of(const batchnorm_tensor *t, int order[BATCHNORM_MAX_RANK]) {
    int first = 0, count = 0;
    bool is_given = true;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] <= 1 || t->stride[d] == 0) order[first++] = d;
    for (int d = 0; d < t->rank; d++) {
        if (t->shape[d] <= 1 || t->stride[d] == 0) continue;
        int at = first + count++;
        for (; at > first && distance(t, order[at - 1]) < distance(t, d); at--) {
            order[at] = order[at - 1];
            is_given = false;
        }
        order[at] = d;
    }
    return is_given;
}

static PyObject *tuple_of(const int64_t *numbers, const int *order, int count) {
    PyObject *tuple = PyTuple_New(count);
    for (int d = 0; tuple && d < count; d++) {
        PyObject *number = PyLong_FromLongLong(numbers ? numbers[order[d]] : order[d]);
        if (!number || PyTuple_SetItem(tuple, d, number)) Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *make(struct module_state *state, PyObject *type, const batchnorm_tensor *like) {
    int order[BATCHNORM_MAX_RANK], back[BATCHNORM_MAX_RANK];
    const bool is_given = batchnorm_tensor_is_contiguous(like) || order_of(like, order);
    for (int d = 0; d < like->rank && is_given; d++) order[d] = d;
    PyObject *sizes = tuple_of(like->shape, order, like->rank);
    PyObject *array = sizes ? PyObject_CallFunctionObjArgs(state->empty, sizes, type, NULL) : NULL;
    Py_XDECREF(sizes);
    if (!array || is_given) return array;
    for (int d = 0; d < like->rank; d++) back[order[d]] = d;
    PyObject *axes = tuple_of(NULL, back, like->rank);
    PyObject *turned = axes ? PyObject_CallMethod(array, "transpose", "O", axes) : NULL;
    Py_XDECREF(axes);
    Py_DECREF(array);
    return turned;
}

PyObject *array_new_like(struct module_state *state, const struct array *other, struct array *array) {
    *array = (struct array){.capsule = NULL};
    if (other->tensor.rank > BATCHNORM_MAX_RANK) {
        PyErr_Format(PyExc_ValueError, "expected at most %dD input (got %dD input)", BATCHNORM_MAX_RANK, other->tensor.rank);
        return NULL;
    }
    PyObject *type = numpy_type(state, other->tensor.dtype);
    PyObject *made = type ? make(state, type, &other->tensor) : NULL;
    if (made && array_take(state, made, "the result", true, array)) Py_CLEAR(made);
    return made;
}

PyObject *array_for_result(struct module_state *state, PyObject *out, const struct array *like, struct array *array) {
    char wanted[ARRAY_SIZES_TEXT], given[ARRAY_SIZES_TEXT];
    if (!out || out == Py_None) return array_new_like(state, like, array);
    if (array_take(state, out, "out", true, array)) return NULL;
    if (!array_has_sizes_of(array, like))
        PyErr_Format(PyExc_ValueError, "out has the shape (%s), and the result (%s)", array_size_list(&array->tensor, given),
                     array_size_list(&like->tensor, wanted));
    else if (array->tensor.dtype != like->tensor.dtype)
        PyErr_Format(PyExc_TypeError, "out is %s, and the result %s", array_type_name(array->tensor.dtype),
                     array_type_name(like->tensor.dtype));
    else
        return Py_NewRef(out);
    array_release(array);
    return NULL;
}
