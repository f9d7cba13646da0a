/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nn/machine.h"
#include "tools/shared/stop.h"

enum { MOST_AT_ONCE = 256, PIXELS_AT_ONCE = 1 << 22 };

bool network_is(const char *path) {
    char why[BATCHNORM_MESSAGE_BYTES];
    batchnorm_safetensors *file;
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) return false; /* a pipe can be read once */
    if (batchnorm_safetensors_open(path, &file, why)) return false;
    const bool is = batchnorm_safetensors_metadata(file, "checkpoint") != NULL;
    batchnorm_safetensors_close(file);
    return is;
}

static bool no_memory(const struct network *n, char *message) {
    return nn_wrong(message, n->request->files.at[0], NN_NO_MEMORY);
}

/* Takes the values of a layer's running statistics. */
static void read_running(const batchnorm_tensor *from, double *to, size_t count) {
    for (size_t c = 0; c < count; c++) to[c] = (double)((const float *)from->data)[c];
}

static bool add_layer(struct network *n, size_t node, int64_t depth, char *message) {
    const nn_layer *of = n->network->nodes[node].layer;
    const batchnorm_tensor mean = batchnorm_layer_running_mean(of->norm), var = batchnorm_layer_running_var(of->norm);
    struct layer *l = &n->layers.at[n->layers.count];
    n->norm_of[node] = n->layers.count++;
    *l = (struct layer){.key = of->name,
                        .norm = node,
                        .depth = depth,
                        .channels = (size_t)mean.shape[0],
                        .eps = batchnorm_layer_get_options(of->norm).convention.eps};
    if (depth > n->layers.deepest) n->layers.deepest = depth;
    if (!layer_allocate(l)) return no_memory(n, message);
    read_running(&mean, l->mean, l->channels);
    read_running(&var, l->var, l->channels);
    return true;
}

/* Lists the batch norms, with how many of them are on the longest way to each. */
static bool find_layers(struct network *n, char *message) {
    const nn_network *network = n->network;
    bool ok = true;
    n->count = network->count;
    n->layers.norms = nn_network_batch_norms(network);
    int64_t *depth = calloc(n->count + 1, sizeof *depth); /* of values: that of node i is i + 1 */
    n->norm_of = malloc((n->count + 1) * sizeof *n->norm_of);
    n->layers.at = calloc(n->layers.norms + 1, sizeof *n->layers.at);
    if (!depth || !n->norm_of || !n->layers.at) ok = no_memory(n, message);
    for (size_t i = 0; i < n->count && ok; i++) {
        const nn_node *node = &network->nodes[i];
        const bool is_norm = node->layer->norm != NULL;
        int64_t d = depth[node->x];
        if (is_norm) ok = add_layer(n, i, d + 1, message);
        if (!is_norm) n->norm_of[i] = SIZE_MAX;
        d += is_norm;
        if (node->z != NN_NO_VALUE && depth[node->z] > d) d = depth[node->z];
        depth[i + 1] = d;
    }
    free(depth);
    return ok && (n->layers.count > 0 || nn_wrong(message, n->request->files.at[0], "has no batch norms"));
}

static bool load_data(struct network *n, char *message) {
    const struct recalibrate_request *r = n->request;
    const nn_data_options options = {.limit = r->limit ? (uint32_t)(r->limit < UINT32_MAX ? r->limit : UINT32_MAX) : 0,
                                     .size = n->checkpoint.request.size};
    if (!nn_dataset_load_with(r->data, &options, &n->train, &n->test, message)) return false;
    if (!checkpoint_fits_images(&n->checkpoint, r->files.at[0], &n->train, message)) return false;
    memcpy(n->train.mean, n->checkpoint.mean, sizeof n->train.mean);
    memcpy(n->train.rstd, n->checkpoint.rstd, sizeof n->train.rstd);
    n->samples = n->train.count;
    return true;
}

static bool make_network(struct network *n, char *message) {
    const char *path = n->request->files.at[0];
    nn_model_options model = n->checkpoint.request.model;
    const size_t few = PIXELS_AT_ONCE / (model.image.height * model.image.width);
    model.batch = n->request->batch ? (size_t)n->request->batch : few < 1 ? 1 : few < MOST_AT_ONCE ? few : MOST_AT_ONCE;
    if (model.batch > n->samples) model.batch = n->samples;
    model.threads = n->request->threads ? n->request->threads : nn_default_threads();
    model.memory = NN_MEMORY_PLAIN; /* so that no batch norm overwrites what is looked at */
    if (!checkpoint_has_network(&n->checkpoint, path, message)) return false;
    nn_error error = nn_backend_create(model.threads, &n->backend);
    if (!error) error = nn_model_create(n->backend, &model, &n->network);
    if (error) return nn_wrong(message, path, "%s", error);
    return checkpoint_restore(&n->checkpoint, path, n->network, NULL, message);
}

bool network_open(struct network *n, const struct recalibrate_request *r, char *message) {
    *n = (struct network){.request = r};
    if (!nn_backend_name())
        return nn_wrong(message, r->files.at[0],
                        "is a network of train, and this command was built without a convolution library (oneDNN or a CBLAS)");
    if (r->mean.count || r->std.count || r->has_size)
        return nn_wrong(message, r->files.at[0], "has its own mean, standard deviation and size of images");
    n->is_open = checkpoint_open(r->files.at[0], &n->checkpoint, message);
    return n->is_open && load_data(n, message) && make_network(n, message) && find_layers(n, message);
}

void network_close(struct network *n) {
    layers_free(&n->layers);
    free(n->norm_of);
    nn_network_destroy(n->network);
    nn_backend_destroy(n->backend);
    nn_dataset_free(&n->train);
    nn_dataset_free(&n->test);
    if (n->is_open) checkpoint_close(&n->checkpoint);
    *n = (struct network){0};
}

/* A pass that looks at the layers of some depths. */
struct looking {
    struct network *n;
    int64_t first, last;
    bool failed;
};

static void look(void *user, size_t node, size_t samples, const float *x, const float *y) {
    struct looking *l = user;
    (void)y;
    if (l->n->norm_of[node] == SIZE_MAX) return;
    struct layer *layer = &l->n->layers.at[l->n->norm_of[node]];
    if (layer->depth < l->first || layer->depth > l->last) return;
    const nn_shape in = l->n->network->nodes[node].layer->in;
    const batchnorm_shape shape = {samples, layer->channels, nn_shape_size(in) / layer->channels, BATCHNORM_F32};
    const batchnorm_stats_call call = {
        .size = sizeof call, .shape = shape, .x = {x, batchnorm_channels_last(shape)}, .stats = layer->stats};
    if (batchnorm_stats_accumulate(&call, NULL)) l->failed = true;
    layer->is_taken = true;
}

/* One pass over the images. */
static bool go_through(struct looking *l, struct progress *progress, double work, char *message) {
    struct network *n = l->n;
    const nn_observer observer = {.user = l, .forward = look};
    uint32_t *order = calloc(n->network->capacity + 1, sizeof *order);
    nn_error error = order ? NULL : NN_NO_MEMORY;
    nn_network_observe(n->network, &observer);
    for (size_t first = 0, some; first < n->samples && !error && !l->failed; first += some) {
        some = n->samples - first < n->network->capacity ? n->samples - first : n->network->capacity;
        for (size_t i = 0; i < some; i++) order[i] = (uint32_t)(first + i);
        nn_dataset_batch(&n->train, order, some, NULL, nn_network_input(n->network), NULL);
        stop_hold(); /* code that oneDNN generates need not expect a signal */
        error = nn_network_forward(n->network, some);
        stop_let_go();
        progress_add(progress, (double)some * work);
    }
    nn_network_observe(n->network, NULL);
    free(order);
    if (error) return nn_wrong(message, n->request->files.at[0], "%s", error);
    return !l->failed || no_memory(n, message);
}

/* The statistics that were taken of layers of a depth become those of the network. */
static void take_depth(struct network *n, int64_t depth) {
    for (size_t i = 0; i < n->layers.count; i++) {
        const struct layer *l = &n->layers.at[i];
        if (l->depth != depth) continue;
        struct batchnorm_layer *norm = n->network->nodes[l->norm].layer->norm;
        float *mean = batchnorm_layer_running_mean(norm).data, *var = batchnorm_layer_running_var(norm).data;
        for (size_t c = 0; c < l->channels; c++) {
            mean[c] = (float)l->stats[c].mean;
            var[c] = (float)(l->stats[c].m2 / l->stats[c].count);
        }
    }
}

bool network_run(struct network *n, enum pass_kind kind, struct progress *progress, char *message) {
    const int64_t deepest = n->layers.deepest, step = kind == PASS_BY_DEPTH ? 1 : deepest;
    char why[BATCHNORM_MODEL_MESSAGE];
    for (size_t i = 0; i < n->layers.count; i++) batchnorm_stats_clear(n->layers.at[i].stats, n->layers.at[i].channels);
    nn_network_set_training(n->network, kind == PASS_BY_BATCH);
    for (int64_t d = 1; d <= deepest; d += step) {
        struct looking l = {n, d, d + step - 1, false};
        if (kind == PASS_BY_DEPTH) progress_about(progress, "depth %lld of %lld", (long long)d, (long long)deepest);
        if (!go_through(&l, progress, (double)step / (double)deepest, message)) return false;
        for (size_t i = 0; i < n->layers.count; i++)
            if (n->layers.at[i].depth == d && !layer_is_finite(&n->layers.at[i], why))
                return nn_wrong(message, n->request->files.at[0], "%s", why);
        if (kind == PASS_BY_DEPTH) take_depth(n, d);
    }
    return true;
}

void network_take(struct network *n) {
    for (int64_t d = 1; d <= n->layers.deepest; d++) take_depth(n, d);
    for (size_t i = 0; i < n->layers.count; i++) {
        struct layer *l = &n->layers.at[i];
        struct batchnorm_layer *norm = n->network->nodes[l->norm].layer->norm;
        const batchnorm_tensor mean = batchnorm_layer_running_mean(norm), var = batchnorm_layer_running_var(norm);
        read_running(&mean, l->mean, l->channels);
        read_running(&var, l->var, l->channels);
    }
}

/* The running statistic that a tensor of the checkpoint is, of the network as it is now; NULL: it is none. */
static const void *replacement(const struct network *n, const char *name) {
    for (size_t i = 0; i < n->layers.count; i++) {
        const struct layer *l = &n->layers.at[i];
        const struct batchnorm_layer *norm = n->network->nodes[l->norm].layer->norm;
        const size_t bytes = strlen(l->key);
        if (strncmp(name, l->key, bytes) != 0 || name[bytes] != '.') continue;
        if (strcmp(name + bytes, ".running_mean") == 0) return batchnorm_layer_running_mean(norm).data;
        if (strcmp(name + bytes, ".running_var") == 0) return batchnorm_layer_running_var(norm).data;
    }
    return NULL;
}

bool network_write(const struct network *n, const char *path, char *message) {
    const batchnorm_safetensors *file = n->checkpoint.file;
    const size_t count = batchnorm_safetensors_count(file);
    char why[BATCHNORM_MESSAGE_BYTES] = NN_NO_MEMORY;
    size_t pairs = 0;
    while (batchnorm_safetensors_metadata_at(file, pairs)) pairs++;
    batchnorm_named_tensor *tensors = calloc(count + 1, sizeof *tensors);
    batchnorm_safetensors_pair *metadata = calloc(pairs + 1, sizeof *metadata);
    batchnorm_status status = BATCHNORM_NO_MEMORY;
    for (size_t i = 0; tensors && i < count; i++) {
        const batchnorm_safetensors_entry *e = batchnorm_safetensors_at(file, i);
        const void *other = replacement(n, e->name);
        tensors[i] = (batchnorm_named_tensor){e->name, e->tensor};
        if (other) tensors[i].tensor.data = (void *)(uintptr_t)other;
    }
    for (size_t i = 0; metadata && i < pairs; i++) metadata[i] = *batchnorm_safetensors_metadata_at(file, i);
    if (tensors && metadata) {
        stop_hold();
        status = batchnorm_safetensors_write(path, tensors, count, metadata, pairs, why);
        stop_let_go();
    }
    free(tensors);
    free(metadata);
    return !status || nn_wrong(message, path, "%s", why);
}
