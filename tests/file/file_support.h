/* SPDX-License-Identifier: MIT */
/* What the tests of files share. What these functions open and make is kept until let_go(). */
#ifndef TESTS_FILE_FILE_SUPPORT_H
#define TESTS_FILE_FILE_SUPPORT_H

#include "batchnorm/layer.h"
#include "batchnorm/safetensors.h"

batchnorm_safetensors *open_good(const char *path);
batchnorm_layer *new_layer(batchnorm_layer_options options);

/* A contiguous tensor as an entry of a file. */
batchnorm_named_tensor named(const char *name, void *data, batchnorm_dtype dtype, int rank, const int64_t *shape);

#endif
