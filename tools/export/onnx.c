/* SPDX-License-Identifier: MIT */
/* The field numbers are those of onnx.proto. */
#include "onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "nn/choices.h"
#include "nn/dataset.h"
#include "parts.h"

enum {
    OPSET = 17,
    IR = 8, /* the first that has this opset */
    NAME_ROOM = 2 * NN_NAME_BYTES
};

struct writer {
    const nn_network *network;
    struct proto graph;
    char (*values)[NAME_ROOM]; /* the name of every value of the network; [0] is the input */
    bool *are_flat;            /* (N, C); else (N, C, H, W) */
};

static void add_parameter(struct writer *w, const nn_parameter *p) {
    const size_t in = p->in, pixels = p->height * p->width;
    const int64_t two[] = {(int64_t)p->out, (int64_t)(in * pixels)},
                  four[] = {(int64_t)p->out, (int64_t)in, (int64_t)p->height, (int64_t)p->width};
    float *values = nn_floats(p->count);
    if (!values) {
        w->graph.failed = true;
        return;
    }
    nn_parameter_to_pytorch(p, p->value, values);
    onnx_add_tensor(&w->graph, p->name, values, p->rank == 4 ? four : two, p->rank);
    free(values);
}

/* "bn1" and "relu" are "bn1.relu". */
static void name_after(char name[NAME_ROOM], const char *before, const char *op) {
    char copy[NAME_ROOM];
    snprintf(copy, sizeof copy, "%s", before);
    snprintf(name, NAME_ROOM, "%.*s%s%s", (int)(NAME_ROOM - strlen(op) - 2), copy, *copy ? "." : "", op);
}

static void add_conv(struct writer *w, const nn_layer *layer, const char *x, const char *name) {
    const nn_parameter *p = layer->parameters;
    /* with 1 x 1 pixels both strides are the same */
    const bool halves = layer->in.height != layer->out.height || layer->in.width != layer->out.width;
    struct proto node =
        onnx_node("Conv", name, (const char *[]){x, p[0].name, layer->parameter_count > 1 ? p[1].name : NULL, NULL});
    onnx_add_integers(&node, "kernel_shape", p[0].height, 2);
    onnx_add_integers(&node, "strides", halves ? 2 : 1, 2);
    onnx_add_integers(&node, "pads", p[0].height / 2, 4);
    onnx_end_node(&w->graph, &node);
}

static void add_linear(struct writer *w, const nn_layer *layer, const char *x, bool is_flat, const char *name) {
    const nn_parameter *p = layer->parameters;
    char flat[NAME_ROOM];
    name_after(flat, name, "flatten");
    if (!is_flat) onnx_add_node(&w->graph, "Flatten", flat, (const char *[]){x, NULL});
    struct proto node = onnx_node(
        "Gemm", name, (const char *[]){is_flat ? x : flat, p[0].name, layer->parameter_count > 1 ? p[1].name : NULL, NULL});
    onnx_add_integer(&node, "transB", 1);
    onnx_end_node(&w->graph, &node);
}

/* The state's other tensors: what is learnt is among the parameters. z: added afterwards; NULL: nothing. */
static void add_batch_norm(struct writer *w, const nn_layer *layer, const char *x, const char *z, const char *name) {
    const batchnorm_layer_options o = batchnorm_layer_get_options(layer->norm);
    const batchnorm_tensor running[] = {batchnorm_layer_running_mean(layer->norm), batchnorm_layer_running_var(layer->norm)};
    char names[2][NAME_ROOM], sum[NAME_ROOM], plain[NAME_ROOM];
    name_after(names[0], layer->name, "running_mean");
    name_after(names[1], layer->name, "running_var");
    for (int i = 0; i < 2; i++) onnx_add_tensor(&w->graph, names[i], running[i].data, running[i].shape, 1);
    snprintf(sum, sizeof sum, "%s", name);
    snprintf(plain, sizeof plain, "%s", layer->name);
    struct proto node =
        onnx_node("BatchNormalization", plain,
                  (const char *[]){x, layer->parameters[0].name, layer->parameters[1].name, names[0], names[1], NULL});
    onnx_add_float(&node, "epsilon", (float)o.convention.eps);
    onnx_add_float(&node, "momentum", (float)(1 - o.convention.momentum)); /* ONNX says how much stays */
    onnx_end_node(&w->graph, &node);
    if (z) onnx_add_node(&w->graph, "Add", sum, (const char *[]){plain, z, NULL});
}

static bool add_activation(struct writer *w, const char *kind, const char *x, const char *name) {
    static const struct {
        nn_activation activation;
        const char *op;
    } ops[] = {{NN_RELU, "Relu"},       {NN_LEAKY_RELU, "LeakyRelu"}, {NN_CLIPPED_RELU, "Clip"}, {NN_HARDSWISH, "HardSwish"},
               {NN_SIGMOID, "Sigmoid"}, {NN_SILU, "Sigmoid"},         {NN_TANH, "Tanh"}};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const nn_activation a = ops[i].activation;
        if (strcmp(kind, nn_activation_words[a]) != 0) continue;
        const double parameter = a == NN_TANH ? 0 : nn_usual_activation((batchnorm_activation_kind)a).parameter;
        char other[2][NAME_ROOM];
        const char *inputs[] = {x, NULL, NULL, NULL};
        name_after(other[0], name, a == NN_SILU ? "sigmoid" : "min");
        name_after(other[1], name, "max");
        if (a == NN_CLIPPED_RELU) {
            onnx_add_tensor(&w->graph, inputs[1] = other[0], &(float){0}, NULL, 0);
            onnx_add_tensor(&w->graph, inputs[2] = other[1], &(float){(float)parameter}, NULL, 0);
        }
        struct proto node = onnx_node(ops[i].op, a == NN_SILU ? other[0] : name, inputs);
        if (a == NN_LEAKY_RELU) onnx_add_float(&node, "alpha", (float)parameter);
        onnx_end_node(&w->graph, &node);
        if (a == NN_SILU) onnx_add_node(&w->graph, "Mul", name, (const char *[]){x, other[0], NULL});
        return true;
    }
    return false;
}

static nn_error add_layer(struct writer *w, size_t index) {
    const nn_node *node = &w->network->nodes[index];
    const nn_layer *layer = node->layer;
    const char *kind = layer->kind->name, *x = w->values[node->x], *z = node->z == NN_NO_VALUE ? NULL : w->values[node->z];
    char *name = w->values[index + 1];
    const bool is_last = index + 1 == w->network->count;
    w->are_flat[index + 1] = w->are_flat[node->x];
    for (size_t i = 0; i < layer->parameter_count; i++) add_parameter(w, &layer->parameters[i]);
    if (strcmp(kind, "conv") == 0) {
        add_conv(w, layer, x, strcpy(name, layer->name));
    } else if (strcmp(kind, "linear") == 0) {
        w->are_flat[index + 1] = true;
        snprintf(name, NAME_ROOM, "%s", is_last ? "logits" : layer->name);
        add_linear(w, layer, x, w->are_flat[node->x], name);
    } else if (strcmp(kind, "batch norm") == 0) {
        snprintf(name, NAME_ROOM, "%s%s", layer->name, z ? ".add" : "");
        add_batch_norm(w, layer, x, z, name);
    } else if (strcmp(kind, "add") == 0) {
        name_after(name, x, "add");
        onnx_add_node(&w->graph, "Add", name, (const char *[]){x, z, NULL});
    } else if (strcmp(kind, "max pool") == 0) {
        name_after(name, x, "pool");
        struct proto pool = onnx_node("MaxPool", name, (const char *[]){x, NULL});
        onnx_add_integers(&pool, "kernel_shape", 2, 2);
        onnx_add_integers(&pool, "strides", 2, 2);
        onnx_end_node(&w->graph, &pool);
    } else if (strcmp(kind, "global average pool") == 0) {
        name_after(name, x, "pool");
        onnx_add_node(&w->graph, "GlobalAveragePool", name, (const char *[]){x, NULL});
    } else {
        name_after(name, x, kind);
        if (!add_activation(w, kind, x, name)) return "it has a layer that cannot be exported";
    }
    return NULL;
}

/* Inputs and outputs: the first dimension is open. */
static void add_value(struct writer *w, uint32_t field, const char *name, const int64_t *sizes, int count) {
    struct proto dimension = {0}, shape = {0}, tensor = {0}, type = {0}, value = {0};
    proto_text(&dimension, 2, "N");
    proto_message(&shape, 1, &dimension);
    for (int i = 0; i < count; i++) {
        proto_integer(&dimension, 1, sizes[i]);
        proto_message(&shape, 1, &dimension);
    }
    proto_integer(&tensor, 1, ONNX_FLOAT);
    proto_message(&tensor, 2, &shape);
    proto_message(&type, 1, &tensor);
    proto_text(&value, 1, name);
    proto_message(&value, 2, &type);
    proto_message(&w->graph, field, &value);
}

static nn_error write_graph(struct writer *w) {
    const nn_network *n = w->network;
    const nn_shape in = n->input, out = nn_network_shape(n, n->count);
    const int64_t input[] = {(int64_t)in.channels, (int64_t)in.height, (int64_t)in.width}, output[] = {(int64_t)out.channels};
    nn_error error = NULL;
    strcpy(w->values[0], "images");
    for (size_t i = 0; i < n->count && !error; i++) error = add_layer(w, i);
    proto_text(&w->graph, 2, "batchnorm");
    add_value(w, 11, "images", input, 3);
    add_value(w, 12, w->values[n->count], output, 1);
    return error;
}

/* The model around it */

static void add_property(struct proto *model, const char *key, const char *value) {
    struct proto pair = {0};
    proto_text(&pair, 1, key);
    proto_text(&pair, 2, value);
    proto_message(model, 14, &pair);
}

/* Numbers as others have them, of pixels from 0 to 1: "0.2860 0.3530 0.4470". */
static void add_numbers(struct proto *model, const char *key, const float *values, size_t count, bool inverse) {
    char text[NN_MAX_CHANNELS * 24];
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%.9g", i ? " " : "",
                                   (inverse ? 1 / (double)values[i] : (double)values[i]) / 255);
    add_property(model, key, text);
}

/* One name a line: names have none. */
static void add_classes(struct proto *model, const struct onnx_about *about) {
    size_t length = 1;
    for (size_t i = 0; i < about->classes; i++) length += strlen(about->class_names[i]) + 1;
    char *text = malloc(length), *at = text;
    for (size_t i = 0; i < about->classes && text; i++) at += sprintf(at, "%s%s", i ? "\n" : "", about->class_names[i]);
    if (text)
        add_property(model, "classes", text);
    else
        model->failed = true;
    free(text);
}

nn_error onnx_of_network(const nn_network *network, const struct onnx_about *about, struct proto *model) {
    struct writer w = {.network = network};
    struct proto opset = {0};
    *model = (struct proto){0};
    w.values = calloc(network->count + 1, sizeof *w.values);
    w.are_flat = calloc(network->count + 1, sizeof *w.are_flat);
    nn_error error = w.values && w.are_flat ? write_graph(&w) : NN_NO_MEMORY;
    proto_integer(model, 1, IR);
    proto_text(model, 2, "batchnorm");
    proto_text(model, 3, batchnorm_version());
    proto_message(model, 7, &w.graph);
    proto_text(&opset, 1, "");
    proto_integer(&opset, 2, OPSET);
    proto_message(model, 8, &opset);
    add_classes(model, about);
    add_numbers(model, "mean", about->mean, network->input.channels, false);
    add_numbers(model, "std", about->rstd, network->input.channels, true);
    free(w.values);
    free(w.are_flat);
    return error ? error : model->failed ? NN_NO_MEMORY : NULL;
}
