/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <argp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/parallel.h"
#include "tools/shared/numbers.h"

const double plan_rates[RATES] = {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
const size_t plan_batch_sizes[BATCH_SIZES] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
const double plan_step_lengths[STEP_LENGTHS] = {0.5, 1, 2, 4};
const double plan_targets[TARGETS] = {0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92};

static const struct plan quick = {.train_images = 4000,
                                  .test_images = 1000,
                                  .convergence_passes = 3,
                                  .convergence_tests = 24,
                                  .gradients_passes = 1,
                                  .gradients_points = 10,
                                  .sweep_passes = 1,
                                  .best_passes = 3,
                                  .best_tests = 6,
                                  .sigmoid_passes = 2,
                                  .sigmoid_points = 10,
                                  .layer_passes = 1,
                                  .layer_points = 8,
                                  .population_images = 1024,
                                  .gap_images = 1024};

static const struct plan full = {.convergence_passes = 10,
                                 .convergence_tests = 100,
                                 .gradients_passes = 3,
                                 .gradients_points = 60,
                                 .sweep_passes = 3,
                                 .best_passes = 15,
                                 .best_tests = 30,
                                 .sigmoid_passes = 8,
                                 .sigmoid_points = 40,
                                 .layer_passes = 3,
                                 .layer_points = 24,
                                 .population_images = 16384,
                                 .gap_images = 16384};

static const char *const models[] = {[NN_MLP] = "mlp", [NN_CNN] = "cnn", [NN_RESNET] = "resnet"};

bool plan_has(const struct compare_request *request, enum experiment experiment) {
    return request->experiments >> experiment & 1;
}

const char *plan_model_name(const struct compare_request *request) {
    static char name[24];
    if (request->model != NN_RESNET) return models[request->model];
    snprintf(name, sizeof name, "resnet-%d", request->depth);
    return name;
}

void compare_request_text(const struct compare_request *r, char *text, size_t bytes) {
    size_t length = (size_t)snprintf(text, bytes, "batchnorm compare --%s", r->full ? "full" : "quick");
    const char *separator = " --only ";
    for (int i = 0; i < EXPERIMENTS && r->experiments != (1u << EXPERIMENTS) - 1; i++) {
        if (!plan_has(r, (enum experiment)i)) continue;
        length += (size_t)snprintf(text + length, bytes - length, "%s%s", separator, experiment_names[i]);
        separator = ",";
    }
    length += (size_t)snprintf(text + length, bytes - length, " --model %s --lr %g --batch %zu --seeds %d --threads %d",
                               models[r->model], r->rate, r->batch, r->seeds, r->threads);
    if (r->model == NN_RESNET) length += (size_t)snprintf(text + length, bytes - length, " --depth %d", r->depth);
    if (r->limit) length += (size_t)snprintf(text + length, bytes - length, " --limit %ld", r->limit);
    if (length < bytes) snprintf(text + length, bytes - length, " --data %s", r->data);
}

enum { KEY_QUICK = 256, KEY_FULL, KEY_OUT, KEY_SEEDS, KEY_MODEL, KEY_DEPTH, KEY_DATA, KEY_THREADS, KEY_JSON, KEY_ONLY };
enum { KEY_LR = 300, KEY_BATCH, KEY_LIMIT };

static const struct argp_option options[] = {
    {"quick", KEY_QUICK, NULL, 0, "A small comparison: about two minutes on two cores (the default)", 1},
    {"full", KEY_FULL, NULL, 0, "A large one, of hours: all images, more seeds, more passes", 1},
    {"only", KEY_ONLY, "EXPERIMENT", 0,
     "convergence, gradients, sweep, best, sigmoid or layer, or several with commas (all six); best runs sweep too", 1},
    {"seeds", KEY_SEEDS, "N", 0, "Of initial weights and of the order of images, 1 to 100 (3, or 5 with --full)", 1},
    {"out", KEY_OUT, "DIR", 0, "Where the files go (batchnorm-compare)", 2},
    {"json", KEY_JSON, NULL, 0, "Print one JSON object for each claim instead of a table", 2},
    {"model", KEY_MODEL, "mlp|cnn|resnet", 0, "The network (cnn)", 3},
    {"depth", KEY_DEPTH, "8|14|20", 0, "Layers of a resnet (8)", 3},
    {"lr", KEY_LR, "RATE", 0, "Learning rate where it is not what varies (0.05; momentum is 0.9)", 3},
    {"batch", KEY_BATCH, "N", 0, "Images per step where it is not what varies, 2 to 4096 (128)", 3},
    {"data", KEY_DATA, "PATH", 0, "Images, as in `batchnorm train` (Debian's Fashion-MNIST)", 4},
    {"limit", KEY_LIMIT, "N", 0, "Train and test on the first N images only, N at least 2", 4},
    {"threads", KEY_THREADS, "N", 0, "Threads (as many as OpenMP offers)", 4},
    {0}};

static const char doc[] =
    "Check what is claimed of batch normalization: train the same network with and without it, from the same weights on the "
    "same "
    "images in the same order, and measure."
    "\vEach seed is a pair of runs. A claim holds if it does so in every pair, fails if it does so in none, and is mixed "
    "otherwise; "
    "a median and a range over the seeds are printed. DIR gets report.html, which needs no network, metrics.csv and "
    "metrics.json. Ctrl-C ends early, with a report on what is done so far; that is a success. A second one ends at once."
    "\n\nExit status: 0 success, 1 failure, 2 wrong usage.";

static void parse_whole(struct argp_state *state, const char *name, const char *text, long least, long most, long *value) {
    if (!parse_integer(text, least, most, value))
        argp_error(state, "--%s must be a whole number from %ld to %ld, not '%s'", name, least, most, text);
}

static void parse_only(struct argp_state *state, const char *text, struct compare_request *r) {
    for (const char *word = text;;) {
        const size_t length = strcspn(word, ",");
        int found = 0;
        while (found < EXPERIMENTS &&
               (strlen(experiment_names[found]) != length || strncmp(experiment_names[found], word, length) != 0))
            found++;
        if (found == EXPERIMENTS)
            argp_error(state, "--only: '%.*s' is not convergence, gradients, sweep, best, sigmoid or layer", (int)length, word);
        r->experiments |= 1u << found;
        if (word[length] == '\0') return;
        word += length + 1;
    }
}

static void parse_model(struct argp_state *state, const char *text, nn_model_kind *model) {
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, models[i]) != 0) continue;
        *model = (nn_model_kind)i;
        return;
    }
    argp_error(state, "--model must be mlp, cnn or resnet, not '%s'", text);
}

static error_t parse_number(struct argp_state *state, int key, const char *text, struct compare_request *r) {
    long value = 0;
    switch (key) {
    case KEY_SEEDS:
        parse_whole(state, "seeds", text, 1, MOST_SEEDS, &value);
        r->seeds = (int)value;
        return 0;
    case KEY_DEPTH:
        if (!parse_integer(text, 8, 20, &value) || (value != 8 && value != 14 && value != 20))
            argp_error(state, "--depth must be 8, 14 or 20, not '%s'", text);
        r->depth = (int)value;
        return 0;
    case KEY_BATCH:
        parse_whole(state, "batch", text, 2, 4096, &value);
        r->batch = (size_t)value;
        return 0;
    case KEY_LIMIT:
        parse_whole(state, "limit", text, 2, INT_MAX, &r->limit);
        return 0;
    case KEY_THREADS:
        parse_whole(state, "threads", text, 1, 1024, &value);
        r->threads = (int)value;
        return 0;
    case KEY_LR:
        if (!parse_real(text, &r->rate) || r->rate <= 0) argp_error(state, "--lr must be a number above 0, not '%s'", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void finish(struct argp_state *state, struct compare_request *r) {
    if (r->quick && r->full) argp_error(state, "--quick and --full exclude each other");
    if (r->depth && r->model != NN_RESNET) argp_error(state, "--depth: only a resnet has one; give --model resnet too");
    if (!r->depth) r->depth = 8;
    if (!r->seeds) r->seeds = r->full ? 5 : 3;
    if (!r->experiments) r->experiments = (1u << EXPERIMENTS) - 1;
    if (plan_has(r, BEST)) r->experiments |= 1u << SWEEP; /* which finds the rates */
    r->plan = r->full ? full : quick;
    if (r->limit) r->plan.train_images = r->plan.test_images = (uint32_t)r->limit;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct compare_request *r = state->input;
    switch (key) {
    case KEY_QUICK:
        r->quick = true;
        return 0;
    case KEY_FULL:
        r->full = true;
        return 0;
    case KEY_ONLY:
        parse_only(state, text, r);
        return 0;
    case KEY_OUT:
        if (!*text) argp_error(state, "--out needs the name of a directory");
        r->out = text;
        return 0;
    case KEY_DATA:
        r->data = text;
        return 0;
    case KEY_JSON:
        r->json = true;
        return 0;
    case KEY_MODEL:
        parse_model(state, text, &r->model);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not an option; compare takes no files", text);
        return 0;
    case ARGP_KEY_END:
        finish(state, r);
        return 0;
    default:
        return parse_number(state, key, text, r);
    }
}

void compare_request_parse(struct compare_request *request, int argc, char **argv) {
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    *request = (struct compare_request){
        .out = "batchnorm-compare", .data = NN_DATASET_DEFAULT, .rate = 0.05, .batch = 128, .model = NN_CNN};
    request->threads = nn_default_threads();
    argp_parse(&argp, argc, argv, 0, NULL, request);
}
