/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "nn/parallel.h"
#include "tools/shared/convert.h"
#include "tools/shared/numbers.h"

enum { KEY_SHAPE = 256, KEY_DTYPE, KEY_LAYOUT, KEY_OP, KEY_ACT, KEY_RESIDUAL, KEY_THREADS, KEY_SECONDS };
enum { KEY_JSON = 300, KEY_CSV, KEY_SVG };

static const struct argp_option options[] = {
    {"shape", KEY_SHAPE, "N,C[,...]", 0, "Sizes N,C or N,C,L or N,C,H,W or N,C,D,H,W (those of a ResNet-50 with batch 32)", 1},
    {"dtype", KEY_DTYPE, "TYPE", 0, "f32, f64, bf16 or f16 (f32)", 1},
    {"layout", KEY_LAYOUT, "LAYOUT", 0, "nchw, nhwc or both: where the channels lie, for any number of sizes (both)", 1},
    {"op", KEY_OP, "OPERATION", 0, "train, eval, backward, stats or all (all)", 2},
    {"act", KEY_ACT, "ACTIVATION", 0, "none, relu, leaky (slope 0.01) or clipped (at 6), in the same call (none)", 2},
    {"residual", KEY_RESIDUAL, NULL, 0, "Add a residual before the activation, in the same call", 2},
    {"threads", KEY_THREADS, "N", 0, "Threads (as many as OpenMP offers)", 3},
    {"seconds", KEY_SECONDS, "S", 0, "How long each case is timed, its copies included (1)", 3},
    {"json", KEY_JSON, NULL, 0, "Print JSON: one object about the machine, then one per case", 4},
    {"csv", KEY_CSV, NULL, 0, "Print comma-separated values", 4},
    {"svg", KEY_SVG, "FILE", 0, "Draw the shares as bars, too; needs gnuplot", 4},
    {0}};

static const char doc[] =
    "Show how close the library comes to the speed of copying memory, on this machine."
    "\vFor each case: milliseconds of one call (median), GB/s of the bytes that have to move at least, GB/s of a copy of the "
    "same bytes by as many threads, in turns with the call, and the call's share of that. train and eval copy x to y; backward "
    "reads x and dy and writes dx; stats reads x; a residual is read too, and in backward its gradient written. The copy is "
    "the "
    "faster of one with normal and one with non-temporal stores, with the widest vectors there are."
    "\n\n--shape, --dtype, --layout, --op and --threads can be given several times; the last four take lists, such as 1,2. "
    "Without options it takes about a minute and 310 MB."
    "\n\nExit status: 0 success, 1 failure, 2 wrong usage.";

/* Say what is wrong with an option's value, and leave. */
static error_t wrong(struct argp_state *state, const char *option, const char *value, const char *right) {
    argp_error(state, "%s: '%s' is not %s", option, value, right);
    return EINVAL;
}

/* The next word of a list; false at its end. A word that does not fit is cut, and so is none that has a meaning. */
enum { WORD_BYTES = 24 };
static bool next_word(const char **text, const char *separators, char word[WORD_BYTES]) {
    if (!*text) return false;
    const size_t length = strcspn(*text, separators), kept = length < WORD_BYTES - 1 ? length : WORD_BYTES - 1;
    memcpy(word, *text, kept);
    word[kept] = '\0';
    *text = (*text)[length] ? *text + length + 1 : NULL;
    return true;
}

/* Names into bits; `all` stands for every bit. */
static bool parse_names(const char *text, const char *const names[], int count, const char *all, unsigned *bits) {
    char word[WORD_BYTES];
    while (next_word(&text, ",", word)) {
        unsigned found = strcmp(word, all) == 0 ? (1u << count) - 1 : 0;
        for (int i = 0; i < count; i++)
            if (strcmp(word, names[i]) == 0) found |= 1u << i;
        if (!found) return false;
        *bits |= found;
    }
    return true;
}

static bool parse_dtypes(const char *text, unsigned *bits) {
    char word[WORD_BYTES];
    batchnorm_dtype dtype;
    while (next_word(&text, ",", word)) {
        if (!parse_dtype(word, &dtype)) return false;
        *bits |= 1u << dtype;
    }
    return true;
}

static bool parse_shape(const char *text, struct bench_shape *shape) {
    char word[WORD_BYTES];
    shape->rank = 0;
    while (next_word(&text, ",x", word)) {
        if (shape->rank == BENCH_RANK || !parse_integer(word, 1, INT_MAX, &shape->size[shape->rank])) return false;
        shape->rank++;
    }
    return shape->rank >= 2;
}

static error_t add_shape(struct argp_state *state, const char *text, struct bench_request *r) {
    if (r->shape_count == BENCH_MOST_SHAPES) argp_error(state, "--shape: there are more than %d", BENCH_MOST_SHAPES);
    struct bench_shape *shape = &r->shapes[r->shape_count++];
    if (!parse_shape(text, shape)) return wrong(state, "--shape", text, "N,C or N,C,L or N,C,H,W or N,C,D,H,W, each 1 or more");
    if (bench_array_bytes(shape, BATCHNORM_F64) == 0) argp_error(state, "--shape: '%s' does not fit the address space", text);
    return 0;
}

static error_t add_threads(struct argp_state *state, const char *text, struct bench_request *r) {
    const char *rest = text;
    char word[WORD_BYTES];
    long number;
    while (next_word(&rest, ",", word)) {
        if (!parse_integer(word, 1, 1024, &number)) return wrong(state, "--threads", text, "a number from 1 to 1024");
        if (number > 1 && !bench_has_openmp())
            argp_error(state, "--threads: '%s': this build is without OpenMP and has one thread", text);
        if (r->thread_count == BENCH_MOST_THREAD_COUNTS)
            argp_error(state, "--threads: there are more than %d numbers", BENCH_MOST_THREAD_COUNTS);
        r->threads[r->thread_count++] = (int)number;
    }
    return 0;
}

static error_t set_activation(struct argp_state *state, const char *text, struct bench_request *r) {
    for (int i = 0; i < BENCH_ACTIVATIONS; i++) {
        if (strcmp(text, bench_activation_names[i]) != 0) continue;
        r->activation = (enum bench_activation)i;
        return 0;
    }
    return wrong(state, "--act", text, "none, relu, leaky or clipped");
}

static error_t set_format(struct argp_state *state, enum bench_format format, struct bench_request *r) {
    if (r->format != BENCH_TABLE && r->format != format) argp_error(state, "--json and --csv exclude each other");
    r->format = format;
    return 0;
}

static void set_defaults(struct bench_request *r) {
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

static error_t finish(struct argp_state *state, struct bench_request *r) {
    char text[BENCH_SHAPE_TEXT_BYTES];
    set_defaults(r);
    for (size_t i = 0; i < r->shape_count && (r->operations >> BENCH_TRAIN & 1); i++) {
        if ((size_t)r->shapes[i].size[0] * bench_inner(&r->shapes[i]) > 1) continue;
        argp_error(state, "--shape: '%s' has one value per channel; train needs 2 or more",
                   bench_shape_text(&r->shapes[i], text));
    }
    if (r->operations == 1u << BENCH_STATS && (r->activation != BENCH_NONE || r->residual))
        argp_error(state, "%s: stats has none; choose another --op too", r->residual ? "--residual" : "--act");
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct bench_request *r = state->input;
    switch (key) {
    case KEY_SHAPE:
        return add_shape(state, text, r);
    case KEY_DTYPE:
        return parse_dtypes(text, &r->dtypes) ? 0 : wrong(state, "--dtype", text, "f32, f64, bf16 or f16");
    case KEY_LAYOUT:
        if (parse_names(text, bench_layout_names, BENCH_LAYOUTS, "both", &r->layouts)) return 0;
        return wrong(state, "--layout", text, "nchw, nhwc or both");
    case KEY_OP:
        if (parse_names(text, bench_operation_names, BENCH_OPERATIONS, "all", &r->operations)) return 0;
        return wrong(state, "--op", text, "train, eval, backward, stats or all");
    case KEY_ACT:
        return set_activation(state, text, r);
    case KEY_RESIDUAL:
        r->residual = true;
        return 0;
    case KEY_THREADS:
        return add_threads(state, text, r);
    case KEY_SECONDS:
        if (parse_real(text, &r->seconds) && r->seconds > 0 && r->seconds <= 3600) return 0;
        return wrong(state, "--seconds", text, "a number above 0, at most 3600");
    case KEY_JSON:
        return set_format(state, BENCH_JSON, r);
    case KEY_CSV:
        return set_format(state, BENCH_CSV, r);
    case KEY_SVG:
        r->svg = text;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not an option; bench takes no files", text);
        return 0;
    case ARGP_KEY_END:
        return finish(state, r);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void bench_request_parse(struct bench_request *request, int argc, char **argv) {
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    *request = (struct bench_request){.seconds = 1};
    argp_parse(&argp, argc, argv, 0, NULL, request);
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
            c.activation = operation == BENCH_STATS ? BENCH_NONE : r->activation;
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
