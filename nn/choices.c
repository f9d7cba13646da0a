/* SPDX-License-Identifier: MIT */
#include "choices.h"

#include <stddef.h>

#include "train.h"

const char *const nn_model_words[] = {[NN_MLP] = "mlp", [NN_CNN] = "cnn", [NN_RESNET] = "resnet", NULL};
const char *const nn_depth_words[] = {"8", "14", "20", NULL};
const char *const nn_norm_words[] = {[NN_NORM_NONE] = "none", [NN_NORM_BEFORE] = "before", [NN_NORM_AFTER] = "after", NULL};
#define WORD(kind, word, parameter, by_y) word,
const char *const nn_activation_words[] = {BATCHNORM_ACTIVATION_LIST(WORD)[NN_TANH] = "tanh", NULL};
const char *const nn_memory_words[] = {[NN_MEMORY_PLAIN] = "plain", [NN_MEMORY_LESS] = "less", NULL};
const char *const nn_optimizer_words[] = {[NN_SGD] = "sgd", [NN_ADAM] = "adam", [NN_ADAMW] = "adamw", NULL};
const char *const nn_schedule_words[] = {[NN_CONSTANT] = "constant", [NN_STEP] = "step", [NN_COSINE] = "cosine", NULL};
const char *const nn_fit_words[] = {[NN_CROP] = "crop", [NN_STRETCH] = "stretch", NULL};

bool nn_is_told_by_y(batchnorm_activation_kind kind) {
#define BY_Y(kind, word, parameter, by_y) by_y,
    static const bool by_y[] = {BATCHNORM_ACTIVATION_LIST(BY_Y)};
    return by_y[kind];
}

batchnorm_activation nn_usual_activation(batchnorm_activation_kind kind) {
#define USUAL_NONE 0
#define USUAL_SLOPE 0.01
#define USUAL_CEILING 6
#define USUAL(kind, word, parameter, by_y) USUAL_##parameter,
    static const double parameters[] = {BATCHNORM_ACTIVATION_LIST(USUAL)};
    return (batchnorm_activation){kind, parameters[kind]};
}
