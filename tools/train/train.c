/* SPDX-License-Identifier: MIT */
/* batchnorm train: a network on images, with or without batch norm. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/choices.h"
#include "ranks.h"
#include "report.h"
#include "run.h"
#include "tools/shared/data_notes.h"
#include "tools/shared/messages.h"
#include "tools/shared/outputs.h"
#include "tools/shared/stop.h"
#include "tools/shared/terminal.h"
#include "tools/shared/wrap.h"

/* What is wrong is kept until it is known which rank says it. */
__attribute__((format(printf, 3, 4))) static int fail(struct run *run, int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->message, sizeof run->message, format, arguments);
    va_end(arguments);
    return code;
}

/* What is in a file is not lost by a slip: only --force, or going on from it, replaces it. */
static int check_previous(struct run *run) {
    const struct train_request *r = &run->request;
    struct stat about, from;
    struct checkpoint previous;
    if (r->force || !r->save || stat(r->save, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) return EXIT_DONE;
    if (r->resume && stat(r->resume, &from) == 0 && from.st_dev == about.st_dev && from.st_ino == about.st_ino)
        return EXIT_DONE;
    const bool ours = checkpoint_open(r->save, &previous, run->message), begun = ours && previous.at.step > 0;
    if (ours) checkpoint_close(&previous);
    if (ours && !begun) return EXIT_DONE; /* what a training wrote before its first step holds nothing that was learnt */
    if (!ours) return fail(run, EXIT_FAILED, "%s: there is a file already, and no checkpoint; --force replaces it", r->save);
    return fail(run, EXIT_FAILED, "%s: there is a checkpoint already; --resume %s goes on from it, and --force replaces it",
                r->save, r->save);
}

/* What hinders saving, which the first rank does, is known before anything is read, and again, where there is no file yet and
 * one is written at once, before hours of training. */
static int check_saving(struct run *run) {
    struct output output = {.option = "--save", .argument = run->request.save, .whole_file = true};
    if (nn_rank(run->ranks) > 0) return EXIT_DONE;
    const int code = outputs_check(&output, 1);
    outputs_free(&output, 1);
    run->message[0] = '\0'; /* it was said */
    return code == EXIT_DONE ? check_previous(run) : code;
}

/* How the run was made, in a sentence, and the head of the table. */
static nn_error describe(const struct run *run, const nn_dataset *train, const nn_dataset *test) {
    const struct train_request *r = &run->request;
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (!to) return NN_NO_MEMORY;
    train_describe(r, to);
    fprintf(to, "; %u training and %u test images of %zu x %zu", (unsigned)train->count, (unsigned)test->count,
            train->image.height, train->image.width);
    if (r->size.height > 0) fprintf(to, " (%s)", nn_fit_words[r->size.fit]);
    fprintf(to, "; %s, ", nn_backend_name());
    if (run->ranks) fprintf(to, "%d processes of ", nn_rank_count(run->ranks));
    fprintf(to, "%d thread%s", r->model.threads, r->model.threads == 1 ? "" : "s");
    if (run->ranks && r->local_statistics) fprintf(to, ", statistics of each process");
    const bool done = fclose(to) == 0;
    if (done) {
        wrap_print(text, 0, 2, (size_t)terminal_width(STDOUT_FILENO));
        putchar('\n');
    }
    free(text);
    if (done) train_print_head(run->ranks != NULL);
    return done ? NULL : NN_NO_MEMORY;
}

/* All ranks must do the same: have the same images, and be asked for the same. */
static nn_error compare_requests(struct run *run, const nn_dataset *train, const nn_dataset *test) {
    const struct train_request *r = &run->request;
    char *text = NULL;
    size_t bytes;
    FILE *to = run->ranks ? open_memstream(&text, &bytes) : NULL;
    if (!run->ranks) return NULL;
    if (!to) return NN_NO_MEMORY;
    train_describe(r, to);
    fprintf(to, " %s %ld %ld %d %d %d %d %d", nn_backend_name(), r->epochs, r->save_every, r->model.threads, r->save != NULL,
            r->keep_best, r->per_class, r->local_statistics);
    const bool done = fclose(to) == 0;
    const uint64_t number = done ? nn_hash(train_hash(train) ^ train_hash(test), text, bytes) : 0;
    bool agree;
    int other;
    free(text);
    if (!done) return NN_NO_MEMORY;
    const nn_error error = nn_ranks_agree(run->ranks, number, &agree, &other);
    if (error || agree) return error;
    snprintf(run->message, sizeof run->message,
             "process %d has other images, options or libraries than process 0; all must have the same", other);
    return run->message;
}

static nn_error train_network(struct run *run, nn_backend *backend, const nn_dataset *train, const nn_dataset *test) {
    nn_network *network;
    nn_model_options model = run->request.model;
    model.batch = nn_trainer_capacity(run->request.training.batch, run->ranks);
    nn_error error = nn_model_create(backend, &model, &network);
    if (error) return error;
    nn_network_set_ranks(network, run->ranks);
    if (!run->request.json && nn_rank(run->ranks) == 0) error = describe(run, train, test);
    if (!error) error = run_network(run, network, train, test);
    nn_network_destroy(network);
    return error;
}

static int train_with_data(struct run *run, const nn_dataset *train, const nn_dataset *test) {
    const struct train_request *r = &run->request;
    nn_backend *backend;
    if (run->from.file && (!checkpoint_fits_data(&run->from, r->resume, train, run->message) ||
                           !checkpoint_has_network(&run->from, r->resume, run->message)))
        return EXIT_FAILED;
    if (!train_fit(&run->request, train, run->message) || !train_check_parts(r, train, nn_rank_count(run->ranks), run->message))
        return EXIT_FAILED;
    nn_error error = compare_requests(run, train, test);
    if (!error) error = nn_backend_create(r->model.threads, &backend);
    if (error) return error == run->message ? EXIT_FAILED : fail(run, EXIT_FAILED, "%s", error);
    error = train_network(run, backend, train, test);
    nn_backend_destroy(backend);
    if (!error) return EXIT_DONE;
    return error == run->message ? EXIT_FAILED : fail(run, EXIT_FAILED, "%s", error);
}

/* From now on what goes to a descriptor goes nowhere. Returns a copy of it; -1 if there is none. */
static int hush(int descriptor) {
    const int kept = dup(descriptor), nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing < 0) return kept;
    dup2(nothing, descriptor);
    close(nothing);
    return kept;
}

/* All ranks have the same command line: its help, or what is wrong with it, is said once. */
static void parse(struct run *run, int argc, char **argv) {
    const int kept = nn_rank(run->ranks) > 0 ? hush(STDERR_FILENO) : -1;
    options_parse(&train_options, argc, argv, &run->request);
    if (kept < 0) return;
    dup2(kept, STDERR_FILENO);
    close(kept);
}

/* Options are read on top of the checkpoint's; what must not change is compared. */
static int resume(struct run *run, int argc, char **argv) {
    const char *path = run->request.resume;
    if (run->ranks && strcmp(path, "-") == 0)
        return fail(run, EXIT_WRONG_USAGE, "--resume -: every process reads the checkpoint, so it needs a file");
    if (!checkpoint_open(path, &run->from, run->message)) return EXIT_FAILED;
    struct train_request defaults;
    train_options.defaults(&defaults);
    run->request = run->from.request;
    run->request.data = defaults.data;
    run->request.model.threads = run->ranks ? 0 : defaults.model.threads;
    parse(run, argc, argv);
    if (!checkpoint_fits_request(&run->from, path, &run->request, run->message)) return EXIT_WRONG_USAGE;
    const unsigned long long done = run->from.at.epoch;
    if ((unsigned long long)run->request.epochs < done)
        return fail(run, EXIT_WRONG_USAGE, "--epochs is %ld, but %s has gone through %llu already", run->request.epochs, path,
                    done);
    return train_check(&run->request, run->message) ? EXIT_DONE : EXIT_WRONG_USAGE;
}

static int load(struct run *run, nn_dataset *train, nn_dataset *test) {
    static nn_data_notes notes;
    const struct train_request *r = &run->request;
    const nn_data_options options = {.limit = (uint32_t)r->limit,
                                     .size = r->size,
                                     .may_have_size = !run->from.file,
                                     .skip_bad = r->skip_bad,
                                     .notes = &notes};
    if (!nn_dataset_load_with(r->data, &options, train, test, run->message)) return EXIT_FAILED;
    if (nn_rank(run->ranks) == 0) data_notes_report(&notes);
    return EXIT_DONE;
}

/* What is asked for, and whether it can be done. */
static int prepare(struct run *run, int argc, char **argv) {
    struct train_request *r = &run->request;
    train_options.defaults(r);
    if (run->ranks) r->model.threads = 0;
    parse(run, argc, argv);
    if (!r->resume && !train_check(r, run->message)) return EXIT_WRONG_USAGE;
    if (!nn_backend_name())
        return fail(run, EXIT_FAILED,
                    "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS (libopenblas-dev) "
                    "and build again");
    int code = r->resume ? resume(run, argc, argv) : EXIT_DONE;
    if (code == EXIT_DONE) code = check_saving(run);
    if (code != EXIT_DONE) return code;
    if (run->ranks) run->ranks->synchronized = !r->local_statistics;
    const nn_error error = r->model.threads == 0 ? ranks_threads(run->ranks, &r->model.threads) : NULL;
    return error ? fail(run, EXIT_FAILED, "%s", error) : EXIT_DONE;
}

/* Says what was wrong, if this is the rank that does. */
static void tell(struct run *run, int code) {
    if (code == EXIT_DONE) return;
    const bool says = nn_ranks_settle(run->ranks);
    if (run->ranks && run->ranks->broken) /* by which no process knows what others say */
        report(code, "process %d of %d: %s", nn_rank(run->ranks), nn_rank_count(run->ranks), run->message);
    else if (says && run->message[0] && code == EXIT_WRONG_USAGE)
        report_usage("%s", run->message);
    else if (says && run->message[0])
        report(code, "%s", run->message);
}

/* This process as one of several, of which the first alone prints. */
static bool join_ranks(struct run *run, struct batchnorm_group *group, nn_ranks *ranks) {
    nn_scatter *scatter;
    if (!ranks_begin(group, &scatter, run->message)) return false;
    if (group->ranks == 1) return true;
    nn_ranks_init(ranks, group, scatter, true);
    run->ranks = ranks;
    const int kept = group->rank > 0 ? hush(STDOUT_FILENO) : -1;
    if (kept >= 0) close(kept);
    return true;
}

int cmd_train(int argc, char **argv) {
    static struct run run;
    static struct batchnorm_group group;
    static nn_ranks ranks;
    nn_dataset train, test;
    if (!join_ranks(&run, &group, &ranks)) return run.message[0] ? report(EXIT_FAILED, "%s", run.message) : EXIT_FAILED;
    int code = prepare(&run, argc, argv);
    if (code == EXIT_DONE) code = load(&run, &train, &test);
    const bool loaded = code == EXIT_DONE;
    if (loaded) {
        stop_on_signals(run_stop);
        code = train_with_data(&run, &train, &test);
    }
    tell(&run, code);
    if (loaded) {
        nn_dataset_free(&train);
        nn_dataset_free(&test);
    }
    checkpoint_close(&run.from);
    ranks_end(ranks.broken, code);
    nn_ranks_free(run.ranks);
    stop_end_by_signal();
    return code;
}
