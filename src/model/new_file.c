/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "model/new_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Small pieces are collected. What was written of the mapped file is let go of, so that memory stays small. */
struct sink {
    int fd;
    const struct bn_map *map;
    size_t count;
    unsigned char buffer[1 << 16];
};

static bool flush(struct sink *s) {
    const bool ok = bn_place_write(s->fd, s->buffer, s->count);
    s->count = 0;
    return ok;
}

static bool write_large(struct sink *s, const unsigned char *from, size_t bytes) {
    const size_t most = (size_t)16 << 20;
    for (size_t done = 0, some; done < bytes; done += some) {
        some = bytes - done < most ? bytes - done : most;
        if (!bn_place_write(s->fd, from + done, some)) return false;
        bn_map_forget(s->map, from + done, some);
    }
    return true;
}

static bool put(void *arg, const void *from, size_t bytes) {
    struct sink *s = arg;
    if (bytes > sizeof s->buffer - s->count && !flush(s)) return false;
    if (bytes > sizeof s->buffer) return write_large(s, from, bytes);
    memcpy(s->buffer + s->count, from, bytes);
    s->count += bytes;
    return true;
}

static batchnorm_status say_place(struct bn_new_file *j, const struct bn_place *place, const char *why) {
    return bn_model_fail(j->message, place->no_memory ? BATCHNORM_NO_MEMORY : BATCHNORM_IO, "%s", why);
}

static batchnorm_status write_model(struct bn_new_file *j) {
    char why[BN_PLACE_BYTES];
    struct sink *sink = malloc(sizeof *sink);
    if (!sink) return bn_model_fail(j->message, BATCHNORM_NO_MEMORY, "no memory");
    const char *wrong = bn_place_create(&j->places[0], why);
    sink->fd = j->places[0].fd;
    sink->count = 0;
    sink->map = &j->model->map;
    batchnorm_status status = BATCHNORM_OK;
    if (wrong) status = say_place(j, &j->places[0], wrong);
    if (!status && !(bn_splices_emit(&j->splices, j->model->map.base, j->model->map.bytes, put, sink) && flush(sink)))
        status = bn_model_fail(j->message, BATCHNORM_IO, "cannot be written: %s", strerror(errno));
    free(sink);
    if (!status && (wrong = bn_place_finish(&j->places[0], why))) status = say_place(j, &j->places[0], wrong);
    return status;
}

static batchnorm_status write_data(struct bn_new_file *j) {
    char why[BN_PLACE_BYTES];
    if (j->data.count == 0) return BATCHNORM_OK;
    const char *wrong = bn_place_find(&j->places[1], j->data_path, why);
    if (!wrong) wrong = bn_place_create(&j->places[1], why);
    if (wrong) return say_place(j, &j->places[1], wrong);
    if (!bn_place_write(j->places[1].fd, j->data.at, j->data.count))
        return bn_model_fail(j->message, BATCHNORM_IO, "%.200s cannot be written: %s", j->data_path, strerror(errno));
    wrong = bn_place_finish(&j->places[1], why);
    return wrong ? say_place(j, &j->places[1], wrong) : BATCHNORM_OK;
}

/* The data first: a model without its data would be of no use. */
static batchnorm_status commit(struct bn_new_file *j) {
    char why[BN_PLACE_BYTES];
    for (int i = 1; i >= 0; i--) {
        if (i == 1 && j->data.count == 0) continue;
        const char *wrong = bn_place_commit(&j->places[i], why);
        if (wrong) return say_place(j, &j->places[i], wrong);
    }
    return BATCHNORM_OK;
}

/* Returns whether two paths are of one file. */
static bool is_same_file(const char *a, const char *b) {
    struct stat s, t;
    return stat(a, &s) == 0 && stat(b, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

static void directory_of(const char *path, char *to, size_t room) {
    const char *slash = strrchr(path, '/');
    snprintf(to, room, "%.*s", slash ? (slash == path ? 1 : (int)(slash - path)) : 1, slash ? path : ".");
}

/* External data that stay are found beside the new model only if it lies in the same folder. */
static batchnorm_status check_folder(struct bn_new_file *j) {
    bool has_external = false;
    char here[4096], there[4096];
    for (uint32_t i = 0; i < j->model->onnx.tensor_count; i++)
        has_external = has_external || j->model->onnx.tensors[i].is_external;
    if (!has_external) return BATCHNORM_OK;
    directory_of(j->model->path, here, sizeof here);
    directory_of(j->path, there, sizeof there);
    if (is_same_file(here, there)) return BATCHNORM_OK;
    return bn_model_fail(j->message, BATCHNORM_BAD_OPTION,
                         "the model has external data in %.150s; write the new model into that folder", here);
}

/* Returns whether the output is a file that the model has data in. */
static bool is_data_of_model(const struct bn_new_file *j) {
    const struct bn_onnx *o = &j->model->onnx;
    char folder[4096], path[2 * 4096];
    directory_of(j->model->path, folder, sizeof folder);
    for (uint32_t i = 0; i < o->tensor_count; i++) {
        const struct bn_slice at = o->tensors[i].location;
        if (!o->tensors[i].is_external || at.end - at.at >= 4096) continue;
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)(at.end - at.at), (const char *)o->map->base + at.at);
        if (is_same_file(path, j->path)) return true;
    }
    return false;
}

/* Finds a name for new data that no file has: whoever has one may need it, the model itself, too. */
static batchnorm_status find_data_path(struct bn_new_file *j) {
    const size_t room = strlen(j->path) + 32;
    struct stat status;
    j->data_path = malloc(room);
    if (!j->data_path) return bn_model_fail(j->message, BATCHNORM_NO_MEMORY, "no memory");
    snprintf(j->data_path, room, "%s.data", j->path);
    const char *slash = strrchr(j->data_path, '/');
    j->data_name = j->data_path + (slash ? slash + 1 - j->data_path : 0);
    for (unsigned i = 1; lstat(j->data_path, &status) == 0; i++) snprintf(j->data_path, room, "%s.%u.data", j->path, i);
    return BATCHNORM_OK;
}

batchnorm_status bn_new_file_begin(struct bn_new_file *j, batchnorm_model *model, const char *path, char *message) {
    char why[BN_PLACE_BYTES];
    *j = (struct bn_new_file){.model = model, .path = path, .message = message};
    for (int i = 0; i < 2; i++) j->places[i].fd = j->places[i].held = -1;
    const char *wrong = bn_place_find(&j->places[0], path, why);
    if (wrong) return say_place(j, &j->places[0], wrong);
    if (is_same_file(path, model->path))
        return bn_model_fail(message, BATCHNORM_IO, "it is the model that is read; choose another name");
    const batchnorm_status status = check_folder(j);
    if (status) return status;
    if (is_data_of_model(j))
        return bn_model_fail(message, BATCHNORM_IO, "it has data of the model that is read; choose another name");
    return find_data_path(j);
}

batchnorm_status bn_new_file_write(struct bn_new_file *j) {
    if (!bn_splices_prepare(&j->splices, j->model->map.base, j->model->map.bytes, &j->bytes))
        return bn_model_fail(j->message, BATCHNORM_NO_MEMORY, "no memory for the changes of the file");
    batchnorm_status status = write_data(j);
    if (!status) status = write_model(j);
    return status ? status : commit(j);
}

void bn_new_file_end(struct bn_new_file *j) {
    for (int i = 0; i < 2; i++) bn_place_cancel(&j->places[i]);
    bn_splices_free(&j->splices);
    free(j->data.at);
    free(j->data_path);
}
