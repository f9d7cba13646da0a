/* SPDX-License-Identifier: MIT */
/* What is claimed of batch normalization, and whether the measurements bear it out. */
#ifndef LAB_CLAIMS_H
#define LAB_CLAIMS_H

#include "words.h"

enum verdict { NOT_MEASURED, HOLDS, MIXED, FAILS };

extern const char *const verdict_names[]; /* "not measured", "holds", "mixed", "does not hold" */

enum { MOST_CLAIMS = 24, CLAIM_BYTES = 160 };

struct claim {
    enum experiment experiment;
    char text[CLAIM_BYTES]; /* "fewer steps to 80 % test accuracy" */
    enum unit unit;
    struct spread sides[SIDES]; /* over the seeds; without has count 0 where the claim is about the layer itself */
    size_t pairs, held;         /* seeds with a result on both sides, and those in which the claim is true */
    enum verdict verdict;
};

/* A list of claims about the wanted experiments (bits), in their order. A claim whose rows are missing is NOT_MEASURED. Returns
 * how many. */
size_t claims_make(const struct metrics *metrics, unsigned experiments, struct claim claims[MOST_CLAIMS]);

/* For the sentences under the figures. */

/* The value of a quantity in the run of one seed, computed from its rows; NaN if they are missing. */
typedef double claim_value(const struct metrics *metrics, enum side side, int seed);

struct spread claim_spread(const struct metrics *metrics, enum side side, claim_value *value);
/* The highest of the targets that both sides reached with all of their seeds, else that one side did; NaN if none. */
double claims_target(const struct metrics *metrics);

/* Of one seed: */
claim_value gradient_spread;  /* the 90th by the 10th percentile of a gradient's norm along training; median over the layers */
claim_value loss_range;       /* how far the loss spreads along the step direction; median over the steps */
claim_value gradient_change;  /* the largest distance to the gradient there; median over the steps */
claim_value smoothness;       /* that distance by the distance moved, the largest quotient; median over the steps */
claim_value largest_rate;     /* at which it still trains */
claim_value rates_that_train; /* how many of the sweep's */
claim_value best_accuracy, best_loss;
claim_value saturated_share;            /* at the end; mean over the layers */
claim_value first_to_last;              /* the gradient's norm in the first layer by that in the last; median over the steps */
claim_value normalized_error;           /* the farthest that a channel's mean is from 0, or its standard deviation from 1 */
claim_value affine_error;               /* likewise from bias and |weight| */
claim_value running_start, running_end; /* how far running statistics are from the population's */
claim_value gap_small, gap_large;       /* |train - eval| accuracy at the smallest and the largest batch */

/* Accuracy above which a network counts as trained: halfway from chance to the best of the sweep. */
double sweep_threshold(const struct metrics *metrics);

/* The rate of the sweep with the best median accuracy of a side, of several the one with the least loss; NaN without a
 * sweep. */
double sweep_best_rate(const struct metrics *metrics, enum side side);

#endif
