/* SPDX-License-Identifier: MIT */
/* batchnorm recalibrate: batch norms with the statistics of new data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge.h"
#include "pass.h"
#include "report.h"
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
    struct layers layers;
    struct runtime runtime;
    struct runtime_array *inputs;
    size_t input_count;
    struct samples samples;
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
    r->outcome.counts = (batchnorm_fold_counts){.size = sizeof r->outcome.counts};
    stop_hold();
    const batchnorm_status status =
        batchnorm_model_set_statistics(r->file.model, layers_take(&r->layers, 1, r->layers.deepest), r->request->separate,
                                       r->request->output, &r->outcome.counts, why);
    stop_let_go();
    return status ? fail_about(r, r->request->output, why) : EXIT_DONE;
}

static int finish(struct run *r) {
    report_print(&r->outcome);
    const size_t left = report_left(&r->outcome);
    if (left == 0 || !r->request->require_all) return EXIT_DONE;
    return report(EXIT_FAILED, "%s: %zu of %zu batch norms are left", r->request->files.at[0], left, r->layers.norms);
}

static int instrument(struct run *r) {
    char why[BATCHNORM_MODEL_MESSAGE];
    stop_hold();
    const batchnorm_status status = batchnorm_model_instrument(r->file.model, r->request->depth, r->request->output, why);
    stop_let_go();
    if (status) return fail_about(r, r->request->output, why);
    size_t count = 0;
    for (size_t i = 0; i < r->layers.count; i++) count += !r->request->depth || r->layers.at[i].depth == r->request->depth;
    if (r->request->json) {
        printf("{\"count\": %zu, \"outputs\": %zu, \"deepest\": %lld}\n", r->layers.norms, count, (long long)r->layers.deepest);
        return EXIT_DONE;
    }
    printf("%s: outputs for %zu of %zu batch norms; the deepest is of depth %lld\n", r->request->output, count, r->layers.norms,
           (long long)r->layers.deepest);
    return EXIT_DONE;
}

static int merge(struct run *r) {
    if (!merge_files(&r->layers, r->request->files.at + 1, (size_t)r->request->files.count - 1, r->message)) return fail(r);
    const int code = r->request->output ? write_model(r) : EXIT_DONE;
    return code ? code : finish(r);
}

/* Batch norms that share their statistics, and stand one behind the other. */
static bool check_shared(struct run *r) {
    const struct layers *ls = &r->layers;
    for (size_t i = 0; i < ls->count && r->request->method == METHOD_EXACT && !r->request->check; i++)
        for (size_t k = 0; k < i; k++)
            if (ls->at[i].stats == ls->at[k].stats && ls->at[i].depth != ls->at[k].depth)
                return nn_wrong(
                    r->message, r->request->files.at[0],
                    "\"%.100s\" and \"%.100s\" share their statistics and stand at depths %lld and %lld: what arrives "
                    "at one depends on those of the other. --separate gives each its own; --method batch takes both "
                    "together",
                    ls->at[k].key, ls->at[i].key, (long long)ls->at[k].depth, (long long)ls->at[i].depth);
    return true;
}

/* Everything that can be wrong with files and options, before the first run. */
static bool prepare(struct run *r) {
    char why[RUNTIME_MESSAGE];
    const struct recalibrate_request *q = r->request;
    if (!check_shared(r)) return false;
    if (!runtime_open(&r->runtime, q->runtime, why)) return nn_wrong(r->message, "recalibrate", "%s", why);
    if (!pass_input(&r->runtime, r->file.path, &r->inputs, &r->input_count, r->message)) return false;
    if (!samples_open(&r->samples, q, &r->inputs[0], r->message)) return false;
    r->outcome.samples = r->samples.count;
    r->outcome.batches = r->samples.batches;
    r->outcome.left_out = r->samples.left_out;
    r->outcome.runtime = r->runtime.version;
    return true;
}

static void warn_of_small_batches(const struct run *r) {
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < r->samples.batches; i++)
        if (r->samples.pieces[i].count < least) least = r->samples.pieces[i].count;
    if (least < SMALL_BATCH)
        report(EXIT_DONE,
               "batch norms use the statistics of batches of %zu samples%s: fewer than %d change the result; --method exact "
               "does not depend on them",
               least, r->samples.input.shape[0] > 0 ? ", which the model says" : "", SMALL_BATCH);
}

static int run_model(struct run *r) {
    const struct recalibrate_request *q = r->request;
    if (!prepare(r)) return fail(r);
    if (!q->check && q->method == METHOD_BATCH) warn_of_small_batches(r);
    r->progress = progress_begin((double)r->samples.count);
    r->progress.unit = "samples";
    struct pass pass = {.request = q,
                        .runtime = &r->runtime,
                        .model = r->file.model,
                        .layers = &r->layers,
                        .samples = &r->samples,
                        .progress = &r->progress,
                        .message = r->message};
    const bool ok = pass_run(&pass, q->check ? PASS_AS_IT_IS : q->method == METHOD_BATCH ? PASS_BY_BATCH : PASS_BY_DEPTH);
    progress_hide(&r->progress);
    r->outcome.in_files = pass.in_files;
    if (!ok) return fail(r);
    const int code = q->output ? write_model(r) : EXIT_DONE;
    return code ? code : finish(r);
}

static int recalibrate_model(struct run *r) {
    char why[BATCHNORM_MODEL_MESSAGE];
    const struct recalibrate_request *q = r->request;
    if (!layers_open(&r->layers, r->file.model, q->separate, why)) return fail_about(r, q->files.at[0], why);
    if (q->output && batchnorm_model_look_at_output(r->file.model, q->output, why)) return fail_about(r, q->output, why);
    r->outcome.layers = &r->layers;
    if (q->instrument) return instrument(r);
    return q->merge ? merge(r) : run_model(r);
}

int cmd_recalibrate(int argc, char **argv) {
    struct recalibrate_request request;
    struct run *r = calloc(1, sizeof *r);
    char why[BATCHNORM_MODEL_MESSAGE];
    recalibrate_options.defaults(&request);
    options_parse(&recalibrate_options, argc, argv, &request);
    if (!r) return report(EXIT_FAILED, "no memory");
    const batchnorm_model_options options = {
        .size = sizeof options, .assume_constant = true, .follow_symlinks = request.follow_symlinks};
    int code;
    r->request = r->outcome.request = &request;
    if (!model_file_open(&r->file, request.files.at[0], &options, why))
        code = fail_about(r, request.files.at[0], why);
    else if (batchnorm_model_get_format(r->file.model) != BATCHNORM_MODEL_ONNX)
        code = fail_about(r, request.files.at[0],
                          "has no graph, so that it cannot be run: an ONNX model, or a checkpoint of train");
    else
        code = recalibrate_model(r);
    samples_close(&r->samples);
    runtime_free(r->inputs, r->input_count);
    runtime_close(&r->runtime);
    layers_free(&r->layers);
    model_file_close(&r->file);
    free(r);
    return code;
}
