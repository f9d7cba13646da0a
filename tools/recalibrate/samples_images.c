/* SPDX-License-Identifier: MIT */
/* Images as samples: pixels of 0 to 255 become (pixel / 255 - mean) / std, in the order of the model's input. */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/dataset_classes.h"
#include "samples.h"
#include "tools/shared/convert.h"

enum { FOLDERS_DEEP = 16 };

static bool find_in(struct samples *s, const char *folder, int deep, char *message) {
    nn_listing listing;
    char path[NN_PATH_BYTES];
    if (deep == 0) return nn_wrong(message, folder, "folders are more than 16 deep");
    if (!nn_list(folder, &listing, message)) return false;
    bool ok = true;
    for (int i = 0; i < listing.count && ok; i++) {
        ok = nn_join(path, folder, listing.entries[i]->d_name, message);
        const nn_entry kind = ok ? nn_entry_kind(path) : NN_ENTRY_OTHER;
        if (kind == NN_ENTRY_FOLDER)
            ok = find_in(s, path, deep - 1, message);
        else if (kind == NN_ENTRY_IMAGE)
            ok = samples_add_path(s, path, message);
    }
    nn_free_listing(&listing);
    return ok;
}

bool samples_find_images(struct samples *s, char *message) {
    const char *path = s->request->data;
    if (!nn_is_directory(path)) return samples_add_path(s, path, message);
    if (!find_in(s, path, FOLDERS_DEEP, message)) return false;
    return s->path_count > 0 || nn_wrong(message, path, "has neither .npy files nor PNG or JPEG files, nor is it a data set");
}

static bool refuse_shape(const struct samples *s, char *message) {
    return nn_wrong(
        message, s->request->data,
        "has images, and the input \"%.100s\" of the model takes none: it must have the shape (N, C, H, W) or (N, H, W, C) "
        "with 1 or 3 channels",
        s->input.name);
}

/* The place of the channels is the one that has 1 or 3 of them; where the model leaves it open, the usual one. */
static bool find_order(struct samples *s, char *message) {
    const int64_t *shape = s->input.shape;
    if (s->input.rank != 4 && s->input.rank != 0) return refuse_shape(s, message); /* 0: the model does not say */
    const bool first = shape[1] == 1 || shape[1] == 3, last = shape[3] == 1 || shape[3] == 3;
    if (!first && !last && shape[1] > 0) return refuse_shape(s, message);
    s->channels_last = last && !first;
    const int64_t channels = shape[s->channels_last ? 3 : 1];
    s->channels = channels > 0 ? (size_t)channels : 3;
    return true;
}

/* Finds out what pixels become: as whole numbers they stay what they are. */
static bool find_scale(struct samples *s, char *message) {
    batchnorm_dtype dtype;
    s->is_scaled = runtime_is_float(s->input.type, &dtype);
    if (!s->is_scaled && (s->request->mean.count || s->request->std.count))
        return nn_wrong(message, s->request->data,
                        "has images, which the input \"%.100s\" of the model takes as whole numbers from 0 to 255: --mean and "
                        "--std are for floats",
                        s->input.name);
    if (s->is_scaled) s->scale = scale_find(s->request, s->model, s->channels);
    return true;
}

bool samples_fit_images(struct samples *s, char *message) {
    if (!find_order(s, message) || !find_scale(s, message)) return false;
    const int64_t *spatial = s->input.shape + (s->channels_last ? 1 : 2);
    s->size = s->request->size;
    if (s->kind == SAMPLES_SET) s->size = (nn_size){.height = s->set.image.height, .width = s->set.image.width};
    if (s->size.height == 0 && spatial[0] > 0 && spatial[1] > 0)
        s->size = (nn_size){.height = (size_t)spatial[0], .width = (size_t)spatial[1]};
    const bool fits =
        (spatial[0] < 1 || (size_t)spatial[0] == s->size.height) && (spatial[1] < 1 || (size_t)spatial[1] == s->size.width);
    if (s->size.height > 0 && !fits)
        return nn_wrong(message, s->request->data, "images are %zu high and %zu wide; the model takes %lld x %lld",
                        s->size.height, s->size.width, (long long)spatial[0], (long long)spatial[1]);
    if (s->size.height == 0 && s->path_count != 1)
        return nn_wrong(message, s->request->data, "the model takes images of any size: --size N or HxW says which");
    return true;
}

/* Puts an image of [height][width][channels] at place i of a batch. */
static void put(const struct samples *s, struct runtime_array *a, size_t i, const uint8_t *pixels, size_t height,
                size_t width) {
    const struct scale *scale = &s->scale;
    const size_t plane = height * width;
    batchnorm_dtype dtype;
    const bool is_float = runtime_is_float(a->type, &dtype);
    const size_t each = runtime_type_bytes(a->type);
    for (size_t c = 0; c < s->channels; c++) {
        double values[256];
        for (int v = 0; v < 256; v++)
            values[v] = is_float ? ((double)v / 255 - scale->mean.at[c]) / scale->std.at[c] : (double)v;
        for (size_t p = 0; p < plane; p++) {
            const size_t at = i * plane * s->channels + (s->channels_last ? p * s->channels + c : c * plane + p);
            const double v = values[pixels[p * s->channels + c]];
            if (a->type == RUNTIME_FLOAT)
                ((float *)a->data)[at] = (float)v;
            else if (is_float)
                convert_elements(BATCHNORM_F64, &v, dtype, (char *)a->data + at * each, 1);
            else
                runtime_put(a, at, v);
        }
    }
}

static bool allocate(const struct samples *s, struct runtime_array *a, size_t count, size_t height, size_t width,
                     char *message) {
    char why[RUNTIME_MESSAGE];
    const size_t sizes[] = {count, s->channels_last ? height : s->channels, s->channels_last ? width : height,
                            s->channels_last ? s->channels : width};
    a->rank = 4;
    for (int d = 0; d < 4; d++) a->shape[d] = (int64_t)sizes[d];
    return runtime_memory(a, why) || nn_wrong(message, s->request->data, "%s", why);
}

static bool read_set(const struct samples *s, const struct piece *p, struct runtime_array *a, char *message) {
    const nn_shape shape = s->set.image;
    const size_t pixels = shape.height * shape.width, bytes = pixels * shape.channels;
    if (!allocate(s, a, p->count, shape.height, shape.width, message)) return false;
    for (size_t i = 0; i < p->count; i++) {
        nn_image image = {shape.height, shape.width, shape.channels, malloc(bytes)};
        if (image.pixels) memcpy(image.pixels, s->set.pixels + (p->first + i) * bytes, bytes);
        const bool ok = image.pixels && nn_image_set_channels(&image, s->channels);
        if (ok) put(s, a, i, image.pixels, shape.height, shape.width);
        free(image.pixels);
        if (!ok) return nn_wrong(message, s->request->data, NN_NO_MEMORY);
    }
    return true;
}

bool samples_read_images(const struct samples *s, const struct piece *p, struct runtime_array *a, char *message) {
    const nn_image_options options = {.size = s->size};
    if (s->kind == SAMPLES_SET) return read_set(s, p, a, message);
    for (size_t i = 0; i < p->count; i++) {
        const char *path = s->paths[p->first + i];
        nn_image image;
        if (!nn_image_read_as(path, &options, &image, message)) return false;
        bool ok = nn_image_set_channels(&image, s->channels) || nn_wrong(message, path, NN_NO_MEMORY);
        if (ok && i == 0) ok = allocate(s, a, p->count, image.height, image.width, message);
        if (ok) put(s, a, i, image.pixels, image.height, image.width);
        free(image.pixels);
        if (!ok) return false;
    }
    return true;
}
