/* SPDX-License-Identifier: MIT */
/* In place of libbatchnorm-file in a build without jansson: the same functions, which say so. */
#include "batchnorm/safetensors.h"

static batchnorm_status refuse(char *message) {
    if (message)
        snprintf(message, BATCHNORM_MESSAGE_BYTES,
                 "this build knows no safetensors files, because it was made without jansson");
    return BATCHNORM_IO;
}

batchnorm_status batchnorm_safetensors_open(const char *path, batchnorm_safetensors **file, char *message) {
    (void)path;
    *file = NULL;
    return refuse(message);
}

void batchnorm_safetensors_close(batchnorm_safetensors *file) { (void)file; }

size_t batchnorm_safetensors_count(const batchnorm_safetensors *file) {
    (void)file;
    return 0;
}

const batchnorm_safetensors_entry *batchnorm_safetensors_at(const batchnorm_safetensors *file, size_t index) {
    (void)file, (void)index;
    return NULL;
}

const batchnorm_safetensors_entry *batchnorm_safetensors_find(const batchnorm_safetensors *file, const char *name) {
    (void)file, (void)name;
    return NULL;
}

const char *batchnorm_safetensors_metadata(const batchnorm_safetensors *file, const char *key) {
    (void)file, (void)key;
    return NULL;
}

const batchnorm_safetensors_pair *batchnorm_safetensors_metadata_at(const batchnorm_safetensors *file, size_t index) {
    (void)file, (void)index;
    return NULL;
}

batchnorm_status batchnorm_safetensors_write(const char *path, const batchnorm_named_tensor *entries, size_t count,
                                             const batchnorm_safetensors_pair *metadata, size_t pairs, char *message) {
    (void)path, (void)entries, (void)count, (void)metadata, (void)pairs;
    return refuse(message);
}

batchnorm_status batchnorm_safetensors_write_raw(const char *path, const batchnorm_safetensors_raw *tensors, size_t count,
                                                 const batchnorm_safetensors_pair *metadata, size_t pairs, char *message) {
    (void)path, (void)tensors, (void)count, (void)metadata, (void)pairs;
    return refuse(message);
}

batchnorm_status batchnorm_layer_save(batchnorm_layer *layer, const char *path, char *message) {
    (void)layer, (void)path;
    return refuse(message);
}

batchnorm_status batchnorm_layer_load(batchnorm_layer *layer, const char *path, char *message) {
    (void)layer, (void)path;
    return refuse(message);
}

batchnorm_status batchnorm_layer_load_prefix(batchnorm_layer *layer, const char *path, const char *prefix, char *message) {
    (void)layer, (void)path, (void)prefix;
    return refuse(message);
}
