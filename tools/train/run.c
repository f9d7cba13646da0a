/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/machine.h"
#include "report.h"
#include "tools/shared/clean.h"
#include "tools/shared/messages.h"

static volatile sig_atomic_t stopped;

void run_stop(int signal) {
    (void)signal;
    stopped = 1;
}

static bool is_first(const struct run *run) { return nn_rank(run->ranks) == 0; }

/* Saving */

/* What diverged goes nowhere: a file that is good stays. */
__attribute__((format(printf, 2, 3))) static nn_error diverge(struct run *run, const char *format, ...) {
    char what[256], kept[NN_MESSAGE_BYTES / 2] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (run->has_saved)
        snprintf(kept, sizeof kept, "; %s is as it was after step %llu", run->request.save,
                 (unsigned long long)run->saved_step);
    snprintf(run->message, sizeof run->message, "the training diverged: %s; a lower --lr may help%s", what, kept);
    run->diverged = true;
    return run->message;
}

static nn_error check_weights(struct run *run) {
    if (nn_network_is_finite(run->trainer.network)) return NULL;
    return diverge(run, "after step %llu not all weights are finite", (unsigned long long)run->trainer.at.step);
}

/* Weights may be finite and what comes of them not. What was not tested otherwise is tested on a few images. */
static nn_error check_outputs(struct run *run) {
    nn_trainer *t = &run->trainer;
    nn_dataset few = *t->test;
    nn_score score;
    if (few.count > t->options.batch) few.count = (uint32_t)t->options.batch;
    const double start = nn_seconds();
    const nn_error error = nn_trainer_evaluate(t, &few, &score);
    run->other += nn_seconds() - start;
    if (error || isfinite(score.loss)) return error;
    return diverge(run, "the loss on test images after step %llu is not finite", (unsigned long long)t->at.step);
}

static nn_error save(struct run *run) {
    if (!run->request.save) return NULL;
    nn_error error = check_weights(run);
    if (!error && run->request.accuracy < 0) error = check_outputs(run);
    if (error) return error;
    run->unsaved = is_first(run) && !checkpoint_save(run->request.save, &run->request, &run->trainer, run->message);
    if (!is_first(run)) snprintf(run->message, sizeof run->message, "%s", NN_RANK_FAILED);
    error = nn_ranks_any(run->ranks, &run->unsaved);
    if (error) return error;
    if (run->unsaved) return run->message;
    run->has_saved = true;
    run->saved_step = run->trainer.at.step;
    return NULL;
}

/* A save that fails in the middle must not end hours of work: the next one may go well. */
static nn_error try_to_save(struct run *run, struct train_progress *progress) {
    const nn_error error = save(run);
    if (!error || run->diverged || error != run->message) return error;
    train_progress_hide(progress);
    if (is_first(run)) report(EXIT_FAILED, "%s; training goes on, and the next time it is tried again", error);
    return NULL;
}

static nn_error begin_saving(struct run *run) {
    const struct train_request *r = &run->request;
    run->has_saved = run->from.file && r->save && strcmp(r->save, r->resume) == 0;
    run->saved_step = run->from.at.step;
    run->best = r->accuracy;
    run->best_epoch = r->accuracy >= 0 ? run->trainer.at.epoch : 0;
    bool saves = r->save && is_first(run) && access(r->save, F_OK) != 0;
    const nn_error error = nn_ranks_any(run->ranks, &saves);
    return saves && !error ? save(run) : error;
}

/* Once an epoch is tested. */
static nn_error save_epoch(struct run *run, struct train_progress *progress) {
    const struct train_request *r = &run->request;
    if (r->keep_best && r->accuracy <= run->best) return NULL;
    run->best = r->accuracy;
    run->best_epoch = run->trainer.at.epoch;
    return try_to_save(run, progress);
}

static nn_error end_early(struct run *run) {
    const struct train_request *r = &run->request;
    const unsigned long long steps = run->trainer.at.step;
    const nn_error error = r->keep_best ? NULL : save(run);
    if (error) return error;
    if (!r->save)
        snprintf(run->message, sizeof run->message, "stopped after %llu steps; nothing was to be saved", steps);
    else
        snprintf(run->message, sizeof run->message, "stopped after %llu steps; go on%s with --resume %s", steps,
                 r->keep_best ? " from the best epoch" : "", r->save);
    return run->message;
}

/* Epochs */

/* The rest of an epoch. Saving takes no part in its seconds. */
static nn_error run_steps(struct run *run, struct train_progress *progress, nn_epoch *epoch) {
    nn_trainer *t = &run->trainer;
    const size_t total = nn_trainer_samples(t);
    const uint64_t every = (uint64_t)run->request.save_every;
    while (t->at.done < total) {
        nn_score score;
        const double start = nn_seconds(), waited = run->ranks ? run->ranks->waited : 0;
        nn_error error = nn_trainer_step(t, &score);
        epoch->seconds += nn_seconds() - start;
        if (run->ranks) epoch->waiting += run->ranks->waited - waited;
        run->request.accuracy = -1; /* it is another network now */
        train_progress_show(progress, t->at.done, total);
        if (!error && !isfinite(score.loss))
            error = diverge(run, "the loss of step %llu is not finite", (unsigned long long)t->at.step);
        bool stops = stopped;
        if (!error) error = nn_ranks_any(run->ranks, &stops); /* after the same step on all */
        if (!error && stops) error = end_early(run);
        if (!error && every > 0 && t->at.step % every == 0) error = try_to_save(run, progress);
        if (error) return error;
    }
    return check_weights(run);
}

/* Every rank has the whole network, and nothing may come between them. */
static nn_error compare_ranks(struct run *run) {
    const nn_trainer *t = &run->trainer;
    bool agree;
    int other;
    if (!run->ranks) return NULL;
    const nn_error error = nn_ranks_agree(run->ranks, nn_network_hash(t->network) ^ t->at.step, &agree, &other);
    if (error || agree) return error;
    snprintf(run->message, sizeof run->message,
             "after step %llu process %d has another network than process 0; one of their machines computes something else",
             (unsigned long long)t->at.step, other);
    return run->message;
}

static nn_error run_epoch(struct run *run, struct train_progress *progress, nn_epoch *epoch) {
    nn_trainer *t = &run->trainer;
    nn_score tested;
    *epoch = (nn_epoch){0};
    nn_error error = run_steps(run, progress, epoch);
    const double start = nn_seconds();
    if (!error) error = nn_trainer_evaluate(t, t->test, &tested);
    if (!error) error = compare_ranks(run);
    if (!error && !isfinite(tested.loss))
        error = diverge(run, "the loss on test images after step %llu is not finite", (unsigned long long)t->at.step);
    if (error) return error;
    epoch->loss = t->at.sum.loss / (double)nn_trainer_samples(t);
    epoch->accuracy = (double)tested.correct / (double)t->test->count;
    epoch->test_loss = tested.loss / (double)t->test->count;
    epoch->test_seconds = nn_seconds() - start;
    run->request.accuracy = epoch->accuracy;
    nn_trainer_end_epoch(t);
    return NULL;
}

static nn_error print_classes(struct run *run) {
    uint32_t right[NN_MAX_CLASSES] = {0}, all[NN_MAX_CLASSES] = {0};
    const double start = nn_seconds();
    const nn_error error = nn_trainer_evaluate_classes(&run->trainer, run->trainer.test, right, all);
    run->other += nn_seconds() - start;
    if (!error) train_print_classes(run->trainer.test, right, all, run->request.json);
    return error;
}

/* What is told at the end, after `total` seconds of training and testing. */
static nn_error print_end(struct run *run, double total) {
    const struct train_request *r = &run->request;
    const nn_error error = r->per_class ? print_classes(run) : NULL;
    if (r->keep_best && run->best_epoch > 0 && !error) train_print_best((long)run->best_epoch, run->best, r->save, r->json);
    if (r->model.memory == NN_MEMORY_LESS && !error) train_print_memory(run->trainer.network, r->json);
    if (r->profile && !error) train_print_profile(run->trainer.network, total + run->other, r->json);
    return error;
}

static nn_error run_epochs(struct run *run) {
    const struct train_request *r = &run->request;
    struct train_progress progress = train_progress_begin(is_first(run), r->epochs - (long)run->trainer.at.epoch);
    const uint64_t first = run->trainer.at.epoch;
    double total = 0;
    if (first >= (uint64_t)r->epochs && is_first(run))
        report(EXIT_DONE, "%s has gone through all %ld epochs; more --epochs go on from there", input_name(r->resume),
               r->epochs);
    while (run->trainer.at.epoch < (uint64_t)r->epochs) {
        nn_epoch epoch;
        const long number = (long)run->trainer.at.epoch + 1;
        train_progress_epoch(&progress, number - (long)first);
        nn_error error = run_epoch(run, &progress, &epoch);
        train_progress_hide(&progress);
        if (error) return error;
        train_print_epoch(number, &epoch, run->ranks != NULL, r->json);
        total += epoch.seconds + epoch.test_seconds;
        error = save_epoch(run, &progress);
        if (error) return error;
    }
    const nn_error error = print_end(run, total);
    return error ? error : run->unsaved ? run->message : NULL;
}

nn_error run_network(struct run *run, nn_network *network, const nn_dataset *train, const nn_dataset *test) {
    nn_error error = nn_trainer_init(&run->trainer, network, train, test, &run->request.training);
    if (error) return error;
    if (run->from.file && !checkpoint_restore(&run->from, run->request.resume, network, &run->trainer, run->message))
        error = run->message;
    if (!error) error = compare_ranks(run);
    if (!error) error = begin_saving(run);
    if (!error) error = run_epochs(run);
    nn_trainer_free(&run->trainer);
    return error;
}
