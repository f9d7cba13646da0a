/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "nn/machine.h"
#include "tools/shared/convert.h"
#include "tools/shared/numbers.h"

#define AT(member) OPTION_AT(struct bench_request, member)

static bool read_shape(const char *text, struct bench_shape *shape) {
    char word[OPTION_WORD_BYTES];
    shape->rank = 0;
    while (option_next_word(&text, ",x", word)) {
        int64_t size;
        if (shape->rank == BENCH_RANK || !parse_integer(word, 1, INT_MAX, &size)) return false;
        shape->size[shape->rank++] = (long)size;
    }
    return shape->rank >= 2;
}

static const char *add_shape(const char *text, void *request) {
    struct bench_request *r = request;
    struct bench_shape shape;
    if (!read_shape(text, &shape)) return "is not N,C or N,C,L or N,C,H,W or N,C,D,H,W, each 1 or more";
    if (bench_array_bytes(&shape, BATCHNORM_F64) == 0) return "does not fit the address space";
    if (r->shape_count == BENCH_MOST_SHAPES) return "is one too many: there may be 256 shapes";
    r->shapes[r->shape_count++] = shape;
    return NULL;
}

static const char *add_threads(const char *text, void *request) {
    struct bench_request *r = request;
    const char *rest = text;
    char word[OPTION_WORD_BYTES];
    while (option_next_word(&rest, ",", word)) {
        int64_t number;
        if (!parse_integer(word, 1, 1024, &number)) return "is not a whole number from 1 to 1024, or several with commas";
        if (number > 1 && !bench_has_openmp()) return "needs OpenMP, which this build is without; it has one thread";
        if (r->thread_count == BENCH_MOST_THREAD_COUNTS) return "has one too many: there may be 64 numbers";
        r->threads[r->thread_count++] = (int)number;
    }
    return NULL;
}

static const struct option_row rows[] = {
    {.help = ""},
    {.name = "shape",
     .kind = OPTION_OWN,
     .parse = add_shape,
     .value = "N,C[,...]",
     .usual = "those of a ResNet-50 with batch 32",
     .help = "Sizes N,C or N,C,L or N,C,H,W or N,C,D,H,W; can be given several times",
     .more = "An x may stand for the comma. Those of a ResNet-50 are 32x64x112x112, 32x64x56x56, 32x256x56x56, 32x512x28x28, "
             "32x1024x14x14 and 32x2048x7x7, and 128x512."},
    {.name = "dtype",
     .kind = OPTION_WORDS,
     AT(dtypes),
     .words = dtype_words,
     .usual = "f32",
     .help = "The types of the elements, one or several with commas"},
    {.name = "layout",
     .kind = OPTION_WORDS,
     AT(layouts),
     .words = bench_layout_names,
     .all = "both",
     .usual = "both",
     .help = "The channels before the other sizes or after them; several with commas",
     .more =
         "_nchw_ has the channels before the other sizes (batchnorm_planar()), _nhwc_ after them (batchnorm_channels_last()), "
         "for any number of sizes. For (N, C) there is one layout, shown as nc."},
    {.help = ""},
    {.name = "op",
     .kind = OPTION_WORDS,
     AT(operations),
     .words = bench_operation_names,
     .all = "all",
     .usual = "all",
     .help = "What is timed, one or several with commas",
     .more = "_train_ is forward with the statistics of the batch, _eval_ forward with given statistics, _backward_ the "
             "gradients, _stats_ the statistics alone."},
    {.name = "act",
     .kind = OPTION_WORD,
     AT(activation),
     .words = bench_activation_words,
     .help = "An activation in the same call; a slope is 0.01, a ceiling 6",
     .more = "_none_ is the identity, _leaky_ and _clipped_ are short for _leaky_relu_ and _clipped_relu_. Not for stats."},
    {.name = "residual",
     .kind = OPTION_ON,
     AT(residual),
     .help = "Add a residual before the activation, in the same call",
     .more = "Not for stats."},
    {.help = ""},
    {.name = "threads",
     .kind = OPTION_OWN,
     .parse = add_threads,
     .value = "N",
     .usual = "as many as there are cores",
     .help = "Threads, 1 to 1024, one or several numbers with commas",
     .more = "A build without OpenMP has one."},
    {.name = "seconds",
     .kind = OPTION_REAL,
     AT(seconds),
     .value = "S",
     .range = {.most = 3600, .above = true},
     .help = "How long each case is timed, its copies included"},
    {.name = "explain",
     .kind = OPTION_ON,
     AT(explain),
     .help = "Time nothing: print how each case would go, and from what that is decided",
     .more = "The caches, the limits, blocks of channels, pieces, items of work, how many bytes ahead is fetched and whether "
             "outputs are written past the caches; docs/performance.md explains them. With *--json*, one object per case."},
    {.name = "tune",
     .kind = OPTION_ON,
     AT(tune),
     .help = "Look for the numbers by which the library is fastest on this machine",
     .more = "Candidates of every number of batchnorm_tuning() are timed in turns with the best row so far, in the cases that "
             "they change, for *--seconds* each; one is taken that gains 2 % in their mean and loses 5 % in none. Prints the "
             "best row, and what it gains, case by case. With the usual cases and *--seconds=0.3* it takes about ten minutes."},
    {.help = ""},
    {.name = "json",
     .kind = OPTION_ON,
     AT(json),
     .help = "Print JSON: one object about the machine, then one per case",
     .more = "Each is on a line of its own; see _JSON_ below."},
    {.name = "csv",
     .kind = OPTION_ON,
     AT(csv),
     .help = "Print comma-separated values",
     .more = "The names of the columns are in the first line, and the machine in every other."},
    {.name = "svg",
     .kind = OPTION_TEXT,
     AT(svg),
     .value = "FILE",
     .help = "Draw the shares as bars, too; needs gnuplot",
     .more = "The file is made as the outputs of *apply* are."},
};

static void set_defaults(void *request) { *(struct bench_request *)request = (struct bench_request){.seconds = 1}; }

/* Lists that nothing was given for. */
static void fill_lists(struct bench_request *r) {
    static const struct bench_shape shapes[] = {
        {4, {32, 64, 112, 112}}, {4, {32, 64, 56, 56}}, {4, {32, 256, 56, 56}}, {4, {32, 512, 28, 28}},
        {4, {32, 1024, 14, 14}}, {4, {32, 2048, 7, 7}}, {2, {128, 512}},
    };
    if (r->shape_count == 0) {
        r->shape_count = sizeof shapes / sizeof shapes[0];
        memcpy(r->shapes, shapes, sizeof shapes);
    }
    if (r->thread_count == 0) r->threads[r->thread_count++] = bench_has_openmp() ? nn_default_threads() : 1;
    if (!r->dtypes) r->dtypes = 1u << BATCHNORM_F32;
    if (!r->layouts) r->layouts = (1u << BENCH_LAYOUTS) - 1;
    if (!r->operations) r->operations = (1u << BENCH_OPERATIONS) - 1;
}

static const char *check(void *request, char *message) {
    struct bench_request *r = request;
    char text[BENCH_SHAPE_TEXT_BYTES];
    fill_lists(r);
    r->activation = bench_activation_kind(r->activation);
    if (r->json && r->csv) return "--json and --csv exclude each other";
    if (r->tune && (r->json || r->csv || r->svg || r->explain))
        return "--tune prints lines of its own: it excludes --json, --csv, --svg and --explain";
    if (r->explain && r->csv) return "--explain and --csv exclude each other";
    if (r->explain && r->svg) return "--explain and --svg exclude each other: nothing is timed that could be drawn";
    for (size_t i = 0; i < r->shape_count && (r->operations >> BENCH_TRAIN & 1); i++) {
        if ((size_t)r->shapes[i].size[0] * bench_inner(&r->shapes[i]) > 1) continue;
        snprintf(message, OPTION_MESSAGE_BYTES, "--shape: '%s' has one value per channel; train needs 2 or more",
                 bench_shape_text(&r->shapes[i], text));
        return message;
    }
    if (r->operations != 1u << BENCH_STATS) return NULL;
    if (r->residual) return "--residual: stats has none; choose another --op too";
    return r->activation != BATCHNORM_IDENTITY ? "--act: stats has none; choose another --op too" : NULL;
}

const struct option_table bench_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct bench_request),
    .defaults = set_defaults,
    .does = "Show how close the library comes to the speed of copying memory, on this machine",
    .more =
        "For each case: milliseconds of one call (median), GB/s of the bytes that have to move at least, GB/s of a copy of the "
        "same bytes by as many threads, in turns with the call, and the call's share of that. train and eval copy x to y; "
        "backward reads x and dy and writes dx; stats reads x; a residual is read too, and in backward its gradient written. "
        "The copy is the faster of one with normal and one with non-temporal stores, with the widest vectors there "
        "are.\n\n--shape, --dtype, --layout, --op and --threads can be given several times, and add up. Without options it "
        "takes about a minute and 310 MB.",
    .check = check};

enum bench_format bench_request_format(const struct bench_request *r) {
    return r->json ? BENCH_JSON : r->csv ? BENCH_CSV : BENCH_TABLE;
}

/* The cases of one shape, one type and one number of threads. Returns how many; `to` may be NULL. */
static size_t list_cases(const struct bench_request *r, struct bench_case c, struct bench_case *to) {
    size_t count = 0;
    for (int layout = 0; layout < BENCH_LAYOUTS; layout++) {
        const bool same = bench_inner(&c.shape) == 1 && layout > 0 && (r->layouts & 1); /* (N, C) has one layout */
        if (!(r->layouts >> layout & 1) || same) continue;
        for (int operation = 0; operation < BENCH_OPERATIONS; operation++) {
            if (!(r->operations >> operation & 1)) continue;
            c.layout = (enum bench_layout)layout;
            c.operation = (enum bench_operation)operation;
            c.activation = operation == BENCH_STATS ? BATCHNORM_IDENTITY : r->activation;
            c.residual = operation == BENCH_STATS ? false : r->residual;
            if (to) to[count] = c;
            count++;
        }
    }
    return count;
}

static size_t list_all(const struct bench_request *r, struct bench_case *to) {
    size_t count = 0;
    for (size_t shape = 0; shape < r->shape_count; shape++) {
        for (int dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++) {
            for (size_t i = 0; i < r->thread_count && (r->dtypes >> dtype & 1); i++) {
                const struct bench_case c = {
                    .shape = r->shapes[shape], .dtype = (batchnorm_dtype)dtype, .threads = r->threads[i]};
                count += list_cases(r, c, to ? to + count : NULL);
            }
        }
    }
    return count;
}

struct bench_case *bench_request_cases(const struct bench_request *request, size_t *count) {
    *count = list_all(request, NULL);
    struct bench_case *cases = malloc(*count * sizeof *cases);
    if (cases) list_all(request, cases);
    return cases;
}
