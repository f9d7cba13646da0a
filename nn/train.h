/* SPDX-License-Identifier: MIT */
/* The loops around a network: steps, epochs and evaluations. Where the network is one of several ranks, all of them make the
 * same calls, each on its part of every batch and every set, and get the same results. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "dataset.h"
#include "loss.h"
#include "model.h"
#include "optimizer.h"

/* What the course of training depends on, beside the network and the data. */
typedef struct nn_training_options {
    nn_optimizer_options optimizer;
    nn_schedule schedule;
    nn_augmentation augmentation; /* of the training images; the trainer sets seed and epoch */
    size_t batch;                 /* of all ranks together */
    uint64_t seed;                /* of the order of images and of augmentation */
} nn_training_options;

/* How far training is. With the network, the optimizer and the options it is all that the rest of training depends on. */
typedef struct nn_position {
    uint64_t epoch; /* whole epochs done */
    uint64_t step;  /* batches done in all */
    uint64_t done;  /* samples of this epoch done */
    nn_score sum;   /* of those */
} nn_position;

typedef struct nn_trainer {
    nn_network *network;
    nn_optimizer optimizer;
    const nn_dataset *train, *test;
    nn_training_options options;
    nn_position at;
    uint32_t *order;    /* of the training images in this epoch: a function of seed and epoch */
    uint32_t *in_order; /* 0, 1, 2, ... */
    uint8_t *labels;    /* [batch] */
} nn_trainer;

/* What one epoch came to. */
typedef struct nn_epoch {
    double loss;         /* mean over the training samples, each as the network was when it saw them */
    double accuracy;     /* share of the test images it gets right afterwards, in evaluation mode */
    double test_loss;    /* their mean loss */
    double seconds;      /* of training alone */
    double test_seconds; /* of the evaluation */
    double waiting;      /* how many of the seconds of training this rank was in exchanges with others */
} nn_epoch;

/* Called after each batch: `done` of `total` samples of the epoch. */
typedef void nn_progress(void *user, size_t done, size_t total);

/* How many samples the network of a rank must take at a time where the batch is that of all. */
size_t nn_trainer_capacity(size_t batch, const nn_ranks *ranks);

/* The network and the data must fit together, and the network must take nn_trainer_capacity() of options->batch; both are
 * borrowed. */
nn_error nn_trainer_init(nn_trainer *trainer, nn_network *network, const nn_dataset *train, const nn_dataset *test,
                         const nn_training_options *options);
void nn_trainer_free(nn_trainer *trainer);

/* Samples and steps of an epoch. A single sample has no batch statistics, so one that is left over at the end is not used; the
 * order is another in each epoch, so it is another sample each time. A network without batch norm skips it too, to be trained
 * on the same. */
size_t nn_trainer_samples(const nn_trainer *trainer);
size_t nn_trainer_steps(const nn_trainer *trainer);
/* Go on from there; network and optimizer are the caller's to restore. */
void nn_trainer_seek(nn_trainer *trainer, const nn_position *position);

/* The next step of the epoch; score, NULL if not wanted: the sums over its batch. There must be one: at.done < samples. */
nn_error nn_trainer_step(nn_trainer *trainer, nn_score *score);
/* After the last step: on to the next epoch. */
void nn_trainer_end_epoch(nn_trainer *trainer);
/* All of a data set in evaluation mode: sums. The network is in training mode again afterwards. */
nn_error nn_trainer_evaluate(nn_trainer *trainer, const nn_dataset *data, nn_score *score);

/* The same class by class: adds to right[c] the images of class c that it gets right, and to all[c] those that there are. */
nn_error nn_trainer_evaluate_classes(nn_trainer *trainer, const nn_dataset *data, uint32_t *right, uint32_t *all);

/* The rest of this epoch, an evaluation, and on to the next. progress may be NULL; user is its first argument. */
nn_error nn_trainer_epoch(nn_trainer *trainer, nn_progress *progress, void *user, nn_epoch *epoch);

#endif
