/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdio.h>

#include "nn/choices.h"

const double plan_rates[RATES] = {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
const size_t plan_batch_sizes[BATCH_SIZES] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
const double plan_step_lengths[STEP_LENGTHS] = {0.5, 1, 2, 4};
const double plan_targets[TARGETS] = {0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92};

static const struct plan quick = {.train_images = 4000,
                                  .test_images = 1000,
                                  .convergence_passes = 3,
                                  .convergence_tests = 24,
                                  .gradients_passes = 1,
                                  .gradients_points = 10,
                                  .sweep_passes = 1,
                                  .best_passes = 6,
                                  .best_tests = 12,
                                  .sigmoid_passes = 2,
                                  .sigmoid_points = 10,
                                  .layer_passes = 1,
                                  .layer_points = 8,
                                  .population_images = 1024,
                                  .gap_images = 1024};

static const struct plan full = {.convergence_passes = 10,
                                 .convergence_tests = 100,
                                 .gradients_passes = 3,
                                 .gradients_points = 60,
                                 .sweep_passes = 3,
                                 .best_passes = 15,
                                 .best_tests = 30,
                                 .sigmoid_passes = 8,
                                 .sigmoid_points = 40,
                                 .layer_passes = 3,
                                 .layer_points = 24,
                                 .population_images = 16384,
                                 .gap_images = 16384};

bool plan_has(const struct compare_request *request, enum experiment experiment) {
    return request->experiments >> experiment & 1;
}

const char *plan_model_name(const struct compare_request *request) {
    static char name[24];
    if (request->model != NN_RESNET) return nn_model_words[request->model];
    snprintf(name, sizeof name, "resnet-%d", request->depth);
    return name;
}

void compare_request_text(const struct compare_request *r, char *text, size_t bytes) {
    size_t length = (size_t)snprintf(text, bytes, "batchnorm compare --%s", r->full ? "full" : "quick");
    const char *separator = " --only ";
    for (int i = 0; i < EXPERIMENTS && r->experiments != (1u << EXPERIMENTS) - 1; i++) {
        if (!plan_has(r, (enum experiment)i)) continue;
        length += (size_t)snprintf(text + length, bytes - length, "%s%s", separator, experiment_names[i]);
        separator = ",";
    }
    length += (size_t)snprintf(text + length, bytes - length, " --model %s --lr %g --batch %zu --seeds %d --threads %d",
                               nn_model_words[r->model], r->rate, r->batch, r->seeds, r->threads);
    if (r->model == NN_RESNET) length += (size_t)snprintf(text + length, bytes - length, " --depth %d", r->depth);
    if (r->limit) length += (size_t)snprintf(text + length, bytes - length, " --limit %ld", r->limit);
    if (length < bytes) snprintf(text + length, bytes - length, " --data %s", r->data);
}

void plan_fill(struct compare_request *r) {
    if (!r->depth) r->depth = 8;
    if (!r->seeds) r->seeds = r->full ? 5 : 3;
    if (!r->experiments) r->experiments = (1u << EXPERIMENTS) - 1;
    if (plan_has(r, BEST)) r->experiments |= 1u << SWEEP; /* which finds the rates */
    r->plan = r->full ? full : quick;
    if (r->limit) r->plan.train_images = r->plan.test_images = (uint32_t)r->limit;
}
