/* SPDX-License-Identifier: MIT */
#include "group.h"

#include <stdlib.h>

/* Takes the result of the Python function apart. False with an exception. */
static bool take(struct group *group, PyObject *result) {
    PyObject *all, *counts;
    if (!PyArg_ParseTuple(result, "O!O!", &PyBytes_Type, &all, &PyTuple_Type, &counts)) return false;
    if (PyTuple_Size(counts) != group->group.ranks) {
        PyErr_SetString(PyExc_ValueError, "the transport returned the counts of another number of ranks");
        return false;
    }
    size_t sum = 0;
    for (int i = 0; i < group->group.ranks; i++) {
        group->counts[i] = PyLong_AsSize_t(PyTuple_GetItem(counts, i));
        if (PyErr_Occurred()) return false;
        sum += group->counts[i];
    }
    if (sum != (size_t)PyBytes_Size(all)) {
        PyErr_SetString(PyExc_ValueError, "the transport returned counts that do not add up to its bytes");
        return false;
    }
    Py_INCREF(all);
    Py_XDECREF(group->all);
    group->all = all;
    return true;
}

static int gather(void *user, const void *bytes, size_t count, const void **all, const size_t **counts) {
    struct group *const group = user;
    const PyGILState_STATE state = PyGILState_Ensure();
    PyObject *const result = PyObject_CallFunction(group->gather, "y#", bytes, (Py_ssize_t)count);
    const bool taken = result && take(group, result);
    Py_XDECREF(result);
    if (taken) {
        *all = PyBytes_AsString(group->all);
        *counts = group->counts;
    }
    PyGILState_Release(state); /* an exception stays with this thread, for whoever sees the status */
    return taken ? 0 : -1;
}

bool group_begin(struct group *group, PyObject *object, struct run_layer *layer) {
    *group = (struct group){.group = {.size = sizeof group->group, .gather = gather, .user = group}};
    if (object == Py_None) return true;
    unsigned long long calls, grain, first;
    if (!PyArg_ParseTuple(object, "OiiKKK", &group->gather, &group->group.rank, &group->group.ranks, &calls, &grain, &first))
        return false;
    layer->grain = grain;
    layer->first_sample = first;
    if (group->gather == Py_None) return true;
    group->counts = calloc(group->group.ranks > 0 ? (size_t)group->group.ranks : 1, sizeof *group->counts);
    if (!group->counts) return PyErr_NoMemory(), false;
    group->group.calls = calls;
    layer->group = &group->group;
    return true;
}

void group_end(struct group *group) {
    free(group->counts);
    Py_XDECREF(group->all);
}
