/* SPDX-License-Identifier: MIT */
/* A network's steps. */
#include "machine.h"
#include "network.h"
#include "vectorize.h"

static nn_arrays arrays(const nn_network *network, const nn_node *node) {
    nn_arrays a = {.y = node->y, .dy = node->dy, .dx = node->dx, .dz = node->dz};
    a.x = node->x == NN_INPUT ? network->x : network->nodes[node->x - 1].y;
    if (node->z != NN_NO_VALUE) a.z = node->z == NN_INPUT ? network->x : network->nodes[node->z - 1].y;
    return a;
}

nn_error nn_network_forward(nn_network *network, size_t n) {
    const nn_observer *observer = &network->observer;
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->nodes[i].layer;
        const nn_arrays a = arrays(network, &network->nodes[i]);
        const double start = nn_seconds();
        const nn_error error = layer->kind->forward(layer, n, &a);
        if (error) return error;
        layer->forward_seconds += nn_seconds() - start;
        if (observer->forward) observer->forward(observer->user, i, n, a.x, a.y);
    }
    return NULL;
}

/* What this layer found out about the gradient of a value that an earlier one has begun. */
static void add_share(const nn_network *network, nn_value value, size_t n, const float *share) {
    nn_add(n * nn_shape_size(nn_network_shape(network, value)), network->nodes[value - 1].dy, share);
}

nn_error nn_network_backward(nn_network *network, size_t n) {
    const nn_observer *observer = &network->observer;
    for (size_t i = network->count; i-- > 0;) {
        const nn_node *node = &network->nodes[i];
        const nn_arrays a = arrays(network, node);
        if (observer->backward) observer->backward(observer->user, i, n, a.dy);
        const double start = nn_seconds();
        const nn_error error = node->layer->kind->backward(node->layer, n, &a);
        if (error) return error;
        if (node->adds_x) add_share(network, node->x, n, node->dx);
        if (node->adds_z) add_share(network, node->z, n, node->dz);
        node->layer->backward_seconds += nn_seconds() - start;
    }
    return network->part.ranks ? nn_network_sum_ranks(network, n) : NULL;
}
