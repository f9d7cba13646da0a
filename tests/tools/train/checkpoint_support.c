/* SPDX-License-Identifier: MIT */
#include "checkpoint_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"

char message[NN_MESSAGE_BYTES];

nn_dataset make_data(void) {
    static char *names[CLASSES] = {"one", "two", "th\"r\xc3\xa9\"e"};
    static uint8_t pixels[IMAGES * 5 * 6 * 3], labels[IMAGES];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * i * 37 >> 3);
    for (size_t i = 0; i < IMAGES; i++) labels[i] = (uint8_t)(i % CLASSES);
    return (nn_dataset){.count = IMAGES,
                        .image = {5, 6, 3},
                        .classes = CLASSES,
                        .pixels = pixels,
                        .labels = labels,
                        .class_names = names,
                        .mean = {100, 120.3f, 1 / 3.0f},
                        .rstd = {0.01f, 0.02f, 1e-3f}};
}

static void end(void *training) {
    struct training *t = training;
    nn_trainer_free(&t->trainer);
    nn_network_destroy(t->network);
    nn_backend_destroy(t->backend);
    free(t);
}

struct training *begin(const struct train_request *request) {
    struct training *t = keep(calloc(1, sizeof *t), end);
    t->request = *request;
    t->data = make_data();
    t->request.save = "something";
    assert_true(train_fit(&t->request, &t->data, message));
    assert_null(nn_backend_create(1, &t->backend));
    assert_null(nn_model_create(t->backend, &t->request.model, &t->network));
    assert_null(nn_trainer_init(&t->trainer, t->network, &t->data, &t->data, &t->request.training));
    return t;
}

static struct train_request request_of(nn_optimizer_kind kind) {
    struct train_request r;
    train_options.defaults(&r);
    r.model = (nn_model_options){.kind = NN_RESNET,
                                 .depth = 8,
                                 .norm = NN_NORM_AFTER,
                                 .activation = NN_TANH,
                                 .batch = BATCH,
                                 .threads = 1,
                                 .seed = INT64_MAX};
    r.training.optimizer = (nn_optimizer_options){.kind = kind,
                                                  .momentum = 0.7f,
                                                  .nesterov = kind == NN_SGD,
                                                  .weight_decay = 1 / 3.0f,
                                                  .decay_norm = true,
                                                  .beta1 = 0.8f,
                                                  .beta2 = 0.99f,
                                                  .eps = 1e-6f};
    r.training.schedule = (nn_schedule){.kind = NN_STEP, .rate = 0.1f / 3, .factor = 0.3f};
    r.training.augmentation = (nn_augmentation){.shift = 2, .flip = true};
    r.size = (nn_size){5, 6, NN_STRETCH};
    r.warmup = 1;
    r.step_every = 2;
    r.epochs = 5;
    return r;
}

struct training *begin_trained(nn_optimizer_kind kind) {
    const struct train_request request = request_of(kind);
    struct training *t = begin(&request);
    for (int step = 0; step < 5; step++) {
        if (t->trainer.at.done == nn_trainer_samples(&t->trainer)) nn_trainer_end_epoch(&t->trainer);
        assert_null(nn_trainer_step(&t->trainer, NULL));
    }
    assert_true(checkpoint_save(file_path("part"), &t->request, &t->trainer, message));
    return t;
}

/* All numbers that restoring may change, one after another; returns how many bytes. */
static size_t state_of(const struct training *t, unsigned char *bytes) {
    size_t at = 0;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        memcpy(bytes + at, p->value, p->count * sizeof *p->value);
        at += p->count * sizeof *p->value;
    }
    for (int s = 0; s < NN_OPTIMIZER_STATES && t->trainer.optimizer.state[s]; s++) {
        const size_t size = nn_network_parameters(t->network) * sizeof(float);
        memcpy(bytes + at, t->trainer.optimizer.state[s], size);
        at += size;
    }
    for (size_t i = 0; i < nn_network_batch_norms(t->network); i++) {
        const char *name;
        batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
        const size_t count = batchnorm_layer_state(nn_network_batch_norm_at(t->network, i, &name), state);
        for (size_t j = 0; j < count; j++) {
            const size_t size =
                (size_t)batchnorm_tensor_elements(&state[j].tensor) * batchnorm_dtype_bytes(state[j].tensor.dtype);
            memcpy(bytes + at, state[j].tensor.data, size);
            at += size;
        }
    }
    memcpy(bytes + at, &t->trainer.optimizer.steps, sizeof(uint64_t));
    memcpy(bytes + at + sizeof(uint64_t), &t->trainer.at, sizeof t->trainer.at);
    return at + sizeof(uint64_t) + sizeof t->trainer.at;
}

unsigned char *copy_state(const struct training *t, size_t *bytes) {
    unsigned char *copy = malloc(8 << 20);
    assert_non_null(copy);
    *bytes = state_of(t, copy);
    return copy;
}

bool has_state(const struct training *t, const unsigned char *expected, size_t bytes) {
    size_t count;
    unsigned char *is = copy_state(t, &count);
    const bool same = count == bytes && memcmp(is, expected, bytes) == 0;
    free(is);
    return same;
}
