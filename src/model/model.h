/* SPDX-License-Identifier: MIT */
/* An open model, whatever it came from. */
#ifndef BN_MODEL_H
#define BN_MODEL_H

#include "batchnorm/model.h"
#include "model/fold.h"
#include "model/sites.h"
#include "model/torch.h"

struct batchnorm_model {
    batchnorm_model_format format;
    batchnorm_model_options options;
    char *path;
    struct bn_map map;
    struct bn_onnx plan_index;             /* a second one, which the plan changes */
    struct bn_fold plan;                   /* of an ONNX file: what folding does */
    struct bn_onnx onnx;                   /* of an ONNX file */
    struct bn_torch torch;                 /* of a checkpoint */
    const batchnorm_named_tensor *entries; /* of a state that the caller gave */
    size_t entry_count;
    char **texts; /* that tensors and batch norms point to */
    size_t text_count, text_room;
    struct bn_pair {
        const char *key, *value;
    } * pairs; /* of the metadata of an ONNX file */
    size_t pair_count;
    batchnorm_model_tensor *tensors;
    size_t tensor_count;
    batchnorm_model_norm *norms;
    size_t norm_count;
    struct bn_sites sites; /* of an ONNX file, when somebody asks for them */
    batchnorm_norm_site *listed;
    bool no_memory;
};

/* Writes a sentence to message, if it is wanted, with control characters replaced, and returns the status. */
batchnorm_status bn_model_fail(char *message, batchnorm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns a copy of so many bytes that the model keeps; "" without memory, which is noted. */
const char *bn_model_text(batchnorm_model *model, const void *from, size_t bytes);

/* model_onnx.c: list the tensors, the metadata and the batch norms of an ONNX file, and read a tensor. */
batchnorm_status bn_model_onnx_tensors(batchnorm_model *model);
batchnorm_status bn_model_onnx_metadata(batchnorm_model *model);
batchnorm_status bn_model_onnx_norms(batchnorm_model *model, char *message);
batchnorm_status bn_model_onnx_read(const batchnorm_model *model, size_t index, double *values, size_t count, char *message);

/* model_statistics.c: finds the sites of a model once, and checks statistics for it. */
batchnorm_status bn_model_sites_find(batchnorm_model *model, char *message);
batchnorm_status bn_model_check_statistics(const batchnorm_model *model, const batchnorm_stat *const *stats, char *message);

/* model_state.c: the same for a state; its batch norms are found by the keys of their tensors, which must be listed. */
batchnorm_status bn_model_state_tensors(batchnorm_model *model);
batchnorm_status bn_model_state_norms(batchnorm_model *model, char *message);
batchnorm_status bn_model_state_read(const batchnorm_model *model, size_t index, double *values, size_t count, char *message);
/* The bytes of one element of a tensor; all of its elements, little-endian. */
size_t bn_model_state_each(const batchnorm_model *model, size_t index);
batchnorm_status bn_model_state_bytes(const batchnorm_model *model, size_t index, unsigned char *to, size_t count,
                                      char *message);

#endif
