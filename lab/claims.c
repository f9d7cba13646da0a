/* SPDX-License-Identifier: MIT */
#include "claims.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan.h"

const char *const verdict_names[] = {"not measured", "holds", "mixed", "does not hold", "too short to tell"};

enum better { LOWER, HIGHER };

struct list {
    const struct metrics *metrics;
    struct claim *claims;
    size_t count;
    unsigned experiments;
};

/* The seeds' values, NaN where there is none. */
static void values_of(const struct metrics *metrics, enum side side, claim_value *value, double values[MOST_SEEDS]) {
    for (int seed = 1; seed <= MOST_SEEDS; seed++) values[seed - 1] = seed <= metrics->seeds ? value(metrics, side, seed) : NAN;
}

static struct spread spread_present(const double values[MOST_SEEDS]) {
    double present[MOST_SEEDS];
    size_t count = 0;
    for (int i = 0; i < MOST_SEEDS; i++)
        if (!isnan(values[i])) present[count++] = values[i];
    return spread_of(present, count);
}

struct spread claim_spread(const struct metrics *metrics, enum side side, claim_value *value) {
    double values[MOST_SEEDS];
    values_of(metrics, side, value, values);
    return spread_present(values);
}

static void judge(struct claim *claim) {
    claim->verdict = claim->pairs == 0 ? NOT_MEASURED : claim->held == claim->pairs ? HOLDS : claim->held == 0 ? FAILS : MIXED;
}

static struct claim *append(struct list *list, enum experiment experiment, enum unit unit) {
    if (!(list->experiments >> experiment & 1) || list->count == MOST_CLAIMS) return NULL;
    struct claim *claim = &list->claims[list->count++];
    *claim = (struct claim){.experiment = experiment, .unit = unit};
    return claim;
}

/* Both sides, seed by seed: a pair has the same initial weights and the same batches. */
static struct claim *add_pairs(struct list *list, enum experiment experiment, const char *text, enum unit unit,
                               claim_value *value, enum better better) {
    double values[SIDES][MOST_SEEDS];
    struct claim *claim = append(list, experiment, unit);
    if (!claim) return NULL;
    snprintf(claim->text, sizeof claim->text, "%s", text);
    for (int side = 0; side < SIDES; side++) {
        values_of(list->metrics, (enum side)side, value, values[side]);
        claim->sides[side] = spread_present(values[side]);
    }
    for (int i = 0; i < MOST_SEEDS; i++) {
        const double with = values[SIDE_WITH][i], without = values[SIDE_WITHOUT][i];
        if (isnan(with) || isnan(without)) continue;
        claim->pairs++;
        claim->held += better == LOWER ? with < without : with > without;
    }
    judge(claim);
    return claim;
}

/* One number about the layer itself that must not exceed a bound. */
static void add_bound(struct list *list, const char *text, enum unit unit, claim_value *value, double bound) {
    struct claim *claim = append(list, LAYER, unit);
    if (!claim) return;
    snprintf(claim->text, sizeof claim->text, "%s", text);
    for (int seed = 1; seed <= list->metrics->seeds; seed++) {
        const double found = value(list->metrics, SIDE_WITH, seed);
        if (isnan(found)) continue;
        claim->pairs++;
        claim->held += found <= bound;
    }
    claim->sides[SIDE_WITH] = claim_spread(list->metrics, SIDE_WITH, value);
    judge(claim);
}

/* The second of two numbers of networks with batch norm is better than the first, which stands in the text. */
static void add_change(struct list *list, enum experiment experiment, const char *text, const char *when, enum unit unit,
                       claim_value *from, claim_value *to, enum better better) {
    struct claim *claim = append(list, experiment, unit);
    if (!claim) return;
    for (int seed = 1; seed <= list->metrics->seeds; seed++) {
        const double before = from(list->metrics, SIDE_WITH, seed), after = to(list->metrics, SIDE_WITH, seed);
        if (isnan(before) || isnan(after)) continue;
        claim->pairs++;
        claim->held += better == LOWER ? after < before : after > before;
    }
    claim->sides[SIDE_WITH] = claim_spread(list->metrics, SIDE_WITH, to);
    const struct spread first = claim_spread(list->metrics, SIDE_WITH, from);
    char word[WORD_BYTES];
    const int length = snprintf(claim->text, sizeof claim->text, "%s", text);
    if (first.count > 0)
        snprintf(claim->text + length, sizeof claim->text - (size_t)length, " (%s %s)", word_number(first.median, unit, word),
                 when);
    judge(claim);
}

/* Whether all seeds of a side got there. */
static bool reached(const struct metrics *metrics, enum side side, double target) {
    struct metric_key key = metric_key(CONVERGENCE, side, "steps_to");
    key.at = target;
    const struct spread steps = metrics_spread(metrics, &key);
    return steps.count > 0 && isfinite(steps.high);
}

double claims_target(const struct metrics *metrics) {
    double by_one = NAN;
    for (int i = TARGETS; i-- > 0;) {
        const bool with = reached(metrics, SIDE_WITH, plan_targets[i]),
                   without = reached(metrics, SIDE_WITHOUT, plan_targets[i]);
        if (with && without) return plan_targets[i];
        if ((with || without) && isnan(by_one)) by_one = plan_targets[i];
    }
    return by_one;
}

/* Steps or seconds to the target that claims_target() chooses. */
static double to_target(const struct metrics *metrics, enum side side, int seed, const char *name) {
    struct metric_key key = metric_key(CONVERGENCE, side, name);
    key.at = claims_target(metrics);
    key.seed = seed;
    return isnan(key.at) ? NAN : metrics_value(metrics, &key);
}

static double steps_to(const struct metrics *metrics, enum side side, int seed) {
    return to_target(metrics, side, seed, "steps_to");
}

static double seconds_to(const struct metrics *metrics, enum side side, int seed) {
    return to_target(metrics, side, seed, "seconds_to");
}

static void add_convergence(struct list *list) {
    char text[CLAIM_BYTES], word[WORD_BYTES] = "the";
    const double target = claims_target(list->metrics);
    if (!isnan(target)) word_number(target, UNIT_PERCENT, word);
    snprintf(text, sizeof text, "Fewer steps to %s test accuracy", word);
    add_pairs(list, CONVERGENCE, text, UNIT_STEPS, steps_to, LOWER);
    snprintf(text, sizeof text, "Fewer seconds to %s test accuracy", word);
    add_pairs(list, CONVERGENCE, text, UNIT_SECONDS, seconds_to, LOWER);
}

/* Which of two minima is better cannot be told before they are reached. */
static void add_minimum(struct list *list, const char *text, enum unit unit, claim_value *value, enum better better,
                        claim_value *gained, const char *what) {
    const struct metrics *m = list->metrics;
    struct claim *claim = add_pairs(list, BEST, text, unit, value, better);
    if (!claim || claim->pairs == 0) return;
    const double steps = claim_spread(m, SIDE_WITH, best_steps).median;
    if (!isnan(steps)) snprintf(claim->text, sizeof claim->text, "%s in %.0f steps", text, steps);
    if (!best_is_too_short(m, gained)) return;
    claim->verdict = TOO_SHORT;
    int length = snprintf(claim->note, sizeof claim->note, "The last third of the steps still lowers %s:", what);
    const char *separator = "";
    for (int side = 0; side < SIDES; side++) {
        char word[WORD_BYTES];
        const double gain = claim_spread(m, (enum side)side, gained).median;
        if (!(gain > 0)) continue;
        length += snprintf(claim->note + length, sizeof claim->note - (size_t)length, "%s by %s %s", separator,
                           word_number(gain, UNIT_PERCENT, word), side == SIDE_WITH ? "with batch norm" : "without");
        separator = ",";
    }
    snprintf(claim->note + length, sizeof claim->note - (size_t)length, "%s.", *separator ? "" : " in half of the runs");
}

static void add_saturated(struct list *list) {
    char layers[CLAIM_BYTES];
    struct claim *claim =
        add_pairs(list, SIGMOID, "Fewer saturated sigmoid units, mean of the layers", UNIT_PERCENT, saturated_share, LOWER);
    if (claim && claim->pairs > 0 && more_saturated_layers(list->metrics, layers, sizeof layers) > 0)
        snprintf(claim->note, sizeof claim->note,
                 "After %.100s there are more. Learning hangs on the gradient that comes through: see the next claim.", layers);
}

size_t claims_make(const struct metrics *metrics, unsigned experiments, struct claim claims[MOST_CLAIMS]) {
    struct list list = {metrics, claims, 0, experiments};
    add_convergence(&list);
    add_pairs(&list, GRADIENTS, "Steadier gradients: norm, 90th / 10th percentile", UNIT_NONE, gradient_spread, LOWER);
    add_pairs(&list, GRADIENTS, "Loss varies less along the step direction", UNIT_NONE, loss_range, LOWER);
    add_pairs(&list, GRADIENTS, "Gradient changes less along the step direction", UNIT_NONE, gradient_change, LOWER);
    add_pairs(&list, GRADIENTS, "Smoother: change of the gradient / distance", UNIT_NONE, smoothness, LOWER);
    add_pairs(&list, SWEEP, "Trains at larger learning rates (here the largest)", UNIT_RATE, largest_rate, HIGHER);
    add_pairs(&list, SWEEP, "Trains at more of the 8 rates (here how many)", UNIT_STEPS, rates_that_train, HIGHER);
    add_minimum(&list, "Better best test accuracy", UNIT_PERCENT, best_accuracy, HIGHER, best_accuracy_gain,
                "the share of wrong answers");
    add_minimum(&list, "Lower best test loss", UNIT_NONE, best_loss, LOWER, best_loss_gain, "the loss");
    add_saturated(&list);
    add_pairs(&list, SIGMOID, "Gradient reaches the first layer: norm, first / last", UNIT_NONE, first_to_last, HIGHER);
    add_bound(&list, "Normalized to mean 0, deviation 1: error at most 0.01", UNIT_NONE, normalized_error, 0.01);
    add_bound(&list, "Then to mean bias, deviation |weight|: likewise", UNIT_NONE, affine_error, 0.01);
    add_change(&list, LAYER, "Running means come nearer to the population's", "at first", UNIT_NONE, running_start, running_end,
               LOWER);
    add_change(&list, LAYER, "Train/eval gap is less with large batches", "with small ones", UNIT_PERCENT, gap_small, gap_large,
               LOWER);
    add_change(&list, RANKS, "Synchronized over ranks of 2 images: more accurate", "with their own statistics", UNIT_PERCENT,
               local_accuracy_2, synchronized_accuracy, HIGHER);
    add_change(&list, RANKS, "Over ranks of 4 images: likewise", "with their own", UNIT_PERCENT, local_accuracy_4,
               synchronized_accuracy, HIGHER);
    add_change(&list, RANKS, "Over ranks of 8 images: likewise", "with their own", UNIT_PERCENT, local_accuracy_8,
               synchronized_accuracy, HIGHER);
    return list.count;
}
