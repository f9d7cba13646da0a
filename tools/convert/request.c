/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "tools/shared/conventions.h"

#define AT(member) OPTION_AT(struct convert_request, member)

static char *copied(const char *from, size_t bytes) {
    char *text = malloc(bytes + 1);
    if (!text) return NULL;
    memcpy(text, from, bytes);
    text[bytes] = '\0';
    return text;
}

static const char *add_count(const char *text, void *request) {
    static const char right[] = "is not N or LAYERS=N with a whole number of 2 to 9007199254740992";
    struct convert_request *r = request;
    const char *equal = strrchr(text, '='), *digits = equal ? equal + 1 : text;
    const size_t length = strlen(digits);
    if (equal == text || length == 0 || length > 16 || strspn(digits, "0123456789") != length) return right;
    const int64_t elements = strtoll(digits, NULL, 10);
    if (elements < 2 || elements > (int64_t)1 << 53) return right;
    if (r->count_count == CONVERT_MOST_COUNTS) return "is one count too many";
    char *layers = equal ? copied(text, (size_t)(equal - text)) : NULL;
    if (equal && !layers) return "does not fit into memory";
    r->counts[r->count_count].layers = layers;
    r->counts[r->count_count++].elements = (double)elements;
    return NULL;
}

static const char *const yes_or_no[] = {"no", "yes", NULL};

static const struct option_row rows[] = {
    {.name = "output", .letter = 'o', .kind = OPTION_TEXT, AT(output), .value = "FILE", .help = "The file that is written"},
    {.name = "to",
     .kind = OPTION_WORD,
     AT(to),
     .given = offsetof(struct convert_request, has_to),
     .words = convention_words,
     .help = "Whose names and meanings the file gets"},
    {.name = "from",
     .kind = OPTION_WORD,
     AT(from),
     .given = offsetof(struct convert_request, has_from),
     .words = convention_words,
     .usual = "recognized by names",
     .help = "Whose names and meanings FILE has"},
    {.name = "count",
     .kind = OPTION_OWN,
     .value = "[LAYERS=]N",
     .parse = add_count,
     .help = "Elements of a channel in a batch of the training, by which running variances become unbiased or biased",
     .more = "LAYERS is the name of a batch norm, or a pattern of the shell such as \"layer1.\\*\"; of several that fit the "
             "last one counts. Without it running variances stay as they are, so that outputs stay, too."},
    {.name = "eps",
     .kind = OPTION_REAL,
     AT(eps),
     .given = offsetof(struct convert_request, has_eps),
     .value = "X",
     .range = {.least = 0, .most = 1},
     .usual = "of the file, where it tells",
     .help = "What the batch norms add to the variances"},
    {.name = "momentum",
     .kind = OPTION_REAL,
     AT(momentum),
     .given = offsetof(struct convert_request, has_momentum),
     .value = "X",
     .range = {.least = 0, .most = 1},
     .usual = "of the file, where it tells",
     .help = "The momentum of the batch norms, as FILE's framework counts it"},
    {.name = "fix-gamma",
     .kind = OPTION_WORD,
     AT(fix_gamma),
     .given = offsetof(struct convert_request, has_fix_gamma),
     .words = yes_or_no,
     .usual = "of the file, where it tells",
     .help = "From MXNet: whether its batch norms have fix_gamma, which reads every gamma as 1"},
    {.name = "cfg",
     .kind = OPTION_TEXT,
     AT(cfg),
     .value = "FILE.cfg",
     .usual = "beside FILE.weights",
     .help = "FILE is the .weights of a Darknet network, of which this is the .cfg"},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print what was done as one JSON object"},
};

static void set_defaults(void *request) { *(struct convert_request *)request = (struct convert_request){.fix_gamma = -1}; }

static const char *check_output(const char *output) {
    static const char *const ends[] = {".pth", ".pt", ".onnx", ".h5", ".keras", ".weights", ".cfg", ".npz", ".params"};
    const size_t bytes = strlen(output);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (bytes > strlen(ends[i]) && strcmp(output + bytes - strlen(ends[i]), ends[i]) == 0)
            return "a state is written as safetensors: -o FILE.safetensors";
    return NULL;
}

static const char *check(void *request, char *message) {
    const struct convert_request *r = request;
    (void)message;
    if (r->files.count != 1) return r->files.count ? "one FILE at a time" : "FILE is missing";
    if (!r->output) return "-o FILE is missing: where does the state go?";
    return check_output(r->output);
}

const struct option_table convert_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct convert_request),
    .defaults = set_defaults,
    .arguments = "FILE -o FILE.safetensors",
    .arguments_at = offsetof(struct convert_request, files),
    .does = "Give the batch norms of a state the names and meanings of another framework",
    .more = "A FILE is a PyTorch checkpoint (.pth, .pt), a file of Keras (.keras, .h5), a Darknet network (.weights) or "
            "safetensors. Tensors that are no batch norm's stay byte for byte what they were.",
    .check = check};
