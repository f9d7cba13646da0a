/* SPDX-License-Identifier: MIT */
/* A group of ranks whose transport is a Python function. */
#ifndef BN_TORCH_GROUP_H
#define BN_TORCH_GROUP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "run.h"

struct group {
    batchnorm_group group;
    PyObject *gather; /* bytes to (bytes of all ranks, how many each gave) */
    PyObject *all;
    size_t *counts;
};

/* From (gather, rank, ranks, calls, grain, first_sample) to the group of a layer; without a group from None in place of
 * gather, and without a grain, too, from None in place of all. False with an exception. */
bool group_begin(struct group *group, PyObject *object, struct run_layer *layer);
void group_end(struct group *group);

#endif
