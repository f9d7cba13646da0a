/* SPDX-License-Identifier: MIT */
/* Batch normalization by libbatchnorm, with the residual and the activation in the same pass: BatchNorm2d over images,
 * BatchNorm1d over vectors. Its sums are those of shards, too, and with ranks those of all of them. */
#include "network_layer.h"

#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "choices.h"

struct batch_norm_layer {
    nn_layer base;
    batchnorm_activation activation;
    bool frozen;
    batchnorm_exec exec;
};

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    nn_ranks *ranks = nn_layer_group(base);
    batchnorm_status status =
        batchnorm_layer_set_group(base->norm, ranks ? &ranks->group : NULL, NN_SHARD, ranks ? base->part->first : 0);
    if (status) return batchnorm_status_string(status);
    const batchnorm_layer_forward_call call = {.size = sizeof call,
                                               .x = nn_layer_view(base, n, a->x),
                                               .z = nn_layer_view(base, n, a->z),
                                               .y = nn_layer_view(base, n, a->y),
                                               .activation = layer->activation};
    status = batchnorm_layer_forward_fused(base->norm, &call, &layer->exec);
    return nn_ranks_check(ranks, status);
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    const nn_uses *uses = &base->uses;
    const float *x = uses->reads_x ? a->x : NULL, *z = uses->reads_z ? a->z : NULL, *y = uses->reads_y ? a->y : NULL;
    const batchnorm_layer_backward_call call = {.size = sizeof call,
                                                .x = nn_layer_view(base, n, x),
                                                .z = nn_layer_view(base, n, z),
                                                .y = nn_layer_view(base, n, y),
                                                .dy = nn_layer_view(base, n, a->dy),
                                                .dx = nn_layer_view(base, n, a->dx),
                                                .dz = nn_layer_view(base, n, a->dz)};
    const batchnorm_status status = batchnorm_layer_backward_fused(base->norm, &call, &layer->exec);
    const bool from_y = uses->y_tells_x && !uses->reads_x;
    const nn_error error = nn_ranks_check(nn_layer_group(base), status);
    if (status == BATCHNORM_BAD_OPTION && from_y)
        return "a weight of a batch norm is too small beside its bias to keep y for x";
    return error;
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

/* Whether x can be computed again from y. */
static bool tells_x(const nn_batch_norm_options *o) {
    return !o->residual && (o->activation == NN_IDENTITY || o->activation == NN_LEAKY_RELU);
}

/* Where y tells how steep the activation was, so does x, which is read anyway; with a residual that would take z, and y is as
 * good. Where y does not tell, x does, and z. */
static nn_uses uses(const nn_batch_norm_options *o) {
    const bool active = o->activation != NN_IDENTITY, by_y = nn_is_told_by_y((batchnorm_activation_kind)o->activation);
    const bool reads_x = !o->frozen || !by_y, reads_z = o->residual && !by_y;
    return (nn_uses){.reads_x = reads_x,
                     .reads_z = reads_z,
                     .reads_y = active && by_y && (o->residual || o->frozen),
                     .y_may_be_z = !reads_z,
                     .y_may_be_x = !reads_x,
                     .dx_may_be_dy = !o->residual,
                     .dx_may_be_x = reads_x,
                     .dz_may_be_dy = o->residual,
                     .y_tells_x = reads_x && tells_x(o)};
}

nn_error nn_layer_batch_norm(nn_shape in, const nn_batch_norm_options *o, nn_layer **layer) {
#define KIND(kind, word, parameter, by_y) {"batch norm, " word, forward, backward, set_training, destroy},
    static const nn_layer_kind active[] = {BATCHNORM_ACTIVATION_LIST(KIND)};
    static const nn_layer_kind plain = {"batch norm", forward, backward, set_training, destroy};
    *layer = NULL;
    if (o->activation == NN_TANH) return "batch norm cannot be fused with tanh";
    struct batch_norm_layer *norm = calloc(1, sizeof *norm);
    if (!norm) return NN_NO_MEMORY;
    norm->base.kind = o->activation == NN_IDENTITY ? &plain : &active[o->activation];
    norm->base.in = norm->base.out = in;
    norm->base.uses = uses(o);
    norm->activation = nn_usual_activation((batchnorm_activation_kind)o->activation);
    norm->frozen = o->frozen;
    norm->exec = (batchnorm_exec){.size = sizeof norm->exec, .threads = o->threads};
    *layer = &norm->base;
    const nn_error error = nn_add_norm(*layer, in.height * in.width > 1 ? 2 : 1, o->frozen);
    if (!error) set_training(*layer, true);
    return error;
}
