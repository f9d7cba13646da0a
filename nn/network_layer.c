/* SPDX-License-Identifier: MIT */
#include "network_layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "vectorize.h"

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
        free(layer->parameters[i].slots);
    }
    layer->parameter_count = 0;
}

/* Every slot begins on a line of the cache, as grad does. */
static size_t slot_floats(const nn_parameter *p) { return (p->count + 15) / 16 * 16; }

float *nn_parameter_slot(const nn_parameter *p, size_t i) { return i == 0 ? p->grad : p->slots + (i - 1) * slot_floats(p); }

nn_arrays nn_shard_arrays(const nn_layer *layer, size_t first, const nn_arrays *a) {
    const size_t in = first * nn_shape_size(layer->in), out = first * nn_shape_size(layer->out);
    nn_arrays part = *a;
    part.x += in;
    part.y += out;
    if (part.dy) part.dy += out;
    if (part.dx) part.dx += in;
    return part;
}

nn_ranks *nn_layer_group(const nn_layer *layer) {
    nn_ranks *ranks = layer->part ? layer->part->ranks : NULL;
    return ranks && ranks->synchronized ? ranks : NULL;
}

static void add_slots(void *user, size_t to, size_t from) {
    const nn_layer *layer = user;
    for (size_t i = 0; i < layer->parameter_count; i++) {
        const nn_parameter *p = &layer->parameters[i];
        nn_add(p->count, nn_parameter_slot(p, to), nn_parameter_slot(p, from));
    }
}

/* Room for a pile of so many slots. */
static nn_error make_slots(nn_layer *layer, size_t slots) {
    for (size_t i = 0; i < layer->parameter_count; i++) {
        nn_parameter *p = &layer->parameters[i];
        if (slots <= p->room + 1) continue;
        free(p->slots);
        p->room = 0;
        p->slots = nn_floats((slots - 1) * slot_floats(p));
        if (!p->slots) return NN_NO_MEMORY;
        p->room = slots - 1;
    }
    return NULL;
}

nn_error nn_sum_shards(nn_layer *layer, size_t n, const nn_arrays *a, nn_shard_gradients *of_shard) {
    const size_t before = layer->part ? layer->part->first / NN_SHARD : 0, shards = n / NN_SHARD + (n % NN_SHARD != 0);
    nn_pile pile = {.add = add_slots, .user = layer};
    nn_error error = make_slots(layer, nn_pile_slots(before, shards));
    for (size_t i = 0; i < shards && !error; i++) {
        const nn_arrays part = nn_shard_arrays(layer, i * NN_SHARD, a);
        float *grad[2];
        for (size_t j = 0; j < layer->parameter_count; j++) grad[j] = nn_parameter_slot(&layer->parameters[j], pile.count);
        error = of_shard(layer, nn_shard_size(n, i * NN_SHARD), &part, grad);
        nn_pile_push(&pile, (nn_sum){before + i, 0});
    }
    if (!error && !(layer->part && layer->part->ranks)) nn_pile_fold(&pile);
    return error;
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
