/* SPDX-License-Identifier: MIT */
/* The table of metrics, and what is computed from it: spreads, words, claims, sentences. Over 300 lines, because each of them
 * needs rows of its own that can be checked by hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/claims.h"
#include "lab/figures.h"
#include "lab/measure.h"
#include "lab/plan.h"
#include "tests/support/test.h"

static struct metrics metrics;

FIXTURE(clear) {
    metrics_free(&metrics);
    return 0;
}

static void add_in(enum experiment experiment, enum side side, double at, int seed, long step, const char *layer,
                   const char *name, double value) {
    metrics_add(&metrics, &(struct metric){experiment, side, at, seed, step, layer, name, value});
}

static void assert_spread(struct spread s, size_t count, double median, double low, double high) {
    assert_int_equal(s.count, count);
    assert_true(s.median == median || (isnan(s.median) && isnan(median)));
    assert_true(s.low == low || (isnan(s.low) && isnan(low)));
    assert_true(s.high == high || (isnan(s.high) && isnan(high)));
}

/* The table. */

TEST(a_median_and_its_range) {
    assert_spread(spread_of((double[]){3, 1, 2}, 3), 3, 2, 1, 3);
    assert_spread(spread_of((double[]){4, 1, 2, 3}, 4), 4, 2.5, 1, 4);
    assert_spread(spread_of(NULL, 0), 0, NAN, NAN, NAN);
}

/* A run that diverged is the worst of all, and half of it is no number. */
TEST(a_diverged_run_counts_as_infinite) {
    assert_spread(spread_of((double[]){NAN, 1, 2}, 3), 3, 2, 1, INFINITY);
    assert_spread(spread_of((double[]){NAN, 1}, 2), 2, INFINITY, 1, INFINITY);
}

TEST(a_key_selects_rows) {
    add_in(SWEEP, SIDE_WITH, 0.1, 1, 5, "", "a", 1);
    add_in(SWEEP, SIDE_WITH, 0.1, 2, 5, "", "a", 2);
    add_in(SWEEP, SIDE_WITH, 0.3, 1, 9, "conv1", "a", 4);
    add_in(SWEEP, SIDE_WITHOUT, 0.1, 1, 5, "", "a", 8);
    add_in(BEST, SIDE_WITH, 0.1, 1, 5, "", "a", 16);
    add_in(SWEEP, SIDE_WITH, 0.1, 1, 5, "", "b", 32);
    struct metric_key key = metric_key(SWEEP, SIDE_WITH, "a");
    assert_spread(metrics_spread(&metrics, &key), 3, 2, 1, 4);
    assert_int_equal(metrics_seeds(&metrics, &key), 2);
    key.at = 0.1;
    assert_spread(metrics_spread(&metrics, &key), 2, 1.5, 1, 2);
    key.seed = 2;
    assert_true(metrics_value(&metrics, &key) == 2);
    key = metric_key(SWEEP, SIDE_WITH, "a");
    key.layer = "conv1";
    assert_true(metrics_value(&metrics, &key) == 4);
    key.step = 5;
    assert_true(isnan(metrics_value(&metrics, &key)));
}

TEST(columns_are_distinct_and_in_order) {
    static const char *const layers[] = {"conv1", "fc", "conv1", "bn"};
    static const double ats[] = {3, 1, 3, 2};
    for (int i = 0; i < 4; i++) add_in(LAYER, SIDE_WITH, ats[i], 1, 10 * (long)ats[i], layers[i], "a", 0);
    const struct metric_key key = metric_key(LAYER, SIDE_WITH, "a"), other = metric_key(LAYER, SIDE_WITH, "b");
    size_t count;
    double *numbers = metrics_ats(&metrics, &key, &count);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++) assert_true(numbers[i] == i + 1);
    free(numbers);
    numbers = metrics_steps(&metrics, &key, &count);
    assert_true(count == 3 && numbers[0] == 10 && numbers[2] == 30);
    free(numbers);
    const char **names = metrics_layers(&metrics, &key, &count);
    assert_int_equal(count, 3);
    assert_string_equal(names[0], "conv1");
    assert_string_equal(names[1], "fc");
    assert_string_equal(names[2], "bn");
    free(names);
    assert_null(metrics_ats(&metrics, &other, &count));
    assert_int_equal(count, 0);
}

/* What a claim is about: the seeds that are complete. */
TEST(rows_of_complete_seeds) {
    for (int seed = 1; seed <= 3; seed++) {
        add_in(SWEEP, SIDE_WITH, 0.1, seed, 5, "conv1", "a", seed);
        add_in(BEST, SIDE_WITH, 0.1, seed, 5, "conv1", "a", seed);
    }
    struct metrics some = metrics_of_seeds(&metrics, (const int[EXPERIMENTS]){[SWEEP] = 2});
    const struct metric_key sweep = metric_key(SWEEP, SIDE_WITH, "a"), best = metric_key(BEST, SIDE_WITH, "a");
    assert_int_equal(some.count, 2);
    assert_spread(metrics_spread(&some, &sweep), 2, 1.5, 1, 2);
    assert_spread(metrics_spread(&some, &best), 0, NAN, NAN, NAN);
    metrics_free(&some);
    assert_string_equal(metrics.rows[5].layer, "conv1"); /* the names are still there */
}

TEST(csv_has_every_row) {
    add_in(CONVERGENCE, SIDE_WITH, NAN, 1, 40, "", "test_accuracy", 0.8125);
    add_in(SWEEP, SIDE_WITHOUT, 0.003, 2, 0, "conv1.weight", "final_loss", -NAN);
    add_in(BEST, SIDE_WITH, 10, 3, 7, "", "steps_to", INFINITY);
    char *text = metrics_csv(&metrics, "a-run");
    assert_string_equal(text, "experiment,norm,at,seed,step,layer,name,value,run\n"
                              "convergence,with,,1,40,,test_accuracy,0.8125,a-run\n"
                              "sweep,without,0.003,2,0,conv1.weight,final_loss,nan,a-run\n"
                              "best,with,10,3,7,,steps_to,inf,a-run\n");
    free(text);
}

/* Words. */

TEST(numbers_as_words) {
    static const struct {
        double value;
        enum unit unit;
        const char *text;
    } cases[] = {{0.84213, UNIT_PERCENT, "84.2 %"},
                 {35, UNIT_STEPS, "35"},
                 {INFINITY, UNIT_STEPS, "never"},
                 {1.25, UNIT_SECONDS, "1.2 s"},
                 {NAN, UNIT_PERCENT, "-"},
                 {INFINITY, UNIT_NONE, "diverged"},
                 {0.003, UNIT_RATE, "0.003"},
                 {0, UNIT_RATE, "none"},
                 {0, UNIT_NONE, "0"},
                 {1.23456, UNIT_NONE, "1.23"},
                 {0.000123456, UNIT_NONE, "0.000123"},
                 {1234.5, UNIT_NONE, "1234"},
                 {100.2, UNIT_NONE, "100"},
                 {1.5e-7, UNIT_NONE, "1.50e-07"}};
    char text[WORD_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(word_number(cases[i].value, cases[i].unit, text), cases[i].text);
}

TEST(spreads_as_words) {
    char text[WORD_BYTES];
    assert_string_equal(word_spread(&(struct spread){3, 0.842, 0.83, 0.851}, UNIT_PERCENT, text), "84.2 % (83.0 to 85.1)");
    assert_string_equal(word_spread(&(struct spread){3, 20, 10, INFINITY}, UNIT_STEPS, text), "20 (10 to never)");
    assert_string_equal(word_spread(&(struct spread){3, 2, 2, 2}, UNIT_NONE, text), "2.00");
    assert_string_equal(word_spread(&(struct spread){0, NAN, NAN, NAN}, UNIT_NONE, text), "-");
}

/* Numbers about arrays. */

TEST(norms_and_saturated_units) {
    assert_true(measure_norm((float[]){3, -4}, 2) == 5);
    assert_true(measure_saturated((float[]){0.04f, 0.06f, 0.5f, 0.94f, 0.96f}, 5, 0, 1) == 0.4);
    assert_true(measure_saturated((float[]){-0.95f, -0.85f, 0.95f, 0}, 4, -1, 1) == 0.5); /* tanh: beyond 0.9 */
}

TEST(a_channel_of_several) {
    float values[2 * 101];
    for (int i = 0; i <= 100; i++) {
        values[2 * i] = (float)((37 * i) % 101); /* 0 to 100 in some order */
        values[2 * i + 1] = -1000;
    }
    const struct distribution d = measure_channel(values, 101, 2);
    assert_float_equal(d.mean, 50, 1e-12);
    assert_float_equal(d.std, sqrt((101.0 * 101 - 1) / 12), 1e-12);
    assert_true(d.q05 == 5 && d.q50 == 50 && d.q95 == 95);
}

/* The largest distance between the empirical distribution and the normal one, found by hand. */
TEST(distance_from_the_normal_distribution) {
    assert_float_equal(measure_channel((float[]){0, 0, 0}, 3, 1).distance, 0.5, 1e-12);
    assert_float_equal(measure_channel((float[]){100}, 1, 1).distance, 1, 1e-12);
    /* the quartiles of N(0, 1) in the middle of four steps: an eighth on either side */
    const float octiles[] = {-1.15034938f, -0.31863936f, 0.31863936f, 1.15034938f};
    assert_float_equal(measure_channel(octiles, 4, 1).distance, 0.125, 1e-6);
}

/* Claims. */

static const struct claim *find(const struct claim *claims, size_t count, const char *beginning) {
    for (size_t i = 0; i < count; i++)
        if (strncmp(claims[i].text, beginning, strlen(beginning)) == 0) return &claims[i];
    fail_msg("no claim begins with \"%s\"", beginning);
    return NULL;
}

static void add_best(int seed, double with, double without) {
    add_in(BEST, SIDE_WITH, 0.1, seed, 9, "", "best_loss", with);
    if (!isnan(without)) add_in(BEST, SIDE_WITHOUT, 0.01, seed, 9, "", "best_loss", without);
}

static const struct claim *judged(void) {
    static struct claim claims[MOST_CLAIMS];
    return find(claims, claims_make(&metrics, 1u << BEST, claims), "Lower best test loss");
}

TEST(a_claim_is_judged_seed_by_seed) {
    assert_int_equal(judged()->verdict, NOT_MEASURED);
    add_best(1, 0.3, 0.4);
    add_best(2, 0.5, 0.6); /* worse than the first without, but better than its own pair */
    assert_int_equal(judged()->verdict, HOLDS);
    add_best(3, 0.1, 0.1); /* equal is not lower */
    assert_int_equal(judged()->verdict, MIXED);
    assert_int_equal(judged()->held, 2);
    assert_int_equal(judged()->pairs, 3);
    add_best(4, 0.0, NAN); /* no pair, so no verdict; but it counts in the spread */
    assert_int_equal(judged()->pairs, 3);
    assert_spread(judged()->sides[SIDE_WITH], 4, 0.2, 0.0, 0.5);
}

TEST(a_claim_can_fail) {
    add_best(1, 0.5, 0.4);
    add_best(2, INFINITY, 0.4);
    assert_int_equal(judged()->verdict, FAILS);
    assert_int_equal(judged()->held, 0);
}

/* A curve of tests at steps 10, 20, ..., 90. */
static void add_curve(enum side side, int seed, const double loss[9]) {
    double least = INFINITY;
    for (int i = 0; i < 9; i++) {
        add_in(BEST, side, 0.1, seed, 10 * (i + 1), "", "test_loss", loss[i]);
        add_in(BEST, side, 0.1, seed, 10 * (i + 1), "", "test_accuracy", 1 - loss[i] / 10);
        least = fmin(least, loss[i]);
    }
    add_in(BEST, side, 0.1, seed, 90, "", "best_loss", least);
    add_in(BEST, side, 0.1, seed, 90, "", "best_accuracy", 1 - least / 10);
}

static const double falls[9] = {1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.42, 0.4},
                    still[9] = {1, 0.8, 0.7, 0.6, 0.6, 0.6, 0.7, 0.59, 0.8},
                    rises[9] = {1, 0.8, 0.7, 0.6, 0.6, 0.6, 0.7, 0.8, 0.9},
                    breaks[9] = {1, 0.9, NAN, NAN, NAN, NAN, NAN, NAN, NAN};

/* Step 60 of 90 is not in the last third, step 70 is: 0.5 against 0.4. */
TEST(what_the_last_third_gains) {
    add_curve(SIDE_WITH, 1, falls);
    add_curve(SIDE_WITH, 2, still);
    add_curve(SIDE_WITH, 3, rises);
    add_curve(SIDE_WITH, 4, breaks);
    assert_float_equal(best_loss_gain(&metrics, SIDE_WITH, 1), 0.2, 1e-12);
    assert_float_equal(best_accuracy_gain(&metrics, SIDE_WITH, 1), 0.2, 1e-12);
    assert_float_equal(best_loss_gain(&metrics, SIDE_WITH, 2), 0.01 / 0.6, 1e-12);
    assert_float_equal(best_loss_gain(&metrics, SIDE_WITH, 3), -0.1 / 0.6, 1e-12);
    assert_true(isnan(best_loss_gain(&metrics, SIDE_WITH, 4)));
    assert_true(isnan(best_loss_gain(&metrics, SIDE_WITHOUT, 1)));
    assert_true(best_steps(&metrics, SIDE_WITH, 1) == 90);
}

/* Half of the runs of one side is enough; gains of less than 2 % are none. */
TEST(a_training_that_still_improves_is_too_short) {
    struct claim claims[MOST_CLAIMS];
    for (int seed = 1; seed <= 3; seed++) {
        add_curve(SIDE_WITH, seed, still);
        add_curve(SIDE_WITHOUT, seed, seed == 3 ? falls : rises);
    }
    const struct claim *claim = judged();
    assert_int_equal(claim->verdict, MIXED); /* one run of three */
    assert_string_equal(claim->text, "Lower best test loss in 90 steps");
    assert_string_equal(claim->note, "");
    add_curve(SIDE_WITH, 4, still);
    add_curve(SIDE_WITHOUT, 4, falls);
    claim = judged();
    assert_int_equal(claim->verdict, TOO_SHORT);
    assert_string_equal(verdict_names[claim->verdict], "too short to tell");
    assert_int_equal(claim->pairs, 4);
    assert_string_equal(claim->note,
                        "The last third of the steps still lowers the loss: by 1.7 % with batch norm, by 1.7 % without.");
    claim = find(claims, claims_make(&metrics, 1u << BEST, claims), "Better best test accuracy in 90 steps");
    assert_int_equal(claim->verdict, TOO_SHORT);
}

static void add_steps_to(enum side side, int seed, double target, double steps) {
    add_in(CONVERGENCE, side, target, seed, 99, "", "steps_to", steps);
    add_in(CONVERGENCE, side, target, seed, 99, "", "seconds_to", steps / 10);
}

/* The highest that all seeds of both sides reached; if there is none, of one side. */
TEST(the_target_is_within_reach) {
    struct claim claims[MOST_CLAIMS];
    assert_true(isnan(claims_target(&metrics)));
    for (int seed = 1; seed <= 2; seed++) {
        add_steps_to(SIDE_WITH, seed, 0.8, 20 * seed);
        add_steps_to(SIDE_WITH, seed, 0.85, seed == 1 ? 50 : INFINITY);
        add_steps_to(SIDE_WITHOUT, seed, 0.8, seed == 1 ? 90 : INFINITY);
    }
    assert_true(claims_target(&metrics) == 0.8);
    const struct claim *claim = find(claims, claims_make(&metrics, 1u << CONVERGENCE, claims), "Fewer steps to 80.0 % test");
    assert_int_equal(claim->verdict, HOLDS);
    assert_spread(claim->sides[SIDE_WITH], 2, 30, 20, 40);
    assert_spread(claim->sides[SIDE_WITHOUT], 2, INFINITY, 90, INFINITY);
    for (int seed = 1; seed <= 2; seed++) {
        add_steps_to(SIDE_WITH, seed, 0.7, 10);
        add_steps_to(SIDE_WITHOUT, seed, 0.7, 30);
    }
    assert_true(claims_target(&metrics) == 0.7);
}

static void add_sweep(enum side side, double rate, int seed, double accuracy, double loss) {
    add_in(SWEEP, side, rate, seed, 9, "", "final_accuracy", accuracy);
    add_in(SWEEP, side, rate, seed, 9, "", "final_loss", loss);
    add_in(SWEEP, side, rate, seed, 9, "", "classes", 10);
}

/* Trained is more than halfway from chance (0.1) to the best (0.9). */
TEST(rates_that_train_and_the_best_one) {
    add_sweep(SIDE_WITH, 0.01, 1, 0.8, 0.5);
    add_sweep(SIDE_WITH, 0.1, 1, 0.9, 0.3);
    add_sweep(SIDE_WITH, 1, 1, 0.5, 2);
    add_sweep(SIDE_WITH, 10, 1, 0.49, NAN);
    add_sweep(SIDE_WITHOUT, 0.01, 1, 0.7, 0.8);
    add_sweep(SIDE_WITHOUT, 0.1, 1, 0.7, 0.7);
    add_sweep(SIDE_WITHOUT, 1, 1, 0.1, NAN);
    assert_float_equal(sweep_threshold(&metrics), 0.5, 1e-12);
    assert_true(largest_rate(&metrics, SIDE_WITH, 1) == 1);
    assert_true(rates_that_train(&metrics, SIDE_WITH, 1) == 3);
    assert_true(largest_rate(&metrics, SIDE_WITHOUT, 1) == 0.1);
    assert_true(isnan(largest_rate(&metrics, SIDE_WITH, 2)));
    assert_true(sweep_best_rate(&metrics, SIDE_WITH) == 0.1);
    assert_true(sweep_best_rate(&metrics, SIDE_WITHOUT) == 0.1); /* as accurate as 0.01, with less loss */
}

/* Percentiles between 1, 2, ..., 11 are 2 and 10; of a constant gradient they are equal. */
TEST(spread_of_gradients) {
    for (int i = 0; i < 11; i++) {
        add_in(GRADIENTS, SIDE_WITH, NAN, 1, i, "a.weight", "gradient_norm", 11 - i);
        add_in(GRADIENTS, SIDE_WITH, NAN, 1, i, "b.weight", "gradient_norm", 7);
    }
    assert_float_equal(gradient_spread(&metrics, SIDE_WITH, 1), (5 + 1) / 2.0, 1e-12);
    assert_true(isnan(gradient_spread(&metrics, SIDE_WITHOUT, 1)));
}

TEST(ranges_along_the_step) {
    static const double losses[3][3] = {{1, 2, 4}, {3, 3, 3}, {5, 4, NAN}};
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 3; i++) {
            add_in(GRADIENTS, SIDE_WITH, i, 1, step, "", "loss_along", losses[step][i]);
            add_in(GRADIENTS, SIDE_WITH, i, 1, step, "", "gradient_distance", 10 * step + i);
        }
    }
    assert_true(loss_range(&metrics, SIDE_WITH, 1) == 3); /* the median of 3, 0 and diverged */
    assert_true(gradient_change(&metrics, SIDE_WITH, 1) == 12);
}

TEST(sigmoids_at_the_end) {
    for (int step = 0; step <= 10; step += 5) {
        add_in(SIGMOID, SIDE_WITH, NAN, 1, step, "conv1", "saturated", step / 100.0);
        add_in(SIGMOID, SIDE_WITH, NAN, 1, step, "fc1", "saturated", step / 50.0);
        add_in(SIGMOID, SIDE_WITH, NAN, 1, step, "conv1.weight", "gradient_norm", step + 1);
        add_in(SIGMOID, SIDE_WITH, NAN, 1, step, "fc1.weight", "gradient_norm", 99);
        add_in(SIGMOID, SIDE_WITH, NAN, 1, step, "fc2.weight", "gradient_norm", 2);
    }
    assert_float_equal(saturated_share(&metrics, SIDE_WITH, 1), 0.15, 1e-12);
    assert_float_equal(first_to_last(&metrics, SIDE_WITH, 1), 3, 1e-12);
}

/* A mean that is lower can hide a layer that is higher. */
TEST(layers_that_saturate_more_are_named) {
    static const char *const layers[] = {"conv1", "conv2", "conv3", "fc1", "fc2"};
    struct claim claims[MOST_CLAIMS];
    char text[80];
    for (int seed = 1; seed <= 3; seed++) {
        add_in(SIGMOID, SIDE_WITH, NAN, seed, 10, "conv1", "saturated", seed == 1 ? 0 : 0.02); /* more in two seeds of three */
        add_in(SIGMOID, SIDE_WITHOUT, NAN, seed, 10, "conv1", "saturated", 0.01);
        add_in(SIGMOID, SIDE_WITH, NAN, seed, 10, "fc1", "saturated", 0.1);
        add_in(SIGMOID, SIDE_WITHOUT, NAN, seed, 10, "fc1", "saturated", 0.5);
        add_in(SIGMOID, SIDE_WITH, NAN, seed, 5, "fc1", "saturated", 0.9); /* not at the end */
    }
    assert_int_equal(more_saturated_layers(&metrics, text, sizeof text), 1);
    const struct claim *claim = find(claims, claims_make(&metrics, 1u << SIGMOID, claims), "Fewer saturated");
    assert_int_equal(claim->verdict, HOLDS);
    assert_string_equal(claim->note,
                        "After conv1 there are more. Learning hangs on the gradient that comes through: see the next claim.");
    metrics_free(&metrics);
    for (int i = 0; i < 5; i++) {
        add_in(SIGMOID, SIDE_WITH, NAN, 1, 10, layers[i], "saturated", 0.2);
        add_in(SIGMOID, SIDE_WITHOUT, NAN, 1, 10, layers[i], "saturated", i == 4 ? 0.2 : 0.1);
    }
    assert_int_equal(more_saturated_layers(&metrics, text, sizeof text), 4); /* equal is not more */
    assert_string_equal(text, "conv1, conv2, conv3 and fc1");
    add_in(SIGMOID, SIDE_WITH, NAN, 1, 10, "fc3", "saturated", 1);
    add_in(SIGMOID, SIDE_WITHOUT, NAN, 1, 10, "fc3", "saturated", 0.5);
    more_saturated_layers(&metrics, text, sizeof text);
    assert_string_equal(text, "conv1, conv2, conv3 and 2 more");
}

static void add_channel(double channel, double mean, double std, double weight, double bias, double after_mean,
                        double after_std) {
    const struct {
        const char *name;
        double value;
    } rows[] = {{"normalized_mean", mean},  {"normalized_std", std}, {"weight", weight}, {"bias", bias},
                {"after_mean", after_mean}, {"after_std", after_std}};
    for (size_t i = 0; i < 6; i++) add_in(LAYER, SIDE_WITH, channel, 1, 5, "bn1", rows[i].name, rows[i].value);
}

TEST(errors_of_channels) {
    struct claim claims[MOST_CLAIMS];
    add_channel(0, 0.001, 0.998, -2, 1, 1.001, 2.003); /* a negative weight turns the channel round */
    add_channel(1, -0.004, 1, 3, -1, -1.005, 3);
    assert_float_equal(normalized_error(&metrics, SIDE_WITH, 1), 0.004, 1e-12);
    assert_float_equal(affine_error(&metrics, SIDE_WITH, 1), 0.005, 1e-12);
    size_t count = claims_make(&metrics, 1u << LAYER, claims);
    assert_int_equal(find(claims, count, "Normalized")->verdict, HOLDS);
    add_channel(2, 0.02, 1, 1, 0, 0, 1);
    count = claims_make(&metrics, 1u << LAYER, claims);
    assert_int_equal(find(claims, count, "Normalized")->verdict, FAILS);
    assert_int_equal(find(claims, count, "Then to mean bias")->verdict, HOLDS);
    assert_int_equal(find(claims, count, "Running means")->verdict, NOT_MEASURED);
}

static void add_gap(double batch, double train, double eval, double frozen) {
    add_in(LAYER, SIDE_WITH, batch, 1, 5, "", "train_accuracy", train);
    add_in(LAYER, SIDE_WITH, batch, 1, 5, "", "eval_accuracy", eval);
    add_in(LAYER, SIDE_WITH, batch, 1, 5, "", "frozen_layers", frozen);
}

/* Batch size 1 is left out where it did not train as the others. */
TEST(gaps_of_batches) {
    add_gap(1, 0.1, 0.9, 1);
    add_gap(2, 0.5, 0.8, 0);
    add_gap(256, 0.81, 0.8, 0);
    assert_float_equal(gap_small(&metrics, SIDE_WITH, 1), 0.3, 1e-12);
    assert_float_equal(gap_large(&metrics, SIDE_WITH, 1), 0.01, 1e-12);
}

TEST(running_statistics_from_first_to_last) {
    for (int step = 0; step <= 20; step += 10) {
        add_in(LAYER, SIDE_WITH, NAN, 1, step, "bn1", "running_mean_error", 1.0 / (step + 1));
        add_in(LAYER, SIDE_WITH, NAN, 1, step, "bn2", "running_mean_error", 3.0 / (step + 1));
    }
    assert_float_equal(running_start(&metrics, SIDE_WITH, 1), 2, 1e-12);
    assert_float_equal(running_end(&metrics, SIDE_WITH, 1), 2.0 / 21, 1e-12);
}

/* Sentences. */

static const char *sentence_of(const char *id, unsigned experiments) {
    static struct figure figures[MOST_FIGURES];
    static char sentence[SENTENCE_BYTES];
    const size_t count = figures_make(&metrics, experiments, figures);
    sentence[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (strcmp(figures[i].id, id) == 0) strcpy(sentence, figures[i].sentence);
    figures_free(figures, count);
    return sentence;
}

/* Small ranks lose; more images are as good as all. */
TEST(ranks_and_their_statistics) {
    struct claim claims[MOST_CLAIMS];
    for (int seed = 1; seed <= 2; seed++) {
        add_in(RANKS, SIDE_WITH, NAN, seed, 31, "", "final_accuracy", 0.8);
        add_in(RANKS, SIDE_WITHOUT, NAN, seed, 31, "", "final_accuracy", 0.6);
        add_in(RANKS, SIDE_WITH, 2, seed, 31, "", "local_accuracy", 0.5);
        add_in(RANKS, SIDE_WITH, 4, seed, 31, "", "local_accuracy", seed == 1 ? 0.79 : 0.81);
        add_in(RANKS, SIDE_WITH, 2, seed, 31, "", "local_batch_accuracy", 0.55);
    }
    const size_t count = claims_make(&metrics, 1u << RANKS, claims);
    assert_int_equal(count, 3);
    assert_string_equal(claims[0].text,
                        "Synchronized over ranks of 2 images: more accurate (50.0 % with their own statistics)");
    assert_int_equal(claims[0].verdict, HOLDS);
    assert_float_equal(claims[0].sides[SIDE_WITH].median, 0.8, 1e-12);
    assert_int_equal(claims[1].verdict, MIXED);
    assert_int_equal(claims[2].verdict, NOT_MEASURED);
    assert_string_equal(
        sentence_of("ranks-statistics", 1u << RANKS),
        "With synchronized statistics the test accuracy is 80.0 %; with those of 2 images 50.0 % (55.0 % when tested with the "
        "statistics of the test batches), with those of 4 images 80.0 % (79.0 to 81.0). Without batch norm it is 60.0 %.");
}

TEST(the_sentence_of_convergence) {
    for (int seed = 1; seed <= 3; seed++) {
        for (int side = 0; side < SIDES; side++) {
            add_in(CONVERGENCE, (enum side)side, NAN, seed, 40, "", "test_accuracy", 0.8);
            add_in(CONVERGENCE, (enum side)side, NAN, seed, 40, "", "seconds", side == SIDE_WITH ? 0.5 : 0.4);
        }
        add_steps_to(SIDE_WITH, seed, 0.8, 10 * seed);
        add_steps_to(SIDE_WITHOUT, seed, 0.8, INFINITY);
    }
    assert_string_equal(
        sentence_of("convergence-curves", 1u << CONVERGENCE),
        "To 80.0 % test accuracy the network with batch norm takes 20 (10 to 30) steps and 2.0 s (1.0 to 3.0); the one without "
        "does not get there with any seed. A step takes 12.5 ms with it and 10.0 ms without (medians over the runs).");
}

TEST(the_sentence_of_batch_sizes) {
    add_gap(1, 0.1, 0.9, 1);
    add_gap(2, 0.5, 0.8, 0);
    add_gap(64, 0.81, 0.8, 0);
    add_in(LAYER, SIDE_WITH, 2, 1, 5, "", "eval_loss", 1);
    const char *sentence = sentence_of("layer-batch", 1u << LAYER);
    const char *beginning =
        "Test accuracy in the two modes differs by 30.0 % at the smallest batch of those that train every layer, and by 1.0 % "
        "at batch size 64. At batch size 1, 1 layer of this network would see 1 x 1 maps";
    assert_memory_equal(sentence, beginning, strlen(beginning));
}

/* The number in the sentence is that of the table: the mean over the layers in each run, and then the median. */
TEST(running_means_have_one_number) {
    static const double errors[3][2] = {{0.1, 0.9}, {0.2, 0.2}, {0.3, 0.4}}; /* means 0.5, 0.2, 0.35; median of all 0.25 */
    struct claim claims[MOST_CLAIMS];
    for (int seed = 1; seed <= 3; seed++) {
        for (int layer = 0; layer < 2; layer++) {
            const char *name = layer == 0 ? "bn1" : "bn2";
            add_in(LAYER, SIDE_WITH, NAN, seed, 0, name, "running_mean_error", 1);
            add_in(LAYER, SIDE_WITH, NAN, seed, 0, name, "running_var_error", 2);
            add_in(LAYER, SIDE_WITH, NAN, seed, 8, name, "running_mean_error", errors[seed - 1][layer]);
            add_in(LAYER, SIDE_WITH, NAN, seed, 8, name, "running_var_error", errors[seed - 1][layer]);
        }
    }
    const struct claim *claim = find(claims, claims_make(&metrics, 1u << LAYER, claims), "Running means come nearer");
    assert_string_equal(claim->text, "Running means come nearer to the population's (1.00 at first)");
    assert_spread(claim->sides[SIDE_WITH], 3, 0.35, 0.2, 0.5);
    assert_string_equal(
        sentence_of("layer-running", 1u << LAYER),
        "The running mean is 1.00 standard deviations from the population's mean at first, and 0.350 (0.200 to 0.500) after 8 "
        "steps; the running variance is off by 200.0 % of the population's at first and by 35.0 % (20.0 to 50.0) then (means "
        "over channels and layers; of these the median over the seeds, and the range).");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_median_and_its_range, clear),
        cmocka_unit_test_teardown(a_diverged_run_counts_as_infinite, clear),
        cmocka_unit_test_teardown(a_key_selects_rows, clear),
        cmocka_unit_test_teardown(columns_are_distinct_and_in_order, clear),
        cmocka_unit_test_teardown(rows_of_complete_seeds, clear),
        cmocka_unit_test_teardown(csv_has_every_row, clear),
        cmocka_unit_test(numbers_as_words),
        cmocka_unit_test(spreads_as_words),
        cmocka_unit_test(norms_and_saturated_units),
        cmocka_unit_test(a_channel_of_several),
        cmocka_unit_test(distance_from_the_normal_distribution),
        cmocka_unit_test_teardown(a_claim_is_judged_seed_by_seed, clear),
        cmocka_unit_test_teardown(a_claim_can_fail, clear),
        cmocka_unit_test_teardown(the_target_is_within_reach, clear),
        cmocka_unit_test_teardown(rates_that_train_and_the_best_one, clear),
        cmocka_unit_test_teardown(spread_of_gradients, clear),
        cmocka_unit_test_teardown(ranges_along_the_step, clear),
        cmocka_unit_test_teardown(sigmoids_at_the_end, clear),
        cmocka_unit_test_teardown(errors_of_channels, clear),
        cmocka_unit_test_teardown(gaps_of_batches, clear),
        cmocka_unit_test_teardown(running_statistics_from_first_to_last, clear),
        cmocka_unit_test_teardown(ranks_and_their_statistics, clear),
        cmocka_unit_test_teardown(the_sentence_of_convergence, clear),
        cmocka_unit_test_teardown(the_sentence_of_batch_sizes, clear),
        cmocka_unit_test_teardown(running_means_have_one_number, clear),
        cmocka_unit_test_teardown(layers_that_saturate_more_are_named, clear),
        cmocka_unit_test_teardown(what_the_last_third_gains, clear),
        cmocka_unit_test_teardown(a_training_that_still_improves_is_too_short, clear),
    };
    return cmocka_run_group_tests_name("lab.results", tests, NULL, NULL);
}
