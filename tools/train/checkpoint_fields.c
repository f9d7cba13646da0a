/* SPDX-License-Identifier: MIT */
/* The numbers and choices of a checkpoint as text. Floats have as few digits as bring them back exactly, doubles are
 * hexadecimal. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "nn/choices.h"
#include "tools/shared/options.h"

#define AT(member) offsetof(struct checkpoint, member)
#define OPTION(key, kind, member)                                                                                              \
    { key, kind, AT(request.member), NULL, false, true }
#define CHOICE(key, member, words)                                                                                             \
    { key, FIELD_WORD, AT(request.member), words, false, true }
#define NUMBER(key, kind, member)                                                                                              \
    { key, kind, AT(member), NULL, true, false }

const struct checkpoint_field checkpoint_fields[] = {
    CHOICE("model", model.kind, nn_model_words),
    OPTION("depth", FIELD_SIZE, model.depth),
    CHOICE("norm", model.norm, nn_norm_words),
    OPTION("frozen", FIELD_BOOL, model.frozen),
    CHOICE("activation", model.activation, nn_activation_words),
    OPTION("batch", FIELD_SIZE, model.batch),
    OPTION("seed", FIELD_U64, model.seed),
    CHOICE("optimizer", training.optimizer.kind, nn_optimizer_words),
    OPTION("nesterov", FIELD_BOOL, training.optimizer.nesterov),
    OPTION("momentum", FIELD_FLOAT, training.optimizer.momentum),
    OPTION("weight-decay", FIELD_FLOAT, training.optimizer.weight_decay),
    OPTION("decay-norm", FIELD_BOOL, training.optimizer.decay_norm),
    OPTION("beta1", FIELD_FLOAT, training.optimizer.beta1),
    OPTION("beta2", FIELD_FLOAT, training.optimizer.beta2),
    OPTION("eps", FIELD_FLOAT, training.optimizer.eps),
    CHOICE("schedule", training.schedule.kind, nn_schedule_words),
    OPTION("lr", FIELD_FLOAT, training.schedule.rate),
    OPTION("step-factor", FIELD_FLOAT, training.schedule.factor),
    OPTION("step-every", FIELD_LONG, step_every),
    OPTION("warmup", FIELD_LONG, warmup),
    OPTION("shift", FIELD_INT, training.augmentation.shift),
    OPTION("flip", FIELD_BOOL, training.augmentation.flip),
    OPTION("limit", FIELD_LONG, limit),
    NUMBER("epochs", FIELD_LONG, request.epochs),
    NUMBER("image.height", FIELD_SIZE, request.model.image.height),
    NUMBER("image.width", FIELD_SIZE, request.model.image.width),
    NUMBER("image.channels", FIELD_SIZE, request.model.image.channels),
    NUMBER("classes", FIELD_SIZE, request.model.classes),
    NUMBER("images", FIELD_U64, images),
    NUMBER("data-hash", FIELD_U64, request.data_hash),
    NUMBER("mean.0", FIELD_FLOAT, mean[0]),
    NUMBER("mean.1", FIELD_FLOAT, mean[1]),
    NUMBER("mean.2", FIELD_FLOAT, mean[2]),
    NUMBER("rstd.0", FIELD_FLOAT, rstd[0]),
    NUMBER("rstd.1", FIELD_FLOAT, rstd[1]),
    NUMBER("rstd.2", FIELD_FLOAT, rstd[2]),
    NUMBER("at.epoch", FIELD_U64, at.epoch),
    NUMBER("at.step", FIELD_U64, at.step),
    NUMBER("at.done", FIELD_U64, at.done),
    NUMBER("at.loss", FIELD_DOUBLE, at.sum.loss),
    NUMBER("at.correct", FIELD_SIZE, at.sum.correct),
    NUMBER("at.optimizer-steps", FIELD_U64, optimizer_steps),
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
        if (!read_whole(text, INT_MAX, &whole)) return false;
        *(int *)at = (int)whole;
        return true;
    case FIELD_LONG:
        if (!read_whole(text, LONG_MAX, &whole)) return false;
        *(long *)at = (long)whole;
        return true;
    case FIELD_SIZE:
        if (!read_whole(text, SIZE_MAX, &whole)) return false;
        *(size_t *)at = (size_t)whole;
        return true;
    case FIELD_U64:
        if (!read_whole(text, UINT64_MAX, &whole)) return false;
        *(uint64_t *)at = whole;
        return true;
    case FIELD_FLOAT:
        if (!read_real(text, &real) || !isfinite(real) || real < 0) return false; /* none is negative */
        *(float *)at = (float)real;
        return true;
    case FIELD_DOUBLE:
        return read_real(text, (double *)at);
    }
    return false;
}
