/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "model_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "keras.h"

/* A safetensors file begins with the 8 bytes of its header's length, and the header with a brace. */
static bool is_safetensors(const char *path) {
    unsigned char first[9];
    FILE *f = fopen(path, "rb");
    const bool whole = f && fread(first, 1, sizeof first, f) == sizeof first;
    if (f) fclose(f);
    return whole && first[8] == '{' && first[7] == 0 && first[6] == 0;
}

/* eps where the writer of the file has told it; -1 if not. */
static double told_eps(const batchnorm_safetensors *file) {
    const char *text = batchnorm_safetensors_metadata(file, "batchnorm.eps");
    char *end = NULL;
    const double eps = text ? strtod(text, &end) : -1;
    return text && end != text && *end == '\0' && eps >= 0 && eps <= 1 ? eps : -1;
}

static bool open_safetensors(struct model_file *f, const char *path, const batchnorm_model_options *options, char *message) {
    batchnorm_model_options own = *options;
    f->kind = "safetensors";
    if (batchnorm_safetensors_open(path, &f->file, message)) return false;
    f->eps = told_eps(f->file);
    if (own.eps == 0 && f->eps > 0) own.eps = f->eps;
    const size_t count = batchnorm_safetensors_count(f->file);
    f->entries = calloc(count + 1, sizeof *f->entries);
    f->others = calloc(count + 1, sizeof *f->others);
    size_t kept = 0;
    for (size_t i = 0; f->entries && f->others && i < count; i++) {
        const batchnorm_safetensors_entry *e = batchnorm_safetensors_at(f->file, i);
        const bool is_read = e->tensor.data || (e->tensor.rank >= 0 && e->bytes == 0);
        if (is_read)
            f->entries[kept++] = (batchnorm_named_tensor){e->name, e->tensor};
        else
            f->others[f->other_count++] = e;
    }
    if (f->entries && f->others && batchnorm_model_from_state(f->entries, kept, &own, &f->model) == BATCHNORM_OK) return true;
    snprintf(message, BATCHNORM_MODEL_MESSAGE, "no memory");
    return false;
}

/* What comes out of a pipe at most. */
static const uint64_t pipe_bytes_max = (uint64_t)1 << 34;

static bool copy_all(FILE *from, FILE *to) {
    char buffer[65536];
    uint64_t all = 0;
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, from)) > 0;) {
        all += got;
        if (all > pipe_bytes_max) errno = EFBIG;
        if (all > pipe_bytes_max || fwrite(buffer, 1, got, to) != got) return false;
    }
    return !ferror(from) && fflush(to) == 0;
}

static void point_at_copy(struct model_file *f, int index) {
    snprintf(f->copy_path[index], sizeof f->copy_path[index], "/dev/fd/%d", fileno(f->copy[index]));
    f->path = f->copy_path[index];
}

/* A pipe can be read once, and a file is looked at several times: its bytes go into a temporary file without a name. */
static bool take_pipe(struct model_file *f, char *message) {
    struct stat about;
    if (stat(f->path, &about) != 0 || !(S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode))) return true;
    FILE *from = strcmp(f->path, "/dev/stdin") == 0 ? stdin : fopen(f->path, "rb");
    f->copy[0] = from ? tmpfile() : NULL;
    const bool ok = f->copy[0] && copy_all(from, f->copy[0]) && fseek(f->copy[0], 0, SEEK_SET) == 0;
    if (!ok) snprintf(message, BATCHNORM_MODEL_MESSAGE, "cannot be read into a temporary file: %s", strerror(errno));
    if (from && from != stdin) fclose(from);
    if (!ok) return false;
    point_at_copy(f, 0);
    return true;
}

/* A file of Keras is read by another program, which makes safetensors of it. */
static bool open_keras(struct model_file *f, const batchnorm_model_options *options, char *message) {
    f->copy[1] = keras_read(f->path, message);
    if (!f->copy[1]) return false;
    point_at_copy(f, 1);
    const bool ok = open_safetensors(f, f->path, options, message);
    f->kind = "Keras";
    return ok;
}

bool model_file_open(struct model_file *f, const char *path, const batchnorm_model_options *options, char *message) {
    if (strcmp(path, "-") == 0) path = "/dev/stdin";
    *f = (struct model_file){.kind = "ONNX", .path = path, .given = path, .eps = -1};
    if (!take_pipe(f, message)) return false;
    path = f->path;
    if (!options->cfg && keras_is(path)) return open_keras(f, options, message);
    if (is_safetensors(path)) return open_safetensors(f, path, options, message);
    if (batchnorm_model_open(path, options, &f->model, message)) return false;
    if (batchnorm_model_get_format(f->model) == BATCHNORM_MODEL_TORCH) f->kind = "PyTorch";
    if (batchnorm_model_get_format(f->model) == BATCHNORM_MODEL_DARKNET) {
        f->kind = "Darknet";
        f->eps = 1e-5; /* Darknet's own */
    }
    return true;
}

bool model_file_other(const struct model_file *f, size_t index, void *to, char *message) {
    const batchnorm_safetensors_entry *e = f->others[index];
    FILE *file = fopen(f->path, "rb");
    const bool ok = file && fseeko(file, (off_t)e->offset, SEEK_SET) == 0 && fread(to, 1, e->bytes, file) == e->bytes;
    if (file) fclose(file);
    if (!ok) snprintf(message, BATCHNORM_MODEL_MESSAGE, "\"%.200s\" cannot be read", e->name);
    return ok;
}

bool model_file_is(const struct model_file *f, const char *path) {
    struct stat a, b;
    return stat(path, &a) == 0 && stat(f->given, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void model_file_close(struct model_file *f) {
    batchnorm_model_close(f->model);
    batchnorm_safetensors_close(f->file);
    free(f->entries);
    free(f->others);
    for (int i = 0; i < 2; i++)
        if (f->copy[i]) fclose(f->copy[i]);
    *f = (struct model_file){0};
}

/* The tensors of a layer in a checkpoint, as doubles. */
struct state {
    batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
    double *values[BATCHNORM_STATE_MAX];
    size_t count;
};

static batchnorm_status read_state(const batchnorm_model *model, const char *prefix, struct state *s, char *message) {
    const size_t bytes = strlen(prefix);
    batchnorm_model_tensor t;
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++) {
        if (strncmp(t.name, prefix, bytes) != 0) continue;
        batchnorm_tensor view = batchnorm_tensor_contiguous(NULL, BATCHNORM_F64, t.rank, t.shape);
        const int64_t elements = batchnorm_tensor_elements(&view);
        if (s->count == BATCHNORM_STATE_MAX || elements < 0) {
            snprintf(message, BATCHNORM_MODEL_MESSAGE, "under the prefix \"%.200s\" there is more than one layer", prefix);
            return BATCHNORM_UNEXPECTED_KEY;
        }
        double *values = s->values[s->count] = calloc((size_t)elements + 1, sizeof *values);
        view.data = values;
        s->entries[s->count++] = (batchnorm_named_tensor){t.name + bytes, view};
        if (!values) return snprintf(message, BATCHNORM_MODEL_MESSAGE, "no memory"), BATCHNORM_NO_MEMORY;
        const batchnorm_status status = batchnorm_model_tensor_read(model, i, values, (size_t)elements, message);
        if (status) return status;
    }
    return BATCHNORM_OK;
}

/* Loads what is under the prefix. For a message: which prefixes there are. */
static batchnorm_status load_state(batchnorm_layer *layer, const batchnorm_model *model, const char *prefix, char *message) {
    struct state s = {.count = 0};
    batchnorm_status status = read_state(model, prefix, &s, message);
    const size_t norms = batchnorm_model_norm_count(model);
    if (s.count == 0 || (status == BATCHNORM_UNEXPECTED_KEY && norms > 1)) {
        size_t used = (size_t)snprintf(message, BATCHNORM_MODEL_MESSAGE,
                                       "there is no layer under the prefix \"%.100s\"; there are", prefix);
        for (size_t i = 0; i < norms && used < 300; i++)
            used += (size_t)snprintf(message + used, BATCHNORM_MODEL_MESSAGE - used, "%s\"%.60s.\"", i ? ", " : " ",
                                     batchnorm_model_norm_at(model, i)->name);
        status = BATCHNORM_MISSING_KEY;
    } else if (!status) {
        status = batchnorm_layer_load_state(layer, s.entries, s.count, 1, true);
        if (status) snprintf(message, BATCHNORM_MODEL_MESSAGE, "%s", batchnorm_layer_message(layer));
    }
    for (size_t i = 0; i < s.count; i++) free(s.values[i]);
    return status;
}

batchnorm_status layer_load_any(batchnorm_layer *layer, const char *path, const char *prefix, char *message) {
    char other[BATCHNORM_MODEL_MESSAGE];
    unsigned char first[2] = {0};
    if (!message) message = other;
    FILE *f = fopen(path, "rb");
    struct stat about;
    const bool is_file = f && fstat(fileno(f), &about) == 0 && S_ISREG(about.st_mode); /* a pipe can be read once */
    const bool is_torch = is_file && fread(first, 1, 2, f) == 2 &&
                          ((first[0] == 'P' && first[1] == 'K') || (first[0] == 0x80 && first[1] >= 2 && first[1] <= 5));
    if (f) fclose(f);
    if (!is_torch) return batchnorm_layer_load_prefix(layer, path, prefix, message);
    batchnorm_model *model;
    batchnorm_status status = batchnorm_model_open(path, NULL, &model, message);
    if (!status) status = load_state(layer, model, prefix, message);
    batchnorm_model_close(model);
    return status;
}
