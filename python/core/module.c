/* SPDX-License-Identifier: MIT */
/* The module: its functions, and what it takes from NumPy once. */
#include "functions.h"
#include "layer.h"
#include "memory.h"
#include "pool.h"
#include "state.h"

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
    PyObject *integer = PyNumber_Index(number);
    if (!integer) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) return NULL;
        PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(number), "__name__");
        if (type) PyErr_Format(PyExc_TypeError, "set_num_threads expects an int, but got %U", type); /* PyTorch's sentence */
        Py_XDECREF(type);
        return NULL;
    }
    const long threads = PyLong_AsLongAndOverflow(integer, &overflow);
    Py_DECREF(integer);
    if (overflow > 0 || threads > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "the number of threads is too large: at most %d can be asked for", INT_MAX);
        return NULL;
    }
    if (overflow < 0 || threads < 1) {
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
    {"batch_norm", core_batch_norm, METH_VARARGS, "batch_norm(x, mean, var, weight, bias, training, momentum, eps): y."},
    {"stats_accumulate", core_stats_accumulate, METH_VARARGS, "stats_accumulate(stats, x)."},
    {"stats_merge", core_stats_merge, METH_VARARGS, "stats_merge(into, from)."},
    {"stats_finish", core_stats_finish, METH_VARARGS, "stats_finish(stats, correction, eps, out)."},
    {"inspect", core_inspect, METH_VARARGS, "inspect(source, settings): dict."},
    {"fold", core_fold, METH_VARARGS, "fold(path, to, settings): dict."},
    {0},
};

static PyObject **end_of(struct module_state *state) { return (PyObject **)(state + 1); }

static int core_visit(PyObject *module, visitproc visit, void *arg) {
    struct module_state *state = PyModule_GetState(module);
    for (PyObject **object = (PyObject **)state; object < end_of(state); object++) Py_VISIT(*object);
    return 0;
}

static int core_clear(PyObject *module) {
    struct module_state *state = PyModule_GetState(module);
    for (PyObject **object = (PyObject **)state; object < end_of(state); object++) Py_CLEAR(*object);
    return 0;
}

static void core_free(void *module) { core_clear(module); }

static int take_numpy(struct module_state *state) {
    static const char *const types[] = {[BATCHNORM_F32] = "float32", [BATCHNORM_F64] = "float64", [BATCHNORM_F16] = "float16"};
    PyObject *numpy = PyImport_ImportModule("numpy");
    if (!numpy) return -1;
    state->array_type = PyObject_GetAttrString(numpy, "ndarray");
    state->dtype = PyObject_GetAttrString(numpy, "dtype");
    state->empty = PyObject_GetAttrString(numpy, "empty");
    Py_DECREF(numpy);
    if (!state->array_type || !state->dtype || !state->empty) return -1;
    for (int i = 0; i <= BATCHNORM_F16; i++) {
        if (!types[i]) continue;
        state->dtypes[i] = PyObject_CallFunction(state->dtype, "s", types[i]);
        if (!state->dtypes[i]) return -1;
    }
    return 0;
}

static int core_exec(PyObject *module) {
    struct module_state *state = PyModule_GetState(module);
    state->no_arguments = PyTuple_New(0);
    state->dlpack_version = Py_BuildValue("{s:(ii)}", "max_version", 1, 0);
    if (!state->no_arguments || !state->dlpack_version || take_numpy(state)) return -1;
    if (memory_add(module, state) || layer_add(module, state)) return -1;
    static bool is_registered; /* the pool is the process's, whoever loads the module again */
    if (!is_registered) is_registered = Py_AtExit(pool_close) == 0;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, core_exec}, {0}};

static PyModuleDef core_module = {PyModuleDef_HEAD_INIT,
                                  .m_name = "_core",
                                  .m_doc = "What `batchnorm` calls of libbatchnorm.",
                                  .m_size = sizeof(struct module_state),
                                  .m_methods = functions,
                                  .m_slots = slots,
                                  .m_traverse = core_visit,
                                  .m_clear = core_clear,
                                  .m_free = core_free};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
