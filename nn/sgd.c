/* SPDX-License-Identifier: MIT */
#include "sgd.h"

#include <stdlib.h>

nn_error nn_sgd_init(nn_sgd *sgd, nn_network *network, float rate, float momentum) {
    *sgd = (nn_sgd){.network = network, .rate = rate, .momentum = momentum};
    sgd->velocity = nn_floats(nn_network_parameters(network));
    return sgd->velocity ? NULL : NN_NO_MEMORY;
}

void nn_sgd_free(nn_sgd *sgd) {
    free(sgd->velocity);
    sgd->velocity = NULL;
}

static void step(const nn_sgd *sgd, const nn_parameter *parameter, float *restrict velocity) {
    float *restrict value = parameter->value;
    const float *restrict grad = parameter->grad;
    const float rate = sgd->rate, momentum = sgd->momentum;
    for (size_t i = 0; i < parameter->count; i++) {
        velocity[i] = momentum * velocity[i] + grad[i];
        value[i] -= rate * velocity[i];
    }
}

void nn_sgd_step(nn_sgd *sgd) {
    float *velocity = sgd->velocity;
    for (size_t i = 0; i < nn_network_parameter_count(sgd->network); i++) {
        const nn_parameter *parameter = nn_network_parameter(sgd->network, i);
        if (!parameter->frozen) step(sgd, parameter, velocity);
        velocity += parameter->count;
    }
}
