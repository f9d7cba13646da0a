/* SPDX-License-Identifier: MIT */
#include "plan/coefficients.h"

#include <math.h>

struct bnk_act bn_act_of(batchnorm_activation activation) {
    switch (activation.kind) {
    case BATCHNORM_IDENTITY:
        return (struct bnk_act){.slope = 1, .ceiling = INFINITY};
    case BATCHNORM_RELU:
        return (struct bnk_act){.slope = 0, .ceiling = NAN, .cut = true}; /* nothing is at or above it, not even infinity */
    case BATCHNORM_LEAKY_RELU:
        return (struct bnk_act){.slope = activation.parameter, .ceiling = INFINITY};
    case BATCHNORM_CLIPPED_RELU:
        return (struct bnk_act){.slope = 0, .ceiling = activation.parameter, .cut = true};
    default:
        return (struct bnk_act){.curve = (int)activation.kind};
    }
}

void bn_set_gate(struct bn_coefficients k, size_t channel, double mean, double scale, double bias) {
    size_t bytes = bn_element_bytes(k.computing);
    k.data = (char *)k.data + BNK_GATE * k.pitch * bytes;
    bn_set_affine(k, channel, mean, scale, bias, false);
}

void bn_set_blend(struct bn_coefficients k, size_t channel, double mean, double p, double q, double s) {
    bn_set_coefficients(k, channel, mean, (const double[]){p, q, s}, 3);
}
