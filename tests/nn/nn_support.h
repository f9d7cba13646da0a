/* SPDX-License-Identifier: MIT */
/* What the tests of nn/ share: a backend, numbers to compute with, and closeness. */
#ifndef TESTS_NN_NN_SUPPORT_H
#define TESTS_NN_NN_SUPPORT_H

#include "nn/model.h"
#include "reference.h"

enum { NN_TEST_THREADS = 2, NN_TEST_BATCH = 5, NN_TEST_SHARDS = 39, NN_TEST_CLASSES = 3 };

static const struct nudge no_nudge = {.which = -1};

/* Of the tests that run between these two, for cmocka's groups. */
extern nn_backend *backend;
int open_backend(void **state);
int close_backend(void **state);

/* Away from 0, where relu has no derivative, and all different, so that a maximum has one too. */
void fill(float *values, size_t count, nn_rng *rng);
/* Equal but for what float may lose: 2e-5 of `expected` or of 1. */
void assert_near(double got, double expected);
/* Indices to look at: all of few, about 16 of many. */
size_t sample_stride(size_t count);

/* Options of a model for images of 6 x 5 pixels and three colours; a resnet has depth 8. */
nn_model_options small_model(nn_model_kind kind, nn_norm norm, nn_activation activation);
/* These are kept until let_go(): the whole model, and a network without a layer yet. */
nn_network *make_model(const nn_model_options *options);
nn_network *new_network(nn_shape input, size_t batch, int threads);
/* Forward, loss and backward of n samples with fixed labels; the mean loss. The network has NN_TEST_CLASSES outputs. */
double step_of(nn_network *network, size_t n);
/* The loss and the gradients of some numbers of every parameter, against the reference. It runs twice: the second
 * pass must not find anything of the first. */
void check_network(nn_network *network, size_t n);

#endif
