/* SPDX-License-Identifier: MIT */
/* ONNX Runtime, if it is on this machine: found when it is asked for, without its header. Its one exported function gives a
 * table of functions whose places never change. */
#ifndef TOOLS_SHARED_RUNTIME_H
#define TOOLS_SHARED_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batchnorm/batchnorm.h"

enum { RUNTIME_RANK = 8, RUNTIME_MESSAGE = 480 };

/* Element types as ONNX numbers them. */
enum {
    RUNTIME_FLOAT = 1,
    RUNTIME_UINT8,
    RUNTIME_INT8,
    RUNTIME_UINT16,
    RUNTIME_INT16,
    RUNTIME_INT32,
    RUNTIME_INT64,
    RUNTIME_BOOL = 9,
    RUNTIME_F16,
    RUNTIME_DOUBLE,
    RUNTIME_UINT32,
    RUNTIME_UINT64,
    RUNTIME_BF16 = 16
};

/* The bytes of an element; 0: none of these types. */
size_t runtime_type_bytes(int type);
/* Returns whether a type is one of floats, and which. */
bool runtime_is_float(int type, batchnorm_dtype *dtype);

struct runtime_array {
    char *name;
    int type;
    int rank;
    int64_t shape[RUNTIME_RANK]; /* -1: the model leaves it open */
    void *data;
    size_t bytes;
};

/* Takes memory, zeros, for all elements of the shape. */
bool runtime_memory(struct runtime_array *array, char *message);
/* Writes a number as an element of the type. */
void runtime_put(struct runtime_array *array, size_t index, double value);
/* Whether a type of integers has a number. */
bool runtime_in_range(int type, double value);

struct runtime {
    void *library;
    const void *const *api;
    void *env;
    char version[32];
};

struct runtime_session {
    struct runtime *runtime;
    void *session;
};

/* Opens the library: that at `given`, a file or the folder that it is in; else, if that is NULL, the one that the environment
 * variable BATCHNORM_ONNXRUNTIME names so; else what the linker finds, also in LD_LIBRARY_PATH; else the one in the package
 * onnxruntime of Python, of the environment VIRTUAL_ENV or of the python3 on the PATH. Returns false, with a message of
 * RUNTIME_MESSAGE bytes, if there is none. */
bool runtime_open(struct runtime *runtime, const char *given, char *message);
/* For runtime.c: the handle of that library. */
void *runtime_find(const char *given, char *message);
void runtime_close(struct runtime *runtime);

/* Opens a model as it is, without the runtime's own foldings. */
bool runtime_load(struct runtime *runtime, const char *path, struct runtime_session *session, char *message);
/* The same from memory, which may go after that. threads 0: as many as there are cores. */
bool runtime_load_bytes(struct runtime *runtime, const void *bytes, size_t count, int threads, struct runtime_session *session,
                        char *message);
void runtime_unload(struct runtime_session *session);

/* Lists the inputs: names, types and sizes, without data. Free with runtime_free(). */
bool runtime_inputs(const struct runtime_session *session, struct runtime_array **inputs, size_t *count, char *message);
/* Runs the model; inputs are found by their names, in any order; the outputs, in the order of the model, own their data. */
bool runtime_run(const struct runtime_session *session, const struct runtime_array *inputs, size_t input_count,
                 struct runtime_array **outputs, size_t *output_count, char *message);
void runtime_free(struct runtime_array *arrays, size_t count);

#endif
