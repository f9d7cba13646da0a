/* SPDX-License-Identifier: MIT */
/* The batch norms that get other statistics: what they have, and what arrives at them. */
#ifndef TOOLS_RECALIBRATE_LAYERS_H
#define TOOLS_RECALIBRATE_LAYERS_H

#include <stdbool.h>

#include "batchnorm/model.h"

struct layer {
    const char *key;
    const char *input; /* the value that it normalizes */
    size_t norm;       /* its index in the model */
    int64_t depth;
    size_t channels;
    double eps;
    double *mean, *var;    /* that it has */
    batchnorm_stat *stats; /* of what arrives; of a layer that shares its statistics, those of the first */
    bool owns;             /* stats are its own */
    bool is_taken;         /* something arrived */
};

/* One that stays as it is. */
struct left_layer {
    const char *key, *why;
};

struct layers {
    struct layer *at;
    struct left_layer *left;
    size_t count, left_count, norms; /* norms: both, those of the model */
    int64_t deepest;
    const batchnorm_stat **by_norm; /* [norms]: what batchnorm_model_set_statistics() takes; see layers_take() */
};

/* Lists them. False, with a message of BATCHNORM_MODEL_MESSAGE bytes: the model has none, or none that can have others. Free
 * them in any case. */
bool layers_open(struct layers *layers, batchnorm_model *model, bool separate, char *message);
void layers_free(struct layers *layers);

/* Whether no two batch norms share their statistics and stand at different depths; false, with their names in the message. */
bool layers_have_own(const struct layers *layers, char *message);

/* Takes memory for what a layer has and gets; 0 is its mean and variance. */
bool layer_allocate(struct layer *layer);

/* Fills by_norm with the statistics of all layers of these depths. */
const batchnorm_stat *const *layers_take(struct layers *layers, int64_t first, int64_t last);

/* How far what arrives is from the statistics that a layer has, in its worst channels: what it puts out has a mean that is so
 * far from 0, and a standard deviation so many times 1. */
struct drift {
    double shift; /* (mean that arrives - mean) / sigma, sigma = sqrt(var + eps) */
    double ratio; /* of the sigmas that arrive and are there; the one whose logarithm is largest, of either sign */
    size_t shift_at, ratio_at;
};
struct drift layer_drift(const struct layer *layer);
/* One number to compare layers by: the larger of |shift| and |log ratio|. */
double drift_size(const struct drift *drift);

/* Whether everything that arrived is finite; false, with the layer and the channel in the message. */
bool layer_is_finite(const struct layer *layer, char *message);

#endif
