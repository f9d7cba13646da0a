/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "nn/choices.h"

enum { KEY_BYTES = 160 };

/* Metadata */

static bool read_fields(struct checkpoint *c, const char *path, char *message) {
    const char *format = batchnorm_safetensors_metadata(c->file, "checkpoint");
    if (!format) return nn_wrong(message, path, "not a checkpoint of `batchnorm train`: its metadata has no \"checkpoint\"");
    if (strcmp(format, CHECKPOINT_FORMAT) != 0)
        return nn_wrong(message, path, "a checkpoint in format \"%s\"; this program reads format " CHECKPOINT_FORMAT, format);
    for (size_t i = 0; i < checkpoint_field_count; i++) {
        const struct checkpoint_field *field = &checkpoint_fields[i];
        const char *text = batchnorm_safetensors_metadata(c->file, field->key);
        if (!text) text = field->missing;
        if (!text) return nn_wrong(message, path, "broken: its metadata has no \"%s\"", field->key);
        if (!checkpoint_field_read(field, text, c))
            return nn_wrong(message, path, "\"%s\" is \"%s\", which is no value of it", field->key, text);
    }
    return true;
}

static bool read_classes(struct checkpoint *c, const char *path, char *message) {
    const size_t classes = c->request.model.classes;
    if (classes < 2 || classes > NN_MAX_CLASSES)
        return nn_wrong(message, path, "it has %zu classes; there must be 2 to %d", classes, NN_MAX_CLASSES);
    c->class_names = calloc(classes, sizeof *c->class_names);
    if (!c->class_names) return nn_wrong(message, path, "%s", NN_NO_MEMORY);
    for (size_t i = 0; i < classes; i++) {
        char key[32];
        snprintf(key, sizeof key, "class.%zu", i);
        const char *text = batchnorm_safetensors_metadata(c->file, key);
        if (!text) return nn_wrong(message, path, "broken: its metadata has no \"%s\"", key);
        c->class_names[i] = (char *)text; /* the file's */
    }
    return true;
}

/* What holds between fields, each of which is in its range. */
static bool is_sound(const struct checkpoint *c, const char *path, char *message) {
    const nn_model_options *m = &c->request.model;
    const nn_shape image = m->image;
    const nn_size size = c->request.size;
    char why[NN_MESSAGE_BYTES];
    if (image.channels != 1 && image.channels != NN_MAX_CHANNELS)
        return nn_wrong(message, path, "its images have %zu channels; it must be 1 or 3", image.channels);
    if (size.height > 0 && (size.height != image.height || size.width != image.width))
        return nn_wrong(message, path, "its images are %zu x %zu, and its \"size\" is %zux%zu", image.height, image.width,
                        size.height, size.width);
    if (m->activation == NN_IDENTITY)
        return nn_wrong(message, path, "\"activation\" is \"identity\"; it must be one of train's");
    if (c->at.sum.correct > c->at.done || c->optimizer_steps != c->at.step || c->at.epoch > (uint64_t)c->request.epochs)
        return nn_wrong(message, path, "broken: the numbers of how far it is contradict each other");
    return train_check(&c->request, why) || nn_wrong(message, path, "%s", why);
}

bool checkpoint_open(const char *path, struct checkpoint *c, char *message) {
    char why[BATCHNORM_MESSAGE_BYTES];
    const char *from = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    *c = (struct checkpoint){0};
    if (batchnorm_safetensors_open(from, &c->file, why)) return nn_wrong(message, path, "%s", why);
    if (read_fields(c, path, message) && read_classes(c, path, message) && is_sound(c, path, message)) return true;
    checkpoint_close(c);
    return false;
}

void checkpoint_close(struct checkpoint *c) {
    free(c->class_names);
    batchnorm_safetensors_close(c->file);
    *c = (struct checkpoint){0};
}

/* What may not change */

bool checkpoint_fits_images(const struct checkpoint *c, const char *path, const nn_dataset *images, char *message) {
    const nn_shape is = images->image, was = c->request.model.image;
    if (is.height != was.height || is.width != was.width || is.channels != was.channels)
        return nn_wrong(message, path, "trained on images of %zu x %zu x %zu; the data has %zu x %zu x %zu", was.height,
                        was.width, was.channels, is.height, is.width, is.channels);
    if (images->classes != c->request.model.classes)
        return nn_wrong(message, path, "trained on %zu classes; the data has %zu", c->request.model.classes, images->classes);
    for (size_t i = 0; i < images->classes; i++)
        if (strcmp(images->class_names[i], c->class_names[i]) != 0)
            return nn_wrong(message, path, "trained with \"%s\" as class %zu; the data has \"%s\"", c->class_names[i], i,
                            images->class_names[i]);
    return true;
}

bool checkpoint_fits_data(const struct checkpoint *c, const char *path, const nn_dataset *train, char *message) {
    if (!checkpoint_fits_images(c, path, train, message)) return false;
    if (train->count != c->images)
        return nn_wrong(message, path, "trained on %llu images; the data has %lu", (unsigned long long)c->images,
                        (unsigned long)train->count);
    if (train_hash(train) != c->request.data_hash)
        return nn_wrong(message, path, "trained on other images than the data has, or in another order");
    return true;
}

bool checkpoint_fits_request(const struct checkpoint *c, const char *path, const struct train_request *request, char *message) {
    const struct checkpoint asked = {.request = *request};
    for (size_t i = 0; i < checkpoint_field_count; i++) {
        const struct checkpoint_field *field = &checkpoint_fields[i];
        char is[CHECKPOINT_FIELD_BYTES], was[CHECKPOINT_FIELD_BYTES];
        if (!field->is_option || field->may_change) continue;
        checkpoint_field_write(field, &asked, is);
        checkpoint_field_write(field, c, was);
        if (strcmp(is, was) == 0) continue;
        if (strcmp(field->key, "batch") == 0 && train_batch(request, c->images) == train_batch(&c->request, c->images))
            continue;                              /* all images, one way or another */
        if (strcmp(field->key, "nesterov") == 0) { /* a word of --optimizer */
            snprintf(is, sizeof is, "%s", request->training.optimizer.nesterov ? "nesterov" : "sgd");
            snprintf(was, sizeof was, "%s", request->training.optimizer.nesterov ? "sgd" : "nesterov");
        }
        snprintf(message, NN_MESSAGE_BYTES, "--%s is %s, but %s was made with %s; leave it out to go on",
                 strcmp(field->key, "nesterov") == 0 ? "optimizer" : field->key, is, path, was);
        return false;
    }
    return true;
}

/* Tensors */

bool checkpoint_has_network(const struct checkpoint *c, const char *path, char *message) {
    const nn_model_options *m = &c->request.model;
    const uint64_t wanted = nn_model_parameters(m);
    uint64_t there = 0;
    for (size_t i = 0; i < batchnorm_safetensors_count(c->file); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(c->file, i);
        const bool own = strncmp(entry->name, CHECKPOINT_TRAINER, strlen(CHECKPOINT_TRAINER)) != 0;
        if (own && strcmp(entry->dtype, "F32") == 0) there += (uint64_t)batchnorm_tensor_elements(&entry->tensor);
    }
    if (there >= wanted) return true;
    return nn_wrong(message, path, "a %s for images of %zu x %zu x %zu has %llu numbers; its tensors have %llu",
                    nn_model_words[m->kind], m->image.height, m->image.width, m->image.channels, (unsigned long long)wanted,
                    (unsigned long long)there);
}

/* Each wanted tensor is checked in a first walk and copied in a second. */
struct walk {
    const struct checkpoint *checkpoint;
    const char *path;
    char *message;
    bool copies;
    size_t met; /* tensors of the file that are wanted */
};

static bool find(struct walk *w, const char *name, const char *dtype, int rank, const int64_t *shape,
                 batchnorm_tensor *tensor) {
    const batchnorm_safetensors_entry *entry = batchnorm_safetensors_find(w->checkpoint->file, name);
    if (!entry) return nn_wrong(w->message, w->path, "the tensor \"%s\" is missing", name);
    bool fits = strcmp(entry->dtype, dtype) == 0 && entry->tensor.rank == rank;
    for (int d = 0; d < rank && fits; d++) fits = entry->tensor.shape[d] == shape[d];
    if (!fits) return nn_wrong(w->message, w->path, "the tensor \"%s\" has another type or shape than the network's", name);
    *tensor = entry->tensor;
    w->met++;
    return true;
}

/* An array that lies as a parameter does. */
static bool take_like(struct walk *w, const char *name, const nn_parameter *p, float *values) {
    const int64_t out = (int64_t)p->out, in = (int64_t)p->in, h = (int64_t)p->height, wide = (int64_t)p->width;
    const int64_t shape2[] = {out, in * h * wide}, shape4[] = {out, in, h, wide};
    batchnorm_tensor tensor;
    if (!find(w, name, "F32", p->rank, p->rank == 4 ? shape4 : shape2, &tensor)) return false;
    if (w->copies) nn_parameter_from_pytorch(p, tensor.data, values);
    return true;
}

static bool take_network(struct walk *w, nn_network *network) {
    for (size_t i = 0; i < nn_network_parameter_count(network); i++) {
        const nn_parameter *p = nn_network_parameter(network, i);
        if (!take_like(w, p->name, p, p->value)) return false;
    }
    for (size_t i = 0; i < nn_network_batch_norms(network); i++) {
        const char *module;
        batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
        const size_t count = batchnorm_layer_state(nn_network_batch_norm_at(network, i, &module), state);
        for (size_t j = 0; j < count; j++) {
            char name[KEY_BYTES];
            batchnorm_tensor tensor;
            const bool counts = state[j].tensor.dtype == BATCHNORM_I64;
            if (strcmp(state[j].name, "weight") == 0 || strcmp(state[j].name, "bias") == 0) continue; /* parameters */
            snprintf(name, sizeof name, "%s.%s", module, state[j].name);
            if (!find(w, name, counts ? "I64" : "F32", state[j].tensor.rank, state[j].tensor.shape, &tensor)) return false;
            const size_t bytes = (size_t)batchnorm_tensor_elements(&tensor) * batchnorm_dtype_bytes(tensor.dtype);
            if (w->copies) memcpy(state[j].tensor.data, tensor.data, bytes);
        }
    }
    return true;
}

static bool take_optimizer(struct walk *w, nn_optimizer *optimizer) {
    for (int s = 0; s < NN_OPTIMIZER_STATES && nn_optimizer_state_name(optimizer, s); s++) {
        float *values = optimizer->state[s];
        for (size_t i = 0; i < nn_network_parameter_count(optimizer->network); i++) {
            const nn_parameter *p = nn_network_parameter(optimizer->network, i);
            char name[KEY_BYTES];
            snprintf(name, sizeof name, CHECKPOINT_TRAINER "%s.%s", nn_optimizer_state_name(optimizer, s), p->name);
            if (!take_like(w, name, p, values)) return false;
            values += p->count;
        }
    }
    return true;
}

/* Beside the trainer's tensors. */
static bool has_nothing_else(struct walk *w) {
    size_t own = 0;
    for (size_t i = 0; i < batchnorm_safetensors_count(w->checkpoint->file); i++) {
        const char *name = batchnorm_safetensors_at(w->checkpoint->file, i)->name;
        own += strncmp(name, CHECKPOINT_TRAINER, strlen(CHECKPOINT_TRAINER)) != 0;
    }
    if (own > w->met) return nn_wrong(w->message, w->path, "it has %zu tensors more than the network", own - w->met);
    return true;
}

bool checkpoint_restore(const struct checkpoint *c, const char *path, nn_network *network, nn_trainer *trainer, char *message) {
    for (int copies = 0; copies < 2; copies++) {
        struct walk w = {c, path, message, copies != 0, 0};
        if (!take_network(&w, network) || !has_nothing_else(&w)) return false;
        if (trainer && !take_optimizer(&w, &trainer->optimizer)) return false;
        if (trainer && (c->at.done > nn_trainer_samples(trainer) || c->at.step > UINT64_MAX / 2))
            return nn_wrong(message, path, "it stands at image %llu of an epoch of %zu", (unsigned long long)c->at.done,
                            nn_trainer_samples(trainer));
    }
    if (trainer) {
        trainer->optimizer.steps = c->optimizer_steps;
        nn_trainer_seek(trainer, &c->at);
    }
    return true;
}
