/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <limits.h>
#include <math.h>

#include "nn/choices.h"
#include "nn/machine.h"

#define AT(member) OPTION_AT(struct compare_request, member)

static const struct option_row rows[] = {
    {.help = ""},
    {.name = "quick",
     .kind = OPTION_ON,
     AT(quick),
     .help = "A small comparison, of about two minutes on two cores; this is the default",
     .more = "It has 4,000 training and 1,000 test images, and 3 seeds; the time is that of the cnn."},
    {.name = "full",
     .kind = OPTION_ON,
     AT(full),
     .help = "A large one, of about an hour: all images, more passes",
     .more = "The files are written anew after every experiment."},
    {.name = "only",
     .kind = OPTION_WORDS,
     AT(experiments),
     .words = experiment_names,
     .value = "EXPERIMENT",
     .usual = "all of them",
     .help = "One experiment, or several with commas; best runs sweep too"},
    {.name = "seeds",
     .kind = OPTION_WHOLE,
     AT(seeds),
     .value = "N",
     .limits = {1, MOST_SEEDS},
     .usual = "3",
     .help = "How many seeds, of initial weights and of the order of images",
     .more = "They are 1, 2, ..., _N_."},
    {.help = ""},
    {.name = "out",
     .kind = OPTION_TEXT,
     AT(out),
     .value = "DIR",
     .help = "Where the files go",
     .more = "The directory is made if it is not there."},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print one JSON object for each claim instead of a table"},
    {.help = ""},
    {.name = "model", .kind = OPTION_WORD, AT(model), .words = nn_model_words, .help = "The network"},
    {.name = "depth",
     .kind = OPTION_WHOLE,
     AT(depth),
     .words = nn_depth_words,
     .usual = "8",
     .help = "Weighted layers of a resnet"},
    {.name = "activation",
     .kind = OPTION_WORD,
     AT(activation),
     .words = nn_activation_words + NN_RELU,
     .first = NN_RELU,
     .help = "Activation function, but for the sigmoid experiment"},
    {.name = "lr",
     .kind = OPTION_REAL,
     AT(rate),
     .value = "RATE",
     .range = {.above = true},
     .help = "Learning rate where it is not what an experiment varies"},
    {.name = "momentum",
     .kind = OPTION_REAL,
     AT(momentum),
     .value = "M",
     .range = {.most = 1, .below = true},
     .help = "Of the optimizer, which is sgd; 0 is plain gradient descent"},
    {.name = "batch",
     .kind = OPTION_WHOLE,
     AT(batch),
     .value = "N",
     .limits = {2, 4096},
     .help = "Images per step where it is not what an experiment varies"},
    {.help = ""},
    {.name = "data", .kind = OPTION_TEXT, AT(data), .value = "PATH", .help = "Images, as in `batchnorm train`"},
    {.name = "limit",
     .kind = OPTION_WHOLE,
     AT(limit),
     .value = "N",
     .limits = {2, INT_MAX},
     .help = "Train and test on the first N images only"},
    {OPTION_THREADS, AT(threads)},
};

static void set_defaults(void *request) {
    *(struct compare_request *)request = (struct compare_request){.out = "batchnorm-compare",
                                                                  .data = NN_DATASET_DEFAULT,
                                                                  .rate = 0.05,
                                                                  .momentum = 0.9,
                                                                  .activation = NN_RELU,
                                                                  .batch = 128,
                                                                  .model = NN_CNN,
                                                                  .threads = nn_default_threads()};
}

static const char *check(void *request, char *message) {
    struct compare_request *r = request;
    (void)message;
    if (!*r->out) return "--out needs the name of a directory";
    if (r->quick && r->full) return "--quick and --full exclude each other";
    if (r->depth && r->model != NN_RESNET) return "--depth: only a resnet has one; give --model resnet too";
    /* training is in float */
    if (!((float)r->rate > 0) || isinf((float)r->rate)) return "--lr: is 0 or infinite as a float";
    if ((float)r->momentum >= 1) return "--momentum: is 1 as a float, and must be below";
    plan_fill(r);
    return NULL;
}

const struct option_table compare_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct compare_request),
    .defaults = set_defaults,
    .does =
        "Check what is claimed of batch normalization: train the same network with and without it, from the same weights on "
        "the same images in the same order, and measure",
    .more =
        "Each seed is a pair of runs. A claim holds if it does so in every pair, fails if it does so in none, and is mixed "
        "otherwise; a median and a range over the seeds are printed. DIR gets report.html, which needs no network, metrics.csv "
        "and metrics.json. Ctrl-C ends early, with a report on what is done so far, and then by the signal itself, so that a "
        "shell sees 130. A second one ends at once.",
    .check = check};
