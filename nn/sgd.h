/* SPDX-License-Identifier: MIT */
/* Stochastic gradient descent with momentum, as PyTorch writes it:
 *     velocity = momentum * velocity + gradient;   parameter = parameter - rate * velocity
 */
#ifndef NN_SGD_H
#define NN_SGD_H

#include "network.h"

typedef struct nn_sgd {
    nn_network *network; /* must outlive this */
    float rate, momentum;
    float *velocity; /* of all parameters, one after the other; zeros at first */
} nn_sgd;

nn_error nn_sgd_init(nn_sgd *sgd, nn_network *network, float rate, float momentum);
void nn_sgd_free(nn_sgd *sgd);
void nn_sgd_step(nn_sgd *sgd);

#endif
