/* SPDX-License-Identifier: MIT */
/* What is claimed of batch normalization, and whether the measurements bear it out. */
#ifndef LAB_CLAIMS_H
#define LAB_CLAIMS_H

#include "words.h"

enum verdict { NOT_MEASURED, HOLDS, MIXED, FAILS, TOO_SHORT, VERDICTS };

extern const char *const verdict_names[]; /* "not measured", "holds", "mixed", "does not hold", "too short to tell" */

enum { MOST_CLAIMS = 24, CLAIM_BYTES = 160, NOTE_BYTES = 240 };

struct claim {
    enum experiment experiment;
    char text[CLAIM_BYTES]; /* "Fewer steps to 80 % test accuracy" */
    char note[NOTE_BYTES];  /* what the numbers hide, in sentences; "" where that is nothing */
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
claim_value best_steps; /* that the longer training made */
/* By how much the best test in the last third of these steps is better than the best one before, as a share of that: of its
 * loss, or of the share of images that it gets wrong. Negative if it is worse; NaN where either is no number. */
claim_value best_accuracy_gain, best_loss_gain;
claim_value saturated_share;            /* at the end; mean over the layers */
claim_value first_to_last;              /* the gradient's norm in the first layer by that in the last; median over the steps */
claim_value normalized_error;           /* the farthest that a channel's mean is from 0, or its standard deviation from 1 */
claim_value affine_error;               /* likewise from bias and |weight| */
claim_value running_start, running_end; /* how far running statistics are from the population's */
claim_value synchronized_accuracy;      /* at the end, with the statistics of whole batches */
claim_value local_accuracy_2, local_accuracy_4, local_accuracy_8; /* where ranks take those of so many images */
claim_value gap_small, gap_large; /* |train - eval| accuracy at the smallest and the largest batch */

/* A training is too short to tell which minimum is better where on either side at least half of the runs gain more than this
 * in the last third of their steps. gained: best_accuracy_gain or best_loss_gain. */
#define BEST_STILL_IMPROVES 0.02
bool best_is_too_short(const struct metrics *metrics, claim_value *gained);

/* The layers after which more sigmoids are saturated at the end with batch norm than without (medians over the seeds), as
 * "conv1", "conv1 and fc1" or "conv1, conv2, conv3 and 4 more"; "" if there are none. Returns how many. */
size_t more_saturated_layers(const struct metrics *metrics, char *text, size_t bytes);

/* Accuracy above which a network counts as trained: halfway from chance to the best of the sweep. */
double sweep_threshold(const struct metrics *metrics);

/* The rate of the sweep with the best median accuracy of a side, of several the one with the least loss; NaN without a
 * sweep. */
double sweep_best_rate(const struct metrics *metrics, enum side side);

#endif
