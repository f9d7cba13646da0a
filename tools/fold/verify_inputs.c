/* SPDX-License-Identifier: MIT */
#include "verify_inputs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/convert.h"
#include "tools/shared/inputs.h"

/* xorshift64*, uniform in [-1, 1). */
static double next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(int64_t)(*state * UINT64_C(2685821657736338717)) / 0x1p63;
}

/* Sizes that a model leaves open: one sample, three channels, 64 of everything else. */
static int64_t usual_size(int dimension) { return dimension == 0 ? 1 : dimension == 1 ? 3 : 64; }

/* Bytes are mostly pixels, and take all of their values; other integers are mostly indices, and are 0 or 1. */
static bool make_random(struct runtime_array *a, uint64_t *state, char *message) {
    batchnorm_dtype dtype;
    const bool is_float = runtime_is_float(a->type, &dtype);
    const size_t each = runtime_type_bytes(a->type);
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] < 0) a->shape[d] = usual_size(d);
    if (each == 0) {
        snprintf(message, MESSAGE_BYTES, "input \"%.100s\" is of a type without random numbers", a->name);
        return false;
    }
    if (!runtime_memory(a, message)) return false;
    for (size_t i = 0; i < a->bytes / each; i++) {
        double v = next_random(state);
        if (a->type == RUNTIME_UINT8 || a->type == RUNTIME_INT8)
            v = floor(128 * v) + (a->type == RUNTIME_UINT8 ? 128 : 0);
        else if (!is_float)
            v = v > 0;
        runtime_put(a, i, v);
    }
    return true;
}

static bool wrong(char *message, const char *argument, const char *what) {
    snprintf(message, MESSAGE_BYTES, "--input %.100s: %.390s", argument, what);
    return false;
}

/* Takes an array, whose elements are of the type if it is one of floats, and doubles if not. */
static bool take_array(struct runtime_array *a, const batchnorm_tensor *view, bool is_float, const char *argument,
                       char *message) {
    if (!batchnorm_tensor_is_contiguous(view)) return wrong(message, argument, "it must be in row-major order");
    if (view->rank != a->rank) return wrong(message, argument, "the input of the model has another number of dimensions");
    for (int d = 0; d < a->rank; d++) {
        if (a->shape[d] >= 0 && a->shape[d] != view->shape[d])
            return wrong(message, argument, "the input of the model has other sizes");
        a->shape[d] = view->shape[d];
    }
    if (!runtime_memory(a, message)) return false;
    if (is_float) memcpy(a->data, view->data, a->bytes);
    for (size_t i = 0; !is_float && i < a->bytes / runtime_type_bytes(a->type); i++) {
        const double v = ((const double *)view->data)[i];
        if (!runtime_in_range(a->type, v)) return wrong(message, argument, "the input of the model is of another type");
        runtime_put(a, i, v);
    }
    return true;
}

/* Reads the file that --input names for an input; *given says whether there is one. */
static bool read_given(const struct fold_request *r, struct runtime_array *a, bool *given, char *message) {
    const size_t bytes = strlen(a->name);
    batchnorm_dtype dtype;
    const bool is_float = runtime_is_float(a->type, &dtype);
    *given = false;
    for (int i = 0; i < r->input_count; i++) {
        struct array array;
        char what[MESSAGE_BYTES];
        if (strncmp(r->inputs[i], a->name, bytes) != 0 || r->inputs[i][bytes] != '=') continue;
        *given = true;
        if (runtime_type_bytes(a->type) == 0)
            return wrong(message, r->inputs[i], "the input of the model is no array of numbers");
        if (!is_float) dtype = BATCHNORM_F64;
        if (!array_read(&array, r->inputs[i] + bytes + 1, &dtype, what)) return wrong(message, r->inputs[i], what);
        const bool ok = take_array(a, &array.view, is_float, r->inputs[i], message);
        array_free(&array);
        return ok;
    }
    return true;
}

static bool is_input(const char *argument, const struct runtime_array *inputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const size_t bytes = strlen(inputs[i].name);
        if (strncmp(argument, inputs[i].name, bytes) == 0 && argument[bytes] == '=') return true;
    }
    return false;
}

enum filled inputs_fill(const struct fold_request *r, struct runtime_array *inputs, size_t count, char *message) {
    uint64_t state = 2026;
    for (int i = 0; i < r->input_count; i++)
        if (!is_input(r->inputs[i], inputs, count))
            return wrong(message, r->inputs[i], "the model has no such input") ? FILLED : FILLED_WRONG;
    for (size_t i = 0; i < count; i++) {
        bool given;
        if (!read_given(r, &inputs[i], &given, message)) return FILLED_WRONG;
        if (!given && !make_random(&inputs[i], &state, message)) return FILLED_NOT;
    }
    return FILLED;
}
