/* SPDX-License-Identifier: MIT */
/* A Darknet network: a .weights file, which is nothing but numbers, and the .cfg that says what they are. */
#ifndef BN_DARKNET_H
#define BN_DARKNET_H

#include "model/torch.h"

/* Lists the tensors of a .weights file, under PyTorch's keys: "3.convolutional.weight", "3.batchnorm.running_var", where 3 is
 * the number of the layer. All bytes must be some layer's. Returns OK, BAD_FILE or NO_MEMORY, with `why` of BN_ONNX_BYTES. */
batchnorm_status bn_darknet_index(struct bn_torch *torch, const struct bn_map *weights, const struct bn_map *cfg, char *why);

#endif
