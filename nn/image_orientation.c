/* SPDX-License-Identifier: MIT */
/* How a camera was held, as Exif tells it, and pixels turned upright. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "message.h"

/* Exif is a TIFF file: which end numbers begin with, the place of a directory, and entries of 12 bytes (tag, type, count,
 * value). Nothing in it is trusted. */
struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool little;
};

/* A number of two or four bytes; 0 if it is not all there. */
static uint32_t number(const struct tiff *t, size_t at, size_t bytes) {
    uint32_t value = 0;
    if (at > t->count || t->count - at < bytes) return 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | t->bytes[at + (t->little ? bytes - 1 - i : i)];
    return value;
}

int nn_exif_orientation(const uint8_t *bytes, size_t count) {
    enum { ORIENTATION = 0x0112, SHORT = 3, ENTRY = 12 };
    struct tiff t = {bytes, count, count > 0 && bytes[0] == 'I'};
    if (count < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M') || number(&t, 2, 2) != 42) return 1;
    const size_t directory = number(&t, 4, 4);
    const size_t entries = number(&t, directory, 2);
    if (directory > count || count - directory < 2) return 1;
    for (size_t i = 0; i < entries && (count - directory - 2) / ENTRY > i; i++) {
        const size_t entry = directory + 2 + i * ENTRY;
        if (number(&t, entry, 2) != ORIENTATION) continue;
        const uint32_t value = number(&t, entry + 8, 2);
        const bool sound = number(&t, entry + 2, 2) == SHORT && number(&t, entry + 4, 4) == 1 && value >= 1 && value <= 8;
        return sound ? (int)value : 1;
    }
    return 1;
}

/* 1: as it is, 3: half a turn, 6 and 8: a quarter turn to the right and to the left; 2, 4, 5 and 7 are mirrored. From 5 on rows
 * become columns. */
bool nn_image_orient(nn_image *image, int orientation, char *message) {
    const bool turned = orientation >= 5;
    const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const size_t h = image->height, w = image->width, channels = image->channels;
    const size_t height = turned ? w : h, width = turned ? h : w;
    if (orientation <= 1 || orientation > 8) return true;
    uint8_t *upright = malloc(h * w * channels), *to = upright;
    if (!upright) return snprintf(message, NN_MESSAGE_BYTES, NN_NO_MEMORY), false;
    for (size_t i = 0; i < height; i++) {
        for (size_t k = 0; k < width; k++, to += channels) {
            const size_t y = turned ? k : i, x = turned ? i : k;
            const size_t from = (from_below ? h - 1 - y : y) * w + (from_right ? w - 1 - x : x);
            memcpy(to, image->pixels + from * channels, channels);
        }
    }
    free(image->pixels);
    *image = (nn_image){height, width, channels, upright};
    return true;
}
