/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
/* batchnorm recalibrate: batch norms with the statistics of new data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "merge.h"
#include "network.h"
#include "pass.h"
#include "report.h"
#include "svg.h"
#include "tools/shared/clean.h"
#include "tools/shared/messages.h"
#include "tools/shared/model_file.h"
#include "tools/shared/outputs.h"
#include "tools/shared/stop.h"

/* Batches below this change the statistics of later layers too much for --method batch to be silent about it. */
enum { SMALL_BATCH = 32 };

/* What a run holds. */
struct run {
    const struct recalibrate_request *request;
    struct model_file file;
    struct layers own;     /* of an ONNX model */
    struct layers *layers; /* those, or of the network */
    struct runtime runtime;
    struct runtime_array *inputs;
    size_t input_count;
    struct samples samples;
    struct network network;
    bool is_network;
    struct output svg;
    struct drift *drift, *before, *after; /* of each layer */
    struct progress progress;
    struct outcome outcome;
    char message[NN_MESSAGE_BYTES];
};

static int fail(const struct run *r) { return report(EXIT_FAILED, "%s", r->message); }

static int fail_about(struct run *r, const char *path, const char *why) {
    nn_wrong(r->message, path, "%s", why);
    return fail(r);
}

/* Writes the model. No signal ends it in between, which would leave half a file. */
static int write_model(struct run *r) {
    char why[BATCHNORM_MODEL_MESSAGE];
    const char *path = r->request->output;
    if (r->is_network) return network_write(&r->network, path, r->message) ? EXIT_DONE : fail(r);
    r->outcome.counts = (batchnorm_fold_counts){.size = sizeof r->outcome.counts};
    stop_hold();
    const batchnorm_status status = batchnorm_model_set_statistics(r->file.model, layers_take(r->layers, 1, r->layers->deepest),
                                                                   r->request->separate, path, &r->outcome.counts, why);
    stop_let_go();
    return status ? fail_about(r, path, why) : EXIT_DONE;
}

static bool run_onnx(struct run *r, enum pass_kind kind, batchnorm_model *model, struct layers *layers) {
    struct pass pass = {.request = r->request,
                        .runtime = &r->runtime,
                        .model = model,
                        .layers = layers,
                        .samples = &r->samples,
                        .progress = &r->progress,
                        .message = r->message};
    const bool ok = pass_run(&pass, kind);
    r->outcome.in_files += pass.in_files;
    return ok;
}

static bool measure(struct run *r, enum pass_kind kind) {
    if (r->is_network) return network_run(&r->network, kind, &r->progress, r->message);
    return run_onnx(r, kind, r->file.model, r->layers);
}

/* Notes how far all layers are off. */
static bool note(struct run *r, const struct layers *ls, struct drift **drifts) {
    *drifts = calloc(ls->count + 1, sizeof **drifts);
    for (size_t i = 0; *drifts && i < ls->count; i++)
        if (ls->at[i].is_taken) (*drifts)[i] = layer_drift(&ls->at[i]);
    return *drifts || nn_wrong(r->message, r->request->files.at[0], NN_NO_MEMORY);
}

/* Looks at the model that was written as at the one that was read. */
static bool measure_after(struct run *r) {
    const char *path = r->request->output;
    char why[BATCHNORM_MODEL_MESSAGE];
    const batchnorm_model_options options = {
        .size = sizeof options, .assume_constant = true, .follow_symlinks = r->request->follow_symlinks};
    if (r->is_network) return measure(r, PASS_AS_IT_IS) && note(r, r->layers, &r->after);
    batchnorm_model *model;
    struct layers layers = {0};
    if (batchnorm_model_open(path, &options, &model, why)) return nn_wrong(r->message, path, "%s", why);
    bool ok = layers_open(&layers, model, true, why) || nn_wrong(r->message, path, "%s", why);
    ok = ok && run_onnx(r, PASS_AS_IT_IS, model, &layers) && note(r, &layers, &r->after);
    layers_free(&layers);
    batchnorm_model_close(model);
    return ok;
}

static int draw(struct run *r) {
    char title[4096];
    if (!r->request->svg) return EXIT_DONE;
    snprintf(title, sizeof title, "%s, by %zu samples", r->request->files.at[0], r->outcome.samples);
    char *text = svg_of_drifts(title, r->layers, r->before, r->after);
    if (!text) return fail_about(r, r->request->svg, NN_NO_MEMORY);
    r->svg.text = text;
    stop_hold();
    const bool ok = outputs_write(&r->svg, 1) && outputs_commit(&r->svg, 1);
    stop_let_go();
    free(text);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

static int finish(struct run *r) {
    r->outcome.drift = r->drift;
    r->outcome.before = r->before;
    r->outcome.after = r->after;
    report_print(&r->outcome);
    const size_t left = report_left(&r->outcome);
    if (left == 0 || !r->request->require_all) return EXIT_DONE;
    return report(EXIT_FAILED, "%s: %zu of %zu batch norms are left", input_name(r->request->files.at[0]), left,
                  r->layers->norms);
}

static int instrument(struct run *r) {
    char why[BATCHNORM_MODEL_MESSAGE];
    stop_hold();
    const batchnorm_status status = batchnorm_model_instrument(r->file.model, r->request->depth, r->request->output, why);
    stop_let_go();
    if (status) return fail_about(r, r->request->output, why);
    size_t count = 0;
    for (size_t i = 0; i < r->layers->count; i++) count += !r->request->depth || r->layers->at[i].depth == r->request->depth;
    if (r->request->json)
        printf("{\"count\": %zu, \"outputs\": %zu, \"deepest\": %lld}\n", r->layers->norms, count,
               (long long)r->layers->deepest);
    else
        printf("%s: outputs for %zu of %zu batch norms; the deepest is of depth %lld\n", r->request->output, count,
               r->layers->norms, (long long)r->layers->deepest);
    return EXIT_DONE;
}

static int merge(struct run *r) {
    if (!merge_files(r->layers, r->request->files.at + 1, (size_t)r->request->files.count - 1, r->message)) return fail(r);
    if (!note(r, r->layers, &r->drift)) return fail(r);
    const int code = r->request->output ? write_model(r) : EXIT_DONE;
    return code ? code : finish(r);
}

/* Everything that can be wrong with files and options, before the first run. */
static bool prepare(struct run *r) {
    char why[BATCHNORM_MODEL_MESSAGE]; /* not shorter than RUNTIME_MESSAGE */
    const struct recalibrate_request *q = r->request;
    if (q->method == METHOD_EXACT && !q->check && !layers_have_own(r->layers, why))
        return nn_wrong(r->message, q->files.at[0], "%s", why);
    if (!runtime_open(&r->runtime, q->runtime, why)) return nn_wrong(r->message, q->files.at[0], "cannot be run: %s", why);
    if (!pass_input(&r->runtime, r->file.path, &r->inputs, &r->input_count, r->message)) return false;
    if (!samples_open(&r->samples, q, r->file.model, &r->inputs[0], r->message)) return false;
    r->outcome.samples = r->samples.count;
    r->outcome.batches = r->samples.batches;
    r->outcome.left_out = r->samples.left_out;
    r->outcome.runtime = r->runtime.version;
    if (r->samples.is_scaled) r->outcome.scale = &r->samples.scale;
    return true;
}

static void warn_of_batches(const struct run *r) {
    size_t least = r->is_network ? r->network.network->capacity : SIZE_MAX;
    for (size_t i = 0; i < r->samples.batches; i++)
        if (r->samples.pieces[i].count < least) least = r->samples.pieces[i].count;
    const bool is_fixed = !r->is_network && r->samples.input.shape[0] > 0;
    if (least >= SMALL_BATCH && is_fixed)
        report(EXIT_DONE,
               "batch norms use the statistics of batches of %zu, which the model says: the result depends on that; --method "
               "exact does not depend on it",
               least);
    if (least >= SMALL_BATCH) return;
    report(EXIT_DONE,
           "batch norms use the statistics of batches that have as few as %zu%s: fewer than %d samples change the result; "
           "--method exact does not depend on them",
           least, is_fixed ? ", which the model says" : "", SMALL_BATCH);
}

static bool run_passes(struct run *r) {
    const struct recalibrate_request *q = r->request;
    const enum pass_kind kind = q->check ? PASS_AS_IT_IS : q->method == METHOD_BATCH ? PASS_BY_BATCH : PASS_BY_DEPTH;
    if (q->svg && !(measure(r, PASS_AS_IT_IS) && note(r, r->layers, &r->before))) return false;
    return (q->svg && q->check ? true : measure(r, kind)) && note(r, r->layers, &r->drift);
}

static int run_model(struct run *r) {
    const struct recalibrate_request *q = r->request;
    const double passes = 1 + 2 * (q->svg && !q->check);
    if (!q->check && q->method == METHOD_BATCH) warn_of_batches(r);
    r->progress = progress_begin((double)r->outcome.samples * passes);
    r->progress.unit = "samples";
    bool ok = run_passes(r);
    progress_hide(&r->progress);
    if (!ok) return fail(r);
    if (r->is_network && q->output) network_take(&r->network);
    int code = q->output ? write_model(r) : EXIT_DONE;
    if (!code && q->output && q->svg) {
        ok = measure_after(r);
        progress_hide(&r->progress);
        if (!ok) return fail(r);
    }
    if (!code) code = draw(r);
    return code ? code : finish(r);
}

static int recalibrate_onnx(struct run *r) {
    char why[BATCHNORM_MODEL_MESSAGE];
    const struct recalibrate_request *q = r->request;
    r->layers = &r->own;
    if (!layers_open(r->layers, r->file.model, q->separate, why)) return fail_about(r, q->files.at[0], why);
    if (q->output && batchnorm_model_look_at_output(r->file.model, q->output, why)) return fail_about(r, q->output, why);
    r->outcome.layers = r->layers;
    if (q->instrument) return instrument(r);
    if (q->merge) return merge(r);
    return prepare(r) ? run_model(r) : fail(r);
}

static int recalibrate_network(struct run *r) {
    const struct recalibrate_request *q = r->request;
    r->is_network = true;
    r->layers = &r->network.layers;
    if (q->instrument || q->merge)
        return fail_about(r, q->files.at[0], "is a network of train, which needs no other program: --data is enough");
    if (!network_open(&r->network, q, r->message)) return fail(r);
    r->outcome.layers = r->layers;
    r->outcome.samples = r->network.samples;
    r->outcome.batches = (r->network.samples + r->network.network->capacity - 1) / r->network.network->capacity;
    return run_model(r);
}

/* Looks whether both outputs can be written; nothing that is read is written over. */
static int check_outputs(struct run *r) {
    const struct recalibrate_request *q = r->request;
    struct output both[] = {{.option = "-o", .argument = q->output, .whole_file = true, .text = ""},
                            {.option = "--svg", .argument = q->svg, .whole_file = true, .text = ""}};
    struct stat output, input;
    const int code = outputs_check(both, 2);
    outputs_free(both, 2);
    for (size_t k = 0; k < 2 && !code; k++) {
        if (!both[k].argument || stat(both[k].argument, &output) != 0 || !S_ISREG(output.st_mode)) continue;
        for (int i = 0; i <= q->files.count; i++) {
            const char *path = i < q->files.count ? q->files.at[i] : q->data;
            if (!path || stat(path, &input) != 0 || input.st_dev != output.st_dev || input.st_ino != output.st_ino) continue;
            nn_wrong(r->message, both[k].argument, "it is read, as %.200s; choose another name", path);
            return fail(r);
        }
    }
    r->svg = (struct output){.option = "--svg", .argument = q->svg, .whole_file = true, .text = ""};
    return code ? code : outputs_check(&r->svg, 1);
}

static int recalibrate(struct run *r) {
    const struct recalibrate_request *q = r->request;
    char why[BATCHNORM_MODEL_MESSAGE];
    const batchnorm_model_options options = {
        .size = sizeof options, .assume_constant = true, .follow_symlinks = q->follow_symlinks};
    const int code = check_outputs(r);
    if (code) return code;
    if (network_is(q->files.at[0])) return recalibrate_network(r);
    if (!model_file_open(&r->file, q->files.at[0], &options, why)) return fail_about(r, q->files.at[0], why);
    if (batchnorm_model_get_format(r->file.model) == BATCHNORM_MODEL_ONNX) return recalibrate_onnx(r);
    return fail_about(r, q->files.at[0],
                      "has no graph, so that it cannot be run: an ONNX model is wanted, or a checkpoint of train");
}

int cmd_recalibrate(int argc, char **argv) {
    struct recalibrate_request request;
    struct run *r = calloc(1, sizeof *r);
    recalibrate_options.defaults(&request);
    options_parse(&recalibrate_options, argc, argv, &request);
    if (!r) return report(EXIT_FAILED, "no memory");
    r->request = r->outcome.request = &request;
    const int code = recalibrate(r);
    outputs_free(&r->svg, 1);
    samples_close(&r->samples);
    runtime_free(r->inputs, r->input_count);
    runtime_close(&r->runtime);
    layers_free(&r->own);
    network_close(&r->network);
    model_file_close(&r->file);
    free(r->drift);
    free(r->before);
    free(r->after);
    free(r);
    return code;
}
