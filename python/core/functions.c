/* SPDX-License-Identifier: MIT */
/* Functions over arrays, without a layer. */
#include "functions.h"

#include "batchnorm/stats.h"
#include "pool.h"
#include "raw.h"

enum { MESSAGE_BYTES = 300 };

/* What batch_norm() takes beside the input. */
enum { MEAN, VAR, WEIGHT, BIAS, VECTORS };

struct batch_norm {
    struct array x, y, vectors[VECTORS];
    int training;
    batchnorm_options options;
};

/* The checks that PyTorch makes before it looks at anything else. */
static int check(const struct batch_norm *b) {
    const batchnorm_tensor *t = &b->x.tensor;
    char sizes[ARRAY_SIZES_TEXT];
    PyObject *eps = PyFloat_FromDouble(b->options.eps);
    if (!eps) return -1;
    int64_t values = t->shape[0];
    for (int d = 2; d < t->rank; d++) values *= t->shape[d];
    if (b->training && values == 1) {
        PyErr_Format(PyExc_ValueError, "Expected more than 1 value per channel when training, got input size torch.Size([%s])",
                     array_size_list(t, sizes));
    } else if (b->training && b->options.eps <= 0) {
        PyErr_Format(PyExc_ValueError, "batch_norm eps must be positive during training, but got %R", eps);
    } else if (b->options.eps < 0) {
        PyErr_Format(PyExc_ValueError, "batch_norm eps must be non-negative, but got %R", eps);
    }
    Py_DECREF(eps);
    return PyErr_Occurred() ? -1 : 0;
}

static batchnorm_status run(struct batch_norm *b, char *message) {
    const batchnorm_input x = {b->x.tensor.data, raw_strides(&b->x)};
    const batchnorm_output y = {b->y.tensor.data, raw_strides(&b->y)};
    void *const *mean = &b->vectors[MEAN].tensor.data, *const *var = &b->vectors[VAR].tensor.data;
    const void *weight = b->vectors[WEIGHT].tensor.data, *bias = b->vectors[BIAS].tensor.data;
    const batchnorm_shape shape = raw_shape(&b->x);
    batchnorm_status status;
    Py_BEGIN_ALLOW_THREADS;
    const batchnorm_exec exec = pool_exec(message, MESSAGE_BYTES);
    if (b->training) {
        const batchnorm_forward_call call = {
            sizeof call,           shape, x, .y = y, .weight = weight, .bias = bias, .running_mean = *mean, .running_var = *var,
            .options = &b->options};
        status = batchnorm_forward(&call, &exec);
    } else {
        const batchnorm_infer_call call = {
            sizeof call, shape, x, .y = y, .weight = weight, .bias = bias, .mean = *mean, .var = *var, .options = &b->options};
        status = batchnorm_infer(&call, &exec);
    }
    Py_END_ALLOW_THREADS;
    return status;
}

static int take_vectors(struct module_state *state, PyObject *const *objects, struct batch_norm *b) {
    static const char *const names[] = {"running_mean", "running_var", "weight", "bias"};
    const batchnorm_dtype dtype = b->x.tensor.dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32;
    if (b->training && (objects[MEAN] == Py_None) != (objects[VAR] == Py_None)) { /* PyTorch's type and sentence */
        PyErr_SetString(PyExc_ValueError, "running_mean and running_var must either both be None or neither be None");
        return -1;
    }
    for (int i = 0; i < VECTORS; i++) {
        const bool is_running = i == MEAN || i == VAR;
        if (is_running && !b->training && objects[i] == Py_None) {
            PyErr_Format(PyExc_RuntimeError, "%s must be defined in evaluation mode", names[i]);
            return -1;
        }
        if (raw_take_vector(state, objects[i], names[i], b->x.tensor.shape[1], dtype, is_running && b->training,
                            &b->vectors[i]))
            return -1;
    }
    return 0;
}

PyObject *core_batch_norm(PyObject *module, PyObject *args) {
    struct module_state *state = PyModule_GetState(module);
    struct batch_norm b = {.options = batchnorm_convention(BATCHNORM_PYTORCH)};
    PyObject *x, *vectors[VECTORS], *result = NULL;
    char message[MESSAGE_BYTES] = "";
    if (!PyArg_ParseTuple(args, "OOOOOpdd:batch_norm", &x, &vectors[MEAN], &vectors[VAR], &vectors[WEIGHT], &vectors[BIAS],
                          &b.training, &b.options.momentum, &b.options.eps) ||
        raw_take(state, x, &b.x))
        return NULL;
    if (check(&b) == 0 && take_vectors(state, vectors, &b) == 0) result = array_new_like(state, &b.x, &b.y);
    if (result) {
        const batchnorm_status status = run(&b, message);
        if (status) Py_CLEAR(result);
        if (status) raise_status(status, message[0] ? message : batchnorm_status_string(status));
    }
    array_release(&b.x);
    array_release(&b.y);
    for (int i = 0; i < VECTORS; i++) array_release(&b.vectors[i]);
    return result;
}

/* Statistics: an array of (channels, 3) doubles is an array of batchnorm_stat. */
static int take_stats(struct module_state *state, PyObject *object, const char *name, bool is_written, struct array *array) {
    if (array_take(state, object, name, is_written, array)) return -1;
    const batchnorm_tensor *t = &array->tensor;
    if (t->rank == 2 && t->shape[1] == 3 && t->dtype == BATCHNORM_F64 && batchnorm_tensor_is_contiguous(t)) return 0;
    PyErr_Format(PyExc_ValueError, "%s must be a contiguous array of (channels, 3) float64", name);
    array_release(array);
    return -1;
}

PyObject *core_stats_accumulate(PyObject *module, PyObject *args) {
    struct module_state *state = PyModule_GetState(module);
    PyObject *stats_object, *x_object;
    struct array stats, x;
    char message[MESSAGE_BYTES] = "";
    if (!PyArg_ParseTuple(args, "OO:stats_accumulate", &stats_object, &x_object) ||
        take_stats(state, stats_object, "the statistics", true, &stats))
        return NULL;
    if (raw_take(state, x_object, &x)) {
        array_release(&stats);
        return NULL;
    }
    batchnorm_status status = BATCHNORM_OK;
    if (x.tensor.shape[1] != stats.tensor.shape[0]) {
        PyErr_Format(PyExc_ValueError, "the input has %lld channels, and the statistics have %lld",
                     (long long)x.tensor.shape[1], (long long)stats.tensor.shape[0]);
    } else {
        const batchnorm_stats_call call = {
            .size = sizeof call, .shape = raw_shape(&x), .x = {x.tensor.data, raw_strides(&x)}, .stats = stats.tensor.data};
        Py_BEGIN_ALLOW_THREADS;
        const batchnorm_exec exec = pool_exec(message, sizeof message);
        status = batchnorm_stats_accumulate(&call, &exec);
        Py_END_ALLOW_THREADS;
    }
    array_release(&stats);
    array_release(&x);
    if (status) return raise_status(status, message[0] ? message : batchnorm_status_string(status));
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

PyObject *core_stats_merge(PyObject *module, PyObject *args) {
    struct module_state *state = PyModule_GetState(module);
    PyObject *into_object, *from_object;
    struct array into, from;
    if (!PyArg_ParseTuple(args, "OO:stats_merge", &into_object, &from_object) ||
        take_stats(state, into_object, "the statistics", true, &into))
        return NULL;
    if (take_stats(state, from_object, "the other statistics", false, &from)) {
        array_release(&into);
        return NULL;
    }
    if (into.tensor.shape[0] == from.tensor.shape[0])
        batchnorm_stats_merge(into.tensor.data, from.tensor.data, (size_t)into.tensor.shape[0]);
    else
        PyErr_Format(PyExc_ValueError, "statistics of %lld and of %lld channels cannot be merged",
                     (long long)into.tensor.shape[0], (long long)from.tensor.shape[0]);
    array_release(&into);
    array_release(&from);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

PyObject *core_stats_finish(PyObject *module, PyObject *args) {
    struct module_state *state = PyModule_GetState(module);
    PyObject *stats_object, *out_object;
    struct array stats, out;
    double correction, eps;
    if (!PyArg_ParseTuple(args, "OddO:stats_finish", &stats_object, &correction, &eps, &out_object) ||
        take_stats(state, stats_object, "the statistics", false, &stats))
        return NULL;
    const int64_t channels = stats.tensor.shape[0];
    const int ok = raw_take_vector(state, out_object, "out", 3 * channels, BATCHNORM_F64, true, &out) == 0;
    double *to = ok ? out.tensor.data : NULL;
    if (ok && to)
        batchnorm_stats_finish(stats.tensor.data, (size_t)channels, correction, eps, to, to + channels, to + 2 * channels);
    array_release(&stats);
    if (!ok) return NULL;
    array_release(&out);
    Py_RETURN_NONE;
}
