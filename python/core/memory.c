/* SPDX-License-Identifier: MIT */
/* Numbers that belong to a layer, as a buffer: what numpy.asarray() makes of one keeps the layer alive, and writes into it. */
#include "memory.h"

struct memory {
    PyObject base;
    PyObject *owner;
    void *data;
    batchnorm_dtype dtype;
    Py_ssize_t size, stride;
    int rank; /* 0 or 1 */
};

PyObject *memory_new(struct module_state *state, PyObject *owner, const batchnorm_tensor *tensor) {
    struct memory *memory = PyObject_New(struct memory, (PyTypeObject *)state->memory_type);
    if (!memory) return NULL;
    memory->owner = Py_NewRef(owner);
    memory->data = tensor->data;
    memory->dtype = tensor->dtype;
    memory->rank = tensor->rank;
    memory->size = tensor->rank == 0 ? 1 : (Py_ssize_t)tensor->shape[0];
    memory->stride = (Py_ssize_t)batchnorm_dtype_bytes(tensor->dtype);
    return (PyObject *)memory;
}

static void memory_free(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(((struct memory *)self)->owner);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int memory_buffer(PyObject *self, Py_buffer *buffer, int flags) {
    static char format_f32[] = "f", format_f64[] = "d", format_i64[] = "q";
    struct memory *memory = (struct memory *)self;
    char *format = memory->dtype == BATCHNORM_I64 ? format_i64 : memory->dtype == BATCHNORM_F64 ? format_f64 : format_f32;
    *buffer = (Py_buffer){.buf = memory->data,
                          .obj = Py_NewRef(self),
                          .len = memory->size * memory->stride,
                          .itemsize = memory->stride,
                          .ndim = memory->rank,
                          .format = flags & PyBUF_FORMAT ? format : NULL,
                          .shape = memory->rank == 0 ? NULL : &memory->size,
                          .strides = memory->rank == 0 || !(flags & PyBUF_STRIDES) ? NULL : &memory->stride};
    return 0;
}

int memory_add(PyObject *module, struct module_state *state) {
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, memory_free}, {Py_bf_getbuffer, memory_buffer}, {Py_tp_doc, "Numbers of a layer, as a buffer."}, {0}};
    static PyType_Spec spec = {.name = "batchnorm._core.Memory",
                               .basicsize = sizeof(struct memory),
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                               .slots = slots};
    state->memory_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->memory_type ? 0 : -1;
}
