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

void bn_vector_read(struct bn_vector v, size_t c, size_t count, double absent, double *out) {
    if (v.data && v.dtype == BATCHNORM_F32)
        bnk_table()->numbers->to_doubles((const float *)v.data + c, count, out);
    else
        for (size_t i = 0; i < count; i++) out[i] = v.data ? ((const double *)v.data + c)[i] : absent;
}

void bn_vector_write(struct bn_output v, size_t c, size_t count, const double *values) {
    if (!v.data) return;
    if (v.dtype == BATCHNORM_F32)
        bnk_table()->numbers->to_floats(values, count, (float *)v.data + c);
    else
        for (size_t i = 0; i < count; i++) ((double *)v.data + c)[i] = values[i];
}

/* Where the coefficients of a channel begin. */
static void *place_of(struct bn_coefficients k, size_t channel) {
    return (char *)k.data + channel * bn_element_bytes(k.computing);
}

void bn_set_affines(struct bn_coefficients k, size_t channel, size_t count, struct bnk_affines of) {
    bnk_table()->numbers->affines(k.computing == BATCHNORM_F32, &of, count, place_of(k, channel), k.pitch);
}

void bn_set_blends(struct bn_coefficients k, size_t channel, size_t count, struct bnk_blends of) {
    bnk_table()->numbers->blends(k.computing == BATCHNORM_F32, &of, count, place_of(k, channel), k.pitch);
}

void bn_set_affine(struct bn_coefficients k, size_t channel, double mean, double scale, double bias) {
    bn_set_affines(k, channel, 1, (struct bnk_affines){&mean, &scale, &bias, NULL});
}

void bn_set_blend(struct bn_coefficients k, size_t channel, double mean, double p, double q, double s) {
    bn_set_blends(k, channel, 1, (struct bnk_blends){&mean, &p, &q, &s});
}

void bn_set_gate(struct bn_coefficients k, size_t channel, double mean, double scale, double bias) {
    const size_t bytes = bn_element_bytes(k.computing);
    k.data = (char *)k.data + BNK_GATE * k.pitch * bytes;
    bn_set_affine(k, channel, mean, scale, bias);
}
