/* SPDX-License-Identifier: MIT */
/* What `batchnorm train` shows: progress on a terminal, and one row for each epoch. */
#ifndef TOOLS_TRAIN_REPORT_H
#define TOOLS_TRAIN_REPORT_H

#include <stdbool.h>

#include "nn/train.h"

/* Progress of the whole run. It goes to stderr, and only if that is a terminal, and of the first rank. */
struct train_progress {
    bool shown;
    long epoch, epochs;
    double start, epoch_start, last; /* moments: of the run, of the epoch, and when it was shown last */
};

struct train_progress train_progress_begin(bool first, long epochs);
/* From now on it is about this epoch, counted from 1. */
void train_progress_epoch(struct train_progress *progress, long epoch);
/* An nn_progress; user is the struct. */
void train_progress_show(void *user, size_t done, size_t total);
/* Clear the line. */
void train_progress_hide(const struct train_progress *progress);

/* ranks: there are several, and it is told how long the first has waited. */
void train_print_head(bool ranks);
void train_print_epoch(long number, const nn_epoch *epoch, bool ranks, bool json);
/* The accuracy of each class of a set. */
void train_print_classes(const nn_dataset *set, const uint32_t *right, const uint32_t *all, bool json);
/* The epoch that a checkpoint has, because it was the best. */
void train_print_best(long epoch, double accuracy, const char *path, bool json);
/* The bytes of the values and gradients of the layers, and what they would be with --memory plain. */
void train_print_memory(const nn_network *network, bool json);
/* Where the time went, layer by layer; `total` is all of it. */
void train_print_profile(const nn_network *network, double total, bool json);

#endif
