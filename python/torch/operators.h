/* SPDX-License-Identifier: MIT */
/* The operators torch.ops.batchnorm.*, for torch.compile() and whoever else works on graphs of operators. */
#ifndef BN_TORCH_OPERATORS_H
#define BN_TORCH_OPERATORS_H

/* Returns NULL, or what PyTorch refused. */
const char *operators_register(void);

#endif
