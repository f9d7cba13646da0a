/* SPDX-License-Identifier: MIT */
/* People's own models: what `inspect --json` and `fold --json` of the command say, as objects of Python. */
#include <math.h>
#include <string.h>

#include "array.h"
#include "batchnorm/model.h"
#include "functions.h"

/* Puts a value, which may be NULL with an exception, under a key, and lets it go. */
static int put(PyObject *dict, const char *key, PyObject *value) {
    const int result = value ? PyDict_SetItemString(dict, key, value) : -1;
    Py_XDECREF(value);
    return result;
}

/* A text of a file: it need not be UTF-8. */
static PyObject *text_of(const char *text) { return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"); }

static int put_text(PyObject *dict, const char *key, const char *text) { return text ? put(dict, key, text_of(text)) : 0; }

static const char *const outcomes[] = {
    [BATCHNORM_FOLD_LEFT] = "left",     [BATCHNORM_FOLD_BEFORE] = "before", [BATCHNORM_FOLD_AFTER] = "after",
    [BATCHNORM_FOLD_NORM] = "norm",     [BATCHNORM_FOLD_PARTS] = "parts",   [BATCHNORM_FOLD_MUL_ADD] = "mul_add",
    [BATCHNORM_FOLD_ADD] = "scale_only"};

/* What folding does to a batch norm. */
static int put_fold(PyObject *dict, const batchnorm_model_norm *n) {
    return put_text(dict, "target", n->target) || put_text(dict, "why", n->why) || put_text(dict, "note", n->note) ||
           put_text(dict, "fold", outcomes[n->outcome]);
}

static int put_illnesses(PyObject *dict, const batchnorm_model_norm *n) {
    static const char *const keys[BATCHNORM_ILLNESSES] = {
        [BATCHNORM_VAR_NEGATIVE] = "var_negative",   [BATCHNORM_VAR_ZERO] = "var_zero",
        [BATCHNORM_VAR_SUBNORMAL] = "var_subnormal", [BATCHNORM_VAR_BELOW_EPS] = "var_below_eps",
        [BATCHNORM_WEIGHT_SMALL] = "weight_small",   [BATCHNORM_NOT_FINITE] = "not_finite",
        [BATCHNORM_NEVER_MOVED] = "never_moved"};
    for (int i = 0; i < BATCHNORM_ILLNESSES; i++)
        if (put(dict, keys[i], PyLong_FromSize_t(n->ill[i]))) return -1;
    return 0;
}

static int put_norm(PyObject *dict, const batchnorm_model_norm *n, batchnorm_model_format format) {
    static const char *const conventions[] = {[BATCHNORM_MODEL_ONNX] = NULL,
                                              [BATCHNORM_MODEL_TORCH] = "pytorch",
                                              [BATCHNORM_MODEL_STATE] = "pytorch",
                                              [BATCHNORM_MODEL_DARKNET] = "darknet"};
    if (put_text(dict, "name", n->name) || put_text(dict, "convention", conventions[format])) return -1;
    if (put(dict, "channels", n->channels < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(n->channels))) return -1;
    if (put(dict, "eps", isfinite(n->eps) ? PyFloat_FromDouble(n->eps) : Py_NewRef(Py_None))) return -1;
    if (put(dict, "eps_in_file", PyBool_FromLong(n->has_eps))) return -1;
    if (put(dict, "training", PyBool_FromLong(n->is_training))) return -1;
    if (n->num_batches_tracked >= 0 && put(dict, "num_batches_tracked", PyLong_FromLongLong(n->num_batches_tracked))) return -1;
    return put_illnesses(dict, n) || put_text(dict, "before", n->before) || put_text(dict, "after", n->after);
}

static PyObject *norms(const batchnorm_model *model, bool is_fold) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < batchnorm_model_norm_count(model); i++) {
        const batchnorm_model_norm *n = batchnorm_model_norm_at(model, i);
        PyObject *dict = PyDict_New();
        const bool ok =
            dict && (is_fold ? put_text(dict, "name", n->name) : put_norm(dict, n, batchnorm_model_get_format(model))) == 0 &&
            put_fold(dict, n) == 0 && PyList_Append(list, dict) == 0;
        Py_XDECREF(dict);
        if (!ok) Py_CLEAR(list);
    }
    return list;
}

static PyObject *tensor(const batchnorm_model_tensor *t) {
    PyObject *shape = PyList_New(0);
    for (int d = 0; shape && d < t->rank; d++) {
        PyObject *size = PyLong_FromLongLong(t->shape[d]);
        if (!size || PyList_Append(shape, size)) Py_CLEAR(shape);
        Py_XDECREF(size);
    }
    PyObject *dict = shape ? PyDict_New() : NULL;
    if (dict && (put_text(dict, "name", t->name) || put_text(dict, "type", t->type) || put(dict, "shape", Py_NewRef(shape)) ||
                 put(dict, "external", PyBool_FromLong(t->is_external))))
        Py_CLEAR(dict);
    Py_XDECREF(shape);
    return dict;
}

static PyObject *tensors(const batchnorm_model *model) {
    PyObject *list = PyList_New(0);
    batchnorm_model_tensor t;
    for (size_t i = 0; list && batchnorm_model_tensor_at(model, i, &t); i++) {
        PyObject *dict = tensor(&t);
        if (!dict || PyList_Append(list, dict)) Py_CLEAR(list);
        Py_XDECREF(dict);
    }
    return list;
}

static PyObject *skipped(const batchnorm_model *model) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && batchnorm_model_skipped(model, i); i++) {
        PyObject *name = text_of(batchnorm_model_skipped(model, i));
        if (!name || PyList_Append(list, name)) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

/* Takes the settings; `lists` says whether tensors are wanted in place of batch norms. */
static int read_settings(PyObject *settings, batchnorm_model_options *options, int *lists) {
    int follow, assume, rewrite;
    *options = (batchnorm_model_options){.size = sizeof *options};
    if (!PyArg_ParseTuple(settings, "pppdp", &follow, &assume, &rewrite, &options->eps, lists)) return -1;
    options->follow_symlinks = follow;
    options->assume_constant = assume;
    options->rewrite = rewrite;
    return 0;
}

static PyObject *result_of(const batchnorm_model *model, bool lists) {
    static const char *const formats[] = {[BATCHNORM_MODEL_ONNX] = "ONNX",
                                          [BATCHNORM_MODEL_TORCH] = "PyTorch",
                                          [BATCHNORM_MODEL_STATE] = "state",
                                          [BATCHNORM_MODEL_DARKNET] = "Darknet"};
    PyObject *dict = PyDict_New();
    if (!dict) return NULL;
    int failed = put_text(dict, "format", formats[batchnorm_model_get_format(model)]);
    if (lists)
        failed = failed || put(dict, "tensors", tensors(model)) || put(dict, "skipped", skipped(model));
    else
        failed = failed || put(dict, "batch_norms", norms(model, false));
    if (failed) Py_CLEAR(dict);
    return dict;
}

static batchnorm_model *open_file(const char *path, const batchnorm_model_options *options) {
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    batchnorm_model *model;
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = batchnorm_model_open(path, options, &model, message);
    Py_END_ALLOW_THREADS;
    if (status) raise_status(status, message[0] ? message : batchnorm_status_string(status));
    return model;
}

/* A state of the caller's arrays, which stay as long as the call. */
static PyObject *inspect_state(struct module_state *state, PyObject *pairs, const batchnorm_model_options *options,
                               bool lists) {
    const Py_ssize_t count = PyTuple_Size(pairs);
    struct array *arrays = PyMem_Calloc((size_t)count + 1, sizeof *arrays);
    batchnorm_named_tensor *entries = PyMem_Calloc((size_t)count + 1, sizeof *entries);
    batchnorm_model *model = NULL;
    PyObject *result = NULL;
    Py_ssize_t taken = 0;
    if (!arrays || !entries)
        PyErr_NoMemory();
    else
        taken = array_take_pairs(state, pairs, count, arrays, entries);
    if (!PyErr_Occurred()) {
        const batchnorm_status status = batchnorm_model_from_state(entries, (size_t)count, options, &model);
        result = status ? raise_status(status, batchnorm_status_string(status)) : result_of(model, lists);
    }
    batchnorm_model_close(model);
    for (Py_ssize_t i = 0; i < taken; i++) array_release(&arrays[i]);
    PyMem_Free(arrays);
    PyMem_Free(entries);
    return result;
}

PyObject *core_inspect(PyObject *module, PyObject *args) {
    PyObject *source, *settings;
    batchnorm_model_options options;
    int lists;
    if (!PyArg_ParseTuple(args, "OO:inspect", &source, &settings) || read_settings(settings, &options, &lists)) return NULL;
    if (PyTuple_Check(source)) return inspect_state(PyModule_GetState(module), source, &options, lists);
    const char *path = PyBytes_AsString(source);
    batchnorm_model *model = path ? open_file(path, &options) : NULL;
    PyObject *result = model ? result_of(model, lists) : NULL;
    batchnorm_model_close(model);
    return result;
}

PyObject *core_fold(PyObject *module, PyObject *args) {
    PyObject *settings, *result = NULL;
    batchnorm_model_options options;
    batchnorm_fold_counts counts = {.size = sizeof counts};
    char message[BATCHNORM_MODEL_MESSAGE] = "";
    const char *path, *to;
    int lists;
    (void)module;
    if (!PyArg_ParseTuple(args, "yyO:fold", &path, &to, &settings) || read_settings(settings, &options, &lists)) return NULL;
    batchnorm_model *model = open_file(path, &options);
    if (!model) return NULL;
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = batchnorm_model_fold(model, to, &counts, message);
    Py_END_ALLOW_THREADS;
    if (status)
        raise_status(status, message[0] ? message : batchnorm_status_string(status));
    else
        result =
            Py_BuildValue("{s:n,s:n,s:K,s:N}", "tensors", (Py_ssize_t)counts.tensors, "flushed", (Py_ssize_t)counts.flushed,
                          "bytes", (unsigned long long)counts.bytes, "batch_norms", norms(model, true));
    batchnorm_model_close(model);
    return result;
}
