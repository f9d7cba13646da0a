/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>

#include "tools/shared/convert.h"
#include "tools/shared/numbers.h"

#define AT(member) OPTION_AT(struct request, member)

static const char *const dims[] = {"1", "2", "3", NULL};

static const char *parse_momentum(const char *text, void *request) {
    struct request *r = request;
    r->layer.cumulative = strcmp(text, "none") == 0 || strcmp(text, "None") == 0; /* as PyTorch spells it */
    return r->layer.cumulative || parse_real(text, &r->layer.convention.momentum) ? NULL : "is not a number or none";
}

static const struct option_row rows[] = {
    {.help = ""},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     AT(outputs[OUT_Y].argument),
     .value = "FILE",
     .help = "Where y goes (required, unless another output or --print is wanted)",
     .more = "It has the type and the shape of _X_."},
    {.help = ""},
    {.name = "dims",
     .kind = OPTION_WHOLE,
     AT(layer.dims),
     .words = dims,
     .help = "BatchNorm1d, BatchNorm2d or BatchNorm3d (required)",
     .more = "1 takes arrays (N, C) and (N, C, L), 2 takes (N, C, H, W), 3 takes (N, C, D, H, W)."},
    {.name = "eval",
     .kind = OPTION_ON,
     AT(eval),
     .help = "Evaluation mode; without it, training mode",
     .more = "Evaluation normalizes with the running statistics, which are 0 and 1 without *--state*."},
    {.name = "eps",
     .kind = OPTION_REAL,
     AT(layer.convention.eps),
     .given = offsetof(struct request, has_eps),
     .value = "E",
     .usual = "that of the --state file, else 1e-5",
     .help = "Added to the variance"},
    {.name = "momentum",
     .kind = OPTION_OWN,
     .parse = parse_momentum,
     .given = offsetof(struct request, has_momentum),
     .value = "M|none",
     .usual = "that of the --state file, else 0.1",
     .help = "Weight of the new value in running statistics; none: cumulative average",
     .more = "A cumulative average is the plain one over all batches."},
    {.name = "no-affine", .kind = OPTION_OFF, AT(layer.affine), .help = "No weight and no bias"},
    {.name = "no-bias", .kind = OPTION_OFF, AT(layer.bias), .help = "No bias"},
    {.name = "no-track",
     .kind = OPTION_OFF,
     AT(layer.track_running_stats),
     .help = "No running statistics",
     .more = "With *--eval* the layer then normalizes with the statistics of _X_ too."},
    {.help = ""},
    {.name = "channels-last",
     .kind = OPTION_ON,
     AT(channels_last),
     .help = "Arrays are (N, ..., C) instead of (N, C, ...)",
     .more = "This is so for _X_, y, dy and dx. They are computed so; nothing is transposed."},
    {.name = "dtype",
     .kind = OPTION_WORD,
     AT(dtype),
     .given = offsetof(struct request, convert),
     .words = dtype_words,
     .usual = "",
     .help = "Convert x on reading; y and dx then have that type",
     .more = "Elements are rounded to the nearest."},
    {.help = ""},
    {.name = "state",
     .kind = OPTION_TEXT,
     AT(state),
     .value = "FILE",
     .help = "Load parameters and statistics from a safetensors file or a PyTorch checkpoint",
     .more =
         "It has exactly the keys that PyTorch's _state_dict_ has for this layer; _num_batches_tracked_ may be missing. Of a "
         "whole network's file, _FILE.safetensors:bn1_ or _FILE.pth:bn1_ is the layer whose keys begin with \"bn1.\". eps and "
         "momentum are taken from its metadata, where *--save-state* put them."},
    {.name = "prefix",
     .kind = OPTION_TEXT,
     AT(prefix),
     .value = "P",
     .usual = "",
     .help = "Of the --state file, the layer whose keys begin with P, as in \"bn1.\""},
    {.name = "save-state",
     .kind = OPTION_TEXT,
     AT(outputs[OUT_STATE].argument),
     .value = "FILE",
     .help = "Save parameters and statistics as they are after the run, under PyTorch's keys",
     .more = "The safetensors file is new, and takes the place of an old one."},
    {.help = ""},
    {.name = "grad",
     .kind = OPTION_TEXT,
     AT(dy),
     .value = "FILE",
     .help = "Gradient dy of y: run backward too",
     .more = "It is an array of the shape of _X_, and is converted to the type of y."},
    {.name = "dx",
     .kind = OPTION_TEXT,
     AT(outputs[OUT_DX].argument),
     .value = "FILE",
     .help = "Where the gradient of x goes",
     .more = "It has the type and the shape of _X_."},
    {.name = "dweight",
     .kind = OPTION_TEXT,
     AT(outputs[OUT_DWEIGHT].argument),
     .value = "FILE",
     .help = "Where the gradient of the weight goes, an array (C,)"},
    {.name = "dbias",
     .kind = OPTION_TEXT,
     AT(outputs[OUT_DBIAS].argument),
     .value = "FILE",
     .help = "Where the gradient of the bias goes, an array (C,)"},
    {.help = ""},
    {.name = "threads",
     .kind = OPTION_WHOLE,
     AT(threads),
     .value = "N",
     .limits = {0, 1024},
     .help = "Threads at most; 0: as many as there are cores",
     .more = "Results do not depend on it."},
    {.name = "print",
     .kind = OPTION_ON,
     AT(print),
     .help = "Print the layer as it is after the run",
     .more = "That is its options, parameters, gradients and running statistics."},
};

static void set_defaults(void *request) {
    struct request *r = request;
    *r = (struct request){.layer = batchnorm_layer_defaults(2, 0),
                          .outputs = {[OUT_Y] = {.option = "-o"},
                                      [OUT_DX] = {.option = "--dx"},
                                      [OUT_DWEIGHT] = {.option = "--dweight"},
                                      [OUT_DBIAS] = {.option = "--dbias"},
                                      [OUT_STATE] = {.option = "--save-state", .whole_file = true}}};
    r->layer.dims = 0; /* no default: it must be said */
}

/* Finds what lies between a file and one of its layers, the colon; NULL: the file is all. */
static const char *find_layer(const char *state) {
    static const char *const ends[] = {".safetensors:", ".pth:", ".pt:"};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *found = strstr(state, ends[i]);
        const char *colon = found ? found + strlen(ends[i]) - 1 : NULL;
        if (colon && (!first || colon < first)) first = colon;
    }
    return first;
}

/* FILE.safetensors:bn1 is the layer whose keys begin with "bn1.". */
static const char *check_state(struct request *r, char *message) {
    const char *colon = r->state ? find_layer(r->state) : NULL;
    r->state_file = r->state;
    if (r->prefix && !r->state) return "--prefix needs --state";
    if (colon && r->prefix) return "--prefix is for a --state that names no layer itself";
    if (!r->prefix) r->prefix = "";
    if (!colon) return NULL;
    const size_t bytes = (size_t)(colon - r->state);
    const char *layer = colon + 1;
    if (snprintf(r->state_path, sizeof r->state_path, "%.*s", (int)bytes, r->state) >= (int)sizeof r->state_path ||
        snprintf(r->state_prefix, sizeof r->state_prefix, "%s%s", layer,
                 *layer && layer[strlen(layer) - 1] != '.' ? "." : "") >= (int)sizeof r->state_prefix) {
        snprintf(message, OPTION_MESSAGE_BYTES, "--state: '%.100s...' is too long", r->state);
        return message;
    }
    r->state_file = r->state_path;
    r->prefix = r->state_prefix;
    return NULL;
}

/* Standard input can be read once. */
static const char *check_stdin(const struct request *r, char *message) {
    const struct { const char *name, *argument; } inputs[] = {{"X", r->x}, {"--state", r->state}, {"--grad", r->dy}};
    const char *first = NULL;
    for (int i = 0; i < 3; i++) {
        if (!inputs[i].argument || strcmp(inputs[i].argument, "-") != 0) continue;
        if (first) {
            snprintf(message, OPTION_MESSAGE_BYTES, "both %s and %s are standard input; one can be", first, inputs[i].name);
            return message;
        }
        first = inputs[i].name;
    }
    return NULL;
}

/* --state FILE.safetensors:bn1 is a layer of a file; there is no writing it back. */
static bool saves_into_layer(const struct request *r) {
    const char *argument = r->outputs[OUT_STATE].argument;
    return argument && strstr(argument, ".safetensors:");
}

/* What --print prints is no part of an array. */
static bool prints_into_output(const struct request *r) {
    for (int i = 0; i < OUTPUTS; i++)
        if (r->print && r->outputs[i].argument && strcmp(r->outputs[i].argument, "-") == 0) return true;
    return false;
}

static const char *check(void *request, char *message) {
    struct request *r = request;
    const struct output *o = r->outputs;
    if (r->arguments.count == 0) return "the array X is missing";
    if (r->arguments.count > 1) {
        snprintf(message, OPTION_MESSAGE_BYTES, "there is one array X, but both '%.400s' and '%.400s' were given",
                 r->arguments.at[0], r->arguments.at[1]);
        return message;
    }
    r->x = r->arguments.at[0];
    bool wants_something = r->print;
    for (int i = 0; i < OUTPUTS; i++) wants_something = wants_something || o[i].argument;
    if (!wants_something) return "-o is missing: where does y go?";
    const char *wrong = check_state(r, message);
    if (!wrong) wrong = check_stdin(r, message);
    if (wrong) return wrong;
    if (saves_into_layer(r)) return "--save-state writes a file of its own, and no layer of another";
    if (prints_into_output(r)) return "--print and an output are both standard output; one can be";
    if (r->layer.dims == 0) return "--dims is missing; it must be 1, 2 or 3";
    for (int i = OUT_DX; i <= OUT_DBIAS; i++) {
        if (!o[i].argument || r->dy) continue;
        snprintf(message, OPTION_MESSAGE_BYTES, "%s needs --grad", o[i].option);
        return message;
    }
    if (o[OUT_DWEIGHT].argument && !r->layer.affine) return "--dweight: with --no-affine there is no weight";
    if (o[OUT_DBIAS].argument && !r->layer.affine) return "--dbias: with --no-affine there is no bias";
    if (o[OUT_DBIAS].argument && !r->layer.bias) return "--dbias: with --no-bias there is no bias";
    return NULL;
}

const struct option_table apply_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct request),
    .defaults = set_defaults,
    .arguments = "X",
    .arguments_at = offsetof(struct request, arguments),
    .does = "Run one batch normalization layer over the array X, and write y",
    .more = "An array is a NumPy file (X.npy: f2, f4 or f8, C or Fortran order, little- or big-endian) or a tensor in a "
            "safetensors file (FILE.safetensors:NAME), which alone can hold bf16. - is standard input, or output. All outputs "
            "are written, or none is touched.",
    .check = check};
