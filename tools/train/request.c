/* SPDX-License-Identifier: MIT */
/* The options of `batchnorm train`. Long because they are many. */
#include "request.h"

#include <argp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nn/parallel.h"
#include "tools/shared/numbers.h"
#include "tools/shared/verbs.h"
#include "words.h"

enum option_key {
    OPTION_MODEL = 256,
    OPTION_DEPTH,
    OPTION_NORM,
    OPTION_NO_BN,
    OPTION_FROZEN,
    OPTION_ACTIVATION,
    OPTION_DATA,
    OPTION_LIMIT,
    OPTION_SHIFT,
    OPTION_FLIP,
    OPTION_EPOCHS,
    OPTION_BATCH,
    OPTION_SEED,
    OPTION_OPTIMIZER,
    OPTION_LR,
    OPTION_MOMENTUM,
    OPTION_WEIGHT_DECAY,
    OPTION_DECAY_NORM,
    OPTION_SCHEDULE,
    OPTION_STEP_EVERY,
    OPTION_STEP_FACTOR,
    OPTION_WARMUP,
    OPTION_THREADS,
    OPTION_SAVE,
    OPTION_SAVE_EVERY,
    OPTION_RESUME,
    OPTION_JSON,
    OPTION_PROFILE
};

/* Groups of options, in the order of help. */
enum { GROUP_NETWORK = 1, GROUP_DATA, GROUP_TRAINING, GROUP_OUTPUT };

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "The network:", GROUP_NETWORK},
    {"model", OPTION_MODEL, "mlp|cnn|resnet", 0, "Multilayer perceptron, small CNN, or residual network (default cnn)", 0},
    {"depth", OPTION_DEPTH, "8|14|20", 0, "Weighted layers of a resnet (default 8)", 0},
    {"norm", OPTION_NORM, "none|before|after", 0, "Batch norm: none, before or after the activation (default before)", 0},
    {"no-bn", OPTION_NO_BN, NULL, 0, "The same as --norm none", 0},
    {"frozen", OPTION_FROZEN, NULL, 0, "Batch norm uses its running statistics in training too, and learns nothing", 0},
    {"activation", OPTION_ACTIVATION, "relu|sigmoid|tanh", 0, "Activation function (default relu)", 0},
    {NULL, 0, NULL, 0, "The data:", GROUP_DATA},
    {"data", OPTION_DATA, "PATH", 0,
     "A directory with IDX files (MNIST and its like), with CIFAR-10's or CIFAR-100's binary files, or with a folder of PNG or "
     "JPEG files for each class; the manual says more (default " NN_DATASET_DEFAULT ")",
     0},
    {"limit", OPTION_LIMIT, "N", 0, "Train on the first N images only, N at least 2", 0},
    {"shift", OPTION_SHIFT, "N", 0, "Shift each training image by up to N pixels each way, at random", 0},
    {"flip", OPTION_FLIP, NULL, 0, "Exchange left and right of every other training image, at random", 0},
    {NULL, 0, NULL, 0, "The training:", GROUP_TRAINING},
    {"epochs", OPTION_EPOCHS, "N", 0, "Passes over the training images (default 5)", 0},
    {"batch", OPTION_BATCH, "N", 0, "Images per step, 1 to 4096 (default 128)", 0},
    {"seed", OPTION_SEED, "N", 0, "Of initial weights, order of images and augmentation (default 1)", 0},
    {"optimizer", OPTION_OPTIMIZER, "sgd|nesterov|adam|adamw", 0, "How a step changes the parameters (default sgd)", 0},
    {"lr", OPTION_LR, "RATE", 0, "Learning rate (default 0.05; 0.001 for adam and adamw)", 0},
    {"momentum", OPTION_MOMENTUM, "M", 0, "Of sgd and nesterov, 0 to 1 (default 0.9)", 0},
    {"weight-decay", OPTION_WEIGHT_DECAY, "D", 0, "Weight decay (default 0); the norm layers are spared", 0},
    {"decay-norm", OPTION_DECAY_NORM, NULL, 0, "Weight decay for the norm layers too", 0},
    {"schedule", OPTION_SCHEDULE, "constant|step|cosine", 0, "How the learning rate goes on (default constant)", 0},
    {"step-every", OPTION_STEP_EVERY, "N", 0, "Epochs between the steps of the learning rate (default: a third of all)", 0},
    {"step-factor", OPTION_STEP_FACTOR, "F", 0, "What each step multiplies it by, above 0 to 1 (default 0.1)", 0},
    {"warmup", OPTION_WARMUP, "N", 0, "Epochs in which the learning rate grows linearly (default 0)", 0},
    {NULL, 0, NULL, 0, "The rest:", GROUP_OUTPUT},
    {"threads", OPTION_THREADS, "N", 0, "Threads (default: as many as OpenMP offers)", 0},
    {"save", OPTION_SAVE, "FILE", 0, "Write a checkpoint after every epoch, and when SIGINT or SIGTERM stops the training", 0},
    {"save-every", OPTION_SAVE_EVERY, "N", 0, "Write it every N steps, too", 0},
    {"resume", OPTION_RESUME, "FILE", 0, "Go on from a checkpoint, with its options; --epochs may be another number", 0},
    {"json", OPTION_JSON, NULL, 0, "Print one JSON object per epoch instead of a table", 0},
    {"profile", OPTION_PROFILE, NULL, 0, "Print at the end how long each layer took", 0},
    {0},
};

static const char description[] =
    "Train a network on images, with or without batch norm, and test it after every epoch."
    "\vFor each epoch: the mean training loss, the mean loss on the test images, the share of them it gets right, the seconds "
    "of "
    "training (tests not included). The same seed and number of threads give the same numbers. On a machine with other work to "
    "do, set OMP_WAIT_POLICY=passive in the environment: threads then sleep while they wait for each other, which can be "
    "several "
    "times as fast.";

static const char *const optimizers[] = {"sgd", "nesterov", "adam", "adamw", NULL};

/* The index of the word; an error names the words that there are. */
static int word_of(const struct argp_state *state, const char *option, const char *text, const char *const *words) {
    char all[64] = "";
    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) return i;
        const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", between, words[i]);
    }
    argp_error(state, "--%s must be %s, not '%s'", option, all, text);
    return 0;
}

static long integer(const struct argp_state *state, const char *option, const char *text, long least, long most) {
    long value = least;
    if (!parse_integer(text, least, most, &value)) {
        argp_error(state, "--%s must be a whole number from %ld to %ld, not '%s'", option, least, most, text);
    }
    return value;
}

/* A number for which `fits` holds; `what` describes those. */
static float real(const struct argp_state *state, const char *option, const char *text, bool (*fits)(double value),
                  const char *what) {
    double value = 0;
    if (!parse_real(text, &value) || !fits(value)) argp_error(state, "--%s must be %s, not '%s'", option, what, text);
    return (float)value;
}

static bool is_positive(double value) { return value > 0; }
static bool is_not_negative(double value) { return value >= 0; }
static bool is_below_one(double value) { return value >= 0 && value < 1; }
static bool is_a_factor(double value) { return value > 0 && value <= 1; }

static error_t parse_network(const struct argp_state *state, int key, const char *text, nn_model_options *model) {
    switch (key) {
    case OPTION_MODEL:
        model->kind = (nn_model_kind)word_of(state, "model", text, model_words);
        return 0;
    case OPTION_DEPTH:
        model->depth = (size_t)integer(state, "depth", text, 8, 20);
        if ((model->depth - 2) % 6 != 0) argp_error(state, "--depth must be 8, 14 or 20, not '%s'", text);
        return 0;
    case OPTION_NORM:
        model->norm = (nn_norm)word_of(state, "norm", text, norm_words);
        return 0;
    case OPTION_NO_BN:
        model->norm = NN_NORM_NONE;
        return 0;
    case OPTION_FROZEN:
        model->frozen = true;
        return 0;
    case OPTION_ACTIVATION:
        model->activation = (nn_activation)(NN_RELU + word_of(state, "activation", text, activation_words + NN_RELU));
        return 0;
    case OPTION_THREADS:
        model->threads = (int)integer(state, "threads", text, 1, 1024);
        return 0;
    case OPTION_BATCH:
        model->batch = (size_t)integer(state, "batch", text, 1, 4096);
        return 0;
    case OPTION_SEED:
        model->seed = (uint64_t)integer(state, "seed", text, 0, LONG_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void set_optimizer(const struct argp_state *state, const char *text, nn_optimizer_options *optimizer) {
    const int word = word_of(state, "optimizer", text, optimizers);
    optimizer->nesterov = word == 1;
    optimizer->kind = word < 2 ? NN_SGD : word == 2 ? NN_ADAM : NN_ADAMW;
}

static error_t parse_training(const struct argp_state *state, int key, const char *text, struct train_request *r) {
    nn_optimizer_options *optimizer = &r->training.optimizer;
    nn_schedule *schedule = &r->training.schedule;
    switch (key) {
    case OPTION_OPTIMIZER:
        set_optimizer(state, text, optimizer);
        return 0;
    case OPTION_LR:
        schedule->rate = real(state, "lr", text, is_positive, "a number above 0");
        return 0;
    case OPTION_MOMENTUM:
        optimizer->momentum = real(state, "momentum", text, is_below_one, "a number from 0 to below 1");
        return 0;
    case OPTION_WEIGHT_DECAY:
        optimizer->weight_decay = real(state, "weight-decay", text, is_not_negative, "a number of at least 0");
        return 0;
    case OPTION_DECAY_NORM:
        optimizer->decay_norm = true;
        return 0;
    case OPTION_SCHEDULE:
        schedule->kind = (nn_schedule_kind)word_of(state, "schedule", text, schedule_words);
        return 0;
    case OPTION_STEP_EVERY:
        r->step_every = integer(state, "step-every", text, 1, 1000000);
        return 0;
    case OPTION_STEP_FACTOR:
        schedule->factor = real(state, "step-factor", text, is_a_factor, "a number above 0, at most 1");
        return 0;
    case OPTION_WARMUP:
        r->warmup = integer(state, "warmup", text, 0, 1000000);
        return 0;
    case OPTION_EPOCHS:
        r->epochs = integer(state, "epochs", text, 1, 1000000);
        return 0;
    default:
        return parse_network(state, key, text, &r->model);
    }
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct train_request *r = state->input;
    switch (key) {
    case OPTION_DATA:
        r->data = text;
        return 0;
    case OPTION_LIMIT:
        r->limit = integer(state, "limit", text, 2, INT_MAX);
        return 0;
    case OPTION_SHIFT:
        r->training.augmentation.shift = (unsigned)integer(state, "shift", text, 0, NN_IMAGE_MAX_SIDE);
        return 0;
    case OPTION_FLIP:
        r->training.augmentation.flip = true;
        return 0;
    case OPTION_SAVE:
        r->save = text;
        return 0;
    case OPTION_SAVE_EVERY:
        r->save_every = integer(state, "save-every", text, 1, LONG_MAX);
        return 0;
    case OPTION_RESUME:
        r->resume = text;
        return 0;
    case OPTION_JSON:
        r->json = true;
        return 0;
    case OPTION_PROFILE:
        r->profile = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not an option; train takes no files", text);
        return 0;
    case ARGP_KEY_END:
        if (r->save_every && !r->save) argp_error(state, "--save-every needs --save");
        return 0;
    default:
        return parse_training(state, key, text, r);
    }
}

struct train_request train_defaults(void) {
    return (struct train_request){
        .model = {.kind = NN_CNN,
                  .depth = 8,
                  .norm = NN_NORM_BEFORE,
                  .activation = NN_RELU,
                  .batch = 128,
                  .threads = nn_default_threads(),
                  .seed = 1},
        .training = {.optimizer = nn_optimizer_defaults(NN_SGD), .schedule = {.kind = NN_CONSTANT, .factor = 0.1f}},
        .data = NN_DATASET_DEFAULT,
        .epochs = 5};
}

void train_parse(int argc, char **argv, struct train_request *r) {
    static const struct argp parser = {options, parse, NULL, description, NULL, NULL, NULL};
    argp_parse(&parser, argc, argv, 0, NULL, r);
    if (r->training.schedule.rate == 0) r->training.schedule.rate = r->training.optimizer.kind == NN_SGD ? 0.05f : 0.001f;
}

__attribute__((format(printf, 2, 3))) static bool say(char *message, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, NN_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

bool train_check(const struct train_request *r, char *message) {
    const bool needs_batch = r->model.norm != NN_NORM_NONE && !r->model.frozen && r->model.kind != NN_RESNET;
    if (needs_batch && r->model.batch < 2) return say(message, "batch norm needs a --batch of at least 2");
    if (r->model.frozen && r->model.norm == NN_NORM_NONE) return say(message, "--frozen is about batch norm; there is none");
    if (r->training.optimizer.nesterov && r->training.optimizer.momentum == 0)
        return say(message, "nesterov needs a --momentum above 0");
    if (r->warmup >= r->epochs && r->warmup > 0) return say(message, "--warmup must be less than --epochs, %ld", r->epochs);
    return true;
}

/* FNV-1a. */
static uint64_t hash(uint64_t value, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) value = (value ^ bytes[i]) * UINT64_C(0x100000001b3);
    return value;
}

uint64_t train_hash(const nn_dataset *data) {
    const uint64_t of_pixels = hash(UINT64_C(0xcbf29ce484222325), data->pixels, data->count * nn_shape_size(data->image));
    return hash(of_pixels, data->labels, data->count);
}

bool train_fit(struct train_request *r, const nn_dataset *train, char *message) {
    const unsigned shift = r->training.augmentation.shift;
    if (shift >= train->image.height || shift >= train->image.width)
        return say(message, "--shift is %u; it must be below the height and the width of the images, %zu x %zu", shift,
                   train->image.height, train->image.width);
    if (r->model.batch > train->count) r->model.batch = train->count;
    r->model.image = train->image;
    r->model.classes = train->classes;
    r->data_hash = r->save ? train_hash(train) : 0;
    r->training.batch = r->model.batch;
    r->training.seed = r->model.seed;
    const uint64_t steps = nn_trainer_steps(&(nn_trainer){.train = train, .options = r->training});
    if (r->step_every == 0 && r->training.schedule.kind == NN_STEP) r->step_every = (r->epochs + 2) / 3;
    r->training.schedule.warmup = (uint64_t)r->warmup * steps;
    r->training.schedule.steps = (uint64_t)r->epochs * steps;
    r->training.schedule.every = (uint64_t)r->step_every * steps;
    return true;
}

void train_describe(const struct train_request *r) {
    const nn_model_options *m = &r->model;
    const nn_training_options *t = &r->training;
    const char *activation = activation_words[m->activation];
    const int optimizer = t->optimizer.kind == NN_SGD ? t->optimizer.nesterov : t->optimizer.kind == NN_ADAM ? 2 : 3;
    printf("%s", model_words[m->kind]);
    if (m->kind == NN_RESNET) printf(" of depth %zu", m->depth);
    if (m->norm == NN_NORM_NONE)
        printf(", no batch norm, %s", activation);
    else
        printf(", %sbatch norm %s %s", m->frozen ? "frozen " : "", norm_words[m->norm], activation);
    printf(", %s, learning rate %g", optimizers[optimizer], (double)t->schedule.rate);
    if (t->schedule.kind != NN_CONSTANT) printf(" (%s)", schedule_words[t->schedule.kind]);
    printf(", batch %zu, seed %llu", m->batch, (unsigned long long)m->seed);
}
