/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "samples.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nn/dataset_classes.h"
#include "tools/shared/convert.h"
#include "tools/shared/npy.h"

enum { USUAL_BATCH = 32 };

static bool ends_with(const char *text, const char *end) {
    const size_t bytes = strlen(text), of_end = strlen(end);
    return bytes >= of_end && strcmp(text + bytes - of_end, end) == 0;
}

bool samples_add_path(struct samples *s, const char *path, char *message) {
    if (s->path_count == s->path_room) {
        const size_t room = 2 * s->path_room + 64;
        char **more = realloc(s->paths, room * sizeof *more);
        if (!more) return nn_wrong(message, path, NN_NO_MEMORY);
        s->paths = more;
        s->path_room = room;
    }
    s->paths[s->path_count] = strdup(path);
    return s->paths[s->path_count++] || nn_wrong(message, path, NN_NO_MEMORY);
}

/* Samples at a time: as many as the model says, or the user, or as there usually are. */
static size_t batch_size(const struct samples *s) {
    if (s->input.rank > 0 && s->input.shape[0] > 0) return (size_t)s->input.shape[0];
    return s->request->batch ? (size_t)s->request->batch : USUAL_BATCH;
}

bool samples_cut(struct samples *s, size_t file, size_t count, char *message) {
    const size_t most = batch_size(s), limit = s->request->limit ? (size_t)s->request->limit : SIZE_MAX;
    const bool is_fixed = s->input.rank > 0 && s->input.shape[0] > 0;
    if (count > limit - s->count) count = limit - s->count;
    for (size_t first = 0, some; first < count; first += some) {
        some = count - first < most ? count - first : most;
        if (some < most && is_fixed) {
            s->left_out += some;
            continue;
        }
        if (s->batches == s->piece_room) {
            const size_t room = 2 * s->piece_room + 64;
            struct piece *more = realloc(s->pieces, room * sizeof *more);
            if (!more) return nn_wrong(message, s->request->data, NN_NO_MEMORY);
            s->pieces = more;
            s->piece_room = room;
        }
        s->pieces[s->batches++] = (struct piece){file, first, some};
        s->count += some;
    }
    return true;
}

/* The sizes that a model takes, for a message: "(N, 3, 224, 224)". */
static const char *shape_of(const struct runtime_array *a, char text[200]) {
    size_t used = (size_t)snprintf(text, 200, "(");
    for (int d = 0; d < a->rank && used < 170; d++)
        used += (size_t)(a->shape[d] > 0 ? snprintf(text + used, 200 - used, "%s%lld", d ? ", " : "", (long long)a->shape[d])
                                         : snprintf(text + used, 200 - used, "%s%s", d ? ", " : "", d ? "any" : "N"));
    snprintf(text + used, 200 - used, ")");
    return text;
}

/* Looks at a file, and cuts it into batches. */
static bool look_at_array(struct samples *s, size_t file, char *message) {
    batchnorm_tensor view;
    char why[MESSAGE_BYTES], has[SHAPE_TEXT_BYTES], wants[200];
    if (!npy_look(s->paths[file], &view, why)) return nn_wrong(message, s->paths[file], "%s", why);
    const bool is_known = s->input.rank > 0; /* a model need not say how many dimensions it takes */
    bool fits = view.rank > 0 && (!is_known || view.rank == s->input.rank);
    for (int d = 1; d < view.rank && fits && is_known; d++) fits = s->input.shape[d] < 1 || s->input.shape[d] == view.shape[d];
    if (!fits)
        return nn_wrong(message, s->paths[file], "has the shape %s; the input \"%.100s\" of the model takes %s",
                        shape_text(&view, has), s->input.name, shape_of(&s->input, wants));
    if (view.shape[0] < 1 || batchnorm_tensor_elements(&view) < 1) return nn_wrong(message, s->paths[file], "has no samples");
    return samples_cut(s, file, (size_t)view.shape[0], message);
}

static bool find_arrays(struct samples *s, const char *path, bool is_folder, char *message) {
    nn_listing listing;
    if (!is_folder) return samples_add_path(s, path, message);
    if (!nn_list(path, &listing, message)) return false;
    bool ok = true;
    for (int i = 0; i < listing.count && ok; i++) {
        char file[NN_PATH_BYTES];
        if (!ends_with(listing.entries[i]->d_name, ".npy")) continue;
        ok = nn_join(file, path, listing.entries[i]->d_name, message) && samples_add_path(s, file, message);
    }
    nn_free_listing(&listing);
    return ok;
}

/* Whether a folder has files of a data set, or a path is one. */
static bool is_set(const char *path, bool is_folder) {
    static const char *const marks[] = {"idx3-ubyte", "idx4-ubyte", "data_batch_1.bin", "train.bin", NULL};
    char message[NN_MESSAGE_BYTES];
    nn_listing listing;
    bool found = false;
    if (!is_folder) {
        for (int k = 0; marks[k]; k++) found = found || strstr(nn_name_of(path), marks[k]);
        return found;
    }
    if (!nn_list(path, &listing, message)) return false;
    for (int i = 0; i < listing.count; i++)
        for (int k = 0; marks[k]; k++) found = found || strstr(listing.entries[i]->d_name, marks[k]);
    nn_free_listing(&listing);
    return found;
}

static bool load_set(struct samples *s, char *message) {
    nn_dataset test = {0};
    const nn_data_options options = {.size = s->request->size};
    s->kind = SAMPLES_SET;
    if (!nn_dataset_load_with(s->request->data, &options, &s->set, &test, message)) return false;
    nn_dataset_free(&test);
    return samples_fit_images(s, message) && samples_cut(s, 0, s->set.count, message);
}

static bool find(struct samples *s, char *message) {
    const char *path = s->request->data;
    struct stat about;
    if (stat(path, &about) != 0) return nn_wrong(message, path, "%s", strerror(errno));
    const bool is_folder = S_ISDIR(about.st_mode);
    if (is_set(path, is_folder)) return load_set(s, message);
    if ((is_folder || ends_with(path, ".npy")) && !find_arrays(s, path, is_folder, message)) return false;
    bool ok = true;
    if (s->path_count > 0) {
        s->kind = SAMPLES_ARRAYS;
        if (s->request->mean.count || s->request->std.count || s->request->has_size)
            return nn_wrong(message, path, "has arrays, which are taken as they are: --mean, --std and --size are for images");
        for (size_t i = 0; i < s->path_count && ok; i++) ok = look_at_array(s, i, message);
        return ok;
    }
    s->kind = SAMPLES_IMAGES;
    return samples_find_images(s, message) && samples_fit_images(s, message) && samples_cut(s, 0, s->path_count, message);
}

bool samples_open(struct samples *s, const struct recalibrate_request *r, const batchnorm_model *model,
                  const struct runtime_array *input, char *message) {
    *s = (struct samples){.request = r, .model = model, .input = *input};
    if (input->rank > 0 && input->shape[0] > 0 && r->batch && r->batch != input->shape[0])
        return nn_wrong(message, "--batch", "the model takes %lld at a time and no other number", (long long)input->shape[0]);
    if (runtime_type_bytes(input->type) == 0)
        return nn_wrong(message, input->name, "the input of the model is of a type that is not filled here");
    if (!find(s, message)) return false;
    return s->batches > 0 ||
           nn_wrong(message, r->data, "has %zu samples, and the model takes %zu at a time", s->left_out, batch_size(s));
}

void samples_close(struct samples *s) {
    for (size_t i = 0; i < s->path_count; i++) free(s->paths[i]);
    free(s->paths);
    free(s->pieces);
    nn_dataset_free(&s->set);
    *s = (struct samples){0};
}

/* Takes numbers as elements of the input's type. */
static bool take(const struct samples *s, const struct array *from, struct runtime_array *to, const char *path, char *message) {
    const size_t elements = (size_t)batchnorm_tensor_elements(&from->view);
    batchnorm_dtype dtype;
    const bool is_float = runtime_is_float(s->input.type, &dtype);
    for (size_t i = 0; i < elements; i++) {
        double v = 0;
        convert_elements(from->view.dtype, (const char *)from->view.data + i * batchnorm_dtype_bytes(from->view.dtype),
                         BATCHNORM_F64, &v, 1);
        if (!isfinite(v))
            return nn_wrong(message, path, "has a number that is not finite (%s) in sample %zu of a batch",
                            isnan(v) ? "NaN" : "infinity", i / (elements / (size_t)to->shape[0]));
        if (!is_float && !runtime_in_range(s->input.type, v))
            return nn_wrong(message, path, "has %g, and the input of the model is of whole numbers that do not have it", v);
        if (!is_float) runtime_put(to, i, v);
    }
    if (is_float) memcpy(to->data, from->view.data, to->bytes);
    return true;
}

static bool read_arrays(const struct samples *s, const struct piece *p, struct runtime_array *a, char *message) {
    const char *path = s->paths[p->file];
    struct array from;
    char why[MESSAGE_BYTES];
    batchnorm_dtype dtype;
    if (!runtime_is_float(a->type, &dtype)) dtype = BATCHNORM_F64;
    if (!npy_read_rows(&from, path, (int64_t)p->first, (int64_t)p->count, dtype, why))
        return nn_wrong(message, path, "%s", why);
    a->rank = from.view.rank;
    for (int d = 0; d < a->rank; d++) a->shape[d] = from.view.shape[d];
    const bool ok = runtime_memory(a, why) || nn_wrong(message, path, "%s", why);
    const bool taken = ok && take(s, &from, a, path, message);
    array_free(&from);
    return taken;
}

bool samples_read(const struct samples *s, size_t batch, struct runtime_array *a, char *message) {
    const struct piece *p = &s->pieces[batch];
    *a = s->input;
    a->data = NULL;
    const bool ok = s->kind == SAMPLES_ARRAYS ? read_arrays(s, p, a, message) : samples_read_images(s, p, a, message);
    if (!ok) free(a->data);
    if (!ok) a->data = NULL;
    return ok;
}

void samples_describe(const struct samples *s, size_t batch, char *text) {
    const struct piece *p = &s->pieces[batch];
    const char *path = s->kind == SAMPLES_ARRAYS   ? s->paths[p->file]
                       : s->kind == SAMPLES_IMAGES ? s->paths[p->first]
                                                   : s->request->data;
    snprintf(text, NN_MESSAGE_BYTES, "%.4000s, samples %zu to %zu", path, p->first, p->first + p->count - 1);
}
