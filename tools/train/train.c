/* SPDX-License-Identifier: MIT */
/* batchnorm train: a network on images, with or without batch norm. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/choices.h"
#include "report.h"
#include "run.h"
#include "tools/shared/data_notes.h"
#include "tools/shared/messages.h"
#include "tools/shared/outputs.h"
#include "tools/shared/stop.h"
#include "tools/shared/terminal.h"
#include "tools/shared/wrap.h"

/* What is in a file is not lost by a slip: only --force, or going on from it, replaces it. */
static int check_previous(const struct train_request *r, char *message) {
    struct stat about, from;
    struct checkpoint previous;
    if (r->force || !r->save || stat(r->save, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) return EXIT_DONE;
    if (r->resume && stat(r->resume, &from) == 0 && from.st_dev == about.st_dev && from.st_ino == about.st_ino)
        return EXIT_DONE;
    const bool ours = checkpoint_open(r->save, &previous, message), begun = ours && previous.at.step > 0;
    if (ours) checkpoint_close(&previous);
    if (ours && !begun) return EXIT_DONE; /* what a training wrote before its first step holds nothing that was learnt */
    if (!ours) return report(EXIT_FAILED, "%s: there is a file already, and no checkpoint; --force replaces it", r->save);
    return report(EXIT_FAILED, "%s: there is a checkpoint already; --resume %s goes on from it, and --force replaces it",
                  r->save, r->save);
}

/* What hinders saving is known before anything is read, and again, where there is no file yet and one is written at once,
 * before hours of training. */
static int check_saving(const struct train_request *r, char *message) {
    struct output output = {.option = "--save", .argument = r->save, .whole_file = true};
    const int code = outputs_check(&output, 1);
    outputs_free(&output, 1);
    return code == EXIT_DONE ? check_previous(r, message) : code;
}

/* How the run was made, in a sentence, and the head of the table. */
static nn_error describe(const struct train_request *r, const nn_dataset *train, const nn_dataset *test) {
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (!to) return NN_NO_MEMORY;
    train_describe(r, to);
    fprintf(to, "; %u training and %u test images of %zu x %zu", (unsigned)train->count, (unsigned)test->count,
            train->image.height, train->image.width);
    if (r->size.height > 0) fprintf(to, " (%s)", nn_fit_words[r->size.fit]);
    fprintf(to, "; %s, %d thread%s", nn_backend_name(), r->model.threads, r->model.threads == 1 ? "" : "s");
    const bool done = fclose(to) == 0;
    if (done) {
        wrap_print(text, 0, 2, (size_t)terminal_width(STDOUT_FILENO));
        putchar('\n');
    }
    free(text);
    if (done) train_print_head();
    return done ? NULL : NN_NO_MEMORY;
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
    nn_model_options model = r->model;
    model.batch = r->training.batch;
    error = nn_model_create(backend, &model, &network);
    if (!error && !r->json) error = describe(r, train, test);
    if (!error) error = run_network(run, network, train, test);
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
    if (code == EXIT_DONE) code = check_saving(&run.request, run.message);
    if (code == EXIT_DONE && !load(&run, &train, &test))
        code = EXIT_FAILED;
    else if (code == EXIT_DONE) {
        stop_on_signals(run_stop);
        code = train_with_data(&run, &train, &test);
        nn_dataset_free(&train);
        nn_dataset_free(&test);
    }
    checkpoint_close(&run.from);
    stop_end_by_signal();
    return code;
}
