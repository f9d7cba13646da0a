/* SPDX-License-Identifier: MIT */
/* Building a network, and what can be asked about it. */
#include "network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"

nn_network *nn_network_create(nn_backend *backend, int threads, nn_shape input, size_t capacity, uint64_t seed) {
    nn_network *network = calloc(1, sizeof *network);
    if (!network) return NULL;
    network->backend = backend;
    network->threads = threads;
    network->seed = seed;
    network->capacity = capacity;
    network->input = input;
    return network;
}

void nn_network_destroy(nn_network *network) {
    if (!network) return;
    for (size_t i = 0; i < network->count; i++) network->nodes[i].layer->kind->destroy(network->nodes[i].layer);
    free(network->nodes);
    free(network->parameters);
    free(network->memory);
    free(network);
}

nn_shape nn_network_shape(const nn_network *network, nn_value value) {
    return value == NN_INPUT ? network->input : network->nodes[value - 1].layer->out;
}

static bool same(nn_shape a, nn_shape b) { return a.height == b.height && a.width == b.width && a.channels == b.channels; }

/* Whether a layer that reads x can be added, and there is memory for its node. */
static bool can_add(nn_network *network, nn_value x) {
    if (network->error) return false;
    if (x > network->count) {
        network->error = "a layer reads a value that no layer before it gives";
        return false;
    }
    if (network->count < network->room) return true;
    const size_t room = 2 * network->room + 16;
    nn_node *nodes = realloc(network->nodes, room * sizeof *nodes);
    if (!nodes) {
        network->error = NN_NO_MEMORY;
        return false;
    }
    network->nodes = nodes;
    network->room = room;
    return true;
}

static bool can_add_two(nn_network *network, nn_value x, nn_value z) {
    if (!can_add(network, x) || !can_add(network, z)) return false;
    if (!same(nn_network_shape(network, x), nn_network_shape(network, z))) {
        network->error = "values of different shapes cannot be added";
    }
    return !network->error;
}

/* "conv1" and "weight" become "conv1.weight". */
static nn_error name_all(nn_layer *layer, const char *name) {
    if (snprintf(layer->name, sizeof layer->name, "%s", name) >= (int)sizeof layer->name)
        return "the name of a layer is too long";
    for (size_t i = 0; i < layer->parameter_count; i++) {
        char *parameter = layer->parameters[i].name, own[NN_NAME_BYTES];
        memcpy(own, parameter, sizeof own);
        if (snprintf(parameter, NN_NAME_BYTES, "%s.%s", name, own) >= NN_NAME_BYTES) return "the name of a layer is too long";
    }
    return NULL;
}

/* A layer that is only half made is kept too: destroy() takes it. */
static nn_value append(nn_network *network, nn_layer *layer, nn_error error, nn_value x, nn_value z, const char *name) {
    if (layer) network->nodes[network->count++] = (nn_node){.layer = layer, .x = x, .z = z};
    if (layer) layer->part = &network->part;
    if (layer && !error) error = name_all(layer, name ? name : layer->kind->name);
    network->error = error;
    return error ? NN_NO_VALUE : network->count;
}

/* Every layer with weights draws them from a stream of its own. */
static nn_rng next_stream(nn_network *network) { return nn_rng_create(network->seed, ++network->weighted); }

nn_value nn_network_conv(nn_network *network, nn_value x, const nn_conv_options *options, const char *name) {
    if (!can_add(network, x)) return NN_NO_VALUE;
    nn_rng rng = next_stream(network);
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_conv(network->backend, &rng, nn_network_shape(network, x), options, &layer);
    return append(network, layer, error, x, NN_NO_VALUE, name);
}

nn_value nn_network_linear(nn_network *network, nn_value x, size_t channels, bool bias, const char *name) {
    if (!can_add(network, x)) return NN_NO_VALUE;
    nn_rng rng = next_stream(network);
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_linear(network->backend, &rng, nn_network_shape(network, x), channels, bias, &layer);
    return append(network, layer, error, x, NN_NO_VALUE, name);
}

nn_value nn_network_batch_norm(nn_network *network, nn_value x, nn_value z, nn_activation activation, const char *name) {
    const bool residual = z != NN_NO_VALUE;
    if (residual ? !can_add_two(network, x, z) : !can_add(network, x)) return NN_NO_VALUE;
    nn_layer *layer = NULL;
    const nn_batch_norm_options options = {activation, residual, network->frozen, network->threads};
    const nn_error error = nn_layer_batch_norm(nn_network_shape(network, x), &options, &layer);
    return append(network, layer, error, x, z, name);
}

nn_value nn_network_batch_norm_pool(nn_network *network, nn_value x, const char *name) {
    if (!can_add(network, x)) return NN_NO_VALUE;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_batch_norm_pool(nn_network_shape(network, x), network->capacity, network->threads, &layer);
    return append(network, layer, error, x, NN_NO_VALUE, name);
}

nn_value nn_network_activation(nn_network *network, nn_value x, nn_activation activation) {
    if (!can_add(network, x)) return NN_NO_VALUE;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_activation(nn_network_shape(network, x), activation, &layer);
    return append(network, layer, error, x, NN_NO_VALUE, NULL);
}

nn_value nn_network_add(nn_network *network, nn_value a, nn_value b) {
    if (!can_add_two(network, a, b)) return NN_NO_VALUE;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_add(nn_network_shape(network, a), &layer);
    return append(network, layer, error, a, b, NULL);
}

nn_value nn_network_max_pool(nn_network *network, nn_value x) {
    if (!can_add(network, x)) return NN_NO_VALUE;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_max_pool(nn_network_shape(network, x), network->capacity, &layer);
    return append(network, layer, error, x, NN_NO_VALUE, NULL);
}

nn_value nn_network_global_average_pool(nn_network *network, nn_value x) {
    if (!can_add(network, x)) return NN_NO_VALUE;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_global_average_pool(nn_network_shape(network, x), &layer);
    return append(network, layer, error, x, NN_NO_VALUE, NULL);
}

void nn_network_freeze_batch_norm(nn_network *network) { network->frozen = true; }

void nn_network_keep_y(nn_network *network) { network->keeps_y = true; }

static nn_error list_parameters(nn_network *network) {
    network->parameters = calloc(2 * network->count, sizeof *network->parameters); /* a layer has two at most */
    if (!network->parameters) return NN_NO_MEMORY;
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->nodes[i].layer;
        for (size_t j = 0; j < layer->parameter_count; j++) {
            network->parameters[network->parameter_count++] = &layer->parameters[j];
        }
    }
    return NULL;
}

nn_error nn_network_finish(nn_network *network) {
    if (!network->error && network->count == 0) network->error = "a network needs a layer";
    if (!network->error) network->error = list_parameters(network);
    if (!network->error) network->error = nn_network_allocate(network);
    return network->error;
}

void nn_network_set_ranks(nn_network *network, nn_ranks *ranks) { network->part.ranks = ranks; }
void nn_network_set_first(nn_network *network, size_t first) { network->part.first = first; }

void nn_network_set_training(nn_network *network, bool training) {
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->nodes[i].layer;
        if (layer->kind->set_training) layer->kind->set_training(layer, training);
    }
}

void nn_network_observe(nn_network *network, const nn_observer *observer) {
    network->observer = observer ? *observer : (nn_observer){0};
}

float *nn_network_input(const nn_network *network) { return network->x; }
const float *nn_network_output(const nn_network *network) { return network->nodes[network->count - 1].y; }
float *nn_network_output_gradient(const nn_network *network) { return network->nodes[network->count - 1].dy; }

size_t nn_network_parameter_count(const nn_network *network) { return network->parameter_count; }
const nn_parameter *nn_network_parameter(const nn_network *network, size_t index) { return network->parameters[index]; }

size_t nn_network_parameters(const nn_network *network) {
    size_t sum = 0;
    for (size_t i = 0; i < network->parameter_count; i++) sum += network->parameters[i]->count;
    return sum;
}

size_t nn_network_batch_norms(const nn_network *network) {
    size_t count = 0;
    for (size_t i = 0; i < network->count; i++) count += network->nodes[i].layer->norm != NULL;
    return count;
}

struct batchnorm_layer *nn_network_batch_norm_at(const nn_network *network, size_t index, const char **name) {
    for (size_t i = 0; i < network->count; i++) {
        struct batchnorm_layer *norm = network->nodes[i].layer->norm;
        if (!norm || index-- > 0) continue;
        *name = network->nodes[i].layer->name;
        return norm;
    }
    return NULL;
}

uint64_t nn_network_hash(const nn_network *network) {
    uint64_t hash = NN_HASH;
    for (size_t i = 0; i < network->parameter_count; i++)
        hash = nn_hash(hash, network->parameters[i]->value, network->parameters[i]->count * sizeof(float));
    for (size_t i = 0; i < network->count; i++) {
        batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
        const size_t count = batchnorm_layer_state(network->nodes[i].layer->norm, state);
        for (size_t j = 0; j < count; j++) {
            const batchnorm_tensor *tensor = &state[j].tensor;
            const size_t bytes = (size_t)batchnorm_tensor_elements(tensor) * batchnorm_dtype_bytes(tensor->dtype);
            hash = nn_hash(hash, tensor->data, bytes);
        }
    }
    return hash;
}

static bool are_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

bool nn_network_is_finite(const nn_network *network) {
    bool finite = true;
    for (size_t i = 0; i < network->parameter_count && finite; i++)
        finite = are_finite(network->parameters[i]->value, network->parameters[i]->count);
    for (size_t i = 0; i < network->count && finite; i++) {
        batchnorm_named_tensor state[BATCHNORM_STATE_MAX];
        const size_t count = batchnorm_layer_state(network->nodes[i].layer->norm, state);
        for (size_t j = 0; j < count && finite; j++)
            if (state[j].tensor.dtype == BATCHNORM_F32)
                finite = are_finite(state[j].tensor.data, (size_t)batchnorm_tensor_elements(&state[j].tensor));
    }
    return finite;
}
