/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>

#include "nn/dataset.h"
#include "nn/machine.h"

#define AT(member) OPTION_AT(struct predict_request, member)

static const struct option_row rows[] = {
    {.name = "checkpoint",
     .kind = OPTION_TEXT,
     AT(checkpoint),
     .value = "FILE",
     .help = "The network: a file that train --save wrote"},
    {.name = "data",
     .kind = OPTION_TEXT,
     AT(data),
     .value = "PATH",
     .help = "Instead of images: how well it does on the test images of a data set, as for train",
     .more =
         "The accuracy and the mean loss are printed. The data set must have the same classes, and images of the same size."},
    {.name = "skip-bad",
     .kind = OPTION_ON,
     AT(skip_bad),
     .help = "With --data: pass over images in folders that cannot be read, as train does"},
    {.name = "top",
     .kind = OPTION_WHOLE,
     AT(top),
     .value = "K",
     .limits = {1, NN_MAX_CLASSES},
     .help = "Print the K most probable classes of each image"},
    {OPTION_THREADS, AT(threads)},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print one JSON object per image"},
};

static void set_defaults(void *request) {
    *(struct predict_request *)request = (struct predict_request){.top = 3, .threads = nn_default_threads()};
}

static const char *check(void *request, char *message) {
    const struct predict_request *r = request;
    int from_stdin = r->checkpoint && strcmp(r->checkpoint, "-") == 0;
    (void)message;
    if (!r->checkpoint) return "--checkpoint FILE is missing";
    if (!r->data && r->images.count == 0) return "images are missing, or --data PATH";
    for (int i = 0; i < r->images.count; i++) from_stdin += strcmp(r->images.at[i], "-") == 0;
    if (from_stdin > 1) return "standard input, -, can be read once";
    if (r->skip_bad && !r->data) return "--skip-bad is about --data; single images are passed over anyway";
    return r->data && r->images.count > 0 ? "--data goes without images" : NULL;
}

const struct option_table predict_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct predict_request),
    .defaults = set_defaults,
    .arguments = "IMAGE...\n--data PATH",
    .arguments_at = offsetof(struct predict_request, images),
    .does = "Print the classes of images, most probable first, with their probabilities",
    .more =
        "Images are PNG or JPEG files of the size that the network was trained on, or of any size, if that was with --size; - "
        "is standard input, for the checkpoint, too. Colours are turned into grey, or grey into colours, as it needs. What "
        "cannot be read is told, and the others are predicted.",
    .check = check};
