/* SPDX-License-Identifier: MIT */
/* batchnorm predict: the classes of images, by a trained network in evaluation mode. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "request.h"
#include "tools/shared/clean.h"
#include "tools/shared/data_notes.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/shared/stop.h"
#include "tools/train/checkpoint.h"

enum { MOST_AT_ONCE = 256, PIXELS_AT_ONCE = 1 << 22 };

/* What a run holds. */
struct run {
    struct predict_request request;
    bool failed; /* an image could not be predicted, which is told */
    char message[NN_MESSAGE_BYTES];
};

/* A signal came; what is read is predicted, and that is the end. Where a pipe is waited for, the end is now. */
static volatile sig_atomic_t stopped, waiting;

static void stop(int signal) {
    stopped = 1;
    if (waiting) raise(signal); /* which ends the process: each is heard once */
}

/* Images at a time. Memory is for so many: not for more than there are, and for large ones not for many. */
static size_t images_at_once(const struct run *run, nn_shape image) {
    const size_t few = PIXELS_AT_ONCE / (image.height * image.width), count = (size_t)run->request.images.count;
    size_t most = few < 1 ? 1 : few < MOST_AT_ONCE ? few : MOST_AT_ONCE;
    if (!run->request.data && count < most) most = count;
    return most;
}

/* Softmax of one image's logits; the largest is taken off first, so that nothing overflows. */
static void probabilities_of(size_t classes, const float *logits, double *probabilities) {
    double most = (double)logits[0], sum = 0;
    for (size_t c = 1; c < classes; c++) most = fmax(most, (double)logits[c]);
    for (size_t c = 0; c < classes; c++) sum += probabilities[c] = exp((double)logits[c] - most);
    for (size_t c = 0; c < classes; c++) probabilities[c] /= sum;
}

/* The most probable class that was not taken yet; it is taken. */
static size_t take_best(size_t classes, const double *probabilities, bool *taken) {
    size_t best = classes;
    for (size_t c = 0; c < classes; c++)
        if (!taken[c] && (best == classes || probabilities[c] > probabilities[best])) best = c;
    taken[best] = true;
    return best;
}

static void print_classes(const struct run *run, const struct checkpoint *c, const char *path, const float *logits) {
    const size_t classes = c->request.model.classes,
                 top = (size_t)run->request.top < classes ? (size_t)run->request.top : classes;
    double probabilities[NN_MAX_CLASSES];
    bool taken[NN_MAX_CLASSES] = {false};
    probabilities_of(classes, logits, probabilities);
    if (run->request.json) {
        printf("{\"image\": ");
        print_json_text(path);
        printf(", \"classes\": [");
    } else {
        print_clean(stdout, path);
        putchar(':');
    }
    for (size_t i = 0; i < top; i++) {
        const size_t best = take_best(classes, probabilities, taken);
        if (run->request.json) {
            printf("%s{\"class\": ", i ? ", " : "");
            print_json_text(c->class_names[best]);
            printf(", \"probability\": %.6f}", probabilities[best]);
        } else {
            printf("%s ", i ? "," : "");
            print_clean(stdout, c->class_names[best]);
            printf(" %.1f %%", 100 * probabilities[best]);
        }
    }
    printf(run->request.json ? "]}\n" : "\n");
}

static nn_error diverged(struct run *run) {
    nn_wrong(run->message, run->request.checkpoint,
             "the network's output is not finite: it diverged in training; train it at a lower --lr");
    return run->message;
}

/* Some images: their pixels, one after another, as far as they can be read. */
struct batch {
    nn_dataset read;
    uint32_t order[MOST_AT_ONCE];
    char *wrong[MOST_AT_ONCE]; /* of each image: what is wrong with it; NULL: it was read */
};

static bool make_batch(struct batch *b, const struct checkpoint *c, size_t most) {
    b->read.image = c->request.model.image;
    memcpy(b->read.mean, c->mean, sizeof b->read.mean);
    memcpy(b->read.rstd, c->rstd, sizeof b->read.rstd);
    b->read.pixels = malloc(most * nn_shape_size(b->read.image));
    for (uint32_t i = 0; i < MOST_AT_ONCE; i++) b->order[i] = i;
    return b->read.pixels;
}

static bool is_regular(const char *path) {
    struct stat about;
    return (strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &about) : stat(path, &about)) != 0 || S_ISREG(about.st_mode);
}

/* Returns how many were looked at: n, or fewer when a signal came or a pipe is next, before which others are predicted. */
static size_t read_batch(struct run *run, struct batch *b, const struct checkpoint *c, char *const *paths, size_t n) {
    const size_t bytes = nn_shape_size(b->read.image);
    size_t i = 0;
    b->read.count = 0;
    for (; i < n; i++) {
        const bool may_wait = !is_regular(paths[i]);
        if (may_wait && i > 0) break;
        waiting = may_wait;
        if (stopped) break; /* afterwards, so that a signal in between finds one of both */
        const bool done = nn_dataset_read_image(paths[i], b->read.image, &c->request.size,
                                                b->read.pixels + b->read.count * bytes, run->message);
        b->wrong[i] = done ? NULL : strdup(run->message);
        b->read.count += done;
        run->failed = run->failed || !done;
        if (!done && !b->wrong[i]) break; /* no memory for the words: nothing can be told of it, nor of the rest */
    }
    waiting = 0;
    return i;
}

static void print_wrong(const struct run *run, const char *path, const char *why) {
    report(EXIT_FAILED, "%s", why);
    if (!run->request.json) return;
    printf("{\"image\": ");
    print_json_text(path);
    printf(", \"error\": ");
    print_json_text(why);
    printf("}\n");
}

static void print_batch(struct run *run, struct batch *b, const struct checkpoint *c, char *const *paths, size_t n,
                        const float *logits) {
    for (size_t i = 0; i < n; i++) {
        if (b->wrong[i]) {
            print_wrong(run, paths[i], b->wrong[i]);
            free(b->wrong[i]);
            continue;
        }
        print_classes(run, c, paths[i], logits);
        logits += c->request.model.classes;
    }
    fflush(stdout); /* a reader in a pipe, and one who interrupts it, has what there is */
}

static nn_error predict_some(struct run *run, struct batch *b, const struct checkpoint *c, nn_network *network,
                             char *const *paths, size_t n, size_t *looked_at) {
    *looked_at = read_batch(run, b, c, paths, n);
    if (*looked_at == 0 && !stopped) return NN_NO_MEMORY;
    const size_t count = b->read.count;
    if (count > 0) nn_dataset_batch(&b->read, b->order, count, NULL, nn_network_input(network), NULL);
    stop_hold(); /* a signal within oneDNN's generated code has been seen to leave a broken heap */
    const nn_error error = count > 0 ? nn_network_forward(network, count) : NULL;
    stop_let_go();
    if (error) return error;
    const float *logits = nn_network_output(network);
    for (size_t i = 0; i < count * c->request.model.classes; i++)
        if (!isfinite(logits[i])) return diverged(run);
    print_batch(run, b, c, paths, *looked_at, logits);
    return NULL;
}

static nn_error predict_files(struct run *run, const struct checkpoint *c, nn_network *network) {
    static struct batch batch;
    const size_t most = network->capacity, count = (size_t)run->request.images.count;
    nn_error error = make_batch(&batch, c, most) ? NULL : NN_NO_MEMORY;
    nn_network_set_training(network, false);
    for (size_t start = 0, looked_at; start < count && !error && !stopped; start += looked_at) {
        const size_t left = count - start;
        error = predict_some(run, &batch, c, network, run->request.images.at + start, left < most ? left : most, &looked_at);
    }
    free(batch.read.pixels);
    return error;
}

static nn_error evaluate(struct run *run, const struct checkpoint *c, nn_network *network) {
    static nn_data_notes notes;
    const nn_data_options options = {.size = c->request.size, .skip_bad = run->request.skip_bad, .notes = &notes};
    nn_dataset train, test;
    if (!nn_dataset_load_with(run->request.data, &options, &train, &test, run->message)) return run->message;
    data_notes_report(&notes);
    nn_error error = checkpoint_fits_images(c, run->request.checkpoint, &test, run->message) ? NULL : run->message;
    memcpy(test.mean, c->mean, sizeof test.mean);
    memcpy(test.rstd, c->rstd, sizeof test.rstd);
    nn_trainer trainer = {0};
    nn_score score = {0};
    const nn_training_options training = {.optimizer = {.kind = NN_SGD}, .batch = network->capacity};
    if (!error) error = nn_trainer_init(&trainer, network, &train, &test, &training);
    if (!error) error = nn_trainer_evaluate(&trainer, &test, &score);
    if (!error && !isfinite(score.loss)) error = diverged(run);
    const double count = (double)test.count;
    if (!error && run->request.json) {
        printf("{\"images\": %u, \"accuracy\": %.4f", (unsigned)test.count, (double)score.correct / count);
        print_json_number("loss", "%.6f", score.loss / count);
        printf("}\n");
    } else if (!error) {
        printf("%u images: accuracy %.2f %%, loss %.4f\n", (unsigned)test.count, 100 * (double)score.correct / count,
               score.loss / count);
    }
    nn_trainer_free(&trainer);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return error;
}

static nn_error predict(struct run *run, const struct checkpoint *c) {
    nn_backend *backend;
    nn_network *network = NULL;
    nn_model_options model = c->request.model;
    model.batch = images_at_once(run, model.image);
    model.threads = run->request.threads;
    if (!checkpoint_has_network(c, run->request.checkpoint, run->message)) return run->message;
    nn_error error = nn_backend_create(model.threads, &backend);
    if (error) return error;
    error = nn_model_create(backend, &model, &network);
    if (!error && !checkpoint_restore(c, run->request.checkpoint, network, NULL, run->message)) error = run->message;
    if (!error) error = run->request.data ? evaluate(run, c, network) : predict_files(run, c, network);
    nn_network_destroy(network);
    nn_backend_destroy(backend);
    return error;
}

int cmd_predict(int argc, char **argv) {
    static struct run run;
    struct checkpoint c;
    predict_options.defaults(&run.request);
    options_parse(&predict_options, argc, argv, &run.request);
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    if (!checkpoint_open(run.request.checkpoint, &c, run.message)) return report(EXIT_FAILED, "%s", run.message);
    stop_on_signals(stop);
    const nn_error error = predict(&run, &c);
    checkpoint_close(&c);
    if (error) report(EXIT_FAILED, "%s", error);
    stop_end_by_signal();
    return error || run.failed ? EXIT_FAILED : EXIT_DONE;
}
