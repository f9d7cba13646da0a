/* SPDX-License-Identifier: MIT */
/* The layer of layer.h, as the classes of Python have it inside. It remembers the input of its last forward, as long as that is
 * the last one: backward takes it. One thread at a time is in it; others wait. */
#include <string.h>

#include "array.h"
#include "layer.h"
#include "memory.h"
#include "pool.h"

int layer_enter(struct layer *self) {
    if (!self->layer) {
        PyErr_SetString(PyExc_RuntimeError, "the layer was not initialized");
        return -1;
    }
    if (self->forks != pool_forks()) { /* a thread of the parent may have the lock, which is left to it */
        PyThread_type_lock lock = PyThread_allocate_lock();
        if (!lock) return PyErr_NoMemory(), -1;
        self->lock = lock;
        self->forks = pool_forks();
    }
    if (!PyThread_acquire_lock(self->lock, NOWAIT_LOCK)) {
        Py_BEGIN_ALLOW_THREADS;
        PyThread_acquire_lock(self->lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS;
    }
    return 0;
}

void layer_leave(struct layer *self) { PyThread_release_lock(self->lock); }

static PyObject *layer_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct layer *self = (struct layer *)allocate(type, 0);
    (void)args, (void)keywords;
    if (!self) return NULL;
    self->lock = PyThread_allocate_lock();
    self->forks = pool_forks();
    if (self->lock) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static int layer_visit(PyObject *object, visitproc visit, void *arg) {
    struct layer *self = (struct layer *)object;
    Py_VISIT(Py_TYPE(object));
    return array_visit(&self->input, visit, arg);
}

static int layer_clear(PyObject *object) {
    struct layer *self = (struct layer *)object;
    array_release(&self->input);
    self->has_input = false;
    return 0;
}

static void layer_free(PyObject *object) {
    struct layer *self = (struct layer *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(object);
    layer_clear(object);
    Py_XDECREF(self->owner);
    if (self->lock) PyThread_free_lock(self->lock);
    release(object);
    Py_DECREF(type);
}

static void destroy(PyObject *owner) { batchnorm_layer_destroy(PyCapsule_GetPointer(owner, NULL)); }

static int read_dtype(const char *name, batchnorm_dtype *dtype) {
    if (strcmp(name, "float32") == 0)
        *dtype = BATCHNORM_F32;
    else if (strcmp(name, "float64") == 0)
        *dtype = BATCHNORM_F64;
    else {
        PyErr_Format(PyExc_TypeError, "a layer has parameters of float32 or float64, not %s", name);
        return -1;
    }
    return 0;
}

/* Reads momentum: None is the plain average. */
static int read_momentum(PyObject *momentum, batchnorm_options *convention, bool *is_cumulative) {
    *is_cumulative = momentum == Py_None;
    if (!*is_cumulative) convention->momentum = PyFloat_AsDouble(momentum);
    return PyErr_Occurred() ? -1 : 0;
}

static int layer_init(PyObject *object, PyObject *args, PyObject *keywords) {
    static char *names[] = {"dims", "num_features", "eps", "momentum", "affine", "bias", "track_running_stats", "dtype", NULL};
    struct layer *self = (struct layer *)object;
    int dims, affine, bias, track;
    long long features;
    double eps;
    PyObject *momentum;
    const char *dtype;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iLdOppps", names, &dims, &features, &eps, &momentum, &affine, &bias,
                                     &track, &dtype))
        return -1;
    if (self->layer) {
        PyErr_SetString(PyExc_RuntimeError, "the layer is initialized already");
        return -1;
    }
    batchnorm_layer_options options = batchnorm_layer_defaults(dims, features);
    options.convention.eps = eps;
    if (read_momentum(momentum, &options.convention, &options.cumulative) || read_dtype(dtype, &options.dtype)) return -1;
    options.affine = affine;
    options.bias = bias;
    options.track_running_stats = track;
    batchnorm_layer *layer;
    const batchnorm_status status = batchnorm_layer_create(&options, &layer);
    if (features < 0) { /* PyTorch's type and sentence */
        PyErr_Format(PyExc_RuntimeError, "Trying to create tensor with negative dimension %lld: [%lld]", features, features);
        return -1;
    }
    if (status == BATCHNORM_NO_MEMORY) {
        PyErr_Format(PyExc_MemoryError, "there is no memory for a layer of %lld features", features);
        return -1;
    }
    if (status) return raise_status(status, batchnorm_status_string(status)), -1;
    self->owner = PyCapsule_New(layer, NULL, destroy);
    if (!self->owner) return batchnorm_layer_destroy(layer), -1;
    self->layer = layer;
    return 0;
}

static PyObject *layer_repr(PyObject *object) {
    struct layer *self = (struct layer *)object;
    char text[400];
    if (layer_enter(self)) return NULL;
    batchnorm_layer_repr(self->layer, text, sizeof text);
    layer_leave(self);
    return PyUnicode_FromString(text);
}

/* Returns the tensor of a name; without data where there is none. */
static batchnorm_tensor find(batchnorm_layer *layer, const char *name) {
    batchnorm_parameter *weight = batchnorm_layer_weight(layer), *bias = batchnorm_layer_bias(layer);
    if (weight && strcmp(name, "weight") == 0) return weight->value;
    if (weight && strcmp(name, "weight.grad") == 0) return weight->grad;
    if (bias && strcmp(name, "bias") == 0) return bias->value;
    if (bias && strcmp(name, "bias.grad") == 0) return bias->grad;
    if (strcmp(name, "running_mean") == 0) return batchnorm_layer_running_mean(layer);
    if (strcmp(name, "running_var") == 0) return batchnorm_layer_running_var(layer);
    if (strcmp(name, "num_batches_tracked") == 0)
        return batchnorm_tensor_contiguous(batchnorm_layer_num_batches_tracked(layer), BATCHNORM_I64, 0, NULL);
    return (batchnorm_tensor){.data = NULL};
}

static PyObject *layer_memory(PyObject *object, PyObject *name) {
    struct layer *self = (struct layer *)object;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text || layer_enter(self)) return NULL;
    const batchnorm_tensor tensor = find(self->layer, text);
    layer_leave(self);
    if (!tensor.data) Py_RETURN_NONE;
    return memory_new(state_of_type(Py_TYPE(object)), self->owner, &tensor);
}

static PyObject *layer_remove(PyObject *object, PyObject *name) {
    struct layer *self = (struct layer *)object;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text || layer_enter(self)) return NULL;
    const batchnorm_status status = batchnorm_layer_remove(self->layer, text);
    PyObject *result = status ? raise_status(status, batchnorm_layer_message(self->layer)) : Py_NewRef(Py_None);
    layer_leave(self);
    return result;
}

/* What can be set, and is told: mode, eps, momentum, the flag of the running statistics, what gradients are wanted. */
static PyObject *layer_set(PyObject *object, PyObject *args, PyObject *keywords) {
    static char *names[] = {"training", "eps", "momentum", "track_running_stats", "weight_grad", "bias_grad", NULL};
    struct layer *self = (struct layer *)object;
    int training = -1, track = -1, weight_grad = -1, bias_grad = -1;
    PyObject *eps = NULL, *momentum = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$pOOppp", names, &training, &eps, &momentum, &track, &weight_grad,
                                     &bias_grad) ||
        layer_enter(self))
        return NULL;
    batchnorm_layer_options options = batchnorm_layer_get_options(self->layer);
    batchnorm_parameter *weight = batchnorm_layer_weight(self->layer), *bias = batchnorm_layer_bias(self->layer);
    if (eps) options.convention.eps = PyFloat_AsDouble(eps);
    if (momentum && !PyErr_Occurred()) read_momentum(momentum, &options.convention, &options.cumulative);
    if (!PyErr_Occurred()) {
        if (training >= 0) (training ? batchnorm_layer_train : batchnorm_layer_eval)(self->layer);
        if (track >= 0) batchnorm_layer_set_track_running_stats(self->layer, track);
        if (weight && weight_grad >= 0) weight->requires_grad = weight_grad;
        if (bias && bias_grad >= 0) bias->requires_grad = bias_grad;
        batchnorm_layer_set_convention(self->layer, &options.convention);
        batchnorm_layer_set_cumulative(self->layer, options.cumulative);
    }
    layer_leave(self);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *layer_options(PyObject *object, PyObject *unused) {
    struct layer *self = (struct layer *)object;
    (void)unused;
    if (layer_enter(self)) return NULL;
    const batchnorm_layer_options o = batchnorm_layer_get_options(self->layer);
    const batchnorm_parameter *weight = batchnorm_layer_weight(self->layer), *bias = batchnorm_layer_bias(self->layer);
    const bool training = batchnorm_layer_is_training(self->layer);
    const bool weight_grad = weight && weight->requires_grad, bias_grad = bias && bias->requires_grad;
    layer_leave(self);
    PyObject *momentum = o.cumulative ? Py_NewRef(Py_None) : PyFloat_FromDouble(o.convention.momentum);
    if (!momentum) return NULL;
    return Py_BuildValue(
        "{s:i,s:L,s:d,s:N,s:N,s:N,s:N,s:s,s:N,s:N,s:N}", "dims", o.dims, "num_features", (long long)o.num_features, "eps",
        o.convention.eps, "momentum", momentum, "affine", PyBool_FromLong(o.affine), "bias", PyBool_FromLong(o.bias),
        "track_running_stats", PyBool_FromLong(o.track_running_stats), "dtype", array_type_name(o.dtype), "training",
        PyBool_FromLong(training), "weight_grad", PyBool_FromLong(weight_grad), "bias_grad", PyBool_FromLong(bias_grad));
}

static PyObject *reset(PyObject *object, void (*how)(batchnorm_layer *)) {
    struct layer *self = (struct layer *)object;
    if (layer_enter(self)) return NULL;
    how(self->layer);
    layer_leave(self);
    Py_RETURN_NONE;
}

static PyObject *layer_reset_running_stats(PyObject *object, PyObject *unused) {
    (void)unused;
    return reset(object, batchnorm_layer_reset_running_stats);
}

static PyObject *layer_reset_parameters(PyObject *object, PyObject *unused) {
    (void)unused;
    return reset(object, batchnorm_layer_reset_parameters);
}

static PyObject *layer_zero_grad(PyObject *object, PyObject *unused) {
    (void)unused;
    return reset(object, batchnorm_layer_zero_grad);
}

int layer_add(PyObject *module, struct module_state *state) {
    static PyMethodDef methods[] = {
        {"forward", (PyCFunction)(void (*)(void))layer_forward, METH_FASTCALL, "forward(x, out): y."},
        {"backward", (PyCFunction)(void (*)(void))layer_backward, METH_FASTCALL, "backward(dy, out, accumulate): dx."},
        {"forget", layer_forget, METH_NOARGS, "Let the input of the last forward go."},
        {"load_state", (PyCFunction)(void (*)(void))layer_load_state, METH_FASTCALL, "load_state(entries, version, strict)."},
        {"memory", layer_memory, METH_O, "The buffer of a parameter, a gradient or a running statistic; None: there is none."},
        {"remove", layer_remove, METH_O, "Remove a parameter or a running statistic."},
        {"set", (PyCFunction)(void (*)(void))layer_set, METH_VARARGS | METH_KEYWORDS, "Set what is given."},
        {"options", layer_options, METH_NOARGS, "What the layer was made with, and what was set."},
        {"reset_running_stats", layer_reset_running_stats, METH_NOARGS, "0, 1, 0."},
        {"reset_parameters", layer_reset_parameters, METH_NOARGS, "That, and weight 1, bias 0."},
        {"zero_grad", layer_zero_grad, METH_NOARGS, "Set the gradients to 0."},
        {0}};
    static PyType_Slot slots[] = {
        {Py_tp_new, layer_new},        {Py_tp_init, layer_init},           {Py_tp_dealloc, layer_free},
        {Py_tp_traverse, layer_visit}, {Py_tp_clear, layer_clear},         {Py_tp_repr, layer_repr},
        {Py_tp_methods, methods},      {Py_tp_doc, "A layer of layer.h."}, {0}};
    static PyType_Spec spec = {.name = "batchnorm._core.Layer",
                               .basicsize = sizeof(struct layer),
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                               .slots = slots};
    state->layer_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->layer_type ? PyModule_AddObjectRef(module, "Layer", state->layer_type) : -1;
}
