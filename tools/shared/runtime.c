/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "runtime.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Places in the table of functions of version 1, which all later versions keep. */
enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    CREATE_SESSION_OF = 8,
    RUN = 9,
    CREATE_OPTIONS = 10,
    SET_LEVEL = 23,
    SET_THREADS = 24,
    INPUT_COUNT = 30,
    OUTPUT_COUNT = 31,
    INPUT_TYPE = 33,
    INPUT_NAME = 36,
    OUTPUT_NAME = 37,
    CREATE_TENSOR = 49,
    TENSOR_DATA = 51,
    TYPE_AS_TENSOR = 55,
    ELEMENT_TYPE = 60,
    DIM_COUNT = 61,
    DIMS = 62,
    VALUE_SHAPE = 65,
    CPU_MEMORY = 69,
    FREE = 76,
    ALLOCATOR = 78,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_TYPE = 98,
    RELEASE_SHAPE = 99,
    RELEASE_OPTIONS = 100
};

/* A function of the table: one that returns a status, or one that releases something. */
#define STATUS_OF(r, place, types) ((void *(*)types)(uintptr_t)(r)->api[place])
#define RELEASE(r, place, what) ((void (*)(void *))(uintptr_t)(r)->api[place])(what)

/* Takes what a function returned: NULL is good. */
static bool take(const struct runtime *r, void *status, char *message) {
    if (!status) return true;
    const char *text = ((const char *(*)(void *))(uintptr_t)r->api[GET_ERROR_MESSAGE])(status);
    snprintf(message, RUNTIME_MESSAGE, "%s", text ? text : "an error without a message");
    RELEASE(r, RELEASE_STATUS, status);
    return false;
}

bool runtime_open(struct runtime *r, const char *given, char *message) {
    struct base {
        const void *const *(*get_api)(uint32_t version);
        const char *(*version)(void);
    };
    *r = (struct runtime){.library = runtime_find(given, message)};
    if (!r->library) return false;
    const struct base *(*get_base)(void) = (const struct base *(*)(void))(uintptr_t)dlsym(r->library, "OrtGetApiBase");
    const struct base *base = get_base ? get_base() : NULL;
    r->api = base ? base->get_api(1) : NULL;
    if (!r->api) {
        snprintf(message, RUNTIME_MESSAGE, "ONNX Runtime was found, but not its functions");
        return false;
    }
    snprintf(r->version, sizeof r->version, "%s", base->version());
    return take(r, STATUS_OF(r, CREATE_ENV, (int, const char *, void **))(3, "batchnorm", &r->env), message);
}

void runtime_close(struct runtime *r) {
    if (r->env) RELEASE(r, RELEASE_ENV, r->env);
    *r = (struct runtime){0}; /* the library stays: it has threads of its own */
}

/* Opens a model from a file, or if path is NULL from memory. */
static bool load(struct runtime *r, const char *path, const void *bytes, size_t count, int threads, struct runtime_session *s,
                 char *message) {
    void *options = NULL;
    *s = (struct runtime_session){.runtime = r};
    bool ok = take(r, STATUS_OF(r, CREATE_OPTIONS, (void **))(&options), message);
    ok = ok && take(r, STATUS_OF(r, SET_LEVEL, (void *, int))(options, 0), message);
    if (ok && threads) ok = take(r, STATUS_OF(r, SET_THREADS, (void *, int))(options, threads), message);
    if (ok && path)
        ok = take(r, STATUS_OF(r, CREATE_SESSION, (void *, const char *, void *, void **))(r->env, path, options, &s->session),
                  message);
    else if (ok)
        ok = take(r,
                  STATUS_OF(r, CREATE_SESSION_OF, (void *, const void *, size_t, void *, void **))(r->env, bytes, count,
                                                                                                   options, &s->session),
                  message);
    if (options) RELEASE(r, RELEASE_OPTIONS, options);
    return ok;
}

bool runtime_load(struct runtime *r, const char *path, struct runtime_session *s, char *message) {
    return load(r, path, NULL, 0, 0, s, message);
}

bool runtime_load_bytes(struct runtime *r, const void *bytes, size_t count, int threads, struct runtime_session *s,
                        char *message) {
    return load(r, NULL, bytes, count, threads, s, message);
}

void runtime_unload(struct runtime_session *s) {
    if (s->session) RELEASE(s->runtime, RELEASE_SESSION, s->session);
    s->session = NULL;
}

/* Copies a name that the runtime allocated. */
static bool copy_name(const struct runtime_session *s, int place, size_t index, char **to, char *message) {
    const struct runtime *r = s->runtime;
    void *allocator = NULL;
    char *name = NULL;
    if (!take(r, STATUS_OF(r, ALLOCATOR, (void **))(&allocator), message)) return false;
    if (!take(r, STATUS_OF(r, place, (void *, size_t, void *, char **))(s->session, index, allocator, &name), message))
        return false;
    *to = strdup(name);
    take(r, STATUS_OF(r, FREE, (void *, void *))(allocator, name), message);
    if (!*to) snprintf(message, RUNTIME_MESSAGE, "no memory");
    return *to != NULL;
}

/* Reads an element type and sizes. */
static bool read_shape(const struct runtime *r, const void *info, struct runtime_array *a, char *message) {
    size_t rank = 0;
    if (!take(r, STATUS_OF(r, ELEMENT_TYPE, (const void *, int *))(info, &a->type), message)) return false;
    if (!take(r, STATUS_OF(r, DIM_COUNT, (const void *, size_t *))(info, &rank), message)) return false;
    if (rank > RUNTIME_RANK) {
        snprintf(message, RUNTIME_MESSAGE, "\"%s\" has %zu dimensions", a->name, rank);
        return false;
    }
    a->rank = (int)rank;
    return take(r, STATUS_OF(r, DIMS, (const void *, int64_t *, size_t))(info, a->shape, rank), message);
}

bool runtime_inputs(const struct runtime_session *s, struct runtime_array **inputs, size_t *count, char *message) {
    const struct runtime *r = s->runtime;
    size_t all = 0;
    *count = 0;
    *inputs = NULL;
    if (!take(r, STATUS_OF(r, INPUT_COUNT, (void *, size_t *))(s->session, &all), message)) return false;
    *inputs = calloc(all + 1, sizeof **inputs);
    if (!*inputs) return snprintf(message, RUNTIME_MESSAGE, "no memory"), false;
    for (size_t i = 0; i < all; i++) {
        struct runtime_array *a = &(*inputs)[(*count)++];
        void *type = NULL;
        const void *tensor = NULL;
        if (!copy_name(s, INPUT_NAME, i, &a->name, message)) return false;
        bool ok = take(r, STATUS_OF(r, INPUT_TYPE, (void *, size_t, void **))(s->session, i, &type), message);
        ok = ok && take(r, STATUS_OF(r, TYPE_AS_TENSOR, (void *, const void **))(type, &tensor), message);
        if (ok && !tensor) ok = (snprintf(message, RUNTIME_MESSAGE, "\"%s\" is no tensor", a->name), false);
        ok = ok && read_shape(r, tensor, a, message);
        if (type) RELEASE(r, RELEASE_TYPE, type);
        if (!ok) return false;
    }
    return true;
}

/* Copies an output. Types without a size here get none of their data. */
static bool copy_output(const struct runtime *r, void *value, struct runtime_array *a, char *message) {
    void *shape = NULL, *data = NULL;
    bool ok = take(r, STATUS_OF(r, VALUE_SHAPE, (void *, void **))(value, &shape), message) && read_shape(r, shape, a, message);
    if (shape) RELEASE(r, RELEASE_SHAPE, shape);
    if (ok && runtime_type_bytes(a->type) == 0) return true;
    ok = ok && take(r, STATUS_OF(r, TENSOR_DATA, (void *, void **))(value, &data), message);
    if (!ok) return false;
    a->bytes = runtime_type_bytes(a->type);
    for (int d = 0; d < a->rank; d++) a->bytes *= (size_t)a->shape[d];
    a->data = malloc(a->bytes + 1);
    if (!a->data) return snprintf(message, RUNTIME_MESSAGE, "no memory"), false;
    memcpy(a->data, data, a->bytes);
    return true;
}

/* What a run takes and gives, by the runtime's handles. */
struct handles {
    const char **names;
    void **values;
    size_t count;
};

static bool make_handles(struct handles *h, size_t count, char *message) {
    h->names = calloc(count + 1, sizeof *h->names);
    h->values = calloc(count + 1, sizeof *h->values);
    h->count = count;
    if (!h->names || !h->values) snprintf(message, RUNTIME_MESSAGE, "no memory");
    return h->names && h->values;
}

static void free_handles(const struct runtime *r, struct handles *h) {
    for (size_t i = 0; h->values && i < h->count; i++)
        if (h->values[i]) RELEASE(r, RELEASE_VALUE, h->values[i]);
    free(h->values);
    free(h->names);
}

static bool fill_inputs(const struct runtime *r, const struct runtime_array *inputs, struct handles *in, char *message) {
    void *memory = NULL;
    bool ok = take(r, STATUS_OF(r, CPU_MEMORY, (int, int, void **))(1, 0, &memory), message);
    for (size_t i = 0; i < in->count && ok; i++) {
        const struct runtime_array *a = &inputs[i];
        in->names[i] = a->name;
        ok = take(r,
                  STATUS_OF(r, CREATE_TENSOR, (void *, void *, size_t, const int64_t *, size_t, int, void **))(
                      memory, a->data, a->bytes, a->shape, (size_t)a->rank, a->type, &in->values[i]),
                  message);
    }
    if (memory) RELEASE(r, RELEASE_MEMORY, memory);
    return ok;
}

static bool run(const struct runtime_session *s, const struct handles *in, struct handles *out, struct runtime_array *outputs,
                char *message) {
    const struct runtime *r = s->runtime;
    for (size_t i = 0; i < out->count; i++) {
        if (!copy_name(s, OUTPUT_NAME, i, &outputs[i].name, message)) return false;
        out->names[i] = outputs[i].name;
    }
    bool ok = take(r,
                   STATUS_OF(r, RUN, (void *, void *, const char **, void **, size_t, const char **, size_t, void **))(
                       s->session, NULL, in->names, in->values, in->count, out->names, out->count, out->values),
                   message);
    for (size_t i = 0; i < out->count && ok; i++) ok = copy_output(r, out->values[i], &outputs[i], message);
    return ok;
}

bool runtime_run(const struct runtime_session *s, const struct runtime_array *inputs, size_t input_count,
                 struct runtime_array **outputs, size_t *output_count, char *message) {
    const struct runtime *r = s->runtime;
    struct handles in = {0}, out = {0};
    size_t count = 0;
    *outputs = NULL;
    *output_count = 0;
    if (!take(r, STATUS_OF(r, OUTPUT_COUNT, (void *, size_t *))(s->session, &count), message)) return false;
    *outputs = calloc(count + 1, sizeof **outputs);
    bool ok = *outputs && make_handles(&in, input_count, message) && make_handles(&out, count, message);
    *output_count = *outputs ? count : 0;
    ok = ok && fill_inputs(r, inputs, &in, message) && run(s, &in, &out, *outputs, message);
    free_handles(r, &in);
    free_handles(r, &out);
    return ok;
}
