/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <stdio.h>
#include <string.h>

#include "tools/shared/array.h"
#include "tools/shared/clean.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/shared/runtime.h"
#include "verify_inputs.h"

/* Both runs, one after the other. */
struct runs {
    struct runtime runtime;
    struct runtime_session before, after;
    struct runtime_array *inputs, *outputs[2];
    size_t input_count, output_count[2];
};

static bool unknown(struct verdict *v, bool failed, const char *message) {
    v->kind = VERDICT_UNKNOWN;
    v->failed = failed;
    snprintf(v->why, sizeof v->why, "%.390s", message);
    clean_text(v->why);
    return false;
}

/* Runs the model that was read. Why not is no fault of folding; it is one of the caller where the inputs are his. */
static bool run_before(const struct fold_request *r, const char *path, struct runs *runs, struct verdict *v) {
    char message[MESSAGE_BYTES] = ""; /* not shorter than RUNTIME_MESSAGE */
    if (!runtime_open(&runs->runtime, r->runtime, message) || !runtime_load(&runs->runtime, path, &runs->before, message) ||
        !runtime_inputs(&runs->before, &runs->inputs, &runs->input_count, message))
        return unknown(v, false, message);
    const enum filled filled = inputs_fill(r, runs->inputs, runs->input_count, message);
    if (filled != FILLED) return unknown(v, filled == FILLED_WRONG, message);
    if (!runtime_run(&runs->before, runs->inputs, runs->input_count, &runs->outputs[0], &runs->output_count[0], message))
        return unknown(v, r->input_count > 0, message);
    return true;
}

static bool run_after(const struct fold_request *r, struct runs *runs, struct verdict *v) {
    char message[MESSAGE_BYTES] = "", why[MESSAGE_BYTES + 40];
    if (runtime_load(&runs->runtime, r->output, &runs->after, message) &&
        runtime_run(&runs->after, runs->inputs, runs->input_count, &runs->outputs[1], &runs->output_count[1], message))
        return true;
    snprintf(why, sizeof why, "ONNX Runtime does not run the folded model: %s", message);
    return unknown(v, true, why);
}

/* Whether a model computes with 16 bits, whatever its outputs are. */
static bool is_half(const batchnorm_model *model) {
    batchnorm_model_tensor t;
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++)
        if (strcmp(t.type, "FLOAT16") == 0 || strcmp(t.type, "BFLOAT16") == 0) return true;
    return false;
}

void verify(const struct fold_request *r, const struct model_file *file, struct verdict *v) {
    struct runs runs = {0};
    if (run_before(r, file->path, &runs, v) && run_after(r, &runs, v)) {
        snprintf(v->runtime, sizeof v->runtime, "%s", runs.runtime.version);
        outputs_compare(runs.outputs[0], runs.output_count[0], runs.outputs[1], runs.output_count[1], is_half(file->model), v);
        v->failed = v->kind == VERDICT_OTHER;
        clean_text(v->output);
        clean_text(v->why);
    }
    runtime_free(runs.inputs, runs.input_count);
    for (int i = 0; i < 2; i++) runtime_free(runs.outputs[i], runs.output_count[i]);
    runtime_unload(&runs.before);
    runtime_unload(&runs.after);
    runtime_close(&runs.runtime);
}

void verdict_report(const struct verdict *v, const char *path) {
    if (v->failed && v->why[0])
        report(EXIT_FAILED, "%s: %s", path, v->why);
    else if (v->failed)
        report(EXIT_FAILED, "%s: output \"%s\" differs by %.2g, where %.2g is allowed", path, v->output, v->absolute,
               v->allowed);
}

void verdict_print(const struct verdict *v) {
    if (v->kind == VERDICT_SAME && v->allowed > 0)
        printf("verified with ONNX Runtime %s: outputs differ by %.2g at most, relative %.2g, where %.2g is allowed (%s)\n",
               v->runtime, v->absolute, v->relative, v->allowed, v->output);
    else if (v->kind == VERDICT_SAME)
        printf("verified with ONNX Runtime %s: outputs are the same integers\n", v->runtime);
    else if (v->kind == VERDICT_UNKNOWN && !v->failed)
        printf("not verified: %s\n", v->why);
    else
        printf("not verified\n");
}

void verdict_print_json(const struct verdict *v) {
    static const char *const words[] = {"null", "null", "true", "false"};
    printf(", \"verified\": %s", words[v->kind]);
    if (v->allowed > 0) {
        print_json_number("max_abs_difference", "%.9g", v->absolute);
        print_json_number("max_rel_difference", "%.9g", v->relative);
        print_json_number("allowed_abs_difference", "%.9g", v->allowed);
    }
    if (v->why[0]) printf(", \"not_verified\": ");
    if (v->why[0]) print_json_text(v->why);
}
