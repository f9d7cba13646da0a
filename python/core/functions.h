/* SPDX-License-Identifier: MIT */
/* Functions of the module. Each takes (module, tuple of arguments). */
#ifndef BN_PYTHON_FUNCTIONS_H
#define BN_PYTHON_FUNCTIONS_H

#include "state.h"

/* batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps) -> y */
PyObject *core_batch_norm(PyObject *module, PyObject *args);

/* stats_accumulate(stats, x), stats_merge(into, from), stats_finish(stats, correction, eps, out): out gets all of mean, then
 * all of var, then of 1 / sqrt(var + eps). Statistics are arrays of (channels, 3) doubles: count, mean, m2. */
PyObject *core_stats_accumulate(PyObject *module, PyObject *args);
PyObject *core_stats_merge(PyObject *module, PyObject *args);
PyObject *core_stats_finish(PyObject *module, PyObject *args);

/* inspect(path or pairs of name and array, settings) -> dict; fold(path, out, settings) -> dict. Settings are a tuple:
 * follow_symlinks, assume_constant, rewrite, eps, and whether the tensors are listed. */
PyObject *core_inspect(PyObject *module, PyObject *args);
PyObject *core_fold(PyObject *module, PyObject *args);

#endif
