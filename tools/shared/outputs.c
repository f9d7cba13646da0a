/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "outputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clean.h"
#include "messages.h"
#include "npy.h"

/* Whether a and b, in the same file, would be in each other's way. */
static bool collide(const struct output *a, const struct output *b) {
    const char *x = a->location.name, *y = b->location.name;
    return !x || !y || strcmp(x, y) == 0;
}

static bool fail(const struct output *o, const char *why) {
    report(EXIT_FAILED, "%s: %s", output_name(o->argument), why);
    return false;
}

/* Where it goes. */
static int look(struct output *o) {
    char why[BN_PLACE_BYTES];
    const char *path = strcmp(o->location.path, "-") == 0 ? "/dev/stdout" : o->location.path;
    o->is_looked_at = true;
    const char *wrong = bn_place_find(&o->place, path, why);
    return wrong ? report(EXIT_FAILED, "%s: %s", output_name(o->argument), wrong) : EXIT_DONE;
}

static int check_output(struct output *o) {
    char message[MESSAGE_BYTES];
    if (o->whole_file)
        o->location = (struct location){strdup(o->argument), NULL};
    else if (!location_parse(&o->location, o->argument, message))
        return report_usage("%s: '%s' %s", o->option, o->argument, message);
    return o->location.path ? look(o) : report(EXIT_FAILED, "no memory");
}

static bool in_same_file(const struct output *a, const struct output *b) {
    return b->argument && bn_place_same(&a->place, &b->place);
}

int outputs_check(struct output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        int code = o->argument ? check_output(o) : EXIT_DONE;
        if (code != EXIT_DONE) return code;
        for (size_t j = 0; o->argument && j < i; j++) {
            if (in_same_file(o, &outputs[j]) && collide(o, &outputs[j]))
                return report_usage("%s and %s both write %s", outputs[j].option, o->option, output_name(o->argument));
        }
    }
    return EXIT_DONE;
}

static bool cannot_write(char *message) {
    snprintf(message, MESSAGE_BYTES, "cannot be written: %s", strerror(errno));
    return false;
}

/* The tensors of one safetensors file: those it has, without those that are written anew, then the new ones. */
struct members {
    batchnorm_safetensors *old;
    size_t count;
    batchnorm_named_tensor *tensors;
    size_t pair_count;
    batchnorm_safetensors_pair *pairs;
};

static bool is_replaced(const struct output *outputs, size_t count, const struct output *o, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (in_same_file(o, &outputs[i]) && outputs[i].location.name && strcmp(outputs[i].location.name, name) == 0)
            return true;
    return false;
}

static bool keep_old(struct members *m, const struct output *outputs, size_t count, const struct output *o, char *message) {
    for (size_t i = 0; i < batchnorm_safetensors_count(m->old); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(m->old, i);
        if (is_replaced(outputs, count, o, entry->name)) continue;
        if (!entry->tensor.data) {
            snprintf(message, MESSAGE_BYTES, "has a tensor '%.100s' (%s) that cannot be kept; write to another file",
                     entry->name, entry->dtype);
            return false;
        }
        m->tensors[m->count++] = (batchnorm_named_tensor){entry->name, entry->tensor};
    }
    const batchnorm_safetensors_pair *pair;
    for (; (pair = batchnorm_safetensors_metadata_at(m->old, m->pair_count)); m->pair_count++) m->pairs[m->pair_count] = *pair;
    return true;
}

static size_t count_pairs(const batchnorm_safetensors *file) {
    size_t count = 0;
    while (batchnorm_safetensors_metadata_at(file, count)) count++;
    return count;
}

static bool collect(struct members *m, const struct output *outputs, size_t count, const struct output *o, char *message) {
    char why[MESSAGE_BYTES];
    if (o->place.exists && batchnorm_safetensors_open(o->place.target, &m->old, why)) {
        snprintf(message, MESSAGE_BYTES, "is there, but cannot be added to: %.400s", why);
        return false;
    }
    m->tensors = calloc(batchnorm_safetensors_count(m->old) + count, sizeof *m->tensors);
    m->pairs = calloc(count_pairs(m->old) + 1, sizeof *m->pairs);
    if (!m->tensors || !m->pairs) {
        snprintf(message, MESSAGE_BYTES, "no memory for its tensors");
        return false;
    }
    if (!keep_old(m, outputs, count, o, message)) return false;
    for (size_t i = 0; i < count; i++)
        if (&outputs[i] == o || in_same_file(o, &outputs[i]))
            m->tensors[m->count++] = (batchnorm_named_tensor){outputs[i].location.name, outputs[i].tensor};
    return true;
}

/* For the file library, which writes by a path: the open file, so that it makes no file of its own beside the one that is not
 * in place yet; that one's name where there is no /proc. */
static const char *path_of(struct output *o) {
    if (o->place.temporary && access("/proc/self/fd", X_OK) != 0) return o->place.temporary;
    snprintf(o->direct, sizeof o->direct, "/proc/self/fd/%d", o->place.fd);
    return o->direct;
}

static bool write_members(struct output *outputs, size_t count, struct output *o, char *message) {
    struct members m = {0};
    bool ok = collect(&m, outputs, count, o, message) &&
              !batchnorm_safetensors_write(path_of(o), m.tensors, m.count, m.pairs, m.pair_count, message);
    free(m.tensors);
    free(m.pairs);
    batchnorm_safetensors_close(m.old);
    return ok;
}

/* Whether an earlier output has the same file, and so wrote this one's tensor with its own. */
static bool is_written(const struct output *outputs, const struct output *o) {
    for (const struct output *earlier = outputs; earlier < o; earlier++)
        if (o->location.name && in_same_file(o, earlier)) return true;
    return false;
}

static bool write_output(struct output *outputs, size_t count, struct output *o) {
    char message[MESSAGE_BYTES];
    const char *wrong = bn_place_create(&o->place, message);
    if (wrong) return fail(o, wrong);
    bool ok;
    if (o->layer)
        ok = !batchnorm_layer_save(o->layer, path_of(o), message);
    else if (o->text)
        ok = bn_place_write(o->place.fd, o->text, strlen(o->text)) || cannot_write(message);
    else if (o->location.name)
        ok = write_members(outputs, count, o, message);
    else
        ok = npy_write(o->place.fd, &o->tensor, message);
    if (ok) ok = !bn_place_finish(&o->place, message);
    return ok || fail(o, message);
}

/* Others may add to the same file: what is there is looked at again under a lock, which holds until the new file is in
 * place. */
static bool lock_files_that_are_added_to(struct output *outputs, size_t count) {
    const struct bn_place *places[MOST_OUTPUTS] = {NULL};
    struct output *those[MOST_OUTPUTS] = {NULL};
    int locks[MOST_OUTPUTS];
    size_t used = 0;
    char why[BN_PLACE_BYTES];
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        if (!o->argument || !o->location.name || !o->place.target || is_written(outputs, o)) continue;
        places[used] = &o->place;
        those[used++] = o;
    }
    const char *wrong = bn_place_lock(places, used, locks, why);
    for (size_t i = 0; i < used; i++) those[i]->lock = locks[i] < 0 ? 0 : locks[i];
    if (wrong) return fail(those[0], wrong);
    for (size_t i = 0; i < used; i++) {
        bn_place_cancel(&those[i]->place);
        if (look(those[i]) != EXIT_DONE) return false;
    }
    return true;
}

/* A pipe waits for its reader: not while others wait for a lock. */
static bool open_pipes(struct output *outputs, size_t count) {
    char why[BN_PLACE_BYTES];
    for (size_t i = 0; i < count; i++) {
        const char *wrong = outputs[i].argument && outputs[i].place.special ? bn_place_create(&outputs[i].place, why) : NULL;
        if (wrong) return fail(&outputs[i], wrong);
    }
    return true;
}

bool outputs_write(struct output *outputs, size_t count) {
    if (!open_pipes(outputs, count) || !lock_files_that_are_added_to(outputs, count)) return false;
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        if (o->argument && !is_written(outputs, o) && !write_output(outputs, count, o)) return false;
    }
    return true;
}
