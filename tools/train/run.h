/* SPDX-License-Identifier: MIT */
/* A training, epoch by epoch: what is saved when, and how it ends. */
#ifndef TOOLS_TRAIN_RUN_H
#define TOOLS_TRAIN_RUN_H

#include "checkpoint.h"

/* A training and what goes with it. */
struct run {
    struct train_request request;
    nn_ranks *ranks;        /* NULL: alone */
    struct checkpoint from; /* where it goes on from; file NULL: from the beginning */
    nn_trainer trainer;
    bool unsaved;                   /* the last save failed; message says why */
    bool diverged;                  /* there is nothing left to save */
    bool has_saved;                 /* a checkpoint was written, after this step: */
    uint64_t saved_step;            /* ... */
    uint64_t best_epoch;            /* of the checkpoint that --keep-best keeps; 0: none was tested yet */
    double best;                    /* its test accuracy */
    double other;                   /* seconds of passes through the network that are of no epoch */
    char message[NN_MESSAGE_BYTES]; /* what was wrong; empty where it was said already */
};

/* For stop_on_signals(): the training stops after the step that it is in. */
void run_stop(int signal);

/* Everything but the data and the network: the rest of the training, and what is printed. */
nn_error run_network(struct run *run, nn_network *network, const nn_dataset *train, const nn_dataset *test);

#endif
