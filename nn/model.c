/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>

/* What the parts of a model need to know. */
struct builder {
    nn_network *network;
    const nn_model_options *options;
};

/* Layers that a norm follows at once have no bias. */
static bool has_bias(const struct builder *b) { return b->options->norm != NN_NORM_BEFORE; }

/* Norm and activation in their order; z, if there is one, is added before the activation. */
static nn_value activated(const struct builder *b, nn_value x, nn_value z, const char *norm) {
    const nn_activation activation = b->options->activation;
    if (b->options->norm == NN_NORM_BEFORE) {
        const bool fused = activation != NN_TANH && !b->options->separate;
        x = nn_network_batch_norm(b->network, x, z, fused ? activation : NN_IDENTITY, norm);
        return fused ? x : nn_network_activation(b->network, x, activation);
    }
    if (z != NN_NO_VALUE) x = nn_network_add(b->network, x, z);
    x = nn_network_activation(b->network, x, activation);
    if (b->options->norm == NN_NORM_AFTER) x = nn_network_batch_norm(b->network, x, NN_NO_VALUE, NN_IDENTITY, norm);
    return x;
}

static nn_value linear(const struct builder *b, nn_value x, size_t channels, const char *name, const char *norm) {
    x = nn_network_linear(b->network, x, channels, has_bias(b), name);
    return activated(b, x, NN_NO_VALUE, norm);
}

static nn_value conv(const struct builder *b, nn_value x, size_t channels, size_t stride, const char *name) {
    const nn_conv_options options = {.channels = channels, .kernel = 3, .stride = stride, .bias = has_bias(b)};
    return nn_network_conv(b->network, x, &options, name);
}

/* Norm, activation and pool. */
static nn_value pooled(const struct builder *b, nn_value x, const char *norm) {
    const nn_model_options *o = b->options;
    const bool fused = o->norm == NN_NORM_BEFORE && o->activation == NN_RELU && !o->frozen && !o->separate;
    if (fused) return nn_network_batch_norm_pool(b->network, x, norm);
    return nn_network_max_pool(b->network, activated(b, x, NN_NO_VALUE, norm));
}

static void build_mlp(const struct builder *b) {
    nn_value x = linear(b, NN_INPUT, 256, "fc1", "bn1");
    x = linear(b, x, 128, "fc2", "bn2");
    nn_network_linear(b->network, x, b->options->classes, true, "fc3");
}

static void build_cnn(const struct builder *b) {
    nn_value x = pooled(b, conv(b, NN_INPUT, 32, 1, "conv1"), "bn1");
    x = pooled(b, conv(b, x, 64, 1, "conv2"), "bn2");
    x = linear(b, x, 128, "fc1", "bn3");
    nn_network_linear(b->network, x, b->options->classes, true, "fc2");
}

/* The name of a part of a block: path(name, 2, 0, "conv1") is "layer2.0.conv1". */
static const char *path(char *name, int stage, size_t block, const char *part) {
    snprintf(name, NN_NAME_BYTES, "layer%d.%zu.%s", stage, block, part);
    return name;
}

/* x as a block with these channels and this stride adds it. */
static nn_value shortcut(const struct builder *b, nn_value x, size_t channels, size_t stride, int stage, size_t block) {
    const bool norm = b->options->norm != NN_NORM_NONE;
    const nn_conv_options options = {.channels = channels, .kernel = 1, .stride = stride, .bias = !norm};
    char name[NN_NAME_BYTES];
    if (stride == 1) return x;
    x = nn_network_conv(b->network, x, &options, path(name, stage, block, "downsample.0"));
    if (norm) x = nn_network_batch_norm(b->network, x, NN_NO_VALUE, NN_IDENTITY, path(name, stage, block, "downsample.1"));
    return x;
}

static nn_value build_block(const struct builder *b, nn_value x, size_t channels, size_t stride, int stage, size_t block) {
    char name[NN_NAME_BYTES];
    nn_value inner = conv(b, x, channels, stride, path(name, stage, block, "conv1"));
    inner = activated(b, inner, NN_NO_VALUE, path(name, stage, block, "bn1"));
    inner = conv(b, inner, channels, 1, path(name, stage, block, "conv2"));
    const nn_value z = shortcut(b, x, channels, stride, stage, block);
    return activated(b, inner, z, path(name, stage, block, "bn2"));
}

static void build_resnet(const struct builder *b) {
    nn_value x = activated(b, conv(b, NN_INPUT, 16, 1, "conv1"), NN_NO_VALUE, "bn1");
    size_t channels = 16;
    for (int stage = 1; stage <= 3; stage++, channels *= 2) {
        for (size_t block = 0; block < (b->options->depth - 2) / 6; block++) {
            x = build_block(b, x, channels, stage > 1 && block == 0 ? 2 : 1, stage, block);
        }
    }
    x = nn_network_global_average_pool(b->network, x);
    nn_network_linear(b->network, x, b->options->classes, true, "fc");
}

/* The same networks, counted. */

static uint64_t count_norm(const nn_model_options *o, uint64_t channels) { return o->norm == NN_NORM_NONE ? 0 : 2 * channels; }

/* A weighted layer with its norm. */
static uint64_t count_layer(const nn_model_options *o, uint64_t in, uint64_t out) {
    return in * out + (o->norm == NN_NORM_BEFORE ? 0 : out) + count_norm(o, out);
}

static uint64_t count_resnet(const nn_model_options *o) {
    const uint64_t blocks = (o->depth - 2) / 6;
    uint64_t count = count_layer(o, 9 * o->image.channels, 16), in = 16;
    for (uint64_t channels = 16; channels <= 64; in = channels, channels *= 2) {
        count += count_layer(o, 9 * in, channels) + (2 * blocks - 1) * count_layer(o, 9 * channels, channels);
        if (in != channels) count += in * channels + (o->norm == NN_NORM_NONE ? channels : 0) + count_norm(o, channels);
    }
    return count + (64 + 1) * o->classes;
}

uint64_t nn_model_parameters(const nn_model_options *o) {
    const uint64_t pixels = (uint64_t)o->image.height * o->image.width,
                   pooled = (uint64_t)(o->image.height / 4) * (o->image.width / 4);
    if (o->kind == NN_RESNET) return count_resnet(o);
    if (o->kind == NN_MLP)
        return count_layer(o, pixels * o->image.channels, 256) + count_layer(o, 256, 128) + (128 + 1) * o->classes;
    return count_layer(o, 9 * o->image.channels, 32) + count_layer(o, 9 * 32, 64) + count_layer(o, 64 * pooled, 128) +
           (128 + 1) * o->classes;
}

static nn_error check(const nn_model_options *o) {
    if (o->kind == NN_RESNET && o->depth != 8 && o->depth != 14 && o->depth != 20) return "a resnet has a depth of 8, 14 or 20";
    if (o->kind == NN_CNN && (o->image.height < 4 || o->image.width < 4))
        return "the cnn needs images of at least 4 x 4 pixels";
    return NULL;
}

nn_error nn_model_create(nn_backend *backend, const nn_model_options *o, nn_network **network) {
    *network = NULL;
    nn_error error = check(o);
    if (error) return error;
    nn_network *n = nn_network_create(backend, o->threads, o->image, o->batch, o->seed);
    if (!n) return NN_NO_MEMORY;
    const struct builder b = {n, o};
    if (o->frozen) nn_network_freeze_batch_norm(n);
    if (o->memory == NN_MEMORY_LESS) nn_network_keep_y(n);
    if (o->kind == NN_MLP)
        build_mlp(&b);
    else if (o->kind == NN_CNN)
        build_cnn(&b);
    else
        build_resnet(&b);
    error = nn_network_finish(n);
    if (error)
        nn_network_destroy(n);
    else
        *network = n;
    return error;
}
