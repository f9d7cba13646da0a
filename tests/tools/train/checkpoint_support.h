/* SPDX-License-Identifier: MIT */
/* A small training for the tests of checkpoints. Every failure fails the test. */
#ifndef TESTS_TOOLS_TRAIN_CHECKPOINT_SUPPORT_H
#define TESTS_TOOLS_TRAIN_CHECKPOINT_SUPPORT_H

#include "tests/support/files.h"
#include "tools/train/checkpoint.h"

enum { IMAGES = 10, CLASSES = 3, BATCH = 4 };

/* Options, data, network and trainer. */
struct training {
    struct train_request request;
    nn_dataset data;
    nn_backend *backend;
    nn_network *network;
    nn_trainer trainer;
};

extern char message[NN_MESSAGE_BYTES];

/* The same each time; the pixels may be changed. */
nn_dataset make_data(void);
/* Trainings are kept until let_go(). */
struct training *begin(const struct train_request *request);
/* A resnet with another value than the default for every option, in the middle of its second epoch, saved as "part". */
struct training *begin_trained(nn_optimizer_kind kind);

/* All that restoring may change as bytes, to be freed. */
unsigned char *copy_state(const struct training *t, size_t *bytes);
bool has_state(const struct training *t, const unsigned char *expected, size_t bytes);

#endif
