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

/* What the metadata tells of the layer under a prefix: under KEY:LAYER, or under KEY for all layers. */
static const char *find_told(const batchnorm_safetensors *file, const char *key, const char *prefix) {
    const size_t bytes = strlen(key), layer = strlen(prefix);
    const batchnorm_safetensors_pair *pair;
    for (size_t i = 0; layer > 0 && (pair = batchnorm_safetensors_metadata_at(file, i)) != NULL; i++) {
        if (strncmp(pair->key, key, bytes) != 0 || pair->key[bytes] != ':') continue;
        const char *name = pair->key + bytes + 1;
        if (strlen(name) == layer - 1 && strncmp(name, prefix, layer - 1) == 0 && prefix[layer - 1] == '.') return pair->value;
    }
    return batchnorm_safetensors_metadata(file, key);
}

/* eps and momentum of the file over those of `options`, where it has them. */
static batchnorm_status read_metadata(const batchnorm_safetensors *file, const char *prefix, batchnorm_layer_options *options,
                                      char *message) {
    const char *eps = find_told(file, EPS_KEY, prefix), *momentum = find_told(file, MOMENTUM_KEY, prefix);
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

/* A load: which of the file's tensors are the layer's. */
struct load {
    const batchnorm_safetensors *file;
    const char *prefix;
    batchnorm_named_tensor *entries; /* names without the prefix */
    size_t count;
    int64_t batches; /* num_batches_tracked of another integer type */
    char *message;
};

static bool begins_with(const char *name, const char *prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

static bool is_key(const char *name) {
    static const char *const keys[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(name, keys[i]) == 0) return true;
    return false;
}

/* The tensors under the prefix as a state. */
static batchnorm_status list_state(struct load *load) {
    for (size_t i = 0; i < batchnorm_safetensors_count(load->file); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(load->file, i);
        if (!begins_with(entry->name, load->prefix)) continue;
        const char *name = entry->name + strlen(load->prefix);
        batchnorm_tensor tensor = entry->tensor;
        if (!tensor.data && strcmp(name, "num_batches_tracked") == 0 && bn_safetensors_integer(load->file, i, &load->batches)) {
            tensor.data = &load->batches; /* of one element: its strides do not matter */
            tensor.dtype = BATCHNORM_I64;
        } else if (!tensor.data && is_key(name)) {
            return bn_fail(BATCHNORM_BAD_DTYPE, load->message, "tensor '%.100s' (%s) cannot belong to a layer's state",
                           entry->name, entry->dtype);
        }
        load->entries[load->count++] = (batchnorm_named_tensor){name, tensor};
    }
    return BATCHNORM_OK;
}

/* For a message: under which prefixes the file has layers, as far as they fit. */
static void list_layers(const struct load *load, char *text, size_t bytes) {
    static const char key[] = "running_mean";
    size_t used = 0, more = 0;
    text[0] = '\0';
    for (size_t i = 0; i < batchnorm_safetensors_count(load->file); i++) {
        const char *name = batchnorm_safetensors_at(load->file, i)->name;
        const size_t length = strlen(name), prefix = length - (sizeof key - 1);
        if (length < sizeof key || strcmp(name + prefix, key) != 0 || name[prefix - 1] != '.') continue;
        if (more > 0 || used + prefix + 40 > bytes)
            more++;
        else
            used += (size_t)snprintf(text + used, bytes - used, "%s\"%.*s\"", used ? ", " : "", (int)prefix, name);
    }
    if (more) snprintf(text + used, bytes - used, "%s%zu more", used ? " and " : "", more);
}

/* Under the prefix there is a layer, whatever does not fit. */
static bool has_layer(const struct load *load) {
    for (size_t i = 0; i < load->count; i++)
        if (strcmp(load->entries[i].name, "running_mean") == 0) return true;
    return false;
}

/* The layer's own words; where there are layers under other prefixes only, these. */
static batchnorm_status explain(const struct load *load, const batchnorm_layer *layer, batchnorm_status status) {
    char layers[200];
    list_layers(load, layers, sizeof layers);
    if (has_layer(load) || layers[0] == '\0' || (status != BATCHNORM_MISSING_KEY && status != BATCHNORM_UNEXPECTED_KEY))
        return bn_fail(status, load->message, "%s", batchnorm_layer_message(layer));
    return bn_fail(status, load->message, "%s%s%s has no such layer; there are layers under the prefixes %s",
                   load->prefix[0] ? "under the prefix " : "without a prefix it", load->prefix, load->prefix[0] ? " it" : "",
                   layers);
}

static batchnorm_status load_state(batchnorm_layer *layer, struct load *load) {
    batchnorm_layer_options options = batchnorm_layer_get_options(layer);
    batchnorm_status status = list_state(load);
    if (!status) status = read_metadata(load->file, load->prefix, &options, load->message);
    if (status) return status;
    /* a file has no version, as a plain dict has none: it may lack num_batches_tracked */
    status = batchnorm_layer_load_state(layer, load->entries, load->count, 1, true);
    if (status) return explain(load, layer, status);
    batchnorm_layer_set_convention(layer, &options.convention);
    batchnorm_layer_set_cumulative(layer, options.cumulative);
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_layer_load_prefix(batchnorm_layer *layer, const char *path, const char *prefix, char *message) {
    if (!layer || !path || !prefix) return bn_fail(BATCHNORM_NULL_POINTER, message, "layer, path or prefix is NULL");
    batchnorm_safetensors *file;
    batchnorm_status status = batchnorm_safetensors_open(path, &file, message);
    if (status) return status;
    const size_t count = batchnorm_safetensors_count(file);
    struct load load = {.file = file, .prefix = prefix, .message = message};
    load.entries = calloc(count ? count : 1, sizeof *load.entries);
    if (load.entries)
        status = load_state(layer, &load);
    else
        status = bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for %zu tensors", count);
    free(load.entries);
    batchnorm_safetensors_close(file);
    return status;
}

batchnorm_status batchnorm_layer_load(batchnorm_layer *layer, const char *path, char *message) {
    return batchnorm_layer_load_prefix(layer, path, "", message);
}
