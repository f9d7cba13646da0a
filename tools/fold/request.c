/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>

#define AT(member) OPTION_AT(struct fold_request, member)

static const char *add_pair(const char *text, void *request) {
    struct fold_request *r = request;
    const char *equal = strchr(text, '=');
    if (!equal || equal == text || !equal[1]) return "is not LAYER=NORM";
    if (r->pair_count == FOLD_MOST_PAIRS) return "is one pair too many";
    r->pairs[r->pair_count++] = text;
    return NULL;
}

static const char *add_input(const char *text, void *request) {
    struct fold_request *r = request;
    const char *equal = strchr(text, '=');
    if (!equal || equal == text || !equal[1]) return "is not NAME=FILE.npy";
    if (r->input_count == FOLD_MOST_INPUTS) return "is one input too many";
    r->inputs[r->input_count++] = text;
    return NULL;
}

static const struct option_row rows[] = {
    {.name = "output", .letter = 'o', .kind = OPTION_TEXT, AT(output), .value = "FILE", .help = "The model that is written"},
    {.name = "rewrite",
     .kind = OPTION_ON,
     AT(rewrite),
     .help = "Turn what cannot be folded into a Mul and an Add",
     .more = "Not where the model does not tell how many dimensions the input has, nor in training mode."},
    {.name = "assume-constant",
     .kind = OPTION_ON,
     AT(assume_constant),
     .help = "Take initializers that are inputs of the graph, too, for constants",
     .more = "From IR version 4 on a caller may replace them, and batch norms that depend on them are left."},
    {.name = "follow-symlinks",
     .kind = OPTION_ON,
     AT(follow_symlinks),
     .help = "Read external data through symbolic and hard links, as caches of downloads have them"},
    {.name = "require-all", .kind = OPTION_ON, AT(require_all), .help = "Exit with status 1 if a batch norm is left"},
    {.name = "explain",
     .kind = OPTION_ON,
     AT(explain),
     .help = "Print a line for each batch norm: into what it went, or why not"},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print the same as one JSON object"},
    {.name = "pair",
     .kind = OPTION_OWN,
     .value = "LAYER=NORM",
     .parse = add_pair,
     .help = "For a state: NORM follows LAYER and nothing is between; may be given several times",
     .more = "LAYER must have its output channels first: a transposed convolution has not, which a state does not tell. Both "
             "are prefixes of keys. A \\* in both stands for any text that they have in common: \"\\*.0=\\*.1\"."},
    {.name = "eps",
     .kind = OPTION_REAL,
     AT(eps),
     .given = offsetof(struct fold_request, has_eps),
     .value = "X",
     .range = {.least = 0, .most = 1},
     .usual = "of the file, where it tells",
     .help = "For a state: what is added to the variances"},
    {.name = "verify",
     .kind = OPTION_ON,
     AT(verify),
     .help = "Run both models through ONNX Runtime, where it is installed, and compare their outputs",
     .more = "Outputs that differ by more than rounding does make the exit status 1."},
    {.name = "input",
     .kind = OPTION_OWN,
     .value = "NAME=FILE.npy",
     .parse = add_input,
     .usual = "random numbers",
     .help = "With --verify: an input of the model; may be given several times"},
    {OPTION_RUNTIME, AT(runtime)},
};

static void set_defaults(void *request) { *(struct fold_request *)request = (struct fold_request){.pair_count = 0}; }

static const char *check(void *request, char *message) {
    const struct fold_request *r = request;
    (void)message;
    if (r->models.count != 1) return r->models.count ? "one MODEL at a time" : "MODEL is missing";
    if (!r->output) return "-o FILE is missing: where does the model go?";
    if (r->input_count && !r->verify) return "--input is for --verify";
    return NULL;
}

const struct option_table fold_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct fold_request),
    .defaults = set_defaults,
    .arguments = "MODEL.onnx -o FILE.onnx\nSTATE -o FILE.safetensors --pair LAYER=NORM --eps X",
    .arguments_at = offsetof(struct fold_request, models),
    .does = "Fold batch norms into the convolutions and products around them",
    .more =
        "Folding is exact: only what can be computed with other weights is folded, in double, and rounded once. Everything "
        "else in the file stays byte for byte what it was. A state (.pth, .safetensors) has no graph, so that pairs must be "
        "named, and is written as safetensors.",
    .check = check};
