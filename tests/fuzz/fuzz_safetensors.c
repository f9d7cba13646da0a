/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: refused with a message, or a file all of whose tensors are there. The first byte says
 * whether the rest is a whole file or lacks the size of the header, which is then put in front: few random sizes fit. */
#include <string.h>

#include "batchnorm/safetensors.h"
#include "tests/fuzz/fuzz.h"

static void read_all(const batchnorm_safetensors *file) {
    for (size_t i = 0; i < batchnorm_safetensors_count(file); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(file, i);
        fuzz_expect(batchnorm_safetensors_find(file, entry->name) == entry);
        if (!entry->tensor.data) continue;
        fuzz_took(entry->tensor.data, entry->bytes);
        const int64_t elements = batchnorm_tensor_elements(&entry->tensor);
        fuzz_expect((size_t)elements * batchnorm_dtype_bytes(entry->tensor.dtype) == entry->bytes);
    }
    for (size_t i = 0; batchnorm_safetensors_metadata_at(file, i); i++) {
        const char *value = batchnorm_safetensors_metadata_at(file, i)->value;
        fuzz_took(value, strlen(value));
    }
}

/* As a layer's state: with the prefix "a" the first layer of a network. Whatever comes of it, memory is in order. */
static void load_layer(const char *path, const char *prefix) {
    const batchnorm_layer_options options = batchnorm_layer_defaults(1, 2);
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    batchnorm_layer *layer;
    fuzz_expect(batchnorm_layer_create(&options, &layer) == BATCHNORM_OK);
    if (batchnorm_layer_load_prefix(layer, path, prefix, message) != BATCHNORM_OK) fuzz_refused(message, NULL);
    batchnorm_layer_destroy(layer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    if (count < 1) return 0;
    const size_t data = bytes[0] / 2 < count - 1 ? bytes[0] / 2 : 0; /* bytes after the header, if its size is put in front */
    uint8_t size[8];
    for (int i = 0; i < 8; i++) size[i] = (uint8_t)((uint64_t)(count - 1 - data) >> 8 * i);
    const char *path = fuzz_file(size, bytes[0] & 1 ? 0 : sizeof size, bytes + 1, count - 1);
    char message[BATCHNORM_MESSAGE_BYTES] = "";
    batchnorm_safetensors *file;
    if (batchnorm_safetensors_open(path, &file, message) == BATCHNORM_OK)
        read_all(file), load_layer(path, bytes[0] & 2 ? "a." : "");
    else
        fuzz_refused(message, file);
    batchnorm_safetensors_close(file);
    return 0;
}
