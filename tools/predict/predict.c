/* SPDX-License-Identifier: MIT */
/* batchnorm predict: the classes of images, by a trained network in evaluation mode. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/train/checkpoint.h"

enum { BATCH = 256 };

/* What a run holds. */
struct run {
    struct predict_request request;
    char message[NN_MESSAGE_BYTES];
};

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
        printf("%s:", path);
    }
    for (size_t i = 0; i < top; i++) {
        const size_t best = take_best(classes, probabilities, taken);
        if (run->request.json) {
            printf("%s{\"class\": ", i ? ", " : "");
            print_json_text(c->class_names[best]);
            printf(", \"probability\": %.6f}", probabilities[best]);
        } else {
            printf("%s %s %.1f %%", i ? "," : "", c->class_names[best], 100 * probabilities[best]);
        }
    }
    printf(run->request.json ? "]}\n" : "\n");
}

static nn_error diverged(struct run *run) {
    nn_wrong(run->message, run->request.checkpoint,
             "the network's output is not finite: it diverged in training; train it at a lower --lr");
    return run->message;
}

static nn_error predict_images(struct run *run, const struct checkpoint *c, nn_network *network, nn_dataset *images) {
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
            if (!isfinite(nn_network_output(network)[i])) return diverged(run);
        for (uint32_t i = 0; i < n; i++)
            print_classes(run, c, run->request.images.at[start + i], nn_network_output(network) + (size_t)i * classes);
    }
    return NULL;
}

static nn_error predict_files(struct run *run, const struct checkpoint *c, nn_network *network) {
    nn_dataset images;
    if (!nn_dataset_read_images(run->request.images.at, (uint32_t)run->request.images.count, c->request.model.image, &images,
                                run->message))
        return run->message;
    memcpy(images.mean, c->mean, sizeof images.mean);
    memcpy(images.rstd, c->rstd, sizeof images.rstd);
    const nn_error error = predict_images(run, c, network, &images);
    nn_dataset_free(&images);
    return error;
}

static nn_error evaluate(struct run *run, const struct checkpoint *c, nn_network *network) {
    nn_dataset train, test;
    if (!nn_dataset_load(run->request.data, 0, &train, &test, run->message)) return run->message;
    nn_error error = checkpoint_fits_images(c, run->request.checkpoint, &test, run->message) ? NULL : run->message;
    memcpy(test.mean, c->mean, sizeof test.mean);
    memcpy(test.rstd, c->rstd, sizeof test.rstd);
    nn_trainer trainer = {0};
    nn_score score = {0};
    const nn_training_options training = {.optimizer = {.kind = NN_SGD}, .batch = BATCH};
    if (!error) error = nn_trainer_init(&trainer, network, &train, &test, &training);
    if (!error) error = nn_trainer_evaluate(&trainer, &test, &score);
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
    model.batch = BATCH;
    model.threads = run->request.threads;
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
    const nn_error error = predict(&run, &c);
    checkpoint_close(&c);
    return error ? report(EXIT_FAILED, "%s", error) : EXIT_DONE;
}
