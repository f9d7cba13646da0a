/* SPDX-License-Identifier: MIT */
/* Arrays of Python as tensors, without a copy: what has the buffer protocol or DLPack. */
#ifndef BN_PYTHON_ARRAY_H
#define BN_PYTHON_ARRAY_H

#include "batchnorm/layer.h"
#include "state.h"

/* An array, and what keeps its memory there. Zeros: none. */
struct array {
    batchnorm_tensor tensor; /* a rank above BATCHNORM_MAX_RANK has no sizes */
    Py_buffer buffer;        /* obj NULL: not from a buffer */
    PyObject *capsule;       /* NULL: not from DLPack */
};

/* Take the array of an object. The name is for messages; what is written must not be read-only. On error an exception is set,
 * and nothing is held. */
int array_take(struct module_state *state, PyObject *object, const char *name, bool is_written, struct array *array);
/* The same, and integers are refused. */
int array_take_floats(struct module_state *state, PyObject *object, const char *name, bool is_written, struct array *array);
void array_release(struct array *array);
int array_visit(const struct array *array, visitproc visit, void *arg);

/* A new NumPy array of the sizes, the type and the order in memory of another, and the tensor of it. */
PyObject *array_new_like(struct module_state *state, const struct array *other, struct array *array);

/* Where the result of a call goes: `out` if it is there and not None, which must be of the sizes and the type of `like`, or a
 * new array. */
PyObject *array_for_result(struct module_state *state, PyObject *out, const struct array *like, struct array *array);

bool array_has_sizes_of(const struct array *array, const struct array *other);

/* Take the pairs (name, array) of a tuple, which must stay. Returns how many were taken; fewer than there are: an exception is
 * set. */
Py_ssize_t array_take_pairs(struct module_state *state, PyObject *pairs, Py_ssize_t count, struct array *arrays,
                            batchnorm_named_tensor *named);

/* "2, 3", into `text`, which is returned. */
enum { ARRAY_SIZES_TEXT = 24 * BATCHNORM_MAX_RANK };
const char *array_size_list(const batchnorm_tensor *tensor, char text[ARRAY_SIZES_TEXT]);

/* "float32" ... */
const char *array_type_name(batchnorm_dtype dtype);

#endif
