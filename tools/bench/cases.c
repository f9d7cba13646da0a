/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include <stdio.h>

#include "tools/shared/convert.h"

const char *const bench_layout_names[] = {"nchw", "nhwc", NULL};
const char *const bench_operation_names[] = {"train", "eval", "backward", "stats", NULL};

/* The words of the library's list, and shorter ones for some, which are the ones that are printed. */
#define SHORTER(X) X(IDENTITY, "none") X(LEAKY_RELU, "leaky") X(CLIPPED_RELU, "clipped")
#define LISTED(kind, word, parameter, by_y) word,
#define WORD(kind, word) word,
#define KIND(kind, word) BATCHNORM_##kind,
const char *const bench_activation_words[] = {BATCHNORM_ACTIVATION_LIST(LISTED) SHORTER(WORD) NULL};
static const batchnorm_activation_kind shorter[] = {SHORTER(KIND)};
enum {
    SHORT_WORDS = sizeof shorter / sizeof *shorter,
    KINDS = sizeof bench_activation_words / sizeof *bench_activation_words - SHORT_WORDS - 1
};

batchnorm_activation_kind bench_activation_kind(size_t word) {
    return word < KINDS ? (batchnorm_activation_kind)word : shorter[word - KINDS];
}

const char *bench_activation_name(batchnorm_activation_kind kind) {
    for (int i = 0; i < SHORT_WORDS; i++)
        if (shorter[i] == kind) return bench_activation_words[KINDS + i];
    return bench_activation_words[kind];
}

enum { ARRAYS = 6 };

size_t bench_inner(const struct bench_shape *shape) {
    size_t inner = 1;
    for (int i = 2; i < shape->rank; i++) inner *= (size_t)shape->size[i];
    return inner;
}

size_t bench_array_bytes(const struct bench_shape *shape, batchnorm_dtype dtype) {
    size_t bytes = batchnorm_dtype_bytes(dtype);
    for (int i = 0; i < shape->rank; i++) {
        if (bytes > SIZE_MAX / ARRAYS / (size_t)shape->size[i]) return 0;
        bytes *= (size_t)shape->size[i];
    }
    return bytes;
}

/* x; a residual; in backward dy, and the residual only where an activation needs it. */
int bench_reads(const struct bench_case *c) {
    if (c->operation == BENCH_BACKWARD) return 2 + (c->residual && c->activation != BATCHNORM_IDENTITY);
    return 1 + c->residual;
}

/* y, or dx and the residual's gradient. */
int bench_writes(const struct bench_case *c) {
    if (c->operation == BENCH_STATS) return 0;
    return 1 + (c->operation == BENCH_BACKWARD && c->residual);
}

size_t bench_bytes(const struct bench_case *c) {
    return bench_array_bytes(&c->shape, c->dtype) * (size_t)(bench_reads(c) + bench_writes(c));
}

const char *bench_layout_name(const struct bench_case *c) {
    return bench_inner(&c->shape) == 1 ? "nc" : bench_layout_names[c->layout];
}

const char *bench_shape_text(const struct bench_shape *shape, char text[BENCH_SHAPE_TEXT_BYTES]) {
    int length = 0;
    for (int i = 0; i < shape->rank; i++) {
        const size_t room = (size_t)(BENCH_SHAPE_TEXT_BYTES - length);
        length += snprintf(text + length, room, i ? "x%ld" : "%ld", shape->size[i]);
    }
    return text;
}

const char *bench_case_text(const struct bench_case *c, char text[BENCH_CASE_TEXT_BYTES]) {
    char shape[BENCH_SHAPE_TEXT_BYTES];
    snprintf(text, BENCH_CASE_TEXT_BYTES, "%s %s %s %s, %d thread%s", bench_shape_text(&c->shape, shape), bench_layout_name(c),
             type_name(c->dtype), bench_operation_names[c->operation], c->threads, c->threads == 1 ? "" : "s");
    return text;
}
