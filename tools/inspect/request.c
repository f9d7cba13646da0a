/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>

#define AT(member) OPTION_AT(struct inspect_request, member)

static const struct option_row rows[] = {
    {.name = "all", .kind = OPTION_ON, AT(all), .help = "List every tensor instead: name, type and sizes"},
    {.name = "prefix",
     .kind = OPTION_TEXT,
     AT(prefix),
     .value = "TEXT",
     .help = "Only batch norms or tensors whose names begin so"},
    {.name = "strict",
     .kind = OPTION_ON,
     AT(strict),
     .help = "Exit with status 1 if a batch norm is unhealthy or cannot be read"},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print one JSON object for each file"},
    {.name = "eps",
     .kind = OPTION_REAL,
     AT(eps),
     .value = "X",
     .range = {.least = 0, .most = 1},
     .usual = "of the file, where it tells",
     .help = "For a state: what its layers add to the variances, so that those below it are counted"},
    {.name = "cfg",
     .kind = OPTION_TEXT,
     AT(cfg),
     .value = "FILE.cfg",
     .usual = "beside FILE.weights",
     .help = "A FILE is the .weights of a Darknet network, of which this is the .cfg"},
    {.name = "assume-constant",
     .kind = OPTION_ON,
     AT(assume_constant),
     .help = "Take initializers that are inputs of the graph, too, for constants",
     .more = "From IR version 4 on a caller may replace them, and batch norms that depend on them are left."},
    {.name = "follow-symlinks",
     .kind = OPTION_ON,
     AT(follow_symlinks),
     .help = "Read external data through symbolic and hard links, as caches of downloads have them"},
};

bool inspect_wants(const struct inspect_request *r, const char *name) {
    return !r->prefix || strncmp(name, r->prefix, strlen(r->prefix)) == 0;
}

static void set_defaults(void *request) { *(struct inspect_request *)request = (struct inspect_request){.all = false}; }

static const char *check(void *request, char *message) {
    const struct inspect_request *r = request;
    (void)message;
    return r->files.count == 0 ? "FILE is missing" : NULL;
}

const struct option_table inspect_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct inspect_request),
    .defaults = set_defaults,
    .arguments = "FILE...",
    .arguments_at = offsetof(struct inspect_request, files),
    .does = "List the batch norms of a model, what is unhealthy about them, and what each could be folded into",
    .more = "A FILE is an ONNX model, a PyTorch checkpoint (.pth, .pt), a file of Keras (.keras, .h5), a Darknet network "
            "(.weights) or safetensors; nothing in it is run. In a state batch norms are found by their keys. A folder gives a "
            "table with a line for each of its files, in the order of their names: how a training's batch norms fared.",
    .check = check};
