/* SPDX-License-Identifier: MIT */
/* Softmax cross entropy, the loss of a classifier. */
#ifndef NN_LOSS_H
#define NN_LOSS_H

#include <stddef.h>
#include <stdint.h>

typedef struct nn_score {
    double loss;    /* sum over the samples of -log(probability of the right class) */
    size_t correct; /* samples whose largest logit is that of the right class; the first of equals counts */
} nn_score;

/* The class of the largest logit, the first of equals. */
size_t nn_largest(size_t classes, const float *logits);

/* logits: [n][classes], labels: [n] below classes. dlogits, NULL if not wanted: the gradient of the mean loss over the n. */
nn_score nn_softmax_cross_entropy(size_t n, size_t classes, const float *logits, const uint8_t *labels, float *dlogits);
/* The same of n samples of a batch of `batch`, over which the mean is taken. */
nn_score nn_softmax_cross_entropy_part(size_t n, size_t batch, size_t classes, const float *logits, const uint8_t *labels,
                                       float *dlogits);

#endif
