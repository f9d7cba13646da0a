/* SPDX-License-Identifier: MIT */
/* batchnorm export: a trained network as an ONNX model. */
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "batchnorm/model.h"
#include "onnx.h"
#include "request.h"
#include "src/place/place.h"
#include "tools/shared/clean.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/train/checkpoint.h"

/* What was written. */
struct written {
    size_t norms, left; /* batch norms, and those that are there yet */
    uint64_t bytes;
};

static int save(const char *path, const struct proto *model, struct written *written) {
    char why[BN_PLACE_BYTES];
    struct bn_place place;
    const char *wrong = bn_place_find(&place, path, why);
    if (!wrong) wrong = bn_place_create(&place, why);
    if (!wrong && !bn_place_write(place.fd, model->bytes, model->count)) {
        snprintf(why, sizeof why, "cannot be written: %s", strerror(errno));
        wrong = why;
    }
    if (!wrong) wrong = bn_place_finish(&place, why);
    if (!wrong) wrong = bn_place_commit(&place, why);
    if (!wrong) bn_place_sync_directory(path);
    written->bytes = model->count;
    if (wrong) report(EXIT_FAILED, "%s: %s", path, wrong);
    bn_place_cancel(&place);
    return wrong ? EXIT_FAILED : EXIT_DONE;
}

/* Folding goes from file to file; the first is one in memory. */
static int save_folded(const char *path, const struct proto *model, struct written *written) {
    char name[32], message[BATCHNORM_MODEL_MESSAGE];
    batchnorm_model *open = NULL;
    batchnorm_fold_counts counts = {.size = sizeof counts};
    const int file = memfd_create("model.onnx", MFD_CLOEXEC);
    if (file < 0 || !bn_place_write(file, model->bytes, model->count) || lseek(file, 0, SEEK_SET) < 0) {
        report(EXIT_FAILED, "%s: the model that is to be folded cannot be kept in memory: %s", path, strerror(errno));
        if (file >= 0) close(file);
        return EXIT_FAILED;
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    batchnorm_status status = batchnorm_model_open(name, NULL, &open, message);
    if (!status) status = batchnorm_model_fold(open, path, &counts, message);
    if (status) report(EXIT_FAILED, "%s: %s", path, message);
    written->left = 0;
    for (size_t i = 0; !status && i < batchnorm_model_norm_count(open); i++)
        written->left += batchnorm_model_norm_at(open, i)->outcome == BATCHNORM_FOLD_LEFT;
    written->bytes = counts.bytes;
    batchnorm_model_close(open);
    close(file);
    return status ? EXIT_FAILED : EXIT_DONE;
}

static void print_written(const struct export_request *r, const struct written *w) {
    if (r->json) {
        printf("{\"checkpoint\": ");
        print_json_text(r->checkpoints.at[0]);
        printf(", \"output\": ");
        print_json_text(r->output);
        printf(", \"batch_norms\": %zu, \"left\": %zu, \"bytes\": %llu}\n", w->norms, w->left, (unsigned long long)w->bytes);
        return;
    }
    print_clean(stdout, r->output);
    printf(": %zu batch norm%s", w->norms, w->norms == 1 ? "" : "s");
    if (r->fold) printf(", of which %zu %s folded", w->norms - w->left, w->norms - w->left == 1 ? "is" : "are");
    printf("; %llu bytes\n", (unsigned long long)w->bytes);
}

/* The network of a checkpoint, as the model has it. */
static int export_network(const struct export_request *r, const struct checkpoint *c, const nn_network *network) {
    const struct onnx_about about = {
        .class_names = c->class_names, .classes = c->request.model.classes, .mean = c->mean, .rstd = c->rstd};
    struct written written = {.norms = nn_network_batch_norms(network)};
    struct proto model;
    const nn_error error = onnx_of_network(network, &about, &model);
    int code = error ? report(EXIT_FAILED, "%s: %s", input_name(r->checkpoints.at[0]), error) : EXIT_DONE;
    written.left = written.norms;
    if (code == EXIT_DONE) code = r->fold ? save_folded(r->output, &model, &written) : save(r->output, &model, &written);
    if (code == EXIT_DONE) print_written(r, &written);
    free(model.bytes);
    return code;
}

static int export_checkpoint(const struct export_request *r, const struct checkpoint *c) {
    const char *path = r->checkpoints.at[0];
    char message[NN_MESSAGE_BYTES];
    nn_model_options options = c->request.model;
    nn_backend *backend = NULL;
    nn_network *network = NULL;
    options.batch = 1;
    options.threads = 1;
    options.separate = true; /* one layer for each operator */
    options.memory = NN_MEMORY_PLAIN;
    if (!checkpoint_has_network(c, path, message)) return report(EXIT_FAILED, "%s", message);
    nn_error error = nn_backend_create(1, &backend);
    if (!error) error = nn_model_create(backend, &options, &network);
    if (!error && !checkpoint_restore(c, path, network, NULL, message)) error = message;
    if (!error && !nn_network_is_finite(network)) {
        nn_wrong(message, path, "its numbers are not all finite: it diverged in training; train it at a lower --lr");
        error = message;
    }
    const int code = error ? report(EXIT_FAILED, "%s", error) : export_network(r, c, network);
    nn_network_destroy(network);
    nn_backend_destroy(backend);
    return code;
}

int cmd_export(int argc, char **argv) {
    static struct export_request request;
    static struct checkpoint c;
    char message[NN_MESSAGE_BYTES];
    export_options.defaults(&request);
    options_parse(&export_options, argc, argv, &request);
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    if (!checkpoint_open(request.checkpoints.at[0], &c, message)) return report(EXIT_FAILED, "%s", message);
    const int code = export_checkpoint(&request, &c);
    checkpoint_close(&c);
    return code;
}
