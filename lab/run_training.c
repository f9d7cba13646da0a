/* SPDX-License-Identifier: MIT */
/* The experiments that train, and test now and then: convergence, sweep and best. */
#include <math.h>
#include <stdlib.h>

#include "claims.h"
#include "lab.h"

/* Seeds take turns in which side goes first, so that neither gains from a warm or a busy machine. */
static enum side side_in_turn(int seed, int turn) { return (enum side)((seed + turn + 1) % SIDES); }

static void about(struct lab *lab, enum experiment experiment, int seed, enum side side) {
    progress_about(&lab->progress, "%s: seed %d of %d, %s batch norm", experiment_names[experiment], seed, lab->request->seeds,
                   side_names[side]);
}

/* What tests along a run have found so far. */
struct watch {
    enum experiment experiment;
    double at;
    double best_accuracy, best_loss;
    double steps_to[TARGETS], seconds_to[TARGETS];
};

static void watch_begin(struct watch *watch, enum experiment experiment, double at) {
    *watch = (struct watch){.experiment = experiment, .at = at, .best_accuracy = 0, .best_loss = INFINITY};
    for (int i = 0; i < TARGETS; i++) watch->steps_to[i] = watch->seconds_to[i] = INFINITY;
}

/* What the network says with the statistics of the test batches in place of the running ones. */
static nn_error watch_batches(struct trainee *t, const struct watch *watch) {
    double loss, accuracy;
    if (t->options.side != SIDE_WITH) return NULL;
    const nn_error error = trainee_test_batch_statistics(t, &loss, &accuracy);
    if (error) return error;
    lab_record(t, watch->experiment, watch->at, "", "batch_accuracy", accuracy);
    lab_record(t, watch->experiment, watch->at, "", "batch_loss", loss);
    return NULL;
}

static nn_error watch_test(struct trainee *t, struct watch *watch) {
    double loss, accuracy;
    const nn_error error = trainee_test(t, &loss, &accuracy);
    if (error) return error;
    lab_record(t, watch->experiment, watch->at, "", "test_accuracy", accuracy);
    lab_record(t, watch->experiment, watch->at, "", "test_loss", loss);
    lab_record(t, watch->experiment, watch->at, "", "seconds", t->seconds);
    if (accuracy > watch->best_accuracy) watch->best_accuracy = accuracy;
    if (loss < watch->best_loss) watch->best_loss = loss;
    for (int i = 0; i < TARGETS; i++) {
        if (accuracy < plan_targets[i] || isfinite(watch->steps_to[i])) continue;
        watch->steps_to[i] = (double)t->step;
        watch->seconds_to[i] = t->seconds;
    }
    return watch_batches(t, watch);
}

/* So many steps, with tests before the first, after the last and as evenly as whole steps allow between. */
static nn_error train_and_test(struct trainee *t, long steps, long tests, struct watch *watch) {
    nn_error error = watch_test(t, watch);
    for (long i = 1, done = 0; !error && i <= tests; i++) {
        const long until = steps * i / tests;
        if (until == done) continue;
        for (; !error && done < until; done++) {
            error = trainee_gradient(t, NULL);
            if (!error) error = trainee_update(t);
        }
        if (!error) error = watch_test(t, watch);
    }
    return error;
}

static double pass_work(const struct lab *lab, long passes, long tests) {
    const double train = lab->train.count, test = lab->test.count;
    return (double)passes * train + PROGRESS_TEST * (double)tests * test;
}

/* Of both sides, where the one with batch norm is tested twice each time. */
static double watched_work(const struct lab *lab, long passes, long tests) {
    return SIDES * pass_work(lab, passes, tests) + PROGRESS_TEST * (double)tests * lab->test.count;
}

double work_convergence(const struct lab *lab) {
    const struct plan *p = &lab->request->plan;
    return watched_work(lab, p->convergence_passes, p->convergence_tests + 1);
}

nn_error run_convergence(struct lab *lab, int seed) {
    const struct plan *p = &lab->request->plan;
    nn_error error = NULL;
    for (int turn = 0; !error && turn < SIDES; turn++) {
        const struct trainee_options options = trainee_defaults(lab, side_in_turn(seed, turn), seed);
        struct trainee t;
        struct watch watch;
        about(lab, CONVERGENCE, seed, options.side);
        watch_begin(&watch, CONVERGENCE, NAN);
        error = trainee_init(&t, lab, &options);
        if (error) break;
        const long steps = plan_steps(lab->request, CONVERGENCE, lab->train.count);
        error = train_and_test(&t, steps, p->convergence_tests, &watch);
        for (int i = 0; !error && i < TARGETS; i++) {
            lab_record(&t, CONVERGENCE, plan_targets[i], "", "steps_to", watch.steps_to[i]);
            lab_record(&t, CONVERGENCE, plan_targets[i], "", "seconds_to", watch.seconds_to[i]);
        }
        if (!error && seed == 1) error = lab_predict_samples(&t);
        trainee_free(&t);
    }
    return error;
}

double work_sweep(const struct lab *lab) { return SIDES * RATES * pass_work(lab, lab->request->plan.sweep_passes, 1); }

/* A network whose loss is no number any more stays so. The steps that it is spared count as done. */
static nn_error train_or_diverge(struct trainee *t, long steps) {
    double loss = 0;
    nn_error error = NULL;
    for (long i = 0; !error && i < steps; i++) {
        error = trainee_gradient(t, &loss);
        if (error || !isfinite(loss)) {
            progress_add(&t->lab->progress, (double)(steps - i - 1) * (double)t->options.batch);
            break;
        }
        error = trainee_update(t);
    }
    return error;
}

static nn_error sweep_one(struct lab *lab, int seed, enum side side, double rate) {
    struct trainee_options options = trainee_defaults(lab, side, seed);
    options.rate = rate;
    struct trainee t;
    double loss, accuracy;
    nn_error error = trainee_init(&t, lab, &options);
    if (error) return error;
    error = train_or_diverge(&t, plan_steps(lab->request, SWEEP, lab->train.count));
    if (!error) error = trainee_test(&t, &loss, &accuracy);
    if (!error) {
        lab_record(&t, SWEEP, rate, "", "final_accuracy", accuracy);
        lab_record(&t, SWEEP, rate, "", "final_loss", loss);
        lab_record(&t, SWEEP, rate, "", "classes", (double)lab->train.classes);
    }
    trainee_free(&t);
    return error;
}

nn_error run_sweep(struct lab *lab, int seed) {
    nn_error error = NULL;
    for (int i = 0; i < RATES; i++) {
        for (int side = 0; !error && side < SIDES; side++) {
            about(lab, SWEEP, seed, (enum side)side);
            error = sweep_one(lab, seed, (enum side)side, plan_rates[i]);
        }
    }
    return error;
}

double work_best(const struct lab *lab) {
    const struct plan *p = &lab->request->plan;
    return watched_work(lab, p->best_passes, p->best_tests + 1);
}

nn_error run_best(struct lab *lab, int seed) {
    const struct plan *p = &lab->request->plan;
    nn_error error = NULL;
    for (int side = 0; !error && side < SIDES; side++) {
        struct trainee_options options = trainee_defaults(lab, (enum side)side, seed);
        struct trainee t;
        struct watch watch;
        options.rate = sweep_best_rate(&lab->metrics, (enum side)side);
        about(lab, BEST, seed, options.side);
        watch_begin(&watch, BEST, options.rate);
        error = trainee_init(&t, lab, &options);
        if (error) break;
        error = train_and_test(&t, plan_steps(lab->request, BEST, lab->train.count), p->best_tests, &watch);
        if (!error) {
            lab_record(&t, BEST, options.rate, "", "best_accuracy", watch.best_accuracy);
            lab_record(&t, BEST, options.rate, "", "best_loss", watch.best_loss);
        }
        trainee_free(&t);
    }
    return error;
}
