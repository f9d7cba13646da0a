/* SPDX-License-Identifier: MIT */
#include "network.h"

#include <stdlib.h>

#include "clock.h"

nn_network *nn_network_create(nn_backend *backend, int threads, nn_shape input, size_t capacity, uint64_t seed) {
    nn_network *network = calloc(1, sizeof *network);
    if (!network) return NULL;
    network->backend = backend;
    network->threads = threads;
    network->seed = seed;
    network->capacity = capacity;
    network->values[0] = nn_floats(capacity * nn_shape_size(input));
    if (!network->values[0]) network->error = NN_NO_MEMORY;
    network->input = input;
    return network;
}

void nn_network_destroy(nn_network *network) {
    if (!network) return;
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->layers[i];
        if (!layer->y_may_be_x) free(network->values[i + 1]);
        layer->kind->destroy(layer);
    }
    free(network->values[0]);
    free(network->gradients[0]);
    free(network->gradients[1]);
    free(network);
}

/* The shape that the next layer will read. */
static nn_shape tail(const nn_network *network) {
    return network->count > 0 ? network->layers[network->count - 1]->out : network->input;
}

static bool has_room(nn_network *network) {
    if (!network->error && network->count == NN_MAX_LAYERS) network->error = "a network has too many layers";
    return !network->error;
}

/* A layer that is only half made is kept too: destroy() takes it. */
static void append(nn_network *network, nn_layer *layer, nn_error error) {
    if (layer) network->layers[network->count++] = layer;
    network->error = error;
}

/* Every layer with weights draws them from a stream of its own. */
static nn_rng next_stream(nn_network *network) { return nn_rng_create(network->seed, ++network->weighted); }

void nn_network_conv(nn_network *network, size_t channels, bool bias) {
    if (!has_room(network)) return;
    nn_rng rng = next_stream(network);
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_conv(network->backend, &rng, tail(network), channels, bias, &layer);
    append(network, layer, error);
}

void nn_network_linear(nn_network *network, size_t channels, bool bias) {
    if (!has_room(network)) return;
    nn_rng rng = next_stream(network);
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_linear(network->backend, &rng, tail(network), channels, bias, &layer);
    append(network, layer, error);
}

void nn_network_batch_norm(nn_network *network) {
    if (!has_room(network)) return;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_batch_norm(tail(network), network->threads, &layer);
    append(network, layer, error);
}

void nn_network_activation(nn_network *network, nn_activation activation) {
    if (!has_room(network)) return;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_activation(tail(network), activation, &layer);
    append(network, layer, error);
}

void nn_network_max_pool(nn_network *network) {
    if (!has_room(network)) return;
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_max_pool(tail(network), network->capacity, &layer);
    append(network, layer, error);
}

nn_error nn_network_finish(nn_network *network) {
    if (network->error) return network->error;
    size_t widest = 0;
    for (size_t i = 0; i < network->count; i++) {
        const nn_layer *layer = network->layers[i];
        const size_t size = nn_shape_size(layer->out);
        network->values[i + 1] = layer->y_may_be_x ? network->values[i] : nn_floats(network->capacity * size);
        if (!network->values[i + 1]) return NN_NO_MEMORY;
        if (size > widest) widest = size;
    }
    for (int i = 0; i < 2; i++) {
        network->gradients[i] = nn_floats(network->capacity * widest);
        if (!network->gradients[i]) return NN_NO_MEMORY;
    }
    return NULL;
}

void nn_network_set_training(nn_network *network, bool training) {
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->layers[i];
        if (layer->kind->set_training) layer->kind->set_training(layer, training);
    }
}

float *nn_network_input(const nn_network *network) { return network->values[0]; }
const float *nn_network_output(const nn_network *network) { return network->values[network->count]; }
float *nn_network_output_gradient(const nn_network *network) { return network->gradients[0]; }

nn_error nn_network_forward(nn_network *network, size_t n) {
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->layers[i];
        const double start = nn_seconds();
        const nn_error error = layer->kind->forward(layer, n, network->values[i], network->values[i + 1]);
        if (error) return error;
        layer->seconds += nn_seconds() - start;
    }
    return NULL;
}

nn_error nn_network_backward(nn_network *network, size_t n) {
    int at = 0; /* which of the two gradients belongs to the layer's output */
    for (size_t i = network->count; i-- > 0;) {
        nn_layer *layer = network->layers[i];
        const int next = layer->dx_may_be_dy ? at : !at;
        float *dx = i > 0 ? network->gradients[next] : NULL; /* nobody learns the images */
        const double start = nn_seconds();
        const nn_error error =
            layer->kind->backward(layer, n, network->values[i], network->values[i + 1], network->gradients[at], dx);
        if (error) return error;
        layer->seconds += nn_seconds() - start;
        at = next;
    }
    return NULL;
}

size_t nn_network_parameters(const nn_network *network) {
    size_t sum = 0;
    for (size_t i = 0; i < network->count; i++) {
        for (size_t j = 0; j < network->layers[i]->parameter_count; j++) sum += network->layers[i]->parameters[j].count;
    }
    return sum;
}
