/* SPDX-License-Identifier: MIT */
/* Networks beside PyTorch's.
 *
 *     nn_golden write DIR         the initial state of each network as DIR/NAME.safetensors, and the names, for
 * golden/make_logits.py
 *     nn_golden check FILE        our logits and losses against those that this script wrote
 *
 * For each network: the logits of some images in training mode (which moves the running statistics), the logits of the same in
 * evaluation mode after that, and the losses of some steps of SGD on one batch after the other. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/train/checkpoint.h"

enum { IMAGES = 48, CLASSES = 5, BATCH = 12, STEPS = 20 };

static const struct network {
    const char *name;
    nn_model_options options;
} networks[] = {
    {"mlp", {.kind = NN_MLP, .image = {6, 5, 1}, .norm = NN_NORM_BEFORE, .activation = NN_RELU}},
    {"mlp-tanh-after", {.kind = NN_MLP, .image = {6, 5, 3}, .norm = NN_NORM_AFTER, .activation = NN_TANH}},
    {"cnn", {.kind = NN_CNN, .image = {12, 10, 1}, .norm = NN_NORM_BEFORE, .activation = NN_RELU}},
    {"cnn-plain", {.kind = NN_CNN, .image = {12, 10, 1}, .norm = NN_NORM_NONE, .activation = NN_RELU}},
    {"cnn-rgb-sigmoid-after", {.kind = NN_CNN, .image = {9, 11, 3}, .norm = NN_NORM_AFTER, .activation = NN_SIGMOID}},
    {"resnet", {.kind = NN_RESNET, .image = {12, 9, 3}, .norm = NN_NORM_BEFORE, .activation = NN_RELU}},
    {"resnet-after", {.kind = NN_RESNET, .image = {8, 8, 1}, .norm = NN_NORM_AFTER, .activation = NN_RELU}},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

/* Bytes that another language makes as easily. */
static uint8_t pixel(size_t i) { return (uint8_t)((uint32_t)i * UINT32_C(2654435761) >> 21); }

static nn_dataset images(nn_shape shape) {
    static char *names[CLASSES] = {"a", "b", "c", "d", "e"};
    const size_t count = IMAGES * nn_shape_size(shape);
    nn_dataset data = {.count = IMAGES, .image = shape, .classes = CLASSES, .class_names = names};
    data.pixels = malloc(count);
    data.labels = malloc(IMAGES);
    for (size_t i = 0; i < count; i++) data.pixels[i] = pixel(i);
    for (size_t i = 0; i < IMAGES; i++) data.labels[i] = (uint8_t)(i % CLASSES);
    for (size_t c = 0; c < NN_MAX_CHANNELS; c++) {
        data.mean[c] = 128;
        data.rstd[c] = 0.015625f;
    }
    return data;
}

/* One network with everything that it needs. */
struct bench {
    nn_backend *backend;
    nn_network *network;
    nn_dataset data;
    struct train_request request;
    nn_trainer trainer;
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void set_up(struct bench *b, const struct network *n) {
    train_options.defaults(&b->request);
    b->request.model = n->options;
    b->request.model.depth = 8;
    b->request.model.classes = CLASSES;
    b->request.model.batch = b->request.training.batch = BATCH;
    b->request.model.threads = 1;
    b->request.model.seed = 9;
    b->request.training.schedule.rate = 0.00390625f;
    b->data = images(n->options.image);
    nn_error error = nn_backend_create(1, &b->backend);
    if (!error) error = nn_model_create(b->backend, &b->request.model, &b->network);
    if (!error) error = nn_trainer_init(&b->trainer, b->network, &b->data, &b->data, &b->request.training);
    if (error) die(n->name, error);
}

static void tear_down(struct bench *b) {
    nn_trainer_free(&b->trainer);
    nn_network_destroy(b->network);
    nn_backend_destroy(b->backend);
    free(b->data.pixels);
    free(b->data.labels);
}

static int write_all(const char *directory) {
    static char message[NN_MESSAGE_BYTES];
    for (int i = 0; i < NETWORKS; i++) {
        struct bench b;
        char path[1024];
        set_up(&b, &networks[i]);
        snprintf(path, sizeof path, "%s/%s.safetensors", directory, networks[i].name);
        if (!checkpoint_save(path, &b.request, &b.trainer, message)) die(path, message);
        printf("%s\n", networks[i].name);
        tear_down(&b);
    }
    return 0;
}

static int failures;

/* Float against PyTorch's double. */
static const double tolerance = 1e-5;

static void compare(const char *network, const char *what, size_t i, double got, double expected, double most) {
    if (fabs(got - expected) <= most * (1 + fabs(expected))) return;
    failures++;
    printf("%s: %s %zu is %.9g, and %.9g in PyTorch\n", network, what, i, got, expected);
}

/* The numbers of the next line, which begins with `word`. */
static size_t read_line(FILE *file, const char *word, double *numbers, size_t most) {
    static char line[65536];
    size_t count = 0;
    if (!fgets(line, sizeof line, file)) die(word, "the file ends");
    char *text = strtok(line, " \n");
    if (!text || strcmp(text, word) != 0) die(word, "another line was expected");
    while (count < most && (text = strtok(NULL, " \n"))) numbers[count++] = strtod(text, NULL);
    return count;
}

static void check_logits(struct bench *b, const char *name, const char *what, FILE *file) {
    static const uint32_t order[BATCH] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    double expected[BATCH * CLASSES];
    if (read_line(file, what, expected, BATCH * CLASSES) != BATCH * CLASSES) die(name, "logits are missing");
    nn_dataset_batch(&b->data, order, BATCH, NULL, nn_network_input(b->network), NULL);
    const nn_error error = nn_network_forward(b->network, BATCH);
    if (error) die(name, error);
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        compare(name, what, i, (double)nn_network_output(b->network)[i], expected[i], tolerance);
}

/* A relu whose input is within a rounding of 0 may open on one side only. In the small maps of these resnets that changes a
 * gradient enough to see, and the difference grows by less than a half in each step. */
static void check_losses(struct bench *b, const char *name, FILE *file) {
    const nn_model_options *model = &b->request.model;
    const double growth = model->kind == NN_RESNET && model->activation == NN_RELU ? 1.5 : 1;
    double expected[STEPS], most = tolerance;
    if (read_line(file, "losses", expected, STEPS) != STEPS) die(name, "losses are missing");
    for (uint32_t i = 0; i < IMAGES; i++) b->trainer.order[i] = i; /* not shuffled */
    for (size_t i = 0; i < STEPS; i++) {
        nn_score score;
        if (b->trainer.at.done == IMAGES) b->trainer.at.done = 0;
        const nn_error error = nn_trainer_step(&b->trainer, &score);
        if (error) die(name, error);
        compare(name, "loss", i, score.loss / BATCH, expected[i], most);
        most *= growth;
    }
}

static int check_all(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die(path, "cannot be read");
    for (int i = 0; i < NETWORKS; i++) {
        struct bench b;
        double none;
        set_up(&b, &networks[i]);
        read_line(file, networks[i].name, &none, 0);
        nn_network_set_training(b.network, true);
        check_logits(&b, networks[i].name, "training", file);
        nn_network_set_training(b.network, false);
        check_logits(&b, networks[i].name, "evaluation", file);
        nn_network_set_training(b.network, true);
        check_losses(&b, networks[i].name, file);
        tear_down(&b);
    }
    fclose(file);
    return failures > 0;
}

int main(int argc, char **argv) {
    if (!nn_backend_name()) return 77;
    if (argc == 3 && strcmp(argv[1], "write") == 0) return write_all(argv[2]);
    if (argc == 3 && strcmp(argv[1], "check") == 0) return check_all(argv[2]);
    fprintf(stderr, "usage: nn_golden write DIR | check FILE\n");
    return 2;
}
