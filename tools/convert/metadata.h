/* SPDX-License-Identifier: MIT */
/* What a state tells of its batch norms beside their tensors: pairs of the metadata of safetensors.
 *
 *     batchnorm.convention               whose names and meanings it has
 *     batchnorm.eps, batchnorm.momentum  of all layers; of one: batchnorm.eps:LAYER
 *     batchnorm.variance                 "biased" or "unbiased": what running variances are
 *     batchnorm.fix_gamma                "true" or "false", of MXNet's layers
 *     batchnorm.num_batches_tracked:LAYER, batchnorm.filled:LAYER
 *                                        what the convention has no place for; arrays that were added because it needs them
 *
 * momentum is as the convention counts it. */
#ifndef TOOLS_CONVERT_METADATA_H
#define TOOLS_CONVERT_METADATA_H

#include "batchnorm/safetensors.h"
#include "tools/shared/conventions.h"

#define KEY_EPS "batchnorm.eps"
#define KEY_MOMENTUM "batchnorm.momentum"
#define KEY_VARIANCE "batchnorm.variance"
#define KEY_BATCHES "batchnorm.num_batches_tracked"
#define KEY_FILLED "batchnorm.filled"

/* Pairs that are written, as copies. Zeros are an empty list. */
struct metadata {
    batchnorm_safetensors_pair *at;
    size_t count, room;
    bool no_memory;
};

/* Adds a pair; layer: the end of the key, NULL: none; value NULL: nothing is added. */
void metadata_add(struct metadata *to, const char *key, const char *layer, const char *value);
void metadata_free(struct metadata *metadata);

/* What a file tells of a layer (NULL: of all); NULL: nothing. */
const char *metadata_told(const batchnorm_safetensors *file, const char *key, const char *layer);

/* Adds all pairs of a file that are none of these. */
void metadata_pass(struct metadata *to, const batchnorm_safetensors *file);

/* The text of a number, from which it is read again; whatever the locale. */
enum { METADATA_NUMBER_BYTES = 48 };
void metadata_number(double value, char text[METADATA_NUMBER_BYTES]);
/* Reads a number of at least 0 and at most 1; false: it is none. */
bool metadata_read(const char *text, double *value);
/* The same number without an exponent, as long as it fits; "none", which is no number, stays. */
void metadata_plain(const char *value, char text[METADATA_NUMBER_BYTES]);
/* The text of 1 - value, digit by digit where it is plain, so that twice gives the same text. */
void metadata_complement(const char *value, char text[METADATA_NUMBER_BYTES]);

#endif
