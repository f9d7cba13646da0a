/* SPDX-License-Identifier: MIT */
/* Arrays for the raw calls, which know three sizes and three strides. */
#ifndef BN_PYTHON_RAW_H
#define BN_PYTHON_RAW_H

#include "array.h"

/* Take an input of at least two dimensions such that what comes after the channels can be told by one stride: where it cannot,
 * the elements are copied. */
int raw_take(struct module_state *state, PyObject *object, struct array *array);

batchnorm_shape raw_shape(const struct array *array);
batchnorm_strides raw_strides(const struct array *array);

/* Take an array of so many numbers of a type, one after the other in memory; None: there is none, and no data. */
int raw_take_vector(struct module_state *state, PyObject *object, const char *name, int64_t count, batchnorm_dtype dtype,
                    bool is_written, struct array *array);

#endif
