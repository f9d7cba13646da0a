/* SPDX-License-Identifier: MIT */
/* A network for images, and the two loops around it: one epoch of training, one evaluation. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "dataset.h"
#include "loss.h"
#include "sgd.h"

typedef struct nn_cnn_options {
    nn_shape image;
    size_t classes;
    bool batch_norm;
    nn_activation activation;
    size_t batch;
    int threads;
    uint64_t seed;
} nn_cnn_options;

/* convolution to 32 - batch norm - activation - pool - convolution to 64 - batch norm - activation - pool -
 * linear to 128 - batch norm - activation - linear to classes; without batch norm the rest is the same, and the layers before
 * it get a bias, which batch norm would subtract again. On error *network is NULL. */
nn_error nn_cnn_create(nn_backend *backend, const nn_cnn_options *options, nn_network **network);

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
                         const nn_cnn_options *options, float rate, float momentum);
void nn_trainer_free(nn_trainer *trainer);
/* progress may be NULL; user is its first argument. */
nn_error nn_trainer_epoch(nn_trainer *trainer, nn_progress *progress, void *user, nn_epoch *epoch);

#endif
