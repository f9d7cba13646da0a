/* SPDX-License-Identifier: MIT */
/* The two loops around a network: one epoch of training, one evaluation. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "dataset.h"
#include "loss.h"
#include "model.h"
#include "sgd.h"

/* Called after each batch: `done` of `total` samples. */
typedef void nn_progress(void *user, size_t done, size_t total);

typedef struct nn_trainer {
    nn_network *network;
    nn_sgd sgd;
    nn_rng rng; /* shuffles */
    const nn_dataset *train, *test;
    size_t batch;
    uint32_t *order; /* [the larger count of both] */
    uint8_t *labels; /* [batch] */
} nn_trainer;

/* What one epoch came to. */
typedef struct nn_epoch {
    double loss;         /* mean over the training samples, each as the network was when it saw them */
    double accuracy;     /* share of the test images it gets right afterwards, in evaluation mode */
    double seconds;      /* of training alone */
    double test_seconds; /* of the evaluation */
} nn_epoch;

/* The network, the data and the options' batch must fit together; all but the options are borrowed. */
nn_error nn_trainer_init(nn_trainer *trainer, nn_network *network, const nn_dataset *train, const nn_dataset *test,
                         const nn_model_options *options, float rate, float momentum);
void nn_trainer_free(nn_trainer *trainer);
/* progress may be NULL; user is its first argument. */
nn_error nn_trainer_epoch(nn_trainer *trainer, nn_progress *progress, void *user, nn_epoch *epoch);

#endif
