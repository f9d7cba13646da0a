/* SPDX-License-Identifier: MIT */
/* The experiments that look at gradients and at units: gradients and sigmoid. */
#include <math.h>
#include <string.h>

#include "lab.h"
#include "measure.h"

/* The norms of the gradients of all weights, from the first layer to the last; biases and norm layers are left out. */
static void record_norms(struct trainee *t, enum experiment experiment) {
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        if (p->rank > 1) lab_record(t, experiment, NAN, p->name, "gradient_norm", measure_norm(p->grad, p->count));
    }
}

static bool is_point(long step, long steps, long points) {
    /* points i = 0, 1, ... lie at steps * i / points */
    return step * points / steps != (step - 1) * points / steps || step == 0 || points >= steps;
}

/* From the parameters against the gradient, as far as a step of SGD would go, half, twice and four times as far: the loss of
 * the same batch and how far its gradient moves (Santurkar et al. 2018). Everything is put back. */
static nn_error record_landscape(struct trainee *t, double loss) {
    struct trainee_copy copy;
    nn_error error = NULL;
    if (!trainee_save(t, &copy)) return NN_NO_MEMORY;
    const double length = trainee_gradient_length(&copy);
    lab_record(t, GRADIENTS, 0, "", "loss_along", loss);
    for (int i = 0; !error && i < STEP_LENGTHS; i++) {
        const double at = plan_step_lengths[i], moved = at * t->options.rate;
        double there;
        trainee_move(t, &copy, moved);
        error = trainee_gradient_again(t, &there);
        if (error) break;
        const double distance = trainee_gradient_distance(t, &copy);
        lab_record(t, GRADIENTS, at, "", "loss_along", there);
        lab_record(t, GRADIENTS, at, "", "gradient_distance", distance);
        lab_record(t, GRADIENTS, at, "", "smoothness", distance / (moved * length));
    }
    trainee_restore(t, &copy);
    trainee_copy_free(&copy);
    return error;
}

double work_gradients(const struct lab *lab) {
    const struct plan *p = &lab->request->plan;
    const long steps = plan_steps(lab->request, GRADIENTS, lab->train.count),
               points = p->gradients_points < steps ? p->gradients_points : steps;
    return SIDES *
           ((double)p->gradients_passes * lab->train.count + (double)(points * STEP_LENGTHS) * (double)lab->request->batch);
}

static nn_error watch_gradients(struct trainee *t, long steps, long points) {
    nn_error error = NULL;
    for (long step = 0; !error && step < steps; step++) {
        double loss;
        error = trainee_gradient(t, &loss);
        if (error) break;
        record_norms(t, GRADIENTS);
        if (is_point(step, steps, points)) error = record_landscape(t, loss);
        if (!error) error = trainee_update(t);
    }
    return error;
}

nn_error run_gradients(struct lab *lab, int seed) {
    const struct plan *p = &lab->request->plan;
    nn_error error = NULL;
    for (int side = 0; !error && side < SIDES; side++) {
        const struct trainee_options options = trainee_defaults(lab, (enum side)side, seed);
        struct trainee t;
        progress_about(&lab->progress, "gradients: seed %d of %d, %s batch norm", seed, lab->request->seeds, side_names[side]);
        error = trainee_init(&t, lab, &options);
        if (error) break;
        error = watch_gradients(&t, plan_steps(lab->request, GRADIENTS, lab->train.count), p->gradients_points);
        trainee_free(&t);
    }
    return error;
}

/* Looks at the sigmoids of one forward. */
struct unit_watch {
    struct trainee *trainee;
    const char *weighted; /* the last layer with weights so far: it feeds the sigmoid */
};

static void look(void *user, size_t layer, size_t n, const float *x, const float *y) {
    (void)x;
    struct unit_watch *watch = user;
    const nn_layer *l = watch->trainee->network->nodes[layer].layer;
    if (l->parameter_count > 0 && l->parameters[0].rank > 1) watch->weighted = l->name;
    if (strcmp(l->kind->name, "sigmoid") != 0) return;
    const double share = measure_saturated(y, n * nn_shape_size(l->out), 0, 1);
    lab_record(watch->trainee, SIGMOID, NAN, watch->weighted, "saturated", share);
}

static nn_error watch_sigmoids(struct trainee *t, long steps, long points) {
    nn_error error = NULL;
    for (long step = 0; !error && step < steps; step++) {
        struct unit_watch watch = {t, ""};
        const nn_observer observer = {.user = &watch, .forward = look};
        const bool point = is_point(step, steps, points) || step == steps - 1;
        nn_network_observe(t->network, point ? &observer : NULL);
        error = trainee_gradient(t, NULL);
        nn_network_observe(t->network, NULL);
        if (error) break;
        if (point) record_norms(t, SIGMOID);
        error = trainee_update(t);
    }
    return error;
}

double work_sigmoid(const struct lab *lab) {
    const struct plan *p = &lab->request->plan;
    return SIDES * ((double)p->sigmoid_passes * lab->train.count + PROGRESS_TEST * lab->test.count);
}

nn_error run_sigmoid(struct lab *lab, int seed) {
    const struct plan *p = &lab->request->plan;
    nn_error error = NULL;
    for (int side = 0; !error && side < SIDES; side++) {
        struct trainee_options options = trainee_defaults(lab, (enum side)side, seed);
        struct trainee t;
        double accuracy;
        options.activation = NN_SIGMOID;
        progress_about(&lab->progress, "sigmoid: seed %d of %d, %s batch norm", seed, lab->request->seeds, side_names[side]);
        error = trainee_init(&t, lab, &options);
        if (error) break;
        error = watch_sigmoids(&t, plan_steps(lab->request, SIGMOID, lab->train.count), p->sigmoid_points);
        if (!error) error = trainee_test(&t, NULL, &accuracy);
        if (!error) lab_record(&t, SIGMOID, NAN, "", "final_accuracy", accuracy);
        trainee_free(&t);
    }
    return error;
}
