/* SPDX-License-Identifier: MIT */
/* Batch normalization by libbatchnorm, with the residual and the activation in the same pass: BatchNorm2d over images,
 * BatchNorm1d over vectors. */
#include "network_layer.h"

#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"

struct batch_norm_layer {
    nn_layer base;
    batchnorm_activation activation;
    bool frozen;
    batchnorm_exec exec;
};

static nn_error check(batchnorm_status status) { return status ? batchnorm_status_string(status) : NULL; }

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    const batchnorm_layer_forward_call call = {.size = sizeof call,
                                               .x = nn_layer_view(base, n, a->x),
                                               .z = nn_layer_view(base, n, a->z),
                                               .y = nn_layer_view(base, n, a->y),
                                               .activation = layer->activation};
    return check(batchnorm_layer_forward_fused(base->norm, &call, &layer->exec));
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    const float *x = base->uses.reads_x ? a->x : NULL, *y = base->uses.reads_y ? a->y : NULL;
    const batchnorm_layer_backward_call call = {.size = sizeof call,
                                                .x = nn_layer_view(base, n, x),
                                                .y = nn_layer_view(base, n, y),
                                                .dy = nn_layer_view(base, n, a->dy),
                                                .dx = nn_layer_view(base, n, a->dx),
                                                .dz = nn_layer_view(base, n, a->dz)};
    return check(batchnorm_layer_backward_fused(base->norm, &call, &layer->exec));
}

static void set_training(nn_layer *base, bool training) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    if (training && !layer->frozen)
        batchnorm_layer_train(base->norm);
    else
        batchnorm_layer_eval(base->norm);
}

static void destroy(nn_layer *base) {
    batchnorm_layer_destroy(base->norm);
    free(base);
}

/* Where relu was 0 can be computed again from x, which is read anyway; with a residual that would take z, and y is as good. */
static nn_uses uses(const nn_batch_norm_options *o) {
    return (nn_uses){.reads_x = !o->frozen,
                     .reads_y = o->activation == NN_RELU && (o->residual || o->frozen),
                     .y_may_be_z = true,
                     .y_may_be_x = o->frozen,
                     .dx_may_be_dy = !o->residual,
                     .dx_may_be_x = !o->frozen,
                     .dz_may_be_dy = o->residual};
}

nn_error nn_layer_batch_norm(nn_shape in, const nn_batch_norm_options *o, nn_layer **layer) {
    static const nn_layer_kind plain = {"batch norm", forward, backward, set_training, destroy};
    static const nn_layer_kind active = {"batch norm, relu", forward, backward, set_training, destroy};
    *layer = NULL;
    if (o->activation != NN_IDENTITY && o->activation != NN_RELU) return "batch norm can be fused with relu only";
    struct batch_norm_layer *norm = calloc(1, sizeof *norm);
    if (!norm) return NN_NO_MEMORY;
    norm->base.kind = o->activation == NN_RELU ? &active : &plain;
    norm->base.in = norm->base.out = in;
    norm->base.uses = uses(o);
    norm->activation.kind = o->activation == NN_RELU ? BATCHNORM_RELU : BATCHNORM_IDENTITY;
    norm->frozen = o->frozen;
    norm->exec = (batchnorm_exec){.size = sizeof norm->exec, .threads = o->threads};
    *layer = &norm->base;
    const nn_error error = nn_add_norm(*layer, in.height * in.width > 1 ? 2 : 1, o->frozen);
    if (!error) set_training(*layer, true);
    return error;
}
