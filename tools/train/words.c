/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <string.h>

#include "nn/train.h"

const char *const model_words[] = {[NN_MLP] = "mlp", [NN_CNN] = "cnn", [NN_RESNET] = "resnet", NULL};
const char *const norm_words[] = {[NN_NORM_NONE] = "none", [NN_NORM_BEFORE] = "before", [NN_NORM_AFTER] = "after", NULL};
const char *const activation_words[] = {
    [NN_IDENTITY] = "identity", [NN_RELU] = "relu", [NN_SIGMOID] = "sigmoid", [NN_TANH] = "tanh", NULL};
const char *const optimizer_words[] = {[NN_SGD] = "sgd", [NN_ADAM] = "adam", [NN_ADAMW] = "adamw", NULL};
const char *const schedule_words[] = {[NN_CONSTANT] = "constant", [NN_STEP] = "step", [NN_COSINE] = "cosine", NULL};

int word_value(const char *const *words, const char *text) {
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0) return i;
    return -1;
}
