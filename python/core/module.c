/* SPDX-License-Identifier: MIT */
#include "module.h"

#include "pool.h"

static PyObject *core_version(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyUnicode_FromString(batchnorm_version());
}

static PyObject *core_isa(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyUnicode_FromString(batchnorm_isa());
}

static PyObject *core_get_num_threads(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLong(pool_threads());
}

static PyObject *core_set_num_threads(PyObject *module, PyObject *number) {
    (void)module;
    int overflow;
    const long threads = PyLong_AsLongAndOverflow(number, &overflow);
    if (threads == -1 && PyErr_Occurred()) return NULL;
    if (overflow != 0 || threads < 1 || threads > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "the number of threads must be positive");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    pool_set_threads((int)threads);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"version", core_version, METH_NOARGS, "The library's version."},
    {"isa", core_isa, METH_NOARGS, "The instruction set in use."},
    {"get_num_threads", core_get_num_threads, METH_NOARGS, "How many threads a call has."},
    {"set_num_threads", core_set_num_threads, METH_O, "Give calls so many threads."},
    {0},
};

static int core_exec(PyObject *module) {
    (void)module;
    return Py_AtExit(pool_close);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, core_exec}, {0}};

PyModuleDef core_module = {PyModuleDef_HEAD_INIT,
                           .m_name = "_core",
                           .m_doc = "What `batchnorm` calls of libbatchnorm.",
                           .m_size = sizeof(struct module_state),
                           .m_methods = functions,
                           .m_slots = slots};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
