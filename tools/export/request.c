/* SPDX-License-Identifier: MIT */
#include "request.h"

#define AT(member) OPTION_AT(struct export_request, member)

static const struct option_row rows[] = {
    {.name = "output", .letter = 'o', .kind = OPTION_TEXT, AT(output), .value = "FILE", .help = "The model that is written"},
    {.name = "fold",
     .kind = OPTION_ON,
     AT(fold),
     .help = "Fold the batch norms on the way, as `batchnorm fold` does",
     .more = "Those that cannot be folded exactly stay, and are counted."},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print what was written as one JSON object"},
};

static void set_defaults(void *request) { *(struct export_request *)request = (struct export_request){.output = NULL}; }

static const char *check(void *request, char *message) {
    const struct export_request *r = request;
    (void)message;
    if (r->checkpoints.count != 1) return r->checkpoints.count ? "one CHECKPOINT at a time" : "CHECKPOINT is missing";
    return r->output ? NULL : "-o FILE is missing: where does the model go?";
}

const struct option_table export_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct export_request),
    .defaults = set_defaults,
    .arguments = "CHECKPOINT -o FILE.onnx",
    .arguments_at = offsetof(struct export_request, checkpoints),
    .does = "Write a trained network as an ONNX model",
    .more =
        "CHECKPOINT is a file that train --save wrote. The model (opset 17) takes any number of images at a time, (N, C, H, "
        "W), normalized by mean and std, and gives logits. Batch norms stand in it as such, and its tensors have the names "
        "that they have in the checkpoint; names of the classes, mean and std of the pixels are among its metadata.",
    .check = check};
