/* SPDX-License-Identifier: MIT */
/* Calls of a layer from a list of arguments; see raw_calls.h. */
#ifndef TESTS_SUPPORT_LAYER_CALLS_H
#define TESTS_SUPPORT_LAYER_CALLS_H

#include "batchnorm/layer.h"

static inline batchnorm_status layer_forward_fused(batchnorm_layer *layer, batchnorm_tensor x, batchnorm_tensor z,
                                                   batchnorm_tensor y, batchnorm_saved *saved, batchnorm_activation activation,
                                                   unsigned flags, const batchnorm_exec *exec) {
    const batchnorm_layer_forward_call call = {.size = sizeof(batchnorm_layer_forward_call),
                                               .x = x,
                                               .z = z,
                                               .y = y,
                                               .saved = saved,
                                               .activation = activation,
                                               .flags = flags};
    return batchnorm_layer_forward_fused(layer, &call, exec);
}

static inline batchnorm_status layer_backward_fused(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                                    batchnorm_tensor z, batchnorm_tensor y, batchnorm_tensor dy,
                                                    batchnorm_tensor dx, batchnorm_tensor dz, unsigned flags,
                                                    const batchnorm_exec *exec) {
    const batchnorm_layer_backward_call call = {.size = sizeof(batchnorm_layer_backward_call),
                                                .saved = saved,
                                                .x = x,
                                                .z = z,
                                                .y = y,
                                                .dy = dy,
                                                .dx = dx,
                                                .dz = dz,
                                                .flags = flags};
    return batchnorm_layer_backward_fused(layer, &call, exec);
}

static inline batchnorm_status layer_jvp(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                         batchnorm_tensor tx, const void *tweight, const void *tbias, batchnorm_tensor ty,
                                         const batchnorm_exec *exec) {
    const batchnorm_layer_jvp_call call = {.size = sizeof(batchnorm_layer_jvp_call),
                                           .saved = saved,
                                           .x = x,
                                           .tx = tx,
                                           .ty = ty,
                                           .tweight = tweight,
                                           .tbias = tbias};
    return batchnorm_layer_jvp(layer, &call, exec);
}

static inline batchnorm_status layer_double_backward(batchnorm_layer *layer, batchnorm_saved *saved, batchnorm_tensor x,
                                                     batchnorm_tensor dy, batchnorm_tensor vx, const void *vweight,
                                                     const void *vbias, batchnorm_tensor gx, batchnorm_tensor gdy,
                                                     void *gweight, const batchnorm_exec *exec) {
    const batchnorm_layer_double_backward_call call = {.size = sizeof(batchnorm_layer_double_backward_call),
                                                       .saved = saved,
                                                       .x = x,
                                                       .dy = dy,
                                                       .vx = vx,
                                                       .gx = gx,
                                                       .gdy = gdy,
                                                       .vweight = vweight,
                                                       .vbias = vbias,
                                                       .gweight = gweight};
    return batchnorm_layer_double_backward(layer, &call, exec);
}

#endif
