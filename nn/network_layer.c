/* SPDX-License-Identifier: MIT */
#include "network_layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"

nn_error nn_add_parameter(nn_layer *layer, const nn_parameter *shape, size_t fan_in, nn_rng *rng) {
    nn_parameter *parameter = &layer->parameters[layer->parameter_count++];
    const size_t count = shape->out * shape->height * shape->width * shape->in;
    *parameter = *shape;
    parameter->count = count;
    parameter->value = nn_floats(count);
    parameter->grad = nn_floats(count);
    if (!parameter->value || !parameter->grad) return NN_NO_MEMORY;
    const float bound = 1.0f / sqrtf((float)fan_in);
    for (size_t i = 0; i < count; i++) parameter->value[i] = nn_rng_uniform(rng, -bound, bound);
    return NULL;
}

/* The parameters stay the norm's own memory; the optimizer writes them there. */
static void borrow(nn_layer *layer, const char *name, batchnorm_parameter *parameter, bool frozen) {
    nn_parameter *p = &layer->parameters[layer->parameter_count++];
    *p =
        (nn_parameter){.value = parameter->value.data, .grad = parameter->grad.data, .rank = 1, .norm = true, .frozen = frozen};
    strcpy(p->name, name);
    p->count = p->out = layer->in.channels;
    p->height = p->width = p->in = 1;
    parameter->requires_grad = !frozen;
}

nn_error nn_add_norm(nn_layer *layer, int dims, bool frozen) {
    const batchnorm_layer_options options = batchnorm_layer_defaults(dims, (int64_t)layer->in.channels);
    const batchnorm_status status = batchnorm_layer_create(&options, &layer->norm);
    if (status) return batchnorm_status_string(status);
    borrow(layer, "weight", batchnorm_layer_weight(layer->norm), frozen);
    borrow(layer, "bias", batchnorm_layer_bias(layer->norm), frozen);
    return NULL;
}

void nn_free_parameters(nn_layer *layer) {
    for (size_t i = 0; i < layer->parameter_count; i++) {
        free(layer->parameters[i].value);
        free(layer->parameters[i].grad);
    }
    layer->parameter_count = 0;
}

/* Where PyTorch has element i of a parameter. */
static size_t pytorch_index(const nn_parameter *p, size_t i) {
    const size_t in = i % p->in, pixel = i / p->in % (p->height * p->width), out = i / p->in / (p->height * p->width);
    return (out * p->in + in) * p->height * p->width + pixel;
}

void nn_parameter_to_pytorch(const nn_parameter *p, const float *from, float *to) {
    for (size_t i = 0; i < p->count; i++) to[pytorch_index(p, i)] = from[i];
}

void nn_parameter_from_pytorch(const nn_parameter *p, const float *from, float *to) {
    for (size_t i = 0; i < p->count; i++) to[i] = from[pytorch_index(p, i)];
}

batchnorm_tensor nn_layer_view(const nn_layer *layer, size_t n, const float *data) {
    const nn_shape s = layer->in;
    const int rank = s.height * s.width > 1 ? 4 : 2;
    const int64_t shape[] = {(int64_t)n, (int64_t)s.channels, (int64_t)s.height, (int64_t)s.width};
    return batchnorm_tensor_channels_last((void *)data, BATCHNORM_F32, rank, shape);
}
