/* SPDX-License-Identifier: MIT */
#include "reference.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nn/choices.h"
#include "tests/support/activations.h"

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

/* A layer knows its kernel by its weight, and its stride by what is left of the image. */
static double conv_output(const nn_layer *layer, const double *x, size_t i, size_t h, size_t w, size_t o, struct nudge nudge) {
    const nn_shape in = layer->in, out = layer->out;
    const size_t kernel = layer->parameters[0].height, stride = out.height < in.height || out.width < in.width ? 2 : 1;
    double sum = bias(layer, o, nudge);
    for (size_t t = 0; t < kernel * kernel; t++) {
        const size_t row = h * stride + t / kernel, column = w * stride + t % kernel; /* each too large by the padding */
        if (row < kernel / 2 || row - kernel / 2 >= in.height || column < kernel / 2 || column - kernel / 2 >= in.width)
            continue;
        for (size_t c = 0; c < in.channels; c++) {
            const size_t index = (o * kernel * kernel + t) * in.channels + c;
            sum += x[at(in, i, row - kernel / 2, column - kernel / 2, c)] * parameter(layer, 0, index, nudge);
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
        if (layer->parameters[0].frozen) mean = 0, var = 1; /* the running statistics as they begin */
        const double k = parameter(layer, 0, c, nudge) / sqrt(var + 1e-5);
        for (size_t i = 0; i < m; i++) y[i * channels + c] = (x[i * channels + c] - mean) * k + bias(layer, c, nudge);
    }
}

static void global_average_pool(const nn_layer *layer, size_t n, const double *x, double *y) {
    const size_t channels = layer->in.channels, pixels = layer->in.height * layer->in.width;
    for (size_t k = 0; k < n * channels; k++) {
        y[k] = 0;
        for (size_t p = 0; p < pixels; p++) y[k] += x[(k / channels * pixels + p) * channels + k % channels] / (double)pixels;
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

/* y of what a word names; false: it is no activation. */
static bool activate(const char *word, size_t count, const double *x, double *y) {
    for (size_t k = 0; nn_activation_words[k]; k++) {
        if (strcmp(nn_activation_words[k], word) != 0) continue;
        for (size_t i = 0; i < count; i++)
            y[i] = k == NN_TANH ? tanh(x[i]) : (double)exact_value(nn_usual_activation((batchnorm_activation_kind)k), x[i]);
        return true;
    }
    return false;
}

static void norm_pool(const nn_layer *layer, size_t n, const double *x, double *y, struct nudge nudge) {
    const size_t count = n * nn_shape_size(layer->in);
    double *v = calloc(count, sizeof *v);
    batch_norm(layer, n, x, v, nudge);
    activate("relu", count, v, v);
    max_pool(layer, n, v, y);
    free(v);
}

static void add(size_t count, const double *z, double *y) {
    for (size_t i = 0; z && i < count; i++) y[i] += z[i];
}

void reference_forward(const nn_layer *layer, size_t n, const double *x, const double *z, double *y, struct nudge nudge) {
    const char *name = layer->kind->name;
    const size_t count = n * nn_shape_size(layer->out);
    if (strcmp(name, "conv") == 0)
        conv(layer, n, x, y, nudge);
    else if (strcmp(name, "linear") == 0)
        linear(layer, n, x, y, nudge);
    else if (strcmp(name, "batch norm, relu, max pool") == 0)
        norm_pool(layer, n, x, y, nudge);
    else if (strncmp(name, "batch norm", 10) == 0)
        batch_norm(layer, n, x, y, nudge);
    else if (strcmp(name, "max pool") == 0)
        max_pool(layer, n, x, y);
    else if (strcmp(name, "global average pool") == 0)
        global_average_pool(layer, n, x, y);
    else if (strcmp(name, "add") == 0)
        memcpy(y, x, count * sizeof *y);
    else if (!activate(name, count, x, y))
        abort();
    add(count, z, y);
    if (strncmp(name, "batch norm, ", 12) == 0) activate(name + 12, count, y, y);
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

double **reference_values(const nn_network *network, size_t n, const float *x, size_t at, struct nudge nudge) {
    const struct nudge none = {.which = -1};
    double **values = calloc(network->count + 1, sizeof *values);
    for (nn_value v = 0; v <= network->count; v++) {
        values[v] = calloc(n * nn_shape_size(nn_network_shape(network, v)), sizeof **values);
    }
    for (size_t i = 0; i < n * nn_shape_size(network->input); i++) values[0][i] = (double)x[i];
    for (size_t l = 0; l < network->count; l++) {
        const nn_node *node = &network->nodes[l];
        const double *z = node->z == NN_NO_VALUE ? NULL : values[node->z];
        reference_forward(node->layer, n, values[node->x], z, values[l + 1], l == at ? nudge : none);
    }
    return values;
}

void reference_free(const nn_network *network, double **values) {
    for (nn_value v = 0; v <= network->count; v++) free(values[v]);
    free(values);
}

double reference_loss(const nn_network *network, size_t n, const float *x, const uint8_t *labels, size_t at,
                      struct nudge nudge) {
    double **values = reference_values(network, n, x, at, nudge);
    const size_t classes = nn_network_shape(network, network->count).channels;
    const double loss = mean_cross_entropy(n, classes, values[network->count], labels);
    reference_free(network, values);
    return loss;
}
