/* SPDX-License-Identifier: MIT */
#include "model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A safetensors file begins with the 8 bytes of its header's length, and the header with a brace. */
static bool is_safetensors(const char *path) {
    unsigned char first[9];
    FILE *f = fopen(path, "rb");
    const bool whole = f && fread(first, 1, sizeof first, f) == sizeof first;
    if (f) fclose(f);
    return whole && first[8] == '{' && first[7] == 0 && first[6] == 0;
}

static bool open_safetensors(struct model_file *f, const char *path, char *message) {
    f->kind = "safetensors";
    if (batchnorm_safetensors_open(path, &f->file, message)) return false;
    const size_t count = batchnorm_safetensors_count(f->file);
    f->entries = calloc(count + 1, sizeof *f->entries);
    size_t kept = 0;
    for (size_t i = 0; f->entries && i < count; i++) {
        const batchnorm_safetensors_entry *e = batchnorm_safetensors_at(f->file, i);
        const bool is_read = e->tensor.data || (e->tensor.rank >= 0 && e->bytes == 0);
        if (is_read)
            f->entries[kept++] = (batchnorm_named_tensor){e->name, e->tensor};
        else
            f->skipped++;
    }
    if (f->entries && batchnorm_model_from_state(f->entries, kept, &f->model) == BATCHNORM_OK) return true;
    snprintf(message, BATCHNORM_MODEL_MESSAGE, "no memory");
    return false;
}

bool model_file_open(struct model_file *f, const char *path, const batchnorm_model_options *options, char *message) {
    *f = (struct model_file){.kind = "ONNX"};
    if (is_safetensors(path)) return open_safetensors(f, path, message);
    if (batchnorm_model_open(path, options, &f->model, message)) return false;
    if (batchnorm_model_get_format(f->model) == BATCHNORM_MODEL_TORCH) f->kind = "PyTorch";
    return true;
}

void model_file_close(struct model_file *f) {
    batchnorm_model_close(f->model);
    batchnorm_safetensors_close(f->file);
    free(f->entries);
    *f = (struct model_file){0};
}
