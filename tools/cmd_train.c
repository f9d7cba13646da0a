/* SPDX-License-Identifier: MIT */
/* batchnorm train: a network on images, with or without batch norm. */
#include <stdio.h>

#include "cmd_train_report.h"
#include "train_request.h"
#include "verbs.h"

static nn_error run_epochs(nn_trainer *trainer, const struct train_request *r) {
    struct train_progress progress = train_progress_begin(r->epochs);
    double total = 0;
    for (long number = 1; number <= r->epochs; number++) {
        nn_epoch epoch;
        train_progress_epoch(&progress, number);
        const nn_error error = nn_trainer_epoch(trainer, train_progress_show, &progress, &epoch);
        train_progress_hide(&progress);
        if (error) return error;
        train_print_epoch(number, &epoch, r->json);
        total += epoch.seconds + epoch.test_seconds;
    }
    if (r->profile) train_print_profile(trainer->network, total, r->json);
    return NULL;
}

static nn_error train_on(const struct train_request *r, nn_backend *backend, const nn_dataset *train, const nn_dataset *test) {
    nn_network *network;
    nn_trainer trainer;
    nn_error error = nn_model_create(backend, &r->model, &network);
    if (error) return error;
    error = nn_trainer_init(&trainer, network, train, test, &r->training);
    if (!error) {
        error = run_epochs(&trainer, r);
        nn_trainer_free(&trainer);
    }
    nn_network_destroy(network);
    return error;
}

static int train_with_data(const struct train_request *r, const nn_dataset *train, const nn_dataset *test) {
    nn_backend *backend;
    nn_error error = nn_backend_create(r->model.threads, &backend);
    if (error) return report(EXIT_FAILED, "%s", error);
    if (!r->json) {
        train_describe(r);
        printf("; %u training and %u test images; %s, %d thread%s\n", (unsigned)train->count, (unsigned)test->count,
               nn_backend_name(), r->model.threads, r->model.threads == 1 ? "" : "s");
        train_print_head();
    }
    error = train_on(r, backend, train, test);
    nn_backend_destroy(backend);
    return error ? report(EXIT_FAILED, "%s", error) : EXIT_DONE;
}

int cmd_train(int argc, char **argv) {
    static char message[NN_MESSAGE_BYTES];
    struct train_request r;
    nn_dataset train, test;
    train_parse(argc, argv, &r);
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    if (!nn_dataset_load(r.data, (uint32_t)r.limit, &train, &test, message)) return report(EXIT_FAILED, "%s", message);
    const bool fits = train_fit(&r, &train, message);
    const int code = fits ? train_with_data(&r, &train, &test) : report(EXIT_FAILED, "%s", message);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return code;
}
