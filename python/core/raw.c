/* SPDX-License-Identifier: MIT */
#include "raw.h"

#include <stdlib.h>
#include <string.h>

/* Finds one stride for all dimensions after the channels: sorted by their strides, each must go on where the one before it
 * ends. Returns whether there is one. */
static bool merge(const batchnorm_tensor *t, ptrdiff_t *stride) {
    int order[BATCHNORM_MAX_RANK], count = 0;
    for (int d = 2; d < t->rank; d++) {
        if (t->shape[d] == 1) continue;
        int at = count++;
        for (; at > 0 && llabs(t->stride[order[at - 1]]) < llabs(t->stride[d]); at--) order[at] = order[at - 1];
        order[at] = d;
    }
    *stride = count == 0 ? 0 : (ptrdiff_t)t->stride[order[count - 1]];
    for (int i = count - 1; i > 0; i--)
        if (t->stride[order[i - 1]] != t->stride[order[i]] * t->shape[order[i]]) return false;
    return true;
}

/* Copies all elements to where they lie in row-major order. */
static char *copy_elements(const batchnorm_tensor *t, int d, const char *from, char *to) {
    const size_t bytes = batchnorm_dtype_bytes(t->dtype);
    if (d == t->rank) {
        memcpy(to, from, bytes);
        return to + bytes;
    }
    for (int64_t i = 0; i < t->shape[d]; i++)
        to = copy_elements(t, d + 1, from + (ptrdiff_t)(i * t->stride[d]) * (ptrdiff_t)bytes, to);
    return to;
}

static int make_contiguous(struct module_state *state, struct array *array) {
    const batchnorm_tensor t = array->tensor;
    const struct array like = {.tensor = batchnorm_tensor_contiguous(t.data, t.dtype, t.rank, t.shape)};
    struct array copy;
    PyObject *made = array_new_like(state, &like, &copy);
    if (!made) return -1;
    Py_DECREF(made); /* the buffer holds it */
    if (t.data) copy_elements(&t, 0, t.data, copy.tensor.data);
    array_release(array);
    *array = copy;
    return 0;
}

int raw_take(struct module_state *state, PyObject *object, struct array *array) {
    ptrdiff_t stride;
    if (array_take_floats(state, object, "input", false, array)) return -1;
    const int rank = array->tensor.rank;
    if (rank < 2 || rank > BATCHNORM_MAX_RANK) {
        PyErr_Format(PyExc_ValueError, "expected 2D to %dD input (got %dD input)", BATCHNORM_MAX_RANK, rank);
        array_release(array);
        return -1;
    }
    if (batchnorm_tensor_elements(&array->tensor) == 0 || merge(&array->tensor, &stride)) return 0;
    if (make_contiguous(state, array) == 0) return 0;
    array_release(array);
    return -1;
}

batchnorm_shape raw_shape(const struct array *array) {
    const batchnorm_tensor *t = &array->tensor;
    batchnorm_shape shape = {(size_t)t->shape[0], (size_t)t->shape[1], 1, t->dtype};
    for (int d = 2; d < t->rank; d++) shape.inner *= (size_t)t->shape[d];
    return shape;
}

batchnorm_strides raw_strides(const struct array *array) {
    batchnorm_strides strides = {(ptrdiff_t)array->tensor.stride[0], (ptrdiff_t)array->tensor.stride[1], 0};
    merge(&array->tensor, &strides.inner);
    return strides;
}

int raw_take_vector(struct module_state *state, PyObject *object, const char *name, int64_t count, batchnorm_dtype dtype,
                    bool is_written, struct array *array) {
    *array = (struct array){.capsule = NULL};
    if (object == Py_None) return 0;
    if (array_take(state, object, name, is_written, array)) return -1;
    const batchnorm_tensor *t = &array->tensor;
    const int64_t elements = t->rank > BATCHNORM_MAX_RANK ? -1 : batchnorm_tensor_elements(t);
    if (elements != count) /* PyTorch's sentence */
        PyErr_Format(PyExc_RuntimeError, "%s should contain %lld elements not %lld", name, (long long)count,
                     (long long)elements);
    else if (t->dtype != dtype)
        PyErr_Format(PyExc_RuntimeError, "%s must be %s, not %s", name, array_type_name(dtype), array_type_name(t->dtype));
    else if (!batchnorm_tensor_is_contiguous(t))
        PyErr_Format(PyExc_ValueError, "the elements of %s must lie one after the other: %s is a view of others", name, name);
    else
        return 0;
    array_release(array);
    return -1;
}
