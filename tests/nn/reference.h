/* SPDX-License-Identifier: MIT */
/* The layers of nn/ once more, in double and as plain as can be: the formulas as they stand in a book. Gradients are not
 * written down at all; finite differences of these forwards are what nn/ is compared with. */
#ifndef TESTS_NN_REFERENCE_H
#define TESTS_NN_REFERENCE_H

#include "nn/network.h"

/* y = layer(x, z) in training mode, with the layer's own parameters, except that number `index` of parameter `which` is
 * larger by `step`; which < 0: none is. */
struct nudge {
    int which;
    size_t index;
    double step;
};
void reference_forward(const nn_layer *layer, size_t n, const double *x, const double *z, double *y, struct nudge nudge);

/* Every value of a network: [count + 1] arrays, the input first, with parameter `nudge` of layer `at` changed. */
double **reference_values(const nn_network *network, size_t n, const float *x, size_t at, struct nudge nudge);
void reference_free(const nn_network *network, double **values);

/* The mean cross entropy of a whole network. */
double reference_loss(const nn_network *network, size_t n, const float *x, const uint8_t *labels, size_t at,
                      struct nudge nudge);

#endif
