/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* gmtime_r */
#include "plan.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "nn/choices.h"

const double plan_rates[RATES] = {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
const size_t plan_batch_sizes[BATCH_SIZES] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
const size_t plan_local_sizes[LOCAL_SIZES] = {2, 4, 8};
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
                                  .gap_images = 1024,
                                  .ranks_passes = 1};

/* Sized to end within an hour on two cores: see docs/measurements.md. */
static const struct plan full = {.convergence_passes = 3,
                                 .convergence_tests = 24,
                                 .gradients_passes = 1,
                                 .gradients_points = 24,
                                 .sweep_passes = 1,
                                 .best_passes = 6,
                                 .best_tests = 12,
                                 .sigmoid_passes = 3,
                                 .sigmoid_points = 24,
                                 .layer_passes = 1,
                                 .layer_points = 12,
                                 .population_images = 8192,
                                 .gap_images = 8192,
                                 .ranks_passes = 1};

bool plan_has(const struct compare_request *request, enum experiment experiment) {
    return request->experiments >> experiment & 1;
}

const char *plan_model_name(const struct compare_request *request) {
    static char name[24];
    if (request->model != NN_RESNET) return nn_model_words[request->model];
    snprintf(name, sizeof name, "resnet-%d", request->depth);
    return name;
}

long plan_steps_per_pass(uint32_t images, size_t batch) {
    if (batch > images) batch = images;
    return batch > 0 ? (long)(images / batch) : 0;
}

long plan_steps(const struct compare_request *r, enum experiment experiment, uint32_t images) {
    const struct plan *p = &r->plan;
    const long passes[EXPERIMENTS] = {[CONVERGENCE] = p->convergence_passes,
                                      [GRADIENTS] = p->gradients_passes,
                                      [SWEEP] = p->sweep_passes,
                                      [BEST] = p->best_passes,
                                      [SIGMOID] = p->sigmoid_passes,
                                      [LAYER] = p->layer_passes,
                                      [RANKS] = p->ranks_passes};
    return passes[experiment] * plan_steps_per_pass(images, r->batch);
}

/* The last part of a path. */
static void write_base_name(const char *path, char *name, size_t bytes) {
    size_t end = strlen(path), length = 0;
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    for (size_t i = start; i < end && length + 1 < bytes; i++) {
        const char c = path[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
        name[length++] = plain ? c : '-';
    }
    name[length] = '\0';
}

void plan_name_run(const struct compare_request *r, uint32_t train_images, uint32_t test_images, long long seconds,
                   long process, char name[RUN_NAME_BYTES]) {
    const time_t moment = (time_t)seconds;
    struct tm utc;
    char time[32] = "", data[48];
    if (gmtime_r(&moment, &utc)) strftime(time, sizeof time, "%Y%m%dT%H%M%SZ", &utc);
    write_base_name(r->data, data, sizeof data);
    snprintf(name, RUN_NAME_BYTES, "%s-%ld-%s-%u-%u-%s-%s-lr%g-momentum%g-batch%zu", time, process, data,
             (unsigned)train_images, (unsigned)test_images, plan_model_name(r), nn_activation_words[r->activation], r->rate,
             r->momentum, r->batch);
    for (char *at = name; *at; at++)
        if (*at == '+') *at = '_'; /* of an exponent */
}

void plan_fill(struct compare_request *r) {
    if (!r->depth) r->depth = 8;
    if (!r->seeds) r->seeds = 3;
    if (!r->experiments) r->experiments = (1u << EXPERIMENTS) - 1;
    if (plan_has(r, BEST)) r->experiments |= 1u << SWEEP; /* which finds the rates */
    r->plan = r->full ? full : quick;
    if (r->limit) r->plan.train_images = r->plan.test_images = (uint32_t)r->limit;
}
