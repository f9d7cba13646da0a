/* SPDX-License-Identifier: MIT */
/* What it costs that each rank takes the statistics of its own few images. Ranks are simulated one after the other; with
 * synchronized statistics a batch gives the same bits however it is spread over ranks, so that it is one piece here. */
#include <math.h>

#include "lab.h"

/* Ranks of so many images that a batch is enough for two of them. */
static size_t local_sizes(const struct lab *lab) {
    const size_t batch = lab->request->batch < lab->train.count ? lab->request->batch : lab->train.count;
    size_t count = 0;
    while (count < LOCAL_SIZES && 2 * plan_local_sizes[count] <= batch) count++;
    return count;
}

double work_ranks(const struct lab *lab) {
    const double trainings = SIDES + (double)local_sizes(lab), tests = 2 * trainings - 1; /* twice with batch norm */
    return trainings * (double)lab->request->plan.ranks_passes * lab->train.count +
           tests * PROGRESS_TEST * (double)lab->test.count;
}

static nn_error record_end(struct trainee *t, double at, const char *accuracy_name, const char *loss_name,
                           const char *batch_name) {
    double loss, accuracy;
    nn_error error = trainee_test(t, &loss, &accuracy);
    if (error) return error;
    lab_record(t, RANKS, at, "", accuracy_name, accuracy);
    lab_record(t, RANKS, at, "", loss_name, loss);
    if (t->options.side != SIDE_WITH) return NULL;
    error = trainee_test_batch_statistics(t, &loss, &accuracy);
    if (!error) lab_record(t, RANKS, at, "", batch_name, accuracy);
    return error;
}

/* local: images of a rank; 0: all of the batch. */
static nn_error run_one(struct lab *lab, int seed, enum side side, size_t local) {
    struct trainee_options options = trainee_defaults(lab, side, seed);
    struct trainee t;
    const long steps = plan_steps(lab->request, RANKS, lab->train.count);
    options.local = local;
    nn_error error = trainee_init(&t, lab, &options);
    if (error) return error;
    for (long i = 0; !error && i < steps; i++) {
        error = trainee_gradient(&t, NULL);
        if (!error) error = trainee_update(&t);
    }
    if (!error && local) error = record_end(&t, (double)local, "local_accuracy", "local_loss", "local_batch_accuracy");
    if (!error && !local) error = record_end(&t, NAN, "final_accuracy", "final_loss", "batch_accuracy");
    trainee_free(&t);
    return error;
}

nn_error run_ranks(struct lab *lab, int seed) {
    nn_error error = NULL;
    progress_about(&lab->progress, "ranks: seed %d of %d", seed, lab->request->seeds);
    for (int side = 0; !error && side < SIDES; side++) error = run_one(lab, seed, (enum side)side, 0);
    for (size_t i = 0; !error && i < local_sizes(lab); i++) {
        progress_about(&lab->progress, "ranks: seed %d of %d, %zu images a rank", seed, lab->request->seeds,
                       plan_local_sizes[i]);
        error = run_one(lab, seed, SIDE_WITH, plan_local_sizes[i]);
    }
    return error;
}
