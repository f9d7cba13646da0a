/* SPDX-License-Identifier: MIT */
/* The options of `batchnorm train`. Long because they are many. */
#include "request.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "nn/choices.h"
#include "nn/machine.h"

#define AT(member) OPTION_AT(struct train_request, member)

static const char *const optimizers[] = {"sgd", "nesterov", "adam", "adamw", NULL};

static const char *set_optimizer(const char *text, void *request) {
    nn_optimizer_options *optimizer = &((struct train_request *)request)->training.optimizer;
    const int word = option_word_index(optimizers, text, strlen(text));
    if (word < 0) return "";
    optimizer->nesterov = word == 1;
    optimizer->kind = word < 2 ? NN_SGD : word == 2 ? NN_ADAM : NN_ADAMW;
    return NULL;
}

/* N or HEIGHTxWIDTH. */
bool train_parse_size(const char *text, nn_size *size) {
    size_t sides[2] = {0};
    int count = 0;
    for (; count < 2; count++) {
        if (*text < '1' || *text > '9') return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            sides[count] = 10 * sides[count] + (size_t)(*text - '0');
            if (sides[count] > NN_IMAGE_MAX_SIDE) return false;
        }
        if (count == 0 && *text == 'x')
            text++;
        else
            break;
    }
    if (*text) return false;
    size->height = sides[0];
    size->width = sides[count];
    return true;
}

static const char *set_size(const char *text, void *request) {
    struct train_request *r = request;
    return train_parse_size(text, &r->size) ? NULL : "is not N or HEIGHTxWIDTH, each from 1 to 4096";
}

static const struct option_row rows[] = {
    {.help = "The network:"},
    {.name = "model",
     .kind = OPTION_WORD,
     AT(model.kind),
     .words = nn_model_words,
     .help = "Multilayer perceptron, small CNN, or residual network",
     .more = "_mlp_: the image as a vector; linear to 256, norm, activation; to 128, norm, activation; to the classes. _cnn_: "
             "convolution 3x3 to 32 channels, norm, activation, pool 2x2; to 64 channels, norm, activation, pool; linear to "
             "128, norm, activation; linear to the classes. _resnet_: the residual network for CIFAR with 16, 32 and 64 "
             "channels."},
    {.name = "depth", .kind = OPTION_WHOLE, AT(model.depth), .words = nn_depth_words, .help = "Weighted layers of a resnet"},
    {.name = "norm",
     .kind = OPTION_WORD,
     AT(model.norm),
     .words = nn_norm_words,
     .help = "Batch norm: none, before or after the activation",
     .more = "Before the activation is between it and a convolution or linear layer."},
    {.name = "no-bn", .kind = OPTION_OFF, AT(model.norm), .help = "The same as --norm none"},
    {.name = "frozen",
     .kind = OPTION_ON,
     AT(model.frozen),
     .help = "Batch norm uses its running statistics in training too, and learns nothing",
     .more = "They are those of a new layer, mean 0 and variance 1, and neither they nor weight and bias change."},
    {.name = "no-sync-bn",
     .kind = OPTION_ON,
     AT(local_statistics),
     .help = "Under mpirun, batch norm takes the statistics of each process's part of a batch alone",
     .more = "To see what they are worth: the result then depends on the number of processes. The running statistics that are "
             "tested and saved are those of the first one."},
    {.name = "activation",
     .kind = OPTION_WORD,
     AT(model.activation),
     .words = nn_activation_words + NN_RELU,
     .first = NN_RELU,
     .help = "Activation function"},
    {.name = "memory",
     .kind = OPTION_WORD,
     AT(model.memory),
     .words = nn_memory_words,
     .help = "What batch norm keeps for the backward pass: its input, or where it can, less",
     .more =
         "With _less_ a batch norm that no residual follows, and no activation but _leaky_relu_, overwrites its input with its "
         "output, where no other layer needs that input, and its gradients come from the output alone. They are a little less "
         "exact, and a weight that comes too close to 0 beside its bias ends the training. The bytes of all values and "
         "gradients are printed at the end, beside those of _plain_. It helps with *--activation* _leaky_relu_, and with "
         "_silu_ where *--norm* is _after_; with _relu_ it changes nothing."},

    {.help = "The data:"},
    {.name = "data",
     .kind = OPTION_TEXT,
     AT(data),
     .value = "PATH",
     .help = "A directory with IDX files (MNIST and its like), with CIFAR-10's or CIFAR-100's binary files, or with a folder "
             "of PNG or JPEG files for each class",
     .more = "See _Data_ below. The default comes from Debian's package dataset-fashion-mnist."},
    {.name = "limit",
     .kind = OPTION_WHOLE,
     AT(limit),
     .value = "N",
     .limits = {2, INT_MAX},
     .help = "Train on the first N images only"},
    {.name = "size",
     .kind = OPTION_OWN,
     .parse = set_size,
     .value = "N|HxW",
     .help = "Make every image N pixels high and wide, or H high and W wide, whatever its size is",
     .more = "Photos have at most 16384 pixels each way and 134217728 in all. They are filtered so that nothing flickers where "
             "they become smaller (bilinear, with the support of a pixel of the result). *predict* makes its images so, too."},
    {.name = "fit",
     .kind = OPTION_WORD,
     AT(size.fit),
     .words = nn_fit_words,
     .help = "With --size: cut images to their middle, or stretch them",
     .more = "_crop_: the image is resized until it covers the size, and the middle is taken. _stretch_: it is resized to the "
             "size, and its proportions change."},
    {.name = "skip-bad",
     .kind = OPTION_ON,
     AT(skip_bad),
     .help = "Pass over images in folders that cannot be read, and say how many they are",
     .more = "Without it the first of them ends the training before it begins."},
    {.name = "shift",
     .kind = OPTION_WHOLE,
     AT(training.augmentation.shift),
     .value = "N",
     .limits = {0, NN_IMAGE_MAX_SIDE},
     .help = "Shift each training image by up to N pixels each way, at random",
     .more = "What comes in is black."},
    {.name = "flip",
     .kind = OPTION_ON,
     AT(training.augmentation.flip),
     .help = "Exchange left and right of every other training image, at random"},

    {.help = "The training:"},
    {.name = "epochs",
     .kind = OPTION_WHOLE,
     AT(epochs),
     .value = "N",
     .limits = {1, 1000000},
     .help = "Passes over the training images"},
    {.name = "batch",
     .kind = OPTION_WHOLE,
     AT(model.batch),
     .value = "N",
     .limits = {1, 4096},
     .help = "Images per step, of all processes together",
     .more = "At least 2 with batch norm in an _mlp_ or _cnn_, whose last norm sees one value of a channel per image."},
    {.name = "seed",
     .kind = OPTION_WHOLE,
     AT(model.seed),
     .value = "N",
     .limits = {0, INT64_MAX},
     .help = "Of initial weights, order of images and augmentation"},
    {.name = "optimizer",
     .kind = OPTION_OWN,
     .parse = set_optimizer,
     .words = optimizers,
     .usual = "sgd",
     .help = "How a step changes the parameters",
     .more = "The formulas are PyTorch's."},
    {.name = "lr",
     .kind = OPTION_REAL,
     AT(training.schedule.rate),
     .value = "RATE",
     .range = {.above = true},
     .usual = "0.05; 0.001 for adam and adamw",
     .help = "Learning rate"},
    {.name = "momentum",
     .kind = OPTION_REAL,
     AT(training.optimizer.momentum),
     .value = "M",
     .range = {.most = 1, .below = true},
     .help = "Of sgd and nesterov"},
    {.name = "weight-decay",
     .kind = OPTION_REAL,
     AT(training.optimizer.weight_decay),
     .value = "D",
     .help = "Weight decay; the norm layers are spared",
     .more = "D times the parameter is added to its gradient; _adamw_ shrinks the parameters instead."},
    {.name = "decay-norm",
     .kind = OPTION_ON,
     AT(training.optimizer.decay_norm),
     .help = "Weight decay for weight and bias of the norm layers too"},
    {.name = "schedule",
     .kind = OPTION_WORD,
     AT(training.schedule.kind),
     .words = nn_schedule_words,
     .help = "How the learning rate goes on",
     .more = "_step_ multiplies it by a factor from time to time, _cosine_ lets it fall to 0 along half a cosine."},
    {.name = "step-every",
     .kind = OPTION_WHOLE,
     AT(step_every),
     .value = "N",
     .limits = {1, 1000000},
     .usual = "a third of all",
     .help = "Epochs between the steps of the learning rate"},
    {.name = "step-factor",
     .kind = OPTION_REAL,
     AT(training.schedule.factor),
     .value = "F",
     .range = {.most = 1, .above = true},
     .help = "What each step multiplies it by"},
    {.name = "warmup",
     .kind = OPTION_WHOLE,
     AT(warmup),
     .value = "N",
     .limits = {0, 1000000},
     .help = "Epochs in which the learning rate grows linearly",
     .more = "It grows to what it would be without."},

    {.help = "The rest:"},
    {OPTION_THREADS, AT(model.threads)},
    {.name = "save",
     .kind = OPTION_TEXT,
     AT(save),
     .value = "FILE",
     .help = "Write a checkpoint after every epoch, and when SIGINT, SIGTERM or SIGHUP stops the training",
     .more =
         "It stops after the step it is in, and ends by that signal (a shell says 130 after Ctrl-C); a second one ends it at "
         "once. A file that is there is not replaced, unless it is that of *--resume* or *--force* is given. If there is none, "
         "the first is written before the training. A later one that cannot be written is told, and tried again at the next; "
         "the exit status is 1 if the last one failed. A training that diverges, whose loss or weights are not finite, ends "
         "with exit status 1, and what was saved before stays."},
    {.name = "force", .kind = OPTION_ON, AT(force), .help = "Let --save replace a file that is there"},
    {.name = "keep-best",
     .kind = OPTION_ON,
     AT(keep_best),
     .help = "Save only after an epoch whose test accuracy is higher than that of the checkpoint so far; --resume then goes on "
             "from that best epoch, and what came after it is gone",
     .more =
         "A signal saves nothing more. A training that goes on compares with the accuracy of the checkpoint that it goes on "
         "from; give *--keep-best* again, as it is not kept in the checkpoint. The test images then choose the network, so "
         "that its accuracy on them is better than it will be on others."},
    {.name = "save-every",
     .kind = OPTION_WHOLE,
     AT(save_every),
     .value = "N",
     .limits = {1, LONG_MAX},
     .help = "Write it every N steps, too"},
    {.name = "resume",
     .kind = OPTION_TEXT,
     AT(resume),
     .value = "FILE",
     .help =
         "Go on from a checkpoint, with its options, and save to it unless --save says another; --epochs may be another number",
     .more =
         "Not less than it has gone through; a cosine then falls to 0 over that many. The data must be the same, every byte, "
         "but may lie elsewhere. *--threads*, *--save*, *--save-every* and *--keep-best* are not the checkpoint's. Any other "
         "option that differs from it is an error."},
    {.name = "per-class",
     .kind = OPTION_ON,
     AT(per_class),
     .help = "Print at the end how many test images of each class it gets right",
     .more = "It is the network at the end, also with *--keep-best*."},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print one JSON object per epoch instead of a table"},
    {.name = "profile", .kind = OPTION_ON, AT(profile), .help = "Print at the end how long each layer took"},
};

static void set_defaults(void *request) {
    *(struct train_request *)request = (struct train_request){
        .model = {.kind = NN_CNN,
                  .depth = 8,
                  .norm = NN_NORM_BEFORE,
                  .activation = NN_RELU,
                  .batch = 128,
                  .threads = nn_default_threads(),
                  .seed = 1},
        .training = {.optimizer = nn_optimizer_defaults(NN_SGD), .schedule = {.kind = NN_CONSTANT, .factor = 0.1f}},
        .data = NN_DATASET_DEFAULT,
        .accuracy = -1,
        .epochs = 5};
}

static const char *check(void *request, char *message) {
    struct train_request *r = request;
    (void)message;
    if (r->save && strcmp(r->save, "-") == 0) return "--save -: a checkpoint is replaced again and again, so it needs a file";
    if (r->resume && !r->save && strcmp(r->resume, "-") == 0) return "--resume -: where what it learns goes, --save says";
    if (r->resume && !r->save) r->save = r->resume; /* or what it learns would be lost */
    if (r->training.schedule.rate == 0) r->training.schedule.rate = r->training.optimizer.kind == NN_SGD ? 0.05f : 0.001f;
    if (r->keep_best && r->save_every) return "--keep-best goes without --save-every, since only whole epochs are tested";
    if (r->keep_best && !r->save) return "--keep-best needs --save";
    if (r->force && !r->save) return "--force is about --save; there is none";
    return r->save_every && !r->save ? "--save-every needs --save" : NULL;
}

const struct option_table train_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct train_request),
    .defaults = set_defaults,
    .does = "Train a network on images, with or without batch norm, and test it after every epoch",
    .more =
        "For each epoch: the mean training loss, the mean loss on the test images, the share of them it gets right, the "
        "seconds of training (tests not included). The same seed and number of threads give the same numbers, with mpirun for "
        "any number of processes.",
    .check = check};

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
    if (r->size.fit != NN_CROP && r->size.height == 0) return say(message, "--fit is about --size; there is none");
    if (r->model.frozen && r->model.norm == NN_NORM_NONE) return say(message, "--frozen is about batch norm; there is none");
    if (r->training.optimizer.nesterov && r->training.optimizer.momentum == 0)
        return say(message, "nesterov needs a --momentum above 0");
    if (r->warmup >= r->epochs && r->warmup > 0) return say(message, "--warmup must be less than --epochs, %ld", r->epochs);
    return true;
}

uint64_t train_hash(const nn_dataset *data) {
    const uint64_t of_pixels = nn_hash(NN_HASH, data->pixels, data->count * nn_shape_size(data->image));
    return nn_hash(of_pixels, data->labels, data->count);
}

size_t train_batch(const struct train_request *r, uint64_t images) {
    return r->model.batch < images ? r->model.batch : (size_t)images;
}

/* The statistics of a batch need two values of a channel. How many an image gives to the norm that gets the fewest: */
static size_t values_of_image(const nn_model_options *m) {
    return m->kind == NN_RESNET ? (m->image.height + 3) / 4 * ((m->image.width + 3) / 4) : 1;
}

static bool has_statistics(const struct train_request *r, uint32_t images, char *message) {
    const nn_model_options *m = &r->model;
    if (m->norm == NN_NORM_NONE || m->frozen || r->training.batch * values_of_image(m) >= 2) return true;
    if (images < 2)
        return say(message, "%s: there is 1 training image, and batch norm needs 2 in a step, whose mean and variance it takes",
                   r->data);
    return say(message, "batch norm needs a --batch of at least 2 where images are %zu x %zu", m->image.height, m->image.width);
}

bool train_check_parts(const struct train_request *r, const nn_dataset *train, int ranks, char *message) {
    const nn_model_options *m = &r->model;
    if (!r->local_statistics || m->norm == NN_NORM_NONE || m->frozen) return true;
    const nn_trainer trainer = {.train = train, .options = r->training};
    const size_t samples = nn_trainer_samples(&trainer), last = samples % r->training.batch;
    for (int i = 0; i < ranks; i++) {
        const size_t of_full = nn_part_of(r->training.batch, NN_SHARD, i, ranks).count;
        const size_t of_last = nn_part_of(last, NN_SHARD, i, ranks).count;
        if (of_full * values_of_image(m) == 1 || of_last * values_of_image(m) == 1)
            return say(message,
                       "--no-sync-bn: process %d of %d gets 1 image of some batch, and batch norm needs 2; --batch is %zu", i,
                       ranks, r->training.batch);
    }
    return true;
}

bool train_fit(struct train_request *r, const nn_dataset *train, char *message) {
    const unsigned shift = r->training.augmentation.shift;
    if (shift >= train->image.height || shift >= train->image.width)
        return say(message, "--shift is %u; it must be below the height and the width of the images, %zu x %zu", shift,
                   train->image.height, train->image.width);
    r->model.image = train->image;
    r->model.classes = train->classes;
    r->data_hash = r->save ? train_hash(train) : 0;
    r->training.batch = train_batch(r, train->count);
    r->training.seed = r->model.seed;
    if (!has_statistics(r, train->count, message)) return false;
    const uint64_t steps = nn_trainer_steps(&(nn_trainer){.train = train, .options = r->training});
    if (r->step_every == 0 && r->training.schedule.kind == NN_STEP) r->step_every = (r->epochs + 2) / 3;
    r->training.schedule.warmup = (uint64_t)r->warmup * steps;
    r->training.schedule.steps = (uint64_t)r->epochs * steps;
    r->training.schedule.every = (uint64_t)r->step_every * steps;
    return true;
}

static void describe_norm(const struct train_request *r, FILE *to) {
    const nn_model_options *m = &r->model;
    const char *activation = nn_activation_words[m->activation], *where = nn_norm_words[m->norm];
    if (m->norm == NN_NORM_NONE)
        fprintf(to, ", no batch norm, %s", activation);
    else if (m->frozen)
        fprintf(to, ", frozen batch norm %s %s", where, activation);
    else
        fprintf(to, ", batch norm (momentum %g) %s %s", batchnorm_layer_defaults(2, 1).convention.momentum, where, activation);
}

static void describe_rate(const struct train_request *r, FILE *to) {
    const nn_schedule *s = &r->training.schedule;
    fprintf(to, ", learning rate %g", (double)s->rate);
    if (s->kind == NN_COSINE) fprintf(to, " (cosine)");
    if (s->kind == NN_STEP && r->step_every == 1)
        fprintf(to, " (step: times %g every epoch)", (double)s->factor);
    else if (s->kind == NN_STEP)
        fprintf(to, " (step: times %g every %ld epochs)", (double)s->factor, r->step_every);
    if (r->warmup > 0) fprintf(to, ", warmup %ld", r->warmup);
}

void train_describe(const struct train_request *r, FILE *to) {
    const nn_model_options *m = &r->model;
    const nn_training_options *t = &r->training;
    const nn_optimizer_options *o = &t->optimizer;
    fprintf(to, "%s", nn_model_words[m->kind]);
    if (m->kind == NN_RESNET) fprintf(to, " of depth %zu", m->depth);
    describe_norm(r, to);
    if (m->memory == NN_MEMORY_LESS) fprintf(to, ", less memory");
    fprintf(to, ", %s", optimizers[o->kind == NN_SGD ? o->nesterov : o->kind == NN_ADAM ? 2 : 3]);
    if (o->kind == NN_SGD) fprintf(to, " (momentum %g)", (double)o->momentum);
    if (o->weight_decay > 0)
        fprintf(to, ", weight decay %g%s", (double)o->weight_decay, o->decay_norm ? " (norm layers, too)" : "");
    describe_rate(r, to);
    fprintf(to, ", batch %zu", t->batch);
    if (t->batch < m->batch) fprintf(to, " (not %zu, as there are no more images)", m->batch);
    fprintf(to, ", seed %llu", (unsigned long long)m->seed);
    if (t->augmentation.shift > 0) fprintf(to, ", shift %u", t->augmentation.shift);
    if (t->augmentation.flip) fprintf(to, ", flip");
}
