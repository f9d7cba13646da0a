/* SPDX-License-Identifier: MIT */
/* The batch norms of a model: their numbers, and what is unhealthy about them. */
#ifndef BN_NORMS_H
#define BN_NORMS_H

#include "model/constant.h"

/* What is wrong with numbers of a batch norm, by channels. */
enum bn_illness {
    BN_VAR_NEGATIVE,
    BN_VAR_ZERO,
    BN_VAR_SUBNORMAL, /* of a float */
    BN_VAR_BELOW_EPS,
    BN_WEIGHT_SMALL, /* below 1e-3: the channel is nearly dead */
    BN_NOT_FINITE,   /* a NaN or an infinity in any of the four */
    BN_NEVER_MOVED,  /* mean 0 and variance 1 */
    BN_ILLNESSES
};

enum { BN_SCALE, BN_SHIFT, BN_MEAN, BN_VAR, BN_NORM_ARRAYS };

enum { BN_NORM_TEXT = 160 };

struct bn_norm {
    uint32_t node;
    size_t channels;
    double *array[BN_NORM_ARRAYS]; /* weight, bias, mean and var; NULL: a run of the model tells them */
    double eps;
    bool has_eps;     /* in the file */
    bool is_training; /* normalizes with the batch's statistics */
    bool is_override; /* one of its numbers may be replaced by the caller of the graph */
    bool was_spatial; /* spatial = 0 with one number for each channel: a writer's mistake, taken for spatial = 1 */
    size_t ill[BN_ILLNESSES];
    char wrong[BN_NORM_TEXT]; /* why it is not understood; empty: it is */
};

struct bn_norms {
    struct bn_norm *at;
    size_t count;
};

/* Finds all batch norms, in the order of the nodes. Returns OK or NO_MEMORY, or IO where external data are missing, with `why`.
 * Free them in any case. */
batchnorm_status bn_norms_find(const struct bn_onnx *onnx, struct bn_norms *norms, char *why);
void bn_norms_free(struct bn_norms *norms);

/* Counts what is unhealthy about `channels` channels; an absent array is NULL. */
void bn_count_ills(double *const array[BN_NORM_ARRAYS], size_t channels, double eps, size_t ill[BN_ILLNESSES]);

#endif
