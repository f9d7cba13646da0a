/* SPDX-License-Identifier: MIT */
/* An image of any size becomes one of the size that is wanted. The filter is a triangle as wide as two pixels of the result
 * (of the source, where it is enlarged): bilinear where it enlarges, and every pixel of the source counts where it shrinks.
 * Weights are ratios of integers and sums are integers, so that every machine gets the same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "message.h"

enum { SHIFT = 20, ONE = 1 << SHIFT }; /* the weights of a place add up to one */

/* One direction: what each place of the result takes from the source. */
struct axis {
    size_t count, taps;   /* places, and the most that one of them takes */
    size_t *first, *used; /* [count] */
    uint32_t *weights;    /* [count][taps] */
};

static void free_axis(struct axis *a) {
    free(a->first);
    free(a->used);
    free(a->weights);
}

/* The weight of source pixel x for a place whose centre is `centre`, all in halves of source / whole: how far the triangle's
 * foot lies beyond the centre of the pixel. */
static int64_t weight_of(size_t x, int64_t centre, size_t whole, int64_t foot) {
    const int64_t away = (int64_t)(2 * x + 1) * (int64_t)whole - centre;
    const int64_t left = foot - (away < 0 ? -away : away);
    return left > 0 ? left : 0;
}

/* Weights in ONEths. Each is a difference of two rounded sums, so that their sum is exact. */
static void fill_place(struct axis *a, size_t i, size_t source, size_t whole, size_t place) {
    const int64_t foot = 2 * (int64_t)(whole > source ? whole : source), centre = (int64_t)(2 * place + 1) * (int64_t)source;
    const int64_t low = centre - foot - (int64_t)whole;
    const size_t first = low < 0 ? 0 : (size_t)(low / (int64_t)(2 * whole)) + 1;
    uint64_t total = 0, sum = 0, before = 0;
    size_t used = 0;
    for (; first + used < source && weight_of(first + used, centre, whole, foot) > 0; used++)
        total += (uint64_t)weight_of(first + used, centre, whole, foot);
    for (size_t k = 0; k < used; k++) {
        sum += (uint64_t)weight_of(first + k, centre, whole, foot);
        const uint64_t now = (sum * ONE + total / 2) / total;
        a->weights[i * a->taps + k] = (uint32_t)(now - before);
        before = now;
    }
    a->first[i] = first;
    a->used[i] = used;
}

/* `source` pixels become `whole`, of which `count` are wanted, from number `from` on. */
static bool make_axis(struct axis *a, size_t source, size_t whole, size_t from, size_t count) {
    *a = (struct axis){.count = count, .taps = 2 * (source > whole ? source / whole + 1 : 1) + 1};
    a->first = malloc(count * sizeof *a->first);
    a->used = malloc(count * sizeof *a->used);
    a->weights = malloc(count * a->taps * sizeof *a->weights);
    if (!a->first || !a->used || !a->weights) return false;
    for (size_t i = 0; i < count; i++) fill_place(a, i, source, whole, from + i);
    return true;
}

static void shrink_row(const struct axis *a, const uint8_t *from, size_t channels, uint32_t *to) {
    for (size_t i = 0; i < a->count; i++) {
        const uint32_t *weights = a->weights + i * a->taps;
        const uint8_t *pixels = from + a->first[i] * channels;
        for (size_t c = 0; c < channels; c++, to++) {
            uint32_t sum = 0; /* at most 255 * ONE */
            for (size_t k = 0; k < a->used[i]; k++) sum += weights[k] * pixels[k * channels + c];
            *to = sum;
        }
    }
}

/* Rows of the source that were shrunk stay in a ring, as long as later rows of the result need them. */
static void filter(const nn_image *from, const struct axis *down, const struct axis *across, uint32_t *ring, uint8_t *to) {
    const size_t row = across->count * from->channels;
    size_t next = 0; /* the first row that was not shrunk yet */
    for (size_t i = 0; i < down->count; i++) {
        const uint32_t *weights = down->weights + i * down->taps;
        if (next < down->first[i]) next = down->first[i];
        for (; next < down->first[i] + down->used[i]; next++)
            shrink_row(across, from->pixels + next * from->width * from->channels, from->channels,
                       ring + next % down->taps * row);
        for (size_t j = 0; j < row; j++) {
            uint64_t sum = (uint64_t)ONE * ONE / 2;
            for (size_t k = 0; k < down->used[i]; k++)
                sum += (uint64_t)weights[k] * ring[(down->first[i] + k) % down->taps * row + j];
            *to++ = (uint8_t)(sum >> 2 * SHIFT);
        }
    }
}

/* Half of what is too much, rounded to even. */
static size_t half(size_t surplus) { return surplus / 2 + (surplus % 2 && surplus / 2 % 2); }

bool nn_image_fit(nn_image *image, const nn_size *size, char *message) {
    const size_t h = image->height, w = image->width, channels = image->channels;
    size_t height = size->height, width = size->width; /* of the whole, before it is cut */
    if (height == 0 || (h == height && w == width)) return true;
    if (size->fit == NN_CROP && h * width <= w * height)
        width = w * height / h;
    else if (size->fit == NN_CROP)
        height = h * width / w;
    struct axis down = {0}, across = {0};
    bool done = make_axis(&down, h, height, half(height - size->height), size->height) &&
                make_axis(&across, w, width, half(width - size->width), size->width);
    uint32_t *ring = done ? malloc(down.taps * size->width * channels * sizeof *ring) : NULL;
    uint8_t *pixels = malloc(size->height * size->width * channels);
    done = done && ring && pixels;
    if (done) filter(image, &down, &across, ring, pixels);
    free(done ? image->pixels : pixels);
    free(ring);
    free_axis(&down);
    free_axis(&across);
    if (!done) return snprintf(message, NN_MESSAGE_BYTES, NN_NO_MEMORY), false;
    *image = (nn_image){size->height, size->width, channels, pixels};
    return true;
}
