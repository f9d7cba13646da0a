/* SPDX-License-Identifier: MIT */
#include "nn_reference.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static double parameter(const nn_layer *layer, int which, size_t index, struct nudge nudge) {
    const bool changed = nudge.which == which && nudge.index == index;
    return (double)layer->parameters[which].value[index] + (changed ? nudge.step : 0.0);
}

static double bias(const nn_layer *layer, size_t index, struct nudge nudge) {
    return layer->parameter_count > 1 ? parameter(layer, 1, index, nudge) : 0.0;
}

static size_t at(nn_shape s, size_t i, size_t h, size_t w, size_t c) {
    return ((i * s.height + h) * s.width + w) * s.channels + c;
}

static double conv_output(const nn_layer *layer, const double *x, size_t i, size_t h, size_t w, size_t o, struct nudge nudge) {
    const nn_shape in = layer->in;
    double sum = bias(layer, o, nudge);
    for (size_t t = 0; t < 9; t++) {
        const size_t row = h + t / 3, column = w + t % 3; /* one too large each */
        if (row < 1 || row > in.height || column < 1 || column > in.width) continue;
        for (size_t c = 0; c < in.channels; c++) {
            sum += x[at(in, i, row - 1, column - 1, c)] * parameter(layer, 0, (o * 9 + t) * in.channels + c, nudge);
        }
    }
    return sum;
}

static void conv(const nn_layer *layer, size_t n, const double *x, double *y, struct nudge nudge) {
    const nn_shape out = layer->out;
    for (size_t k = 0; k < n * nn_shape_size(out); k++) {
        const size_t o = k % out.channels, w = k / out.channels % out.width, h = k / (out.channels * out.width) % out.height;
        y[k] = conv_output(layer, x, k / nn_shape_size(out), h, w, o, nudge);
    }
}

static void linear(const nn_layer *layer, size_t n, const double *x, double *y, struct nudge nudge) {
    const size_t in = nn_shape_size(layer->in), out = layer->out.channels;
    for (size_t k = 0; k < n * out; k++) {
        y[k] = bias(layer, k % out, nudge);
        for (size_t j = 0; j < in; j++) y[k] += x[k / out * in + j] * parameter(layer, 0, k % out * in + j, nudge);
    }
}

static void batch_norm(const nn_layer *layer, size_t n, const double *x, double *y, struct nudge nudge) {
    const size_t channels = layer->in.channels, m = n * layer->in.height * layer->in.width;
    for (size_t c = 0; c < channels; c++) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < m; i++) mean += x[i * channels + c] / (double)m;
        for (size_t i = 0; i < m; i++) var += pow(x[i * channels + c] - mean, 2) / (double)m;
        const double k = parameter(layer, 0, c, nudge) / sqrt(var + 1e-5);
        for (size_t i = 0; i < m; i++) y[i * channels + c] = (x[i * channels + c] - mean) * k + bias(layer, c, nudge);
    }
}

static void max_pool(const nn_layer *layer, size_t n, const double *x, double *y) {
    const nn_shape in = layer->in, out = layer->out;
    for (size_t k = 0; k < n * nn_shape_size(out); k++) {
        const size_t c = k % out.channels, w = k / out.channels % out.width, h = k / (out.channels * out.width) % out.height;
        const size_t i = k / nn_shape_size(out);
        y[k] = x[at(in, i, 2 * h, 2 * w, c)];
        for (size_t t = 1; t < 4; t++) y[k] = fmax(y[k], x[at(in, i, 2 * h + t / 2, 2 * w + t % 2, c)]);
    }
}

void reference_forward(const nn_layer *layer, size_t n, const double *x, double *y, struct nudge nudge) {
    const char *name = layer->kind->name;
    const size_t count = n * nn_shape_size(layer->out);
    if (strcmp(name, "conv3x3") == 0)
        conv(layer, n, x, y, nudge);
    else if (strcmp(name, "linear") == 0)
        linear(layer, n, x, y, nudge);
    else if (strcmp(name, "batch norm") == 0)
        batch_norm(layer, n, x, y, nudge);
    else if (strcmp(name, "max pool") == 0)
        max_pool(layer, n, x, y);
    else if (strcmp(name, "relu") == 0)
        for (size_t i = 0; i < count; i++) y[i] = fmax(x[i], 0);
    else if (strcmp(name, "sigmoid") == 0)
        for (size_t i = 0; i < count; i++) y[i] = 1 / (1 + exp(-x[i]));
    else
        abort();
}

static double mean_cross_entropy(size_t n, size_t classes, const double *logits, const uint8_t *labels) {
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t c = 0; c < classes; c++) sum += exp(logits[i * classes + c]);
        loss += log(sum) - logits[i * classes + labels[i]];
    }
    return loss / (double)n;
}

double reference_loss(const nn_network *network, size_t n, const float *x, const uint8_t *labels, size_t changed,
                      struct nudge nudge) {
    const struct nudge none = {.which = -1};
    double *value = calloc(n * nn_shape_size(network->input), sizeof *value);
    for (size_t i = 0; i < n * nn_shape_size(network->input); i++) value[i] = (double)x[i];
    for (size_t l = 0; l < network->count; l++) {
        const nn_layer *layer = network->layers[l];
        double *next = calloc(n * nn_shape_size(layer->out), sizeof *next);
        reference_forward(layer, n, value, next, l == changed ? nudge : none);
        free(value);
        value = next;
    }
    const size_t classes = network->layers[network->count - 1]->out.channels;
    const double loss = mean_cross_entropy(n, classes, value, labels);
    free(value);
    return loss;
}
