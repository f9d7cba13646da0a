/* SPDX-License-Identifier: MIT */
/* Passes of the data through a model, or through its parts, in ONNX Runtime. */
#ifndef TOOLS_RECALIBRATE_PASS_H
#define TOOLS_RECALIBRATE_PASS_H

#include "layers.h"
#include "samples.h"
#include "tools/shared/progress.h"

struct pass {
    const struct recalibrate_request *request;
    struct runtime *runtime;
    batchnorm_model *model;
    struct layers *layers;
    const struct samples *samples;
    struct progress *progress;
    uint64_t in_files; /* bytes that went through temporary files */
    char *message;     /* NN_MESSAGE_BYTES */
};

/* What a pass does while statistics are taken of what arrives at all layers; they are cleared before. */
enum pass_kind {
    PASS_AS_IT_IS, /* batch norms use the statistics of the file */
    PASS_BY_BATCH, /* those of their batch */
    PASS_BY_DEPTH  /* those that were just taken, which are exact: one part of the model after the other */
};

/* False: the message says why. */
bool pass_run(struct pass *pass, enum pass_kind kind);

/* The input of a model that is filled with data: its only one. Free it with runtime_free(). */
bool pass_input(struct runtime *runtime, const char *path, struct runtime_array **inputs, size_t *count, char *message);

#endif
