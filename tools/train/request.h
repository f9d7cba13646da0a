/* SPDX-License-Identifier: MIT */
/* What `batchnorm train` is asked for. */
#ifndef TOOLS_TRAIN_REQUEST_H
#define TOOLS_TRAIN_REQUEST_H

#include <stdio.h>

#include "nn/train.h"
#include "tools/shared/options.h"

struct train_request {
    nn_model_options model; /* image and classes come from the data; batch is what was asked for */
    nn_training_options
        training;            /* batch is what is used, seed the model's; schedule.warmup, steps and every come with the data */
    long warmup, step_every; /* epochs; step_every 0: a third of all */
    nn_size size;            /* of the images; height 0: as they are */
    const char *data;
    long epochs, limit;        /* limit 0: all images */
    const char *save, *resume; /* checkpoints; NULL: none */
    long save_every;           /* steps; 0: at the end of each epoch only */
    uint64_t data_hash;        /* of the training images, if checkpoints are saved */
    double accuracy;           /* on the test images, of the network as it is; -1: it was not tested */
    bool json, profile, skip_bad, force, keep_best, per_class;
    bool local_statistics; /* of ranks, in batch norm */
};

extern const struct option_table train_options;

/* "224" or "120x160". False: it is neither, or too large. */
bool train_parse_size(const char *text, nn_size *size);
/* Whether the options go together. False: `message`, NN_MESSAGE_BYTES long, says which do not. */
bool train_check(const struct train_request *request, char *message);
/* A number that tells data sets apart, by all pixels and labels in their order. */
uint64_t train_hash(const nn_dataset *data);
/* How many images a step takes: what was asked for, but not more than there are. */
size_t train_batch(const struct train_request *request, uint64_t images);
/* Whether every rank has the statistics that its batch norm needs, where they are local. */
bool train_check_parts(const struct train_request *request, const nn_dataset *train, int ranks, char *message);
/* Fill in what depends on the data. False: `message`, NN_MESSAGE_BYTES long, says what does not fit. */
bool train_fit(struct train_request *request, const nn_dataset *train, char *message);
/* "cnn, batch norm (momentum 0.1) before relu, sgd (momentum 0.9), learning rate 0.05, batch 128, seed 1" */
void train_describe(const struct train_request *request, FILE *to);

#endif
