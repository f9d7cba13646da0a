/* SPDX-License-Identifier: MIT */
/* batchnorm predict: the classes of images, by a trained network in evaluation mode. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/parallel.h"
#include "tools/shared/numbers.h"
#include "tools/shared/verbs.h"
#include "tools/train/checkpoint.h"
#include "tools/train/report.h"

enum { BATCH = 256 };

struct settings {
    const char *checkpoint, *data;
    char **images;
    long count, top, threads;
    bool json;
    char message[NN_MESSAGE_BYTES];
};

enum { OPTION_CHECKPOINT = 256, OPTION_DATA, OPTION_TOP, OPTION_THREADS, OPTION_JSON };

static const struct argp_option options[] = {
    {"checkpoint", OPTION_CHECKPOINT, "FILE", 0, "The network: a file that train --save wrote", 0},
    {"data", OPTION_DATA, "PATH", 0, "Instead of images: how well it does on the test images of a data set, as for train", 0},
    {"top", OPTION_TOP, "K", 0, "Print the K most probable classes of each image (default 3)", 0},
    {"threads", OPTION_THREADS, "N", 0, "Threads (default: as many as OpenMP offers)", 0},
    {"json", OPTION_JSON, NULL, 0, "Print one JSON object per image", 0},
    {0},
};

static const char description[] =
    "Print the classes of images, most probable first, with their probabilities."
    "\vImages are PNG or JPEG files of the size that the network was trained on. Colours are turned "
    "into grey, or grey into colours, as it needs.";

static long integer(const struct argp_state *state, const char *option, const char *text, long least, long most) {
    long value = least;
    if (!parse_integer(text, least, most, &value))
        argp_error(state, "--%s must be a whole number from %ld to %ld, not '%s'", option, least, most, text);
    return value;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct settings *s = state->input;
    switch (key) {
    case OPTION_CHECKPOINT:
        s->checkpoint = text;
        return 0;
    case OPTION_DATA:
        s->data = text;
        return 0;
    case OPTION_TOP:
        s->top = integer(state, "top", text, 1, NN_MAX_CLASSES);
        return 0;
    case OPTION_THREADS:
        s->threads = integer(state, "threads", text, 1, 1024);
        return 0;
    case OPTION_JSON:
        s->json = true;
        return 0;
    case ARGP_KEY_ARGS:
        s->images = state->argv + state->next;
        s->count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (!s->checkpoint) argp_error(state, "--checkpoint FILE is missing");
        if (!s->data && s->count == 0) argp_error(state, "images are missing, or --data PATH");
        if (s->data && s->count > 0) argp_error(state, "--data goes without images");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
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

static void print_json_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < 0x20)
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void print_classes(const struct settings *s, const struct checkpoint *c, const char *path, const float *logits) {
    const size_t classes = c->request.model.classes, top = (size_t)s->top < classes ? (size_t)s->top : classes;
    double probabilities[NN_MAX_CLASSES];
    bool taken[NN_MAX_CLASSES] = {false};
    probabilities_of(classes, logits, probabilities);
    if (s->json) {
        printf("{\"image\": ");
        print_json_text(path);
        printf(", \"classes\": [");
    } else {
        printf("%s:", path);
    }
    for (size_t i = 0; i < top; i++) {
        const size_t best = take_best(classes, probabilities, taken);
        if (s->json) {
            printf("%s{\"class\": ", i ? ", " : "");
            print_json_text(c->class_names[best]);
            printf(", \"probability\": %.6f}", probabilities[best]);
        } else {
            printf("%s %s %.1f %%", i ? "," : "", c->class_names[best], 100 * probabilities[best]);
        }
    }
    printf(s->json ? "]}\n" : "\n");
}

static nn_error diverged(struct settings *s) {
    nn_wrong(s->message, s->checkpoint,
             "the network's output is not finite: it diverged in training; train it at a lower --lr");
    return s->message;
}

static nn_error predict_images(struct settings *s, const struct checkpoint *c, nn_network *network, nn_dataset *images) {
    const size_t classes = c->request.model.classes;
    nn_network_set_training(network, false);
    for (uint32_t start = 0; start < images->count; start += BATCH) {
        uint32_t order[BATCH];
        const uint32_t left = images->count - start, n = left < BATCH ? left : BATCH;
        for (uint32_t i = 0; i < n; i++) order[i] = start + i;
        nn_dataset_batch(images, order, n, NULL, nn_network_input(network), NULL);
        const nn_error error = nn_network_forward(network, n);
        if (error) return error;
        for (size_t i = 0; i < n * classes; i++)
            if (!isfinite(nn_network_output(network)[i])) return diverged(s);
        for (uint32_t i = 0; i < n; i++)
            print_classes(s, c, s->images[start + i], nn_network_output(network) + (size_t)i * classes);
    }
    return NULL;
}

static nn_error predict_files(struct settings *s, const struct checkpoint *c, nn_network *network) {
    nn_dataset images;
    if (!nn_dataset_read_images(s->images, (uint32_t)s->count, c->request.model.image, &images, s->message)) return s->message;
    memcpy(images.mean, c->mean, sizeof images.mean);
    memcpy(images.rstd, c->rstd, sizeof images.rstd);
    const nn_error error = predict_images(s, c, network, &images);
    nn_dataset_free(&images);
    return error;
}

static nn_error evaluate(struct settings *s, const struct checkpoint *c, nn_network *network) {
    nn_dataset train, test;
    if (!nn_dataset_load(s->data, 0, &train, &test, s->message)) return s->message;
    nn_error error = checkpoint_fits_images(c, s->checkpoint, &test, s->message) ? NULL : s->message;
    memcpy(test.mean, c->mean, sizeof test.mean);
    memcpy(test.rstd, c->rstd, sizeof test.rstd);
    nn_trainer trainer = {0};
    nn_score score = {0};
    const nn_training_options training = {.optimizer = {.kind = NN_SGD}, .batch = BATCH};
    if (!error) error = nn_trainer_init(&trainer, network, &train, &test, &training);
    if (!error) error = nn_trainer_evaluate(&trainer, &test, &score);
    const double count = (double)test.count;
    if (!error && s->json) {
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

static nn_error predict(struct settings *s, const struct checkpoint *c) {
    nn_backend *backend;
    nn_network *network = NULL;
    nn_model_options model = c->request.model;
    model.batch = BATCH;
    model.threads = (int)s->threads;
    nn_error error = nn_backend_create(model.threads, &backend);
    if (error) return error;
    error = nn_model_create(backend, &model, &network);
    if (!error && !checkpoint_restore(c, s->checkpoint, network, NULL, s->message)) error = s->message;
    if (!error) error = s->data ? evaluate(s, c, network) : predict_files(s, c, network);
    nn_network_destroy(network);
    nn_backend_destroy(backend);
    return error;
}

int cmd_predict(int argc, char **argv) {
    static const struct argp parser = {options, parse, "IMAGE...\n--data PATH", description, NULL, NULL, NULL};
    static struct settings s = {.top = 3};
    struct checkpoint c;
    s.threads = nn_default_threads();
    argp_parse(&parser, argc, argv, 0, NULL, &s);
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    if (!checkpoint_open(s.checkpoint, &c, s.message)) return report(EXIT_FAILED, "%s", s.message);
    const nn_error error = predict(&s, &c);
    checkpoint_close(&c);
    return error ? report(EXIT_FAILED, "%s", error) : EXIT_DONE;
}
