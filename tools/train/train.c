/* SPDX-License-Identifier: MIT */
/* batchnorm train: a network on images, with or without batch norm. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "checkpoint.h"
#include "nn/machine.h"
#include "report.h"
#include "request.h"
#include "tools/shared/data_notes.h"
#include "tools/shared/messages.h"
#include "tools/shared/outputs.h"
#include "tools/shared/stop.h"

/* A training and what goes with it. */
struct run {
    struct train_request request;
    struct checkpoint from; /* where it goes on from; file NULL: from the beginning */
    nn_trainer trainer;
    bool unsaved; /* the last save failed; message says why */
    char message[NN_MESSAGE_BYTES];
};

/* A signal came; the training stops after the step it is in. */
static volatile sig_atomic_t stopped;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static nn_error save(struct run *run) {
    run->unsaved = run->request.save && !checkpoint_save(run->request.save, &run->request, &run->trainer, run->message);
    return run->unsaved ? run->message : NULL;
}

/* A save that fails in the middle must not end hours of work: the next one may go well. */
static void try_to_save(struct run *run, struct train_progress *progress) {
    const nn_error error = save(run);
    if (!error) return;
    train_progress_hide(progress);
    report(EXIT_FAILED, "%s; training goes on, and the next time it is tried again", error);
}

static nn_error end_early(struct run *run) {
    const nn_error error = save(run);
    if (error) return error;
    snprintf(run->message, sizeof run->message, "stopped after %llu steps; go on with --resume %s",
             (unsigned long long)run->trainer.at.step, run->request.save);
    return run->message;
}

/* The rest of an epoch. Saving takes no part in its seconds. */
static nn_error run_epoch(struct run *run, struct train_progress *progress, nn_epoch *epoch) {
    nn_trainer *t = &run->trainer;
    const size_t total = nn_trainer_samples(t);
    const uint64_t every = (uint64_t)run->request.save_every;
    *epoch = (nn_epoch){0};
    while (t->at.done < total) {
        const double start = nn_seconds();
        nn_error error = nn_trainer_step(t, NULL);
        epoch->seconds += nn_seconds() - start;
        train_progress_show(progress, t->at.done, total);
        if (!error && stopped) error = end_early(run);
        if (error) return error;
        if (every > 0 && t->at.step % every == 0) try_to_save(run, progress);
    }
    const double start = nn_seconds();
    nn_score tested;
    const nn_error error = nn_trainer_evaluate(t, t->test, &tested);
    epoch->loss = t->at.sum.loss / (double)total;
    epoch->accuracy = (double)tested.correct / (double)t->test->count;
    epoch->test_loss = tested.loss / (double)t->test->count;
    epoch->test_seconds = nn_seconds() - start;
    nn_trainer_end_epoch(t);
    return error;
}

/* What hinders saving is known before anything is read, and again, where there is no file yet and one is written at once,
 * before hours of training. */
static int check_saving(const struct train_request *r) {
    struct output output = {.option = "--save", .argument = r->save, .whole_file = true};
    const int code = outputs_check(&output, 1);
    outputs_free(&output, 1);
    return code;
}

static nn_error begin_saving(struct run *run) {
    return run->request.save && access(run->request.save, F_OK) != 0 ? save(run) : NULL;
}

static nn_error run_epochs(struct run *run) {
    const struct train_request *r = &run->request;
    struct train_progress progress = train_progress_begin(r->epochs - (long)run->trainer.at.epoch);
    const uint64_t first = run->trainer.at.epoch;
    double total = 0;
    if (first >= (uint64_t)r->epochs)
        report(EXIT_DONE, "%s has gone through all %ld epochs; more --epochs go on from there", r->resume, r->epochs);
    while (run->trainer.at.epoch < (uint64_t)r->epochs) {
        nn_epoch epoch;
        const long number = (long)run->trainer.at.epoch + 1;
        train_progress_epoch(&progress, number - (long)first);
        nn_error error = run_epoch(run, &progress, &epoch);
        train_progress_hide(&progress);
        if (error) return error;
        train_print_epoch(number, &epoch, r->json);
        total += epoch.seconds + epoch.test_seconds;
        try_to_save(run, &progress);
    }
    if (r->profile) train_print_profile(run->trainer.network, total, r->json);
    return run->unsaved ? run->message : NULL;
}

static nn_error train_network(struct run *run, nn_network *network, const nn_dataset *train, const nn_dataset *test) {
    nn_error error = nn_trainer_init(&run->trainer, network, train, test, &run->request.training);
    if (error) return error;
    if (run->from.file && !checkpoint_restore(&run->from, run->request.resume, network, &run->trainer, run->message))
        error = run->message;
    if (!error) error = begin_saving(run);
    if (!error) error = run_epochs(run);
    nn_trainer_free(&run->trainer);
    return error;
}

static void describe(const struct train_request *r, const nn_dataset *train, const nn_dataset *test) {
    train_describe(r);
    printf("; %u training and %u test images; %s, %d thread%s\n", (unsigned)train->count, (unsigned)test->count,
           nn_backend_name(), r->model.threads, r->model.threads == 1 ? "" : "s");
    train_print_head();
}

static int train_with_data(struct run *run, const nn_dataset *train, const nn_dataset *test) {
    const struct train_request *r = &run->request;
    nn_backend *backend;
    nn_network *network = NULL;
    if (run->from.file && (!checkpoint_fits_data(&run->from, r->resume, train, run->message) ||
                           !checkpoint_has_network(&run->from, r->resume, run->message)))
        return report(EXIT_FAILED, "%s", run->message);
    if (!train_fit(&run->request, train, run->message)) return report(EXIT_FAILED, "%s", run->message);
    nn_error error = nn_backend_create(r->model.threads, &backend);
    if (error) return report(EXIT_FAILED, "%s", error);
    if (!r->json) describe(r, train, test);
    error = nn_model_create(backend, &r->model, &network);
    if (!error) error = train_network(run, network, train, test);
    nn_network_destroy(network);
    nn_backend_destroy(backend);
    return error ? report(EXIT_FAILED, "%s", error) : EXIT_DONE;
}

/* Options are read on top of the checkpoint's; what must not change is compared. */
static int resume(struct run *run, int argc, char **argv) {
    const char *path = run->request.resume;
    if (!checkpoint_open(path, &run->from, run->message)) return report(EXIT_FAILED, "%s", run->message);
    struct train_request defaults;
    train_options.defaults(&defaults);
    run->request = run->from.request;
    run->request.data = defaults.data;
    run->request.model.threads = defaults.model.threads;
    options_parse(&train_options, argc, argv, &run->request);
    if (!checkpoint_fits_request(&run->from, path, &run->request, run->message)) return report_usage("%s", run->message);
    const unsigned long long done = run->from.at.epoch;
    if ((unsigned long long)run->request.epochs < done)
        return report_usage("--epochs is %ld, but %s has gone through %llu already", run->request.epochs, path, done);
    if (!train_check(&run->request, run->message)) return report_usage("%s", run->message);
    return EXIT_DONE;
}

static bool load(struct run *run, nn_dataset *train, nn_dataset *test) {
    static nn_data_notes notes;
    const struct train_request *r = &run->request;
    const nn_data_options options = {.limit = (uint32_t)r->limit,
                                     .size = r->size,
                                     .may_have_size = !run->from.file,
                                     .skip_bad = r->skip_bad,
                                     .notes = &notes};
    const bool loaded = nn_dataset_load_with(r->data, &options, train, test, run->message);
    if (!loaded) report(EXIT_FAILED, "%s", run->message);
    if (loaded) data_notes_report(&notes);
    return loaded;
}

int cmd_train(int argc, char **argv) {
    static struct run run;
    nn_dataset train, test;
    train_options.defaults(&run.request);
    options_parse(&train_options, argc, argv, &run.request);
    if (!run.request.resume && !train_check(&run.request, run.message)) return report_usage("%s", run.message);
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    int code = run.request.resume ? resume(&run, argc, argv) : EXIT_DONE;
    if (code == EXIT_DONE) code = check_saving(&run.request);
    if (code == EXIT_DONE && !load(&run, &train, &test))
        code = EXIT_FAILED;
    else if (code == EXIT_DONE) {
        if (run.request.save) stop_on_signals(stop);
        code = train_with_data(&run, &train, &test);
        nn_dataset_free(&train);
        nn_dataset_free(&test);
    }
    checkpoint_close(&run.from);
    return code;
}
