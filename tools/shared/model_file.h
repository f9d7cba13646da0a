/* SPDX-License-Identifier: MIT */
/* A model of any kind that the command reads: ONNX, a PyTorch checkpoint, a Darknet network, a file of Keras, safetensors. */
#ifndef TOOLS_SHARED_MODEL_FILE_H
#define TOOLS_SHARED_MODEL_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "batchnorm/model.h"
#include "batchnorm/safetensors.h"

struct model_file {
    batchnorm_model *model;
    const char *kind; /* "ONNX", "PyTorch", "Darknet", "Keras", "safetensors" */
    batchnorm_safetensors *file;
    batchnorm_named_tensor *entries;
    const char *path; /* of what was opened: of a pipe a file with what it gave */
    FILE *copy[2];    /* that file; what was made of a file of Keras; NULL: neither */
    char copy_path[2][40];
    const char *given;                          /* the path that was asked for */
    double eps;                                 /* of its batch norms, where a state tells it; -1: it does not */
    const batchnorm_safetensors_entry **others; /* tensors of a safetensors file of types that are no numbers here */
    size_t other_count;
};

/* Reads the bytes of one of the others, little-endian. false: message says why not. */
bool model_file_other(const struct model_file *file, size_t index, void *to, char *message);

/* Opens a file; - is standard input. false: message, MESSAGE_BYTES long, says what is wrong. Close it in any case. */
bool model_file_open(struct model_file *file, const char *path, const batchnorm_model_options *options, char *message);
/* Returns whether a path is the file that was opened, or leads to it. */
bool model_file_is(const struct model_file *file, const char *path);
void model_file_close(struct model_file *file);

/* batchnorm_layer_load_prefix() for a state of any kind: a PyTorch checkpoint or safetensors. */
batchnorm_status layer_load_any(batchnorm_layer *layer, const char *path, const char *prefix, char *message);

#endif
