/* SPDX-License-Identifier: MIT */
/* A PyTorch checkpoint (torch.save), zip or legacy: its tensors by name, without running anything in it. */
#ifndef BN_TORCH_H
#define BN_TORCH_H

#include "batchnorm/batchnorm.h"
#include "model/map.h"
#include "model/onnx.h"

/* Types as ONNX numbers them, of which only bytes are known. */
enum {
    BN_TORCH_UINT16 = 4,
    BN_TORCH_UINT32 = 12,
    BN_TORCH_UINT64,
    BN_TORCH_COMPLEX64,
    BN_TORCH_COMPLEX128,
    BN_TORCH_F8_E4M3 = 17,
    BN_TORCH_F8_E4M3FNUZ,
    BN_TORCH_F8_E5M2,
    BN_TORCH_F8_E5M2FNUZ
};

struct bn_torch_tensor {
    char *name;       /* keys from the outside in, joined by dots */
    int32_t type;     /* as in ONNX */
    bool is_negative; /* a view of floats that stands for their negatives */
    int rank;
    int64_t dims[BN_ONNX_RANK], strides[BN_ONNX_RANK];
    struct bn_slice storage; /* its bytes in the file */
    int64_t offset;          /* of the first element in it */
};

/* What is no tensor of the state, or one that cannot be read: then it has a type. */
struct bn_torch_skipped {
    char *name, *type;
};

struct bn_torch {
    const struct bn_map *map;
    bool is_big_endian;
    struct bn_torch_tensor *tensors;
    size_t tensor_count, tensor_room;
    struct bn_torch_skipped *skipped;
    size_t skipped_count, skipped_room;
};

/* Returns whether a file begins like a checkpoint. */
bool bn_torch_is(const struct bn_map *map);

/* Reads what there is. Returns OK, BAD_FILE or NO_MEMORY, with `why` of BN_ONNX_BYTES. Free it in any case. */
batchnorm_status bn_torch_index(struct bn_torch *torch, const struct bn_map *map, char *why);
void bn_torch_free(struct bn_torch *torch);

/* Reads the elements of a tensor, in the order of its indices, little-endian. */
void bn_torch_bytes(const struct bn_torch *torch, const struct bn_torch_tensor *tensor, unsigned char *to, size_t count);

/* The same as double. Returns OK, or BAD_DTYPE with `why` for elements that are not read as numbers. */
batchnorm_status bn_torch_read(const struct bn_torch *torch, const struct bn_torch_tensor *tensor, double *to, size_t count,
                               char *why);

#endif
