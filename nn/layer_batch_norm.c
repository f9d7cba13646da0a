/* SPDX-License-Identifier: MIT */
/* Batch normalization by libbatchnorm: BatchNorm2d over images, BatchNorm1d over vectors. */
#include "layer.h"

#include <stdlib.h>

#include "batchnorm/layer.h"

struct batch_norm_layer {
    nn_layer base;
    batchnorm_layer *norm;
    batchnorm_exec exec;
};

static nn_error check(batchnorm_status status) { return status == BATCHNORM_OK ? NULL : batchnorm_status_string(status); }

/* PyTorch's logical order of sizes is (N, C, H, W) also where memory is channels last. */
static batchnorm_tensor view(const nn_layer *base, size_t n, const float *data) {
    const nn_shape s = base->in;
    const int rank = s.height * s.width > 1 ? 4 : 2;
    const int64_t shape[] = {(int64_t)n, (int64_t)s.channels, (int64_t)s.height, (int64_t)s.width};
    return batchnorm_tensor_channels_last((void *)data, BATCHNORM_F32, rank, shape);
}

static nn_error forward(nn_layer *base, size_t n, const float *x, float *y) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    return check(batchnorm_layer_forward(layer->norm, view(base, n, x), view(base, n, y), NULL, 0, &layer->exec));
}

static nn_error backward(nn_layer *base, size_t n, const float *x, const float *y, const float *dy, float *dx) {
    (void)y;
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    const batchnorm_tensor gradient = view(base, n, dx);
    return check(batchnorm_layer_backward(layer->norm, NULL, view(base, n, x), view(base, n, dy), gradient, 0, &layer->exec));
}

static void set_training(nn_layer *base, bool training) {
    batchnorm_layer *norm = ((struct batch_norm_layer *)base)->norm;
    if (training)
        batchnorm_layer_train(norm);
    else
        batchnorm_layer_eval(norm);
}

static void destroy(nn_layer *base) {
    struct batch_norm_layer *layer = (struct batch_norm_layer *)base;
    batchnorm_layer_destroy(layer->norm);
    free(layer);
}

/* The parameters stay the layer's own memory; the optimizer writes them there. */
static nn_parameter borrow(const char *name, const batchnorm_parameter *parameter) {
    return (nn_parameter){name, parameter->value.data, parameter->grad.data, (size_t)parameter->value.shape[0]};
}

nn_error nn_layer_batch_norm(nn_shape in, int threads, nn_layer **layer) {
    static const nn_layer_kind kind = {"batch norm", forward, backward, set_training, destroy};
    struct batch_norm_layer *norm = calloc(1, sizeof *norm);
    if (!norm) return NN_NO_MEMORY;
    norm->base.kind = &kind;
    norm->base.in = norm->base.out = in;
    norm->base.dx_may_be_dy = true;
    norm->exec.threads = threads;
    *layer = &norm->base;
    const batchnorm_layer_options options = batchnorm_layer_defaults(in.height * in.width > 1 ? 2 : 1, (int64_t)in.channels);
    nn_error error = check(batchnorm_layer_create(&options, &norm->norm));
    if (error) return error;
    norm->base.parameters[0] = borrow("weight", batchnorm_layer_weight(norm->norm));
    norm->base.parameters[1] = borrow("bias", batchnorm_layer_bias(norm->norm));
    norm->base.parameter_count = 2;
    return NULL;
}
