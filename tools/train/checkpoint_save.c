/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

enum { KEY_BYTES = 160 };

/* What goes into a file: views of tensors and pairs of text, with the memory that only they need. */
struct contents {
    batchnorm_named_tensor *tensors;
    size_t count, room;
    batchnorm_safetensors_pair *pairs;
    size_t pair_count, pair_room;
    void **owned;
    size_t owned_count, owned_room;
    bool failed; /* no memory */
};

/* Room for one more of `size` bytes. */
static bool grow(void *array, size_t count, size_t *room, size_t size) {
    void *memory, **at = array;
    if (count < *room) return true;
    const size_t wanted = *room ? 2 * *room : 64;
    memcpy(&memory, at, sizeof memory);
    memory = realloc(memory, wanted * size);
    if (!memory) return false;
    memcpy(at, &memory, sizeof memory);
    *room = wanted;
    return true;
}

static void *own(struct contents *c, size_t bytes) {
    void *memory = NULL;
    if (!c->failed && grow(&c->owned, c->owned_count, &c->owned_room, sizeof *c->owned)) memory = malloc(bytes ? bytes : 1);
    if (!memory)
        c->failed = true;
    else
        c->owned[c->owned_count++] = memory;
    return memory;
}

static const char *own_text(struct contents *c, const char *a, const char *b, const char *d) {
    char *text = own(c, KEY_BYTES);
    if (text) snprintf(text, KEY_BYTES, "%s%s%s", a, b, d);
    return text;
}

static void add_tensor(struct contents *c, const char *name, batchnorm_tensor tensor) {
    if (!c->failed && !grow(&c->tensors, c->count, &c->room, sizeof *c->tensors)) c->failed = true;
    if (!c->failed) c->tensors[c->count++] = (batchnorm_named_tensor){name, tensor};
}

static void add_pair(struct contents *c, const char *key, const char *value) {
    if (!c->failed && !grow(&c->pairs, c->pair_count, &c->pair_room, sizeof *c->pairs)) c->failed = true;
    if (!c->failed) c->pairs[c->pair_count++] = (batchnorm_safetensors_pair){key, value};
}

/* An array that lies as a parameter does, in PyTorch's order and shape. */
static void add_like(struct contents *c, const char *name, const nn_parameter *p, const float *values) {
    float *copy = own(c, p->count * sizeof *copy);
    if (!copy) return;
    const int64_t out = (int64_t)p->out, in = (int64_t)p->in, h = (int64_t)p->height, w = (int64_t)p->width;
    const int64_t shape1[] = {out}, shape2[] = {out, in * h * w}, shape4[] = {out, in, h, w};
    nn_parameter_to_pytorch(p, values, copy);
    add_tensor(c, name,
               batchnorm_tensor_contiguous(copy, BATCHNORM_F32, p->rank,
                                           p->rank == 1   ? shape1
                                           : p->rank == 2 ? shape2
                                                          : shape4));
}

static void add_network(struct contents *c, const nn_network *network) {
    for (size_t i = 0; i < nn_network_parameter_count(network); i++) {
        const nn_parameter *p = nn_network_parameter(network, i);
        add_like(c, p->name, p, p->value);
    }
    for (size_t i = 0; i < nn_network_batch_norms(network); i++) {
        const char *module;
        batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
        const size_t count = batchnorm_layer_state(nn_network_batch_norm_at(network, i, &module), state);
        for (size_t j = 0; j < count; j++) {
            if (strcmp(state[j].name, "weight") == 0 || strcmp(state[j].name, "bias") == 0) continue; /* parameters */
            add_tensor(c, own_text(c, module, ".", state[j].name), state[j].tensor);
        }
    }
}

static void add_optimizer(struct contents *c, const nn_optimizer *optimizer) {
    for (int s = 0; nn_optimizer_state_name(optimizer, s); s++) {
        const float *values = optimizer->state[s];
        for (size_t i = 0; i < nn_network_parameter_count(optimizer->network); i++) {
            const nn_parameter *p = nn_network_parameter(optimizer->network, i);
            char *name = own(c, KEY_BYTES);
            if (!name) return;
            snprintf(name, KEY_BYTES, CHECKPOINT_TRAINER "%s.%s", nn_optimizer_state_name(optimizer, s), p->name);
            add_like(c, name, p, values);
            values += p->count;
        }
        if (s + 1 == NN_OPTIMIZER_STATES) return;
    }
}

static void add_metadata(struct contents *c, const struct checkpoint *checkpoint) {
    add_pair(c, "format", "pt");
    add_pair(c, "checkpoint", CHECKPOINT_FORMAT);
    for (size_t i = 0; i < checkpoint_field_count; i++) {
        char text[CHECKPOINT_FIELD_BYTES];
        checkpoint_field_write(&checkpoint_fields[i], checkpoint, text);
        add_pair(c, checkpoint_fields[i].key, own_text(c, text, "", ""));
    }
    for (size_t i = 0; i < checkpoint->request.model.classes; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        add_pair(c, own_text(c, "class.", number, ""), checkpoint->class_names[i]);
    }
}

static void free_contents(struct contents *c) {
    for (size_t i = 0; i < c->owned_count; i++) free(c->owned[i]);
    free(c->owned);
    free(c->tensors);
    free(c->pairs);
}

bool checkpoint_save(const char *path, const struct train_request *request, const nn_trainer *trainer, char *message) {
    struct contents c = {0};
    struct checkpoint checkpoint = {.request = *request,
                                    .at = trainer->at,
                                    .optimizer_steps = trainer->optimizer.steps,
                                    .images = trainer->train->count,
                                    .class_names = trainer->train->class_names};
    memcpy(checkpoint.mean, trainer->train->mean, sizeof checkpoint.mean);
    memcpy(checkpoint.rstd, trainer->train->rstd, sizeof checkpoint.rstd);
    add_network(&c, trainer->network);
    add_optimizer(&c, &trainer->optimizer);
    add_metadata(&c, &checkpoint);
    batchnorm_status status = BATCHNORM_NO_MEMORY;
    char why[BATCHNORM_MESSAGE_BYTES] = NN_NO_MEMORY;
    if (!c.failed) status = batchnorm_safetensors_write(path, c.tensors, c.count, c.pairs, c.pair_count, why);
    if (status) nn_wrong(message, path, "%s", why);
    free_contents(&c);
    return !status;
}
