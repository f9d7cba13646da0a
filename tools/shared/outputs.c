/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* realpath */
#include "outputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beside.h"
#include "messages.h"
#include "npy.h"

/* The same file always gets the same name, and a link is written through. NULL: errno says why. */
static char *resolve(const char *path) {
    char *whole = realpath(path, NULL);
    if (whole || errno != ENOENT) return whole;
    char *directory = directory_of(path, 0), *real = directory ? realpath(directory, NULL) : NULL;
    const char *base = path + directory_length(path);
    size_t bytes = real ? strlen(real) + strlen(base) + 2 : 0;
    char *joined = real && base[0] ? malloc(bytes) : NULL;
    if (joined) snprintf(joined, bytes, "%s/%s", real, base);
    free(directory);
    free(real);
    return joined;
}

/* Whether a and b, in the same file, would be in each other's way. */
static bool collide(const struct output *a, const struct output *b) {
    const char *x = a->location.name, *y = b->location.name;
    return !x || !y || strcmp(x, y) == 0;
}

static int check_output(struct output *o) {
    char message[MESSAGE_BYTES];
    if (o->whole_file)
        o->location = (struct location){strdup(o->argument), NULL};
    else if (!location_parse(&o->location, o->argument, message))
        return report_usage("%s: '%s' %s", o->option, o->argument, message);
    char *path = o->location.path ? resolve(o->location.path) : NULL;
    if (!path) return report(EXIT_FAILED, "%s: cannot be created: %s", o->argument, strerror(errno));
    if (o->location.name) { /* the name lies in the memory of the path that the user gave: keep both in one piece */
        size_t length = strlen(path) + 1, more = strlen(o->location.name) + 1;
        char *both = malloc(length + more);
        if (both) {
            memcpy(both, path, length);
            memcpy(both + length, o->location.name, more);
        }
        free(path);
        if (!both) return report(EXIT_FAILED, "no memory");
        path = both;
        o->location.name = both + length;
    }
    free(o->location.path);
    o->location.path = path;
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return report(EXIT_FAILED, "%s: is not a regular file and cannot be replaced", o->argument);
    return EXIT_DONE;
}

int outputs_check(struct output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        int code = o->argument ? check_output(o) : EXIT_DONE;
        if (code != EXIT_DONE) return code;
        for (size_t j = 0; o->argument && j < i; j++) {
            if (!outputs[j].argument || strcmp(o->location.path, outputs[j].location.path) != 0) continue;
            if (collide(o, &outputs[j]))
                return report_usage("%s and %s both write %s", outputs[j].option, o->option, o->argument);
        }
    }
    return EXIT_DONE;
}

static bool cannot_write(char *message) {
    snprintf(message, MESSAGE_BYTES, "cannot be written: %s", strerror(errno));
    return false;
}

static bool write_npy(const struct output *o, int fd, char *message) {
    return npy_write(fd, &o->tensor, message) && (fsync(fd) == 0 || cannot_write(message));
}

static bool write_text(const char *text, int fd, char *message) {
    for (size_t left = strlen(text); left > 0;) {
        const ssize_t written = write(fd, text, left);
        if (written < 0 && errno != EINTR) return cannot_write(message);
        if (written < 0) continue;
        text += written;
        left -= (size_t)written;
    }
    return fsync(fd) == 0 || cannot_write(message);
}

/* The tensors of one safetensors file: those it has, without those that are written anew, then the new ones. */
struct members {
    batchnorm_safetensors *old;
    size_t count;
    batchnorm_named_tensor *tensors;
    size_t pair_count;
    batchnorm_safetensors_pair *pairs;
};

static bool in_same_file(const struct output *a, const struct output *b) {
    return b->argument && b->location.name && strcmp(a->location.path, b->location.path) == 0;
}

static bool is_replaced(const struct output *outputs, size_t count, const struct output *o, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (in_same_file(o, &outputs[i]) && strcmp(outputs[i].location.name, name) == 0) return true;
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
    struct stat status;
    char why[MESSAGE_BYTES];
    if (stat(o->location.path, &status) == 0 && batchnorm_safetensors_open(o->location.path, &m->old, why) != BATCHNORM_OK) {
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
        if (in_same_file(o, &outputs[i]))
            m->tensors[m->count++] = (batchnorm_named_tensor){outputs[i].location.name, outputs[i].tensor};
    return true;
}

static bool write_members(struct output *outputs, size_t count, const struct output *o, char *message) {
    struct members m = {0};
    bool ok = collect(&m, outputs, count, o, message) &&
              batchnorm_safetensors_write(o->temporary, m.tensors, m.count, m.pairs, m.pair_count, message) == BATCHNORM_OK;
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
    int fd;
    o->temporary = create_beside(o->location.path, &fd);
    if (!o->temporary) {
        report(EXIT_FAILED, "%s: cannot be created: %s", o->argument, strerror(errno));
        return false;
    }
    bool ok;
    if (o->layer)
        ok = batchnorm_layer_save(o->layer, o->temporary, message) == BATCHNORM_OK;
    else if (o->text)
        ok = write_text(o->text, fd, message);
    else if (o->location.name)
        ok = write_members(outputs, count, o, message);
    else
        ok = write_npy(o, fd, message);
    if (close(fd) != 0 && ok) ok = cannot_write(message);
    if (!ok) report(EXIT_FAILED, "%s: %s", o->argument, message);
    return ok;
}

bool outputs_write(struct output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct output *o = &outputs[i];
        if (o->argument && !is_written(outputs, o) && !write_output(outputs, count, o)) return false;
    }
    return true;
}
