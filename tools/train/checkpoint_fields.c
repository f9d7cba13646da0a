/* SPDX-License-Identifier: MIT */
/* The numbers and choices of a checkpoint as text. Floats have as few digits as bring them back exactly, doubles are
 * hexadecimal. */
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "nn/choices.h"
#include "tools/shared/options.h"

#define AT(member) offsetof(struct checkpoint, member)
#define BELOW_ONE (1 - (double)FLT_EPSILON / 2)
#define MOST_STEPS 9007199254740992.0 /* 2^53 */
#define OPTION(name, type, member) .key = (name), .kind = (type), .offset = AT(request.member), .is_option = true
#define CHOICE(name, member, list) OPTION(name, FIELD_WORD, member), .words = list
#define NUMBER(name, type, member) .key = (name), .kind = (type), .offset = AT(member), .may_change = true

const struct checkpoint_field checkpoint_fields[] = {
    {CHOICE("model", model.kind, nn_model_words)},
    {OPTION("depth", FIELD_SIZE, model.depth)},
    {CHOICE("norm", model.norm, nn_norm_words)},
    {OPTION("frozen", FIELD_BOOL, model.frozen)},
    {OPTION("no-sync-bn", FIELD_BOOL, local_statistics), .missing = "0"},
    {CHOICE("activation", model.activation, nn_activation_words)},
    {CHOICE("memory", model.memory, nn_memory_words), .missing = "plain"},
    {OPTION("batch", FIELD_SIZE, model.batch)},
    {OPTION("seed", FIELD_U64, model.seed)},
    {CHOICE("optimizer", training.optimizer.kind, nn_optimizer_words)},
    {OPTION("nesterov", FIELD_BOOL, training.optimizer.nesterov)},
    {OPTION("momentum", FIELD_FLOAT, training.optimizer.momentum)},
    {OPTION("weight-decay", FIELD_FLOAT, training.optimizer.weight_decay)},
    {OPTION("decay-norm", FIELD_BOOL, training.optimizer.decay_norm)},
    {OPTION("beta1", FIELD_FLOAT, training.optimizer.beta1), .most = BELOW_ONE},
    {OPTION("beta2", FIELD_FLOAT, training.optimizer.beta2), .most = BELOW_ONE},
    {OPTION("eps", FIELD_FLOAT, training.optimizer.eps), .least = FLT_MIN, .most = 1},
    {CHOICE("schedule", training.schedule.kind, nn_schedule_words)},
    {OPTION("lr", FIELD_FLOAT, training.schedule.rate)},
    {OPTION("step-factor", FIELD_FLOAT, training.schedule.factor)},
    {OPTION("step-every", FIELD_LONG, step_every)},
    {OPTION("warmup", FIELD_LONG, warmup)},
    {OPTION("shift", FIELD_INT, training.augmentation.shift)},
    {OPTION("flip", FIELD_BOOL, training.augmentation.flip)},
    {OPTION("limit", FIELD_LONG, limit)},
    {OPTION("size", FIELD_SIDES, size), .missing = "none"},
    {CHOICE("fit", size.fit, nn_fit_words), .missing = "crop"},
    {NUMBER("epochs", FIELD_LONG, request.epochs)},
    {NUMBER("image.height", FIELD_SIZE, request.model.image.height), .least = 1, .most = NN_IMAGE_MAX_SIDE},
    {NUMBER("image.width", FIELD_SIZE, request.model.image.width), .least = 1, .most = NN_IMAGE_MAX_SIDE},
    {NUMBER("image.channels", FIELD_SIZE, request.model.image.channels), .least = 1, .most = NN_MAX_CHANNELS},
    {NUMBER("classes", FIELD_SIZE, request.model.classes), .least = 2, .most = NN_MAX_CLASSES},
    {NUMBER("images", FIELD_U64, images), .least = 1, .most = UINT32_MAX},
    {NUMBER("data-hash", FIELD_U64, request.data_hash)},
    {NUMBER("mean.0", FIELD_FLOAT, mean[0]), .most = 255},
    {NUMBER("mean.1", FIELD_FLOAT, mean[1]), .most = 255},
    {NUMBER("mean.2", FIELD_FLOAT, mean[2]), .most = 255},
    {NUMBER("rstd.0", FIELD_FLOAT, rstd[0]), .most = 1e9},
    {NUMBER("rstd.1", FIELD_FLOAT, rstd[1]), .most = 1e9},
    {NUMBER("rstd.2", FIELD_FLOAT, rstd[2]), .most = 1e9},
    {NUMBER("accuracy", FIELD_DOUBLE, request.accuracy), .least = -1, .most = 1, .missing = "-0x1p+0"},
    {NUMBER("at.epoch", FIELD_U64, at.epoch), .most = 1e6},
    {NUMBER("at.step", FIELD_U64, at.step), .most = MOST_STEPS},
    {NUMBER("at.done", FIELD_U64, at.done), .most = UINT32_MAX},
    {NUMBER("at.loss", FIELD_DOUBLE, at.sum.loss), .most = DBL_MAX},
    {NUMBER("at.correct", FIELD_SIZE, at.sum.correct), .most = UINT32_MAX},
    {NUMBER("at.optimizer-steps", FIELD_U64, optimizer_steps), .most = MOST_STEPS},
};
const size_t checkpoint_field_count = sizeof checkpoint_fields / sizeof *checkpoint_fields;

static void write_float(float value, char *text) {
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, CHECKPOINT_FIELD_BYTES, "%.*g", digits, (double)value);
        if ((float)strtod(text, NULL) == value) return;
    }
}

void checkpoint_field_write(const struct checkpoint_field *field, const struct checkpoint *checkpoint, char *text) {
    const void *at = (const char *)checkpoint + field->offset;
    const size_t size = CHECKPOINT_FIELD_BYTES;
    switch (field->kind) {
    case FIELD_WORD: /* an enum, which is as large as an int */
        snprintf(text, size, "%s", field->words[*(const int *)at]);
        break;
    case FIELD_BOOL:
        snprintf(text, size, "%d", *(const bool *)at);
        break;
    case FIELD_INT:
        snprintf(text, size, "%d", *(const int *)at);
        break;
    case FIELD_LONG:
        snprintf(text, size, "%ld", *(const long *)at);
        break;
    case FIELD_SIZE:
        snprintf(text, size, "%zu", *(const size_t *)at);
        break;
    case FIELD_U64:
        snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)at);
        break;
    case FIELD_FLOAT:
        write_float(*(const float *)at, text);
        break;
    case FIELD_DOUBLE:
        snprintf(text, size, "%a", *(const double *)at);
        break;
    case FIELD_SIDES:
        if (((const nn_size *)at)->height == 0)
            snprintf(text, size, "none");
        else
            snprintf(text, size, "%zux%zu", ((const nn_size *)at)->height, ((const nn_size *)at)->width);
        break;
    }
}

/* The whole text or nothing. */
static bool read_whole(const char *text, unsigned long long most, unsigned long long *value) {
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9') return false;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value <= most;
}

static bool read_real(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

/* The option whose range a field has; NULL: it has its own. */
static const struct option_row *option_of(const struct checkpoint_field *field) {
    for (size_t i = 0; i < train_options.count; i++)
        if (train_options.rows[i].name && strcmp(train_options.rows[i].name, field->key) == 0) return &train_options.rows[i];
    return NULL;
}

/* A whole number that the command line takes, or what it has where nothing is given, such as no limit. */
static bool is_whole(const struct checkpoint_field *field, unsigned long long value, const char *text) {
    const struct option_row *row = option_of(field);
    struct checkpoint usual;
    char usual_text[CHECKPOINT_FIELD_BYTES];
    if (!row) return field->most == 0 || ((double)value >= field->least && (double)value <= field->most);
    if (row->words) return option_word_index(row->words, text, strlen(text)) >= 0;
    train_options.defaults(&usual.request);
    checkpoint_field_write(field, &usual, usual_text);
    const unsigned long long least = row->limits.least > 0 ? (unsigned long long)row->limits.least : 0;
    return strcmp(text, usual_text) == 0 || (value >= least && value <= (unsigned long long)row->limits.most);
}

static bool is_real(const struct checkpoint_field *field, double value) {
    const struct option_row *row = option_of(field);
    if (!isfinite(value)) return false;
    return row ? option_in_range(row, value) : value >= field->least && value <= field->most;
}

/* What a whole number may be at most where it is kept. */
static unsigned long long room_of(const struct checkpoint_field *field) {
    return field->kind == FIELD_INT    ? INT_MAX
           : field->kind == FIELD_LONG ? LONG_MAX
           : field->kind == FIELD_SIZE ? SIZE_MAX
                                       : UINT64_MAX;
}

static void put_whole(const struct checkpoint_field *field, unsigned long long whole, void *at) {
    if (field->kind == FIELD_INT)
        *(int *)at = (int)whole;
    else if (field->kind == FIELD_LONG)
        *(long *)at = (long)whole;
    else if (field->kind == FIELD_SIZE)
        *(size_t *)at = (size_t)whole;
    else
        *(uint64_t *)at = whole;
}

bool checkpoint_field_read(const struct checkpoint_field *field, const char *text, struct checkpoint *checkpoint) {
    void *at = (char *)checkpoint + field->offset;
    unsigned long long whole = 0;
    double real = 0;
    switch (field->kind) {
    case FIELD_WORD:
        *(int *)at = option_word_index(field->words, text, strlen(text));
        return *(int *)at >= 0;
    case FIELD_BOOL:
        if (!read_whole(text, 1, &whole)) return false;
        *(bool *)at = whole != 0;
        return true;
    case FIELD_INT:
    case FIELD_LONG:
    case FIELD_SIZE:
    case FIELD_U64:
        if (!read_whole(text, room_of(field), &whole) || !is_whole(field, whole, text)) return false;
        put_whole(field, whole, at);
        return true;
    case FIELD_FLOAT: /* the range is that of the number which is kept */
        if (!read_real(text, &real) || !is_real(field, (double)(float)real)) return false;
        *(float *)at = (float)real;
        return true;
    case FIELD_DOUBLE:
        if (!read_real(text, &real) || !is_real(field, real)) return false;
        *(double *)at = real;
        return true;
    case FIELD_SIDES:
        return strcmp(text, "none") == 0 || train_parse_size(text, at);
    }
    return false;
}
