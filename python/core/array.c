/* SPDX-License-Identifier: MIT */
#include "array.h"

#include <stdio.h>

#include "dlpack.h"

const char *array_type_name(batchnorm_dtype dtype) {
    static const char *const names[] = {[BATCHNORM_F32] = "float32",
                                        [BATCHNORM_F64] = "float64",
                                        [BATCHNORM_BF16] = "bfloat16",
                                        [BATCHNORM_F16] = "float16",
                                        [BATCHNORM_I64] = "int64"};
    return names[dtype];
}

const char *array_size_list(const batchnorm_tensor *tensor, char text[ARRAY_SIZES_TEXT]) {
    int at = 0;
    text[0] = '\0';
    for (int d = 0; d < tensor->rank && d < BATCHNORM_MAX_RANK; d++)
        at += snprintf(text + at, (size_t)(ARRAY_SIZES_TEXT - at), "%s%lld", d ? ", " : "", (long long)tensor->shape[d]);
    return text;
}

/* Says of what type the elements of an object are, where it tells: str(object.dtype). */
static int refuse_type(PyObject *object, const char *name, const char *format) {
    PyObject *dtype = PyObject_GetAttrString(object, "dtype"), *text = NULL;
    PyErr_Clear();
    if (dtype) text = PyObject_Str(dtype);
    if (!text) PyErr_Clear();
    if (text)
        PyErr_Format(PyExc_TypeError, "%s must be float32, float64, float16 or bfloat16, not %U", name, text);
    else
        PyErr_Format(PyExc_TypeError, "%s must be float32, float64, float16 or bfloat16, not a buffer of \"%s\"", name, format);
    Py_XDECREF(dtype);
    Py_XDECREF(text);
    return -1;
}

static int type_of_format(const char *format, Py_ssize_t bytes, batchnorm_dtype *dtype) {
    static const union {
        uint16_t number;
        uint8_t low;
    } one = {1};
    if (!format) return -1; /* bytes */
    if (*format == '@' || *format == '=' || *format == (one.low ? '<' : '>') || (*format == '!' && !one.low)) format++;
    if (format[0] == '\0' || format[1] != '\0') return -1;
    switch (format[0]) {
    case 'f':
        *dtype = BATCHNORM_F32;
        break;
    case 'd':
        *dtype = BATCHNORM_F64;
        break;
    case 'e':
        *dtype = BATCHNORM_F16;
        break;
    case 'l':
    case 'q':
        *dtype = BATCHNORM_I64;
        break;
    default:
        return -1;
    }
    return batchnorm_dtype_bytes(*dtype) == (size_t)bytes ? 0 : -1;
}

/* Fills in sizes and strides from the buffer. */
static int read_buffer(struct array *array, const char *name) {
    const Py_buffer *b = &array->buffer;
    array->tensor.data = b->buf;
    array->tensor.rank = b->ndim;
    for (int d = 0; d < b->ndim && d < BATCHNORM_MAX_RANK; d++) {
        array->tensor.shape[d] = b->shape[d];
        array->tensor.stride[d] = b->strides[d] / b->itemsize;
        if (b->strides[d] % b->itemsize != 0 && b->shape[d] > 1) {
            PyErr_Format(PyExc_ValueError, "the elements of %s lie %zd bytes apart, which is no multiple of their size", name,
                         b->strides[d]);
            return -1;
        }
    }
    if (b->len > 0 && (uintptr_t)b->buf % (size_t)b->itemsize != 0) {
        PyErr_Format(PyExc_ValueError, "%s is not aligned: its address is no multiple of the size of an element", name);
        return -1;
    }
    return 0;
}

static int refuse_read_only(const char *name) {
    PyErr_Format(PyExc_ValueError, "%s is read-only", name);
    return -1;
}

/* NumPy has bfloat16 from the package ml_dtypes, and no buffer for it: its bits are looked at as integers. */
static int take_numpy_extension(PyObject *object, const char *name, struct array *array) {
    PyObject *dtype = PyObject_GetAttrString(object, "dtype"), *type_name = NULL, *bits = NULL;
    if (dtype) type_name = PyObject_GetAttrString(dtype, "name");
    PyErr_Clear();
    if (type_name && PyUnicode_Check(type_name) && PyUnicode_CompareWithASCIIString(type_name, "bfloat16") == 0)
        bits = PyObject_CallMethod(object, "view", "s", "uint16");
    Py_XDECREF(dtype);
    Py_XDECREF(type_name);
    if (!bits) return PyErr_Occurred() ? -1 : refuse_type(object, name, "");
    const int result = PyObject_GetBuffer(bits, &array->buffer, PyBUF_STRIDES);
    Py_DECREF(bits);
    array->tensor.dtype = BATCHNORM_BF16;
    return result;
}

static int take_buffer(struct module_state *state, PyObject *object, const char *name, struct array *array) {
    if (PyObject_GetBuffer(object, &array->buffer, PyBUF_STRIDES | PyBUF_FORMAT) == 0) {
        const char *format = array->buffer.format;
        if (type_of_format(format, array->buffer.itemsize, &array->tensor.dtype) == 0) return 0;
        return refuse_type(object, name, format ? format : "B");
    }
    array->buffer.obj = NULL;
    if (PyObject_IsInstance(object, state->array_type) != 1) return PyErr_Occurred() ? -1 : refuse_type(object, name, "");
    PyErr_Clear();
    return take_numpy_extension(object, name, array);
}

/* NumPy's masked arrays are arrays, too, and give their memory without the mask. They are known by its name. */
static int check_masked(struct module_state *state, PyObject *object, const char *name) {
    if ((PyObject *)Py_TYPE(object) == state->array_type) return 0;
    const int is_array = PyObject_IsInstance(object, state->array_type);
    if (is_array < 0) return -1;
    if (!is_array || !PyObject_HasAttrString(object, "mask")) return 0;
    PyErr_Format(PyExc_TypeError, "%s is a masked array, and masks are not heeded: give its `data`, or what filled() makes",
                 name);
    return -1;
}

int array_take(struct module_state *state, PyObject *object, const char *name, bool is_written, struct array *array) {
    *array = (struct array){.capsule = NULL};
    if (check_masked(state, object, name)) return -1;
    if (PyObject_CheckBuffer(object)) {
        if (take_buffer(state, object, name, array) == 0 && read_buffer(array, name) == 0 &&
            !(is_written && array->buffer.readonly && refuse_read_only(name)))
            return 0;
        array_release(array);
        if (!PyErr_ExceptionMatches(PyExc_BufferError) || !PyObject_HasAttrString(object, "__dlpack__")) return -1;
        PyErr_Clear();
    }
    bool is_read_only = false;
    array->capsule = dlpack_take(state, object, name, &array->tensor, &is_read_only);
    if (!array->capsule) return -1;
    if (is_written && is_read_only) {
        array_release(array);
        return refuse_read_only(name);
    }
    return 0;
}

int array_take_floats(struct module_state *state, PyObject *object, const char *name, bool is_written, struct array *array) {
    if (array_take(state, object, name, is_written, array)) return -1;
    if (array->tensor.dtype != BATCHNORM_I64) return 0;
    array_release(array);
    return refuse_type(object, name, "q");
}

void array_release(struct array *array) {
    if (array->buffer.obj) PyBuffer_Release(&array->buffer);
    Py_CLEAR(array->capsule);
    array->buffer.obj = NULL;
    array->tensor.data = NULL;
}

Py_ssize_t array_take_pairs(struct module_state *state, PyObject *pairs, Py_ssize_t count, struct array *arrays,
                            batchnorm_named_tensor *named) {
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PySequence_GetItem(pairs, i), *array; /* the pair holds it, and the sequence the pair */
        const int ok = pair && PyArg_ParseTuple(pair, "sO", &named[i].name, &array) &&
                       array_take(state, array, named[i].name, false, &arrays[i]) == 0;
        Py_XDECREF(pair);
        if (!ok) return i;
        named[i].tensor = arrays[i].tensor;
    }
    return count;
}

int array_visit(const struct array *array, visitproc visit, void *arg) {
    Py_VISIT(array->buffer.obj);
    Py_VISIT(array->capsule);
    return 0;
}

bool array_has_sizes_of(const struct array *array, const struct array *other) {
    const batchnorm_tensor *a = &array->tensor, *b = &other->tensor;
    if (a->rank != b->rank) return false;
    for (int d = 0; d < a->rank && d < BATCHNORM_MAX_RANK; d++)
        if (a->shape[d] != b->shape[d]) return false;
    return true;
}
