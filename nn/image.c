/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

bool nn_image_allocate(nn_image *image, size_t most, size_t height, size_t width, size_t channels, char *message) {
    if (height < 1 || width < 1 || height > most || width > most) {
        snprintf(message, NN_MESSAGE_BYTES, "the image is %zu wide and %zu high; each must be 1 to %zu", width, height, most);
        return false;
    }
    if (height * width > NN_PHOTO_MAX_PIXELS) {
        snprintf(message, NN_MESSAGE_BYTES, "the image is %zu wide and %zu high; it must have at most %d pixels", width, height,
                 NN_PHOTO_MAX_PIXELS);
        return false;
    }
    *image = (nn_image){height, width, channels, malloc(height * width * channels)};
    if (!image->pixels) snprintf(message, NN_MESSAGE_BYTES, NN_NO_MEMORY);
    return image->pixels;
}

/* In place. */
static void drop_equal_colours(nn_image *image) {
    const size_t count = image->height * image->width;
    uint8_t *p = image->pixels;
    if (image->channels != 3) return;
    for (size_t i = 0; i < count; i++) {
        if (p[3 * i] != p[3 * i + 1] || p[3 * i] != p[3 * i + 2]) return;
    }
    for (size_t i = 0; i < count; i++) p[i] = p[3 * i];
    image->channels = 1;
}

static bool begins_as_png(const uint8_t *bytes, size_t count) {
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return count >= sizeof png && memcmp(bytes, png, sizeof png) == 0;
}

static bool begins_as_jpeg(const uint8_t *bytes, size_t count) {
    static const uint8_t jpeg[] = {0xff, 0xd8, 0xff};
    return count >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0;
}

bool nn_image_begins(const uint8_t *bytes, size_t count) { return begins_as_png(bytes, count) || begins_as_jpeg(bytes, count); }

static bool decode(const uint8_t *bytes, size_t count, const nn_size *size, nn_image *image, char *message) {
    const size_t most = size->height > 0 ? NN_PHOTO_MAX_SIDE : NN_IMAGE_MAX_SIDE;
    bool done = false;
    *image = (nn_image){0};
    if (begins_as_png(bytes, count))
        done = nn_decode_png(bytes, count, most, image, message);
    else if (begins_as_jpeg(bytes, count))
        done = nn_decode_jpeg(bytes, count, most, image, message);
    else
        snprintf(message, NN_MESSAGE_BYTES, count > 0 ? "neither PNG nor JPEG" : "the file is empty; it must be PNG or JPEG");
    if (done) drop_equal_colours(image);
    if (done) done = nn_image_fit(image, size, message);
    if (!done) {
        free(image->pixels);
        *image = (nn_image){0};
    }
    return done;
}

bool nn_image_decode(const uint8_t *bytes, size_t count, nn_image *image, char *message) {
    return decode(bytes, count, &(nn_size){0}, image, message);
}

bool nn_image_read_as(const char *path, const nn_image_options *options, nn_image *image, char *message) {
    enum { MOST = 1 << 30 };
    char what[NN_MESSAGE_BYTES];
    nn_reader reader;
    uint8_t *bytes = NULL;
    size_t count;
    *image = (nn_image){0};
    if (!(options->any_file ? nn_reader_open_any : nn_reader_open)(&reader, path, message)) return false;
    bool done = nn_reader_all(&reader, MOST, &bytes, &count);
    nn_reader_close(&reader);
    if (done && count == MOST) done = nn_wrong(message, path, "the file is too large; it must be below 1 GiB");
    if (done && !decode(bytes, count, &options->size, image, what)) done = nn_wrong(message, path, "%s", what);
    free(bytes);
    return done;
}

bool nn_image_read(const char *path, nn_image *image, char *message) {
    return nn_image_read_as(path, &(nn_image_options){.any_file = false}, image, message);
}

bool nn_image_set_channels(nn_image *image, size_t channels) {
    const size_t count = image->height * image->width;
    if (channels == image->channels) return true;
    uint8_t *to = malloc(count * channels);
    const uint8_t *from = image->pixels;
    if (!to) return false;
    for (size_t i = 0; i < count; i++) {
        if (channels == 3)
            memset(to + 3 * i, from[i], 3);
        else
            to[i] = (uint8_t)((299 * from[3 * i] + 587 * from[3 * i + 1] + 114 * from[3 * i + 2] + 500) / 1000);
    }
    free(image->pixels);
    image->pixels = to;
    image->channels = channels;
    return true;
}
