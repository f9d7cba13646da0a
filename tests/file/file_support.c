/* SPDX-License-Identifier: MIT */
#include "file_support.h"

#include "tests/support/test.h"

static void release_file(void *file) { batchnorm_safetensors_close(file); }

static void release_layer(void *layer) { batchnorm_layer_destroy(layer); }

batchnorm_safetensors *open_good(const char *path) {
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    batchnorm_safetensors *file;
    if (batchnorm_safetensors_open(path, &file, message) != BATCHNORM_OK) fail_msg("%s", message);
    return keep(file, release_file);
}

batchnorm_layer *new_layer(batchnorm_layer_options options) {
    batchnorm_layer *layer;
    assert_int_equal(batchnorm_layer_create(&options, &layer), BATCHNORM_OK);
    return keep(layer, release_layer);
}

batchnorm_named_tensor named(const char *name, void *data, batchnorm_dtype dtype, int rank, const int64_t *shape) {
    return (batchnorm_named_tensor){name, batchnorm_tensor_contiguous(data, dtype, rank, shape)};
}
