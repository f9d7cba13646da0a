/* SPDX-License-Identifier: MIT */
#include "eager.h"

#include "group.h"
#include "layout.h"
#include "tensors.h"

static PyObject *not_here(void) {
    PyErr_Clear();
    Py_RETURN_NOTIMPLEMENTED;
}

/* What a forward left: statistics, and how it went. NULL with an exception. */
static const double *read_done(PyObject *done, struct run_layer *layer) {
    if (!PyTuple_Check(done) || PyTuple_Size(done) != DONE_COUNT) {
        PyErr_SetString(PyExc_TypeError, "done is not what a forward left");
        return NULL;
    }
    PyObject *const saved = PyTuple_GetItem(done, DONE_SAVED);
    const size_t bytes = 2 * (size_t)layer->x.shape[1] * sizeof(double);
    if (!PyBytes_Check(saved) || (size_t)PyBytes_Size(saved) != bytes) {
        PyErr_SetString(PyExc_TypeError, "the statistics of a forward have another size");
        return NULL;
    }
    layer->frozen = PyTuple_GetItem(done, DONE_FROZEN) == Py_True;
    layer->eps = 1; /* not used, and valid */
    layer->backward = true;
    if (!eager_activation(PyTuple_GetItem(done, DONE_ACTIVATION), &layer->activation)) return NULL;
    return (const double *)(const void *)PyBytes_AsString(saved);
}

static bool wants(PyObject *wanted, int i) {
    PyObject *const one = PyTuple_Check(wanted) && PyTuple_Size(wanted) > i ? PyTuple_GetItem(wanted, i) : NULL;
    return one == Py_True;
}

/* New tensors for those results that are wanted. */
struct results {
    PyObject *objects[5];
    int count;
};

static bool results_new(struct results *results, bool wanted, batchnorm_tensor prototype, batchnorm_tensor *tensor) {
    PyObject **const place = &results->objects[results->count++];
    *tensor = prototype;
    if (wanted) *place = tensors_new(tensor);
    return !wanted || *place;
}

static PyObject *results_end(struct results *results, bool good) {
    PyObject *const tuple = good ? PyTuple_New(results->count) : NULL;
    for (int i = 0; i < results->count; i++) {
        PyObject *object = results->objects[i];
        if (!tuple) {
            Py_XDECREF(object);
            continue;
        }
        if (!object) Py_INCREF(object = Py_None);
        PyTuple_SetItem(tuple, i, object);
    }
    return tuple;
}

static batchnorm_tensor vector(const struct run_layer *layer) {
    const int64_t channels = (int64_t)layer->shape.channels;
    return batchnorm_tensor_contiguous(NULL, layer->parameters, 1, &channels);
}

static batchnorm_status run_long(const struct run_layer *layer, const double *saved, const struct run_gradients *gradients) {
    if (!run_is_long(layer)) return run_backward(layer, saved, gradients);
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = run_backward(layer, saved, gradients);
    Py_END_ALLOW_THREADS;
    return status;
}

PyObject *eager_backward(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    if (count != 8) return PyErr_SetString(PyExc_TypeError, "backward() takes 8 arguments"), NULL;
    struct run_layer layer = {0};
    struct run_gradients gradients = {0};
    if (!tensors_read_input(arguments[0], &gradients.dy) || !tensors_read_input(arguments[1], &layer.x) ||
        !tensors_read_input(arguments[2], &layer.z) || !tensors_read_input(arguments[3], &gradients.y) ||
        !tensors_read(arguments[4], &layer.weight) || !tensors_read(arguments[5], &layer.bias) || layer.x.rank < 2 ||
        tensors_unwatched() != 1)
        return not_here();
    const double *const saved = read_done(arguments[6], &layer);
    if (!saved) return NULL;
    struct group group;
    if (!group_begin(&group, PyTuple_GetItem(arguments[6], DONE_GROUP), &layer)) return NULL;
    PyObject *result = NULL;
    const bool here =
        run_check(&layer) && run_fits(&layer, &gradients.dy) && (!gradients.y.data || run_fits(&layer, &gradients.y));
    if (here) {
        struct results results = {0};
        const batchnorm_tensor like_x = layout_of_gradient(&layer.x);
        PyObject *const wanted = arguments[7];
        bool good = results_new(&results, wants(wanted, 0), like_x, &gradients.dx) &&
                    results_new(&results, wants(wanted, 1), like_x, &gradients.dz) &&
                    results_new(&results, wants(wanted, 2), vector(&layer), &gradients.dweight) &&
                    results_new(&results, wants(wanted, 3), vector(&layer), &gradients.dbias);
        results.count++; /* None for what is no tensor */
        if (good) {
            const batchnorm_status status = run_long(&layer, saved, &gradients);
            good = status == BATCHNORM_OK && !PyErr_Occurred();
            if (!good) (void)eager_failed(status);
        }
        result = results_end(&results, good);
    }
    group_end(&group);
    return here ? result : not_here();
}

PyObject *eager_double_backward(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    if (count != 7) return PyErr_SetString(PyExc_TypeError, "double_backward() takes 7 arguments"), NULL;
    struct run_layer layer = {0};
    struct run_second second = {0};
    if (!tensors_read_input(arguments[0], &second.vx) || !tensors_read_input(arguments[1], &second.vweight) ||
        !tensors_read_input(arguments[2], &second.vbias) || !tensors_read_input(arguments[3], &second.dy) ||
        !tensors_read_input(arguments[4], &layer.x) || !tensors_read(arguments[5], &layer.weight) || layer.x.rank < 2 ||
        tensors_unwatched() != 1)
        return not_here();
    const double *const saved = read_done(arguments[6], &layer);
    if (!saved) return NULL;
    if (!run_check(&layer) || !run_fits(&layer, &second.dy) || (second.vx.data && !run_fits(&layer, &second.vx)) ||
        (second.vweight.data && !layout_is_vector(&second.vweight, layer.shape.channels)) ||
        (second.vbias.data && !layout_is_vector(&second.vbias, layer.shape.channels)))
        return not_here();
    struct results results = {0};
    const batchnorm_tensor like_x = layout_of_gradient(&layer.x);
    bool good = results_new(&results, true, like_x, &second.gdy) && results_new(&results, true, like_x, &second.gx) &&
                results_new(&results, layer.weight.data, vector(&layer), &second.gweight);
    if (good) {
        batchnorm_status status;
        Py_BEGIN_ALLOW_THREADS;
        status = run_double_backward(&layer, saved, &second);
        Py_END_ALLOW_THREADS;
        good = status == BATCHNORM_OK;
        if (!good) (void)eager_failed(status);
    }
    return results_end(&results, good);
}
