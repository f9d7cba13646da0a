/* SPDX-License-Identifier: MIT */
/* A layer's state as a safetensors file. eps and momentum, which a state_dict lacks, are in the metadata. */
#define _GNU_SOURCE /* strtod_l */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "file/file.h"

#define EPS_KEY "batchnorm.eps"
#define MOMENTUM_KEY "batchnorm.momentum"

/* The program's locale may write and read a decimal comma; a file has a point. */
static bool format_number(double value, char text[40]) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return false;
    locale_t before = uselocale(c);
    snprintf(text, 40, "%.17g", value);
    uselocale(before);
    freelocale(c);
    return true;
}

static bool parse_number(const char *text, double *value) {
    if (strspn(text, "0123456789+-.eEinfa") != strlen(text)) return false; /* no spaces, no hexadecimal digits */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return false;
    char *end;
    *value = strtod_l(text, &end, c);
    freelocale(c);
    return end != text && *end == '\0';
}

/* The metadata has momentum as PyTorch counts it, whatever the layer's rule: a weight of the new value. */
static double momentum_of_new(const batchnorm_options *o) {
    return o->momentum_rule == BATCHNORM_MOMENTUM_OF_OLD ? 1 - o->momentum : o->momentum;
}

batchnorm_status batchnorm_layer_save(batchnorm_layer *layer, const char *path, char *message) {
    if (!layer || !path) return bn_fail(BATCHNORM_NULL_POINTER, message, "layer or path is NULL");
    batchnorm_layer_options options = batchnorm_layer_get_options(layer);
    char eps[40], momentum[40];
    if (!format_number(options.convention.eps, eps) || !format_number(momentum_of_new(&options.convention), momentum))
        return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for the metadata");
    const batchnorm_safetensors_pair metadata[] = {
        {"format", "pt"}, {EPS_KEY, eps}, {MOMENTUM_KEY, options.cumulative ? "none" : momentum}};
    batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
    size_t count = batchnorm_layer_state(layer, entries);
    return batchnorm_safetensors_write(path, entries, count, metadata, sizeof metadata / sizeof metadata[0], message);
}

/* eps and momentum of the file over those of `options`, where it has them. */
static batchnorm_status read_metadata(const batchnorm_safetensors *file, batchnorm_layer_options *options, char *message) {
    const char *eps = batchnorm_safetensors_metadata(file, EPS_KEY);
    const char *momentum = batchnorm_safetensors_metadata(file, MOMENTUM_KEY);
    batchnorm_options *o = &options->convention;
    if (eps && !parse_number(eps, &o->eps))
        return bn_fail(BATCHNORM_BAD_FILE, message, "the metadata has " EPS_KEY " '%.100s', which is no number", eps);
    if (!momentum) return BATCHNORM_OK;
    options->cumulative = strcmp(momentum, "none") == 0;
    if (options->cumulative) return BATCHNORM_OK;
    if (!parse_number(momentum, &o->momentum))
        return bn_fail(BATCHNORM_BAD_FILE, message,
                       "the metadata has " MOMENTUM_KEY " '%.100s', which is neither a number nor none", momentum);
    o->momentum = momentum_of_new(o); /* its own inverse */
    return BATCHNORM_OK;
}

/* The file's tensors as a state. */
static batchnorm_status list_state(const batchnorm_safetensors *file, batchnorm_named_tensor *entries, char *message) {
    for (size_t i = 0; i < batchnorm_safetensors_count(file); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(file, i);
        if (!entry->tensor.data)
            return bn_fail(BATCHNORM_BAD_DTYPE, message, "tensor '%.100s' (%s) cannot belong to a layer's state", entry->name,
                           entry->dtype);
        entries[i] = (batchnorm_named_tensor){entry->name, entry->tensor};
    }
    return BATCHNORM_OK;
}

static batchnorm_status load(batchnorm_layer *layer, const batchnorm_safetensors *file, batchnorm_named_tensor *entries,
                             char *message) {
    batchnorm_layer_options options = batchnorm_layer_get_options(layer);
    batchnorm_status status = list_state(file, entries, message);
    if (status == BATCHNORM_OK) status = read_metadata(file, &options, message);
    if (status != BATCHNORM_OK) return status;
    status = batchnorm_layer_load_state(layer, entries, batchnorm_safetensors_count(file), 2, true);
    if (status != BATCHNORM_OK) return bn_fail(status, message, "%s", batchnorm_layer_message(layer));
    batchnorm_layer_set_convention(layer, &options.convention);
    batchnorm_layer_set_cumulative(layer, options.cumulative);
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_layer_load(batchnorm_layer *layer, const char *path, char *message) {
    if (!layer || !path) return bn_fail(BATCHNORM_NULL_POINTER, message, "layer or path is NULL");
    batchnorm_safetensors *file;
    batchnorm_status status = batchnorm_safetensors_open(path, &file, message);
    if (status != BATCHNORM_OK) return status;
    size_t count = batchnorm_safetensors_count(file);
    batchnorm_named_tensor *entries = calloc(count ? count : 1, sizeof *entries);
    if (entries)
        status = load(layer, file, entries, message);
    else
        status = bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for %zu tensors", count);
    free(entries);
    batchnorm_safetensors_close(file);
    return status;
}
