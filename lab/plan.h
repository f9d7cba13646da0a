/* SPDX-License-Identifier: MIT */
/* What `batchnorm compare` is asked to do, and how much of it. */
#ifndef LAB_PLAN_H
#define LAB_PLAN_H

#include "metrics.h"
#include "nn/dataset.h"
#include "nn/model.h"

enum { MOST_SEEDS = 100, RATES = 8, BATCH_SIZES = 9, LOCAL_SIZES = 3, STEP_LENGTHS = 4, TARGETS = 10 };

extern const double plan_rates[RATES];               /* of the sweep */
extern const size_t plan_batch_sizes[BATCH_SIZES];   /* of the train/eval gap */
extern const size_t plan_local_sizes[LOCAL_SIZES];   /* images of a rank that keeps its statistics to itself */
extern const double plan_step_lengths[STEP_LENGTHS]; /* along the gradient, in learning rates */
extern const double plan_targets[TARGETS];           /* test accuracies to reach */

/* How large each experiment is. A pass is one over the training images. */
struct plan {
    uint32_t train_images, test_images; /* 0: all there are */
    long convergence_passes, convergence_tests;
    long gradients_passes, gradients_points; /* points: how many times in a run something is measured */
    long sweep_passes;
    long best_passes, best_tests;
    long sigmoid_passes, sigmoid_points;
    long layer_passes, layer_points;
    uint32_t population_images; /* for the statistics that running statistics approach */
    uint32_t gap_images;        /* that each batch size trains on */
    long ranks_passes;
};

struct compare_request {
    unsigned experiments; /* bits: 1 << experiment */
    bool quick, full, json;
    const char *out, *data;
    int seeds, threads;
    double rate, momentum; /* of every experiment that does not vary it */
    size_t batch;
    long limit; /* training and test images; 0: as many as the plan has */
    nn_model_kind model;
    int depth;
    nn_activation activation; /* of every experiment but sigmoid */
    struct plan plan;
};

bool plan_has(const struct compare_request *request, enum experiment experiment);

/* "cnn", "resnet-8" */
const char *plan_model_name(const struct compare_request *request);

/* What was not asked for gets its default: seeds, experiments, and how large each of them is. */
void plan_fill(struct compare_request *request);

/* Steps in one pass over so many training images, all of them with whole batches; and in one training of an experiment. */
long plan_steps_per_pass(uint32_t images, size_t batch);
long plan_steps(const struct compare_request *request, enum experiment experiment, uint32_t images);

/* A name for a run, by which its files know each other: when it began (UTC), the process, and what it is about, of letters,
 * digits, points, '-' and '_': "20260131T120000Z-4711-fashion-mnist-4000-1000-cnn-relu-lr0.05-momentum0.9-batch128". */
enum { RUN_NAME_BYTES = 256 };
void plan_name_run(const struct compare_request *request, uint32_t train_images, uint32_t test_images, long long seconds,
                   long process, char name[RUN_NAME_BYTES]);

/* A command line for a shell that gives the same request; to be freed, NULL without memory. */
char *plan_command(const struct compare_request *request);

#endif
