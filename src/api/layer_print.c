/* SPDX-License-Identifier: MIT */
/* The layer in words: PyTorch's repr, and everything that its vars(layer) shows. */
#include <inttypes.h>
#include <string.h>

#include "api/float_text.h"
#include "api/layer.h"

enum { REPR_TEXT = 256, PER_LINE = 8 };

static const char *boolean(bool value) { return value ? "True" : "False"; }

static const char *momentum_text(const batchnorm_layer *layer, char text[BN_FLOAT_TEXT]) {
    if (layer->options.cumulative) return "None";
    bn_float_text(layer->options.convention.momentum, false, text);
    return text;
}

static int write_repr(const batchnorm_layer *layer, char text[REPR_TEXT]) {
    char eps[BN_FLOAT_TEXT], momentum[BN_FLOAT_TEXT];
    const batchnorm_layer_options *o = &layer->options;
    bn_float_text(o->convention.eps, false, eps);
    return snprintf(text, REPR_TEXT,
                    "%sBatchNorm%dd(%" PRId64 ", eps=%s, momentum=%s, affine=%s, bias=%s, track_running_stats=%s)",
                    o->lazy ? "Lazy" : "", o->dims, o->num_features, eps, momentum_text(layer, momentum), boolean(o->affine),
                    boolean(layer->has[BN_BIAS]), boolean(o->track_running_stats));
}

size_t batchnorm_layer_repr(const batchnorm_layer *layer, char *text, size_t size) {
    char whole[REPR_TEXT] = "";
    const size_t length = layer ? (size_t)write_repr(layer, whole) : 0;
    if (!text || size == 0) return length;
    const size_t kept = length < size ? length : size - 1;
    memcpy(text, whole, kept);
    text[kept] = '\0';
    return length;
}

static double value_at(const batchnorm_layer *layer, const void *array, size_t c) {
    return bn_vector_get((struct bn_vector){array, layer->options.dtype}, c, 0);
}

/* Prints the numbers of an array, some on a line. */
static void print_numbers(const batchnorm_layer *layer, const void *array, FILE *file) {
    char text[BN_FLOAT_TEXT];
    for (size_t c = 0; c < bn_layer_channels(layer); c++) {
        bn_float_text(value_at(layer, array, c), layer->options.dtype == BATCHNORM_F32, text);
        fprintf(file, "%s%s", c % PER_LINE == 0 ? "\n      " : " ", text);
    }
    fputs("\n", file);
}

static void print_array(const batchnorm_layer *layer, const char *name, int key, int index, FILE *file) {
    fprintf(file, "  %s: ", name);
    if (!layer->has[key])
        fputs("None\n", file);
    else if (!layer->block)
        fputs("uninitialized\n", file);
    else {
        fprintf(file, "%s [%" PRId64 "]", bn_dtype_name(layer->options.dtype), layer->options.num_features);
        print_numbers(layer, bn_layer_array(layer, index), file);
    }
}

static void print_parameter(const batchnorm_layer *layer, int key, FILE *file) {
    const batchnorm_parameter *parameter = key == BN_WEIGHT ? &layer->weight : &layer->bias;
    print_array(layer, bn_key_names[key], key, key, file);
    if (!bn_layer_array(layer, key)) return;
    fprintf(file, "  %s.requires_grad: %s\n", bn_key_names[key], boolean(parameter->requires_grad));
    print_array(layer, key == BN_WEIGHT ? "weight.grad" : "bias.grad", key, key == BN_WEIGHT ? BN_WEIGHT_GRAD : BN_BIAS_GRAD,
                file);
}

static void print_count(const batchnorm_layer *layer, FILE *file) {
    fprintf(file, "  %s: ", bn_key_names[BN_COUNT]);
    if (layer->has[BN_COUNT])
        fprintf(file, "%" PRId64 "\n", layer->count);
    else
        fputs("None\n", file);
}

static void print_options(const batchnorm_layer *layer, FILE *file) {
    char eps[BN_FLOAT_TEXT], momentum[BN_FLOAT_TEXT];
    const batchnorm_layer_options *o = &layer->options;
    bn_float_text(o->convention.eps, false, eps);
    fprintf(file, "num_features: %" PRId64 "\neps: %s\nmomentum: %s\naffine: %s\ntrack_running_stats: %s\n", o->num_features,
            eps, momentum_text(layer, momentum), boolean(o->affine), boolean(o->track_running_stats));
}

batchnorm_status batchnorm_layer_print(const batchnorm_layer *layer, FILE *file) {
    char repr[REPR_TEXT];
    if (!layer || !file) return BATCHNORM_NULL_POINTER;
    write_repr(layer, repr);
    fprintf(file, "%s\ntraining: %s\n_parameters:\n", repr, boolean(layer->training));
    print_parameter(layer, BN_WEIGHT, file);
    print_parameter(layer, BN_BIAS, file);
    fputs("_buffers:\n", file);
    print_array(layer, bn_key_names[BN_RUNNING_MEAN], BN_RUNNING_MEAN, BN_RUNNING_MEAN, file);
    print_array(layer, bn_key_names[BN_RUNNING_VAR], BN_RUNNING_VAR, BN_RUNNING_VAR, file);
    print_count(layer, file);
    fputs("_non_persistent_buffers_set: set()\n_modules: {}\n", file);
    print_options(layer, file);
    return fflush(file) != 0 || ferror(file) ? BATCHNORM_IO : BATCHNORM_OK;
}
