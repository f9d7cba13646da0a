/* SPDX-License-Identifier: MIT */
#include "tensors.h"

#include <string.h>

/* DLPack's tensor, and what a type of tensors offers to C: the beginning of its struct, which is the same in every version 1.
 * */
struct dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t rank;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};
struct dl_exchange {
    struct {
        uint32_t major, minor;
        void *older;
    } header;
    void (*allocate)(void), (*from_object)(void), (*to_object)(void);
    int (*borrow)(void *object, struct dl_tensor *tensor);
};
enum { DL_CPU = 1 };

enum { DTYPES = BATCHNORM_F16 + 1, MOST_WATCHERS = 8 };
static struct {
    PyTypeObject *tensor, *parameter;
    PyObject *empty_strided, *dtypes[DTYPES], *watchers[MOST_WATCHERS], *forward_ad;
    Py_ssize_t watcher_count;
    PyObject *current_level, *requires_grad, *is_neg, *is_inference;
    const struct dl_exchange *exchange;
    int32_t numbers[DTYPES], cpu;
} torch;

static bool find_exchange(PyObject *type) {
    PyObject *const capsule = PyObject_GetAttrString(type, "__dlpack_c_exchange_api__");
    if (!capsule) return false;
    torch.exchange = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    Py_DECREF(capsule);
    if (torch.exchange && (torch.exchange->header.major != 1 || !torch.exchange->borrow)) {
        PyErr_SetString(PyExc_ImportError, "PyTorch has another version of DLPack's exchange interface");
        torch.exchange = NULL;
    }
    return torch.exchange;
}

bool tensors_begin(PyObject *arguments) {
    PyObject *tensor, *parameter, *watchers, *empty, *f32, *f64, *bf16, *f16, *forward_ad;
    if (!PyArg_ParseTuple(arguments, "OOO(OOOO)O!O!", &tensor, &parameter, &empty, &f32, &f64, &bf16, &f16, &PyTuple_Type,
                          &watchers, &PyDict_Type, &forward_ad))
        return false;
    if (!find_exchange(tensor)) return false;
    torch.watcher_count = PyTuple_Size(watchers);
    if (torch.watcher_count > MOST_WATCHERS) torch.watcher_count = MOST_WATCHERS;
    for (Py_ssize_t i = 0; i < torch.watcher_count; i++) Py_INCREF(torch.watchers[i] = PyTuple_GetItem(watchers, i));
    Py_INCREF(tensor), Py_INCREF(parameter), Py_INCREF(empty), Py_INCREF(forward_ad);
    torch.tensor = (PyTypeObject *)tensor;
    torch.parameter = (PyTypeObject *)parameter;
    torch.empty_strided = empty;
    torch.forward_ad = forward_ad;
    PyObject *const dtypes[DTYPES] = {f32, f64, bf16, f16};
    for (int i = 0; i < DTYPES; i++) Py_INCREF(torch.dtypes[i] = dtypes[i]);
    torch.numbers[BATCHNORM_F32] = shim.aoti_torch_dtype_float32();
    torch.numbers[BATCHNORM_F64] = shim.aoti_torch_dtype_float64();
    torch.numbers[BATCHNORM_BF16] = shim.aoti_torch_dtype_bfloat16();
    torch.numbers[BATCHNORM_F16] = shim.aoti_torch_dtype_float16();
    torch.cpu = shim.aoti_torch_device_type_cpu();
    torch.current_level = PyUnicode_InternFromString("_current_level");
    torch.requires_grad = PyUnicode_InternFromString("requires_grad");
    torch.is_neg = PyUnicode_InternFromString("is_neg");
    torch.is_inference = PyUnicode_InternFromString("is_inference");
    return torch.current_level && torch.requires_grad && torch.is_neg && torch.is_inference;
}

int tensors_unwatched(void) {
    PyObject *const level = PyDict_GetItemWithError(torch.forward_ad, torch.current_level);
    if (!level) return PyErr_Occurred() ? -1 : 0;
    const long depth = PyLong_AsLong(level);
    if (depth != -1) return PyErr_Occurred() ? -1 : 0;
    if (PyErr_Occurred()) return -1;
    for (Py_ssize_t i = 0; i < torch.watcher_count; i++) {
        PyObject *const active = PyObject_CallNoArgs(torch.watchers[i]);
        if (!active) return -1;
        const int answer = PyObject_IsTrue(active);
        Py_DECREF(active);
        if (answer != 0) return answer < 0 ? -1 : 0;
    }
    return 1;
}

int tensors_read(PyObject *object, batchnorm_tensor *tensor) {
    *tensor = (batchnorm_tensor){0};
    if (object == Py_None) return 1;
    if (Py_TYPE(object) != torch.tensor && Py_TYPE(object) != torch.parameter) return 0;
    struct dl_tensor view;
    if (torch.exchange->borrow(object, &view) != 0) {
        PyErr_Clear(); /* a layout or a type that is none of ours */
        return 0;
    }
    if (view.device.type != DL_CPU || batchnorm_tensor_from_dlpack(&view, tensor) != BATCHNORM_OK) return 0;
    return tensor->data || batchnorm_tensor_elements(tensor) == 0; /* PyTorch has zeros that need no memory */
}

int tensors_read_input(PyObject *object, batchnorm_tensor *tensor) {
    const int known = tensors_read(object, tensor);
    if (known != 1 || object == Py_None) return known;
    PyObject *const negative = PyObject_CallMethodObjArgs(object, torch.is_neg, NULL);
    Py_XDECREF(negative);
    if (!negative) PyErr_Clear();
    return negative == Py_False;
}

static PyObject *sizes_tuple(int rank, const int64_t *sizes) {
    PyObject *const tuple = PyTuple_New(rank);
    for (int d = 0; tuple && d < rank; d++) {
        PyObject *const size = PyLong_FromLongLong(sizes[d]);
        if (!size) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SetItem(tuple, d, size);
    }
    return tuple;
}

/* Where PyTorch is too old to make a Python object of a tensor of its interface. */
static PyObject *new_by_python(batchnorm_tensor *tensor) {
    PyObject *const shape = sizes_tuple(tensor->rank, tensor->shape), *const strides =
                                                                          sizes_tuple(tensor->rank, tensor->stride);
    PyObject *const positional = shape && strides ? PyTuple_Pack(2, shape, strides) : NULL;
    PyObject *const named = Py_BuildValue("{sO}", "dtype", torch.dtypes[tensor->dtype]);
    PyObject *object = positional && named ? PyObject_Call(torch.empty_strided, positional, named) : NULL;
    Py_XDECREF(shape), Py_XDECREF(strides), Py_XDECREF(positional), Py_XDECREF(named);
    if (object && !tensors_read(object, tensor)) {
        PyErr_SetString(PyExc_RuntimeError, "torch.empty_strided() made something that is no tensor of the CPU");
        Py_CLEAR(object);
    }
    return object;
}

PyObject *tensors_new(batchnorm_tensor *tensor) {
    if (!shim.torch_tensor_to_pyobject) return new_by_python(tensor);
    shim_tensor made;
    void *object = NULL;
    if (shim.aoti_torch_empty_strided(tensor->rank, tensor->shape, tensor->stride, torch.numbers[tensor->dtype], torch.cpu, 0,
                                      &made) != 0)
        return PyErr_NoMemory();
    if (shim.torch_get_mutable_data_ptr(made, &tensor->data) != 0 || shim.torch_tensor_to_pyobject(made, NULL, &object) != 0)
        PyErr_SetString(PyExc_RuntimeError, "PyTorch made no object of a new tensor");
    (void)shim.aoti_torch_delete_tensor_object(made);
    return object;
}

int32_t tensors_shim_dtype(batchnorm_dtype dtype) { return torch.numbers[dtype]; }

bool tensors_dtype(int32_t number, batchnorm_dtype *dtype) {
    for (int i = 0; i < DTYPES; i++)
        if (torch.numbers[i] == number) return *dtype = (batchnorm_dtype)i, true;
    return false;
}

/* Whether PyTorch answered True, which is let go of; an exception is none. */
static bool is_true(PyObject *answer) {
    if (!answer) PyErr_Clear();
    Py_XDECREF(answer);
    return answer == Py_True;
}

bool tensors_requires_grad(PyObject *object) {
    return object != Py_None && is_true(PyObject_GetAttr(object, torch.requires_grad));
}

bool tensors_is_inference(PyObject *object) {
    return object != Py_None && is_true(PyObject_CallMethodObjArgs(object, torch.is_inference, NULL));
}

bool tensors_inference_mode(void) {
    PyObject *const package = PyImport_ImportModule("torch");
    const bool answer = is_true(package ? PyObject_CallMethod(package, "is_inference_mode_enabled", NULL) : NULL);
    Py_XDECREF(package);
    return answer;
}
