/* SPDX-License-Identifier: MIT */
/* batchnorm train: a small convolutional network on images, with or without batch norm. */
#include <argp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cmd_train_report.h"
#include "nn/parallel.h"
#include "numbers.h"
#include "verbs.h"

struct settings {
    nn_model_options network;
    const char *data;
    double rate;
    long epochs, limit; /* limit 0: all images */
    bool json, profile;
};

enum { OPTION_NO_BN = 256, OPTION_DATA, OPTION_EPOCHS, OPTION_BATCH, OPTION_LR, OPTION_SEED, OPTION_LIMIT, OPTION_ACTIVATION };
enum { OPTION_THREADS = 300, OPTION_JSON, OPTION_PROFILE };

static const struct argp_option options[] = {
    {"no-bn", OPTION_NO_BN, NULL, 0, "The same network without batch norm", 0},
    {"activation", OPTION_ACTIVATION, "relu|sigmoid", 0, "Activation function (default relu)", 0},
    {"lr", OPTION_LR, "RATE", 0, "Learning rate (default 0.05; momentum is 0.9)", 0},
    {"epochs", OPTION_EPOCHS, "N", 0, "Passes over the training images (default 5)", 0},
    {"batch", OPTION_BATCH, "N", 0, "Images per step, 1 to 4096 (default 128); at least 2 with batch norm", 0},
    {"seed", OPTION_SEED, "N", 0, "Of initial weights and of the order of images (default 1)", 0},
    {"limit", OPTION_LIMIT, "N", 0, "Train on the first N images only, N at least 2", 0},
    {"data", OPTION_DATA, "PATH", 0,
     "A directory with IDX files (MNIST and its like), with CIFAR-10's or CIFAR-100's binary files, or with a folder of PNG or "
     "JPEG "
     "files for each class; the manual says more (default " NN_DATASET_DEFAULT ")",
     0},
    {"threads", OPTION_THREADS, "N", 0, "Threads (default: as many as OpenMP offers)", 0},
    {"json", OPTION_JSON, NULL, 0, "Print one JSON object per epoch instead of a table", 0},
    {"profile", OPTION_PROFILE, NULL, 0, "Print at the end how long each layer took", 0},
    {0},
};

static const char description[] =
    "Train convolution - batch norm - activation - pool, twice, then linear - batch norm - activation - linear, on "
    "Fashion-MNIST, and test it after every epoch."
    "\vFor each epoch: the mean training loss, the share of the 10,000 test images it gets right, the seconds of training "
    "(tests not included). The same seed and number of threads give the same numbers. On a machine with other work to do, set "
    "OMP_WAIT_POLICY=passive "
    "in the environment: threads then sleep while they wait for each other, which can be several times as fast.";

static error_t parse_integer_option(const struct argp_state *state, const char *name, const char *text, long least, long most,
                                    long *value) {
    if (!parse_integer(text, least, most, value)) {
        argp_error(state, "--%s must be a whole number from %ld to %ld, not '%s'", name, least, most, text);
    }
    return 0;
}

static error_t parse_rate(const struct argp_state *state, const char *text, double *rate) {
    if (!parse_real(text, rate) || *rate <= 0) argp_error(state, "--lr must be a number above 0, not '%s'", text);
    return 0;
}

static error_t parse_activation(const struct argp_state *state, const char *text, nn_activation *activation) {
    if (strcmp(text, "relu") == 0)
        *activation = NN_RELU;
    else if (strcmp(text, "sigmoid") == 0)
        *activation = NN_SIGMOID;
    else
        argp_error(state, "--activation must be relu or sigmoid, not '%s'", text);
    return 0;
}

static error_t parse_number(const struct argp_state *state, int key, const char *text, struct settings *s) {
    long value = 0;
    switch (key) {
    case OPTION_EPOCHS:
        return parse_integer_option(state, "epochs", text, 1, 1000000, &s->epochs);
    case OPTION_LIMIT:
        return parse_integer_option(state, "limit", text, 2, INT_MAX, &s->limit);
    case OPTION_BATCH:
        parse_integer_option(state, "batch", text, 1, 4096, &value);
        break;
    case OPTION_THREADS:
        parse_integer_option(state, "threads", text, 1, 1024, &value);
        break;
    case OPTION_SEED:
        parse_integer_option(state, "seed", text, 0, LONG_MAX, &value);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (key == OPTION_BATCH) s->network.batch = (size_t)value;
    if (key == OPTION_THREADS) s->network.threads = (int)value;
    if (key == OPTION_SEED) s->network.seed = (uint64_t)value;
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct settings *s = state->input;
    switch (key) {
    case OPTION_NO_BN:
        s->network.norm = NN_NORM_NONE;
        return 0;
    case OPTION_ACTIVATION:
        return parse_activation(state, text, &s->network.activation);
    case OPTION_LR:
        return parse_rate(state, text, &s->rate);
    case OPTION_DATA:
        s->data = text;
        return 0;
    case OPTION_JSON:
        s->json = true;
        return 0;
    case OPTION_PROFILE:
        s->profile = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not an option; train takes no files", text);
        return 0;
    case ARGP_KEY_END:
        if (s->network.norm != NN_NORM_NONE && s->network.batch < 2)
            argp_error(state, "batch norm needs a --batch of at least 2");
        return 0;
    default:
        return parse_number(state, key, text, s);
    }
}

static void describe(const struct settings *s, const nn_dataset *train, const nn_dataset *test) {
    printf("%s batch norm, %s, learning rate %g, batch %zu, seed %llu; %u training and %u test images; %s, %d thread%s\n",
           s->network.norm == NN_NORM_NONE ? "without" : "with", s->network.activation == NN_RELU ? "relu" : "sigmoid", s->rate,
           s->network.batch, (unsigned long long)s->network.seed, (unsigned)train->count, (unsigned)test->count,
           nn_backend_name(), s->network.threads, s->network.threads == 1 ? "" : "s");
}

static nn_error run_epochs(nn_trainer *trainer, const struct settings *s) {
    struct train_progress progress = train_progress_begin(s->epochs);
    double total = 0;
    for (long number = 1; number <= s->epochs; number++) {
        nn_epoch epoch;
        train_progress_epoch(&progress, number);
        const nn_error error = nn_trainer_epoch(trainer, train_progress_show, &progress, &epoch);
        train_progress_hide(&progress);
        if (error) return error;
        train_print_epoch(number, &epoch, s->json);
        total += epoch.seconds + epoch.test_seconds;
    }
    if (s->profile) train_print_profile(trainer->network, total, s->json);
    return NULL;
}

static nn_error train_on(const struct settings *s, nn_backend *backend, const nn_dataset *train, const nn_dataset *test) {
    nn_network *network;
    nn_trainer trainer;
    nn_error error = nn_model_create(backend, &s->network, &network);
    if (error) return error;
    error = nn_trainer_init(&trainer, network, train, test, &s->network, (float)s->rate, 0.9f);
    if (!error) {
        error = run_epochs(&trainer, s);
        nn_trainer_free(&trainer);
    }
    nn_network_destroy(network);
    return error;
}

static int train_with_data(struct settings *s, const nn_dataset *train, const nn_dataset *test) {
    nn_backend *backend;
    if (s->network.batch > train->count) s->network.batch = train->count;
    s->network.image = train->image;
    s->network.classes = train->classes;
    nn_error error = nn_backend_create(s->network.threads, &backend);
    if (error) return report(EXIT_FAILED, "%s", error);
    if (!s->json) {
        describe(s, train, test);
        train_print_head();
    }
    error = train_on(s, backend, train, test);
    nn_backend_destroy(backend);
    return error ? report(EXIT_FAILED, "%s", error) : EXIT_DONE;
}

int cmd_train(int argc, char **argv) {
    static const struct argp parser = {options, parse, NULL, description, NULL, NULL, NULL};
    static char message[NN_MESSAGE_BYTES];
    struct settings s = {.network = {.kind = NN_CNN, .norm = NN_NORM_BEFORE, .activation = NN_RELU, .batch = 128, .seed = 1},
                         .data = NN_DATASET_DEFAULT,
                         .rate = 0.05,
                         .epochs = 5};
    nn_dataset train, test;
    s.network.threads = nn_default_threads();
    if (argp_parse(&parser, argc, argv, 0, NULL, &s) != 0) return EXIT_WRONG_USAGE;
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    if (!nn_dataset_load(s.data, (uint32_t)s.limit, &train, &test, message)) return report(EXIT_FAILED, "%s", message);
    const int code = train_with_data(&s, &train, &test);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
    return code;
}
