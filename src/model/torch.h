/* SPDX-License-Identifier: MIT */
/* A PyTorch checkpoint (torch.save), zip or legacy: its tensors by name, without running anything in it. */
#ifndef BN_TORCH_H
#define BN_TORCH_H

#include "batchnorm/batchnorm.h"
#include "model/map.h"
#include "model/onnx.h"

struct bn_torch_tensor {
    char *name;   /* keys from the outside in, joined by dots */
    int32_t type; /* as in ONNX */
    int rank;
    int64_t dims[BN_ONNX_RANK], strides[BN_ONNX_RANK];
    struct bn_slice storage; /* its bytes in the file */
    int64_t offset;          /* of the first element in it */
};

struct bn_torch {
    const struct bn_map *map;
    bool is_big_endian;
    struct bn_torch_tensor *tensors;
    size_t tensor_count, tensor_room;
    char **skipped; /* names of what is no tensor of the state */
    size_t skipped_count, skipped_room;
};

/* Returns whether a file begins like a checkpoint. */
bool bn_torch_is(const struct bn_map *map);

/* Reads what there is. Returns OK, BAD_FILE or NO_MEMORY, with `why` of BN_ONNX_BYTES. Free it in any case. */
batchnorm_status bn_torch_index(struct bn_torch *torch, const struct bn_map *map, char *why);
void bn_torch_free(struct bn_torch *torch);

/* Reads the elements of a tensor, in the order of its indices, as double. */
batchnorm_status bn_torch_read(const struct bn_torch *torch, const struct bn_torch_tensor *tensor, double *to, size_t count,
                               char *why);

#endif
