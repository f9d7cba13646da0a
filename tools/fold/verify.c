/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"
#include "tools/shared/clean.h"
#include "tools/shared/inputs.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"

/* The same numbers in every run: xorshift64*, uniform in [-1, 1). */
static double next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(int64_t)(*state * UINT64_C(2685821657736338717)) / 0x1p63;
}

/* Sizes that a model leaves open: one sample, three channels, 64 of everything else. */
static int64_t usual_size(int dimension) { return dimension == 0 ? 1 : dimension == 1 ? 3 : 64; }

static bool take_memory(struct runtime_array *a, size_t each, char *message) {
    size_t count = 1;
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] < 0 || __builtin_mul_overflow(count, (size_t)a->shape[d], &count)) count = SIZE_MAX / 16;
    a->bytes = count * each;
    a->data = count < SIZE_MAX / 16 ? calloc(count + 1, each) : NULL;
    if (!a->data) snprintf(message, RUNTIME_MESSAGE, "no memory for input \"%s\"", a->name);
    return a->data != NULL;
}

static bool make_random(struct runtime_array *a, uint64_t *state, char *message) {
    for (int d = 0; d < a->rank; d++)
        if (a->shape[d] < 0) a->shape[d] = usual_size(d);
    if (a->type != RUNTIME_FLOAT && a->type != RUNTIME_DOUBLE && a->type != RUNTIME_INT64 && a->type != RUNTIME_BOOL) {
        snprintf(message, RUNTIME_MESSAGE, "input \"%s\" needs --input: it is of a type without random numbers", a->name);
        return false;
    }
    const size_t each = a->type == RUNTIME_FLOAT ? 4 : a->type == RUNTIME_BOOL ? 1 : 8;
    if (!take_memory(a, each, message)) return false;
    for (size_t i = 0; i < a->bytes / each; i++) {
        const double v = next_random(state);
        if (a->type == RUNTIME_FLOAT) ((float *)a->data)[i] = (float)v;
        if (a->type == RUNTIME_DOUBLE) ((double *)a->data)[i] = v;
        if (a->type == RUNTIME_BOOL) ((unsigned char *)a->data)[i] = 1;
    }
    return true;
}

/* Reads the file that --input names for an input; *given says whether there is one. */
static bool read_given(const struct fold_request *r, struct runtime_array *a, bool *given, char *message) {
    const batchnorm_dtype dtype = a->type == RUNTIME_DOUBLE ? BATCHNORM_F64 : BATCHNORM_F32;
    const size_t bytes = strlen(a->name);
    struct array array;
    *given = false;
    for (int i = 0; i < r->input_count; i++) {
        if (strncmp(r->inputs[i], a->name, bytes) != 0 || r->inputs[i][bytes] != '=') continue;
        *given = true;
        if (!array_read(&array, r->inputs[i] + bytes + 1, a->type == RUNTIME_INT64 ? NULL : &dtype, message)) return false;
        const size_t each = batchnorm_dtype_bytes(array.view.dtype);
        bool ok = array.view.rank <= RUNTIME_RANK && batchnorm_tensor_is_contiguous(&array.view);
        if (!ok) snprintf(message, RUNTIME_MESSAGE, "%s: it must be in row-major order", r->inputs[i]);
        a->rank = array.view.rank;
        for (int d = 0; d < a->rank && ok; d++) a->shape[d] = array.view.shape[d];
        ok = ok && take_memory(a, each, message);
        if (ok) memcpy(a->data, array.view.data, a->bytes);
        array_free(&array);
        return ok;
    }
    return true;
}

static bool fill(const struct fold_request *r, struct runtime_array *inputs, size_t count, char *message) {
    uint64_t state = 2026;
    for (size_t i = 0; i < count; i++) {
        bool given;
        if (!read_given(r, &inputs[i], &given, message)) return false;
        if (!given && !make_random(&inputs[i], &state, message)) return false;
    }
    return true;
}

static double number(const struct runtime_array *a, size_t i) {
    return a->type == RUNTIME_DOUBLE ? ((const double *)a->data)[i] : (double)((const float *)a->data)[i];
}

/* NaN and infinity at the same places are equal. */
static double difference(double a, double b) { return a == b || (isnan(a) && isnan(b)) ? 0 : fabs(a - b); }

static void compare(const struct runtime_array *a, const struct runtime_array *b, struct verdict *v) {
    const size_t each = a->type == RUNTIME_DOUBLE ? 8 : 4, count = a->bytes / each;
    double most = 0, largest = 0;
    if ((a->type != RUNTIME_FLOAT && a->type != RUNTIME_DOUBLE) || a->type != b->type || a->bytes != b->bytes) return;
    for (size_t i = 0; i < count; i++) {
        const double d = difference(number(a, i), number(b, i));
        if (!(d <= most)) most = d;
        if (isfinite(number(a, i)) && fabs(number(a, i)) > largest) largest = fabs(number(a, i));
    }
    if (most < v->absolute) return;
    v->absolute = most;
    v->relative = most == 0 ? 0 : most / largest;
    snprintf(v->output, sizeof v->output, "%.60s", a->name);
}

/* Both runs, one after the other. */
struct runs {
    struct runtime runtime;
    struct runtime_session before, after;
    struct runtime_array *inputs, *outputs[2];
    size_t input_count, output_count[2];
};

/* Runs the model that was read; why not is no fault of folding. */
static bool run_before(const struct fold_request *r, struct runs *runs, char *message) {
    return runtime_open(&runs->runtime, message) && runtime_load(&runs->runtime, r->models.at[0], &runs->before, message) &&
           runtime_inputs(&runs->before, &runs->inputs, &runs->input_count, message) &&
           fill(r, runs->inputs, runs->input_count, message) &&
           runtime_run(&runs->before, runs->inputs, runs->input_count, &runs->outputs[0], &runs->output_count[0], message);
}

static bool run_after(const struct fold_request *r, struct runs *runs, char *message) {
    return runtime_load(&runs->runtime, r->output, &runs->after, message) &&
           runtime_run(&runs->after, runs->inputs, runs->input_count, &runs->outputs[1], &runs->output_count[1], message);
}

bool verify(const struct fold_request *r, struct verdict *v) {
    struct runs runs = {0};
    char message[MESSAGE_BYTES]; /* not shorter than RUNTIME_MESSAGE */
    bool ok = true;
    if (!run_before(r, &runs, message)) {
        snprintf(v->why, sizeof v->why, "%.390s", message);
        clean_text(v->why);
    } else if (!run_after(r, &runs, message)) {
        report(EXIT_FAILED, "%s: ONNX Runtime does not run it: %s", r->output, message);
        ok = false;
    } else {
        v->done = true;
        snprintf(v->runtime, sizeof v->runtime, "%s", runs.runtime.version);
        for (size_t i = 0; i < runs.output_count[0] && i < runs.output_count[1]; i++)
            compare(&runs.outputs[0][i], &runs.outputs[1][i], v);
    }
    runtime_free(runs.inputs, runs.input_count);
    for (int i = 0; i < 2; i++) runtime_free(runs.outputs[i], runs.output_count[i]);
    runtime_unload(&runs.before);
    runtime_unload(&runs.after);
    runtime_close(&runs.runtime);
    return ok;
}

void verdict_print(const struct verdict *v) {
    if (v->done) {
        printf("verified with ONNX Runtime %s: outputs differ by %.2g at most, %.2g of the largest number (", v->runtime,
               v->absolute, v->relative);
        print_clean(stdout, v->output);
        printf(")\n");
    } else {
        printf("not verified%s%s\n", v->asked ? ": " : "", v->asked ? v->why : "");
    }
}

void verdict_print_json(const struct verdict *v) {
    printf(", \"verified\": %s", v->done ? "true" : "false");
    if (v->done) print_json_number("max_abs_difference", "%.9g", v->absolute);
    if (v->done) print_json_number("max_rel_difference", "%.9g", v->relative);
    if (!v->asked || v->done) return;
    printf(", \"not_verified\": ");
    print_json_text(v->why);
}
