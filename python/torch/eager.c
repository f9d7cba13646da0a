/* SPDX-License-Identifier: MIT */
#include "eager.h"

#include "group.h"
#include "layout.h"
#include "tensors.h"

#define NAMES(X)                                                                                                               \
    X(_parameters)                                                                                                             \
    X(_buffers)                                                                                                                \
    X(weight)                                                                                                                  \
    X(bias) X(running_mean) X(running_var) X(num_batches_tracked) X(training) X(track_running_stats) X(momentum) X(eps)
static struct {
#define NAME_MEMBER(name) PyObject *name;
    NAMES(NAME_MEMBER)
#undef NAME_MEMBER
    PyObject *apply;
} names;

bool eager_begin(PyObject *apply) {
    Py_INCREF(apply);
    names.apply = apply;
#define NAME_INTERN(name)                                                                                                      \
    if (!(names.name = PyUnicode_InternFromString(#name))) return false;
    NAMES(NAME_INTERN)
#undef NAME_INTERN
    return true;
}

/* A module as it is found, and the layer that is run. Its numbers are held while it runs: another thread may give the module
 * others in the meantime. */
struct module {
    PyObject *weight, *bias, *eps;
    PyObject *held[6];
    batchnorm_tensor tracked; /* num_batches_tracked, if this call counts */
    struct run_layer layer;
};

static PyObject *attribute(PyObject *dict, PyObject *name) { return PyDict_GetItemWithError(dict, name); }

/* 1: read; 0: it is not one that is done here, where an exception may be set that does not matter. */
static int read_numbers(struct module *module, PyObject *dict) {
    PyObject *const parameters = attribute(dict, names._parameters), *const buffers = attribute(dict, names._buffers);
    if (!parameters || !buffers || !PyDict_Check(parameters) || !PyDict_Check(buffers)) return 0;
    module->weight = attribute(parameters, names.weight);
    module->bias = attribute(parameters, names.bias);
    PyObject *const mean = attribute(buffers, names.running_mean), *const var = attribute(buffers, names.running_var);
    PyObject *const tracked = attribute(buffers, names.num_batches_tracked);
    if (!module->weight || !module->bias || !mean || !var || !tracked) return 0;
    struct run_layer *const layer = &module->layer;
    PyObject *const found[] = {module->weight, module->bias, mean, var, tracked};
    for (int i = 0; i < 5; i++) Py_INCREF(module->held[i] = found[i]);
    return tensors_read(module->weight, &layer->weight) && tensors_read(module->bias, &layer->bias) &&
           tensors_read(mean, &layer->running_mean) && tensors_read(var, &layer->running_var) &&
           tensors_read(tracked, &module->tracked) &&
           (!module->tracked.data || (module->tracked.dtype == BATCHNORM_I64 && module->tracked.rank == 0));
}

/* Which statistics are used, which are updated, and by which factor: PyTorch's rules. */
static int read_mode(struct module *module, PyObject *dict) {
    PyObject *const training = attribute(dict, names.training), *const track = attribute(dict, names.track_running_stats);
    PyObject *const momentum = attribute(dict, names.momentum);
    module->eps = attribute(dict, names.eps);
    if (!training || !PyBool_Check(training) || !track || !PyBool_Check(track) || !momentum || !module->eps) return 0;
    Py_INCREF(module->held[5] = module->eps);
    struct run_layer *const layer = &module->layer;
    const bool trains = training == Py_True, updates = trains && track == Py_True;
    layer->frozen = !trains && (layer->running_mean.data || layer->running_var.data);
    if (trains && !updates) layer->running_mean.data = layer->running_var.data = NULL;
    if (!updates) module->tracked.data = NULL;
    layer->eps = PyFloat_AsDouble(module->eps);
    if (momentum != Py_None)
        layer->momentum = PyFloat_AsDouble(momentum);
    else if (module->tracked.data)
        layer->momentum = 1.0 / (double)(*(const int64_t *)module->tracked.data + 1);
    return !PyErr_Occurred();
}

static int read_module(struct module *module, PyObject *self) {
    PyObject *const dict = PyObject_GenericGetDict(self, NULL); /* lives as long as the module */
    if (!dict) return 0;
    const int known = read_numbers(module, dict) && read_mode(module, dict);
    Py_DECREF(dict);
    return known;
}

PyObject *eager_failed(batchnorm_status status) {
    if (PyErr_Occurred()) return NULL;
    if (status == BATCHNORM_NO_MEMORY) return PyErr_NoMemory();
    PyErr_Format(status == BATCHNORM_ONE_VALUE ? PyExc_ValueError : PyExc_RuntimeError, "batch_norm: %s",
                 batchnorm_status_string(status));
    return NULL;
}

bool eager_activation(PyObject *object, batchnorm_activation *activation) {
    *activation = (batchnorm_activation){0};
    if (object == Py_None) return true;
    int kind;
    if (!PyArg_ParseTuple(object, "id", &kind, &activation->parameter)) return false;
    activation->kind = (batchnorm_activation_kind)kind;
    return true;
}

/* Runs it, with the interpreter free for others if it takes long. */
static batchnorm_status run(const struct run_layer *layer, const batchnorm_tensor *y, double *saved) {
    if (!run_is_long(layer)) return run_forward(layer, y, saved);
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = run_forward(layer, y, saved);
    Py_END_ALLOW_THREADS;
    return status;
}

/* Lets PyTorch know what y comes from. Takes y and saved. */
static PyObject *differentiable(const struct module *module, PyObject *const *arguments, PyObject *y, PyObject *saved) {
    PyObject *const done = PyTuple_New(1 + DONE_COUNT);
    PyObject *const items[1 + DONE_COUNT] = {y,           saved,        module->layer.frozen ? Py_True : Py_False,
                                             module->eps, arguments[4], arguments[5]};
    if (!done) {
        Py_DECREF(y), Py_DECREF(saved);
        return NULL;
    }
    for (int i = 0; i < 1 + DONE_COUNT; i++) {
        if (i > 1) Py_INCREF(items[i]);
        PyTuple_SetItem(done, i, items[i]);
    }
    PyObject *const result =
        PyObject_CallFunctionObjArgs(names.apply, arguments[1], arguments[3], module->weight, module->bias, done, NULL);
    Py_DECREF(done);
    return result;
}

static bool is_differentiated(const struct module *module, PyObject *const *arguments) {
    return shim.aoti_torch_grad_mode_is_enabled() &&
           (tensors_requires_grad(arguments[1]) || tensors_requires_grad(module->weight) ||
            tensors_requires_grad(module->bias) || tensors_requires_grad(arguments[3]));
}

/* Whether the call would count in a tensor of torch.inference_mode(), or keep one for its backward, outside of that mode:
 * PyTorch refuses, each in its own words, before any statistic moves. */
static bool meets_inference(const struct module *module, PyObject *const *arguments, bool differentiates) {
    if (module->tracked.data && tensors_is_inference(module->held[4]) && !tensors_inference_mode()) return true;
    if (!differentiates) return false;
    for (int i = 0; i < 4; i++)
        if (tensors_is_inference(module->held[i])) return true;
    return tensors_is_inference(arguments[1]) || tensors_is_inference(arguments[3]);
}

/* Once everything was read: y, differentiable or not. */
static PyObject *run_module(const struct module *module, PyObject *const *arguments, bool differentiates) {
    const struct run_layer *const layer = &module->layer;
    batchnorm_tensor out = layout_like(&layer->x);
    PyObject *const y = tensors_new(&out);
    if (!y) return NULL;
    PyObject *saved = NULL;
    if (differentiates) {
        saved = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(2 * layer->shape.channels * sizeof(double)));
        if (!saved) return Py_DECREF(y), NULL;
    }
    /* The bytes of a new object are aligned for doubles: they follow four words. */
    const batchnorm_status status = run(layer, &out, saved ? (double *)(void *)PyBytes_AsString(saved) : NULL);
    if (status != BATCHNORM_OK || PyErr_Occurred()) {
        Py_DECREF(y), Py_XDECREF(saved);
        return eager_failed(status);
    }
    if (module->tracked.data) ++*(int64_t *)module->tracked.data;
    return saved ? differentiable(module, arguments, y, saved) : y;
}

/* What eager_layer() does once its arguments were counted; `module` is empty. */
static PyObject *layer(struct module *module, PyObject *const *arguments) {
    struct run_layer *const layer = &module->layer;
    if (!tensors_read_input(arguments[1], &layer->x) || !tensors_read_input(arguments[3], &layer->z)) goto not_here;
    const long ranks = PyLong_AsLong(arguments[2]);
    if (!layer->x.rank || !(ranks >> layer->x.rank & 1)) goto not_here;
    if (!read_module(module, arguments[0]) || tensors_unwatched() != 1) goto not_here;
    if (!eager_activation(arguments[4], &layer->activation)) return NULL;
    const bool differentiates = is_differentiated(module, arguments);
    if (meets_inference(module, arguments, differentiates)) goto not_here;
    struct group group;
    if (!group_begin(&group, arguments[5], layer)) return NULL;
    PyObject *result = NULL;
    const bool here = run_check(layer);
    if (here) result = run_module(module, arguments, differentiates);
    group_end(&group);
    if (here) return result;
not_here:
    PyErr_Clear();
    Py_RETURN_NOTIMPLEMENTED;
}

PyObject *eager_layer(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    if (count != 6) return PyErr_SetString(PyExc_TypeError, "layer() takes 6 arguments"), NULL;
    struct module module = {0};
    PyObject *const result = layer(&module, arguments);
    for (int i = 0; i < 6; i++) Py_XDECREF(module.held[i]);
    return result;
}
