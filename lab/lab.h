/* SPDX-License-Identifier: MIT */
/* A network in training that can be looked at, with and without batch norm. Everything that the experiments do to nn/ is
 * here. */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include <signal.h>

#include "nn/loss.h"
#include "nn/optimizer.h"
#include "nn/rng.h"
#include "plan.h"
#include "tools/shared/progress.h"

/* What the experiments share. */
struct lab {
    const struct compare_request *request;
    nn_backend *backend;
    nn_dataset train, test; /* as many images as the plan has */
    struct metrics metrics;
    struct progress progress;
    struct sample *samples; /* test images with predictions; NULL until there are some */
    size_t sample_count;
};

/* Set by a signal handler; a training step then fails with LAB_STOPPED. */
extern volatile sig_atomic_t lab_stop;
extern const char LAB_STOPPED[];

struct trainee_options {
    enum side side;
    nn_activation activation;
    double rate;
    size_t batch, capacity; /* capacity: the most images at a time, if that is more than a batch */
    size_t local;           /* images of a rank: each of them takes statistics of its own; 0: there are no ranks */
    int seed;
};

struct trainee {
    struct lab *lab;
    struct trainee_options options;
    nn_network *network;
    nn_optimizer optimizer;
    nn_rng rng;        /* shuffles */
    uint32_t *order;   /* [train.count] */
    uint32_t *in_turn; /* 0, 1, 2, ... */
    uint8_t *labels;   /* [capacity] */
    size_t next, n;    /* where in the order the next batch begins; the size of the last one */
    float *sums;       /* of the ranks' gradients; NULL without them */
    bool one_value;    /* a batch may leave a channel a single value: layers that see it stay in evaluation mode */
    long step;         /* done */
    double seconds;    /* spent in them */
};

/* As the request has them. */
struct trainee_options trainee_defaults(const struct lab *lab, enum side side, int seed);
nn_error trainee_init(struct trainee *trainee, struct lab *lab, const struct trainee_options *options);
void trainee_free(struct trainee *trainee);

/* One step is both. The first gives the mean loss over the batch, and leaves gradients and values to look at. */
nn_error trainee_gradient(struct trainee *trainee, double *loss);
nn_error trainee_update(struct trainee *trainee);

/* For trainee_gradient(), by trainee_local.c: the batch that is next in the order, spread over ranks that each take their own
 * statistics. Gradients are those of the mean loss over the whole batch; running statistics are those of the first rank. */
nn_error trainee_gradient_of_ranks(struct trainee *trainee, double *loss);

/* The same batch again, with parameters that may have changed; neither the count of steps nor the time moves. */
nn_error trainee_gradient_again(struct trainee *trainee, double *loss);

/* The next batch forward only, which in training mode moves running statistics. */
nn_error trainee_forward(struct trainee *trainee);

/* Training or evaluation mode, for tests by hand. */
void trainee_set_training(struct trainee *trainee, bool training);
/* Images of a data set through the network, in batches of at most `batch`, in the mode it is in. Either of loss (mean) and
 * accuracy may be NULL. */
nn_error trainee_score(struct trainee *trainee, const nn_dataset *data, size_t batch, double *loss, double *accuracy);
/* All test images in evaluation mode; then training mode again. */
nn_error trainee_test(struct trainee *trainee, double *loss, double *accuracy);
/* All test images in training mode, normalized with the statistics of their own batches; running statistics stay. Loss and
 * accuracy are NaN where there is one image only. */
nn_error trainee_test_batch_statistics(struct trainee *trainee, double *loss, double *accuracy);

/* Copies of what training changes. */
struct trainee_copy {
    float *values, *grads; /* of all parameters, one after the other */
    double *running;       /* running mean and variance of all batch norms, and their counts */
    size_t count, buffers;
};
bool trainee_save(const struct trainee *trainee, struct trainee_copy *copy);
void trainee_restore(struct trainee *trainee, const struct trainee_copy *copy); /* all of it */
void trainee_restore_running(struct trainee *trainee, const struct trainee_copy *copy);
void trainee_copy_free(struct trainee_copy *copy);
/* parameters = copy's - length * copy's gradients */
void trainee_move(struct trainee *trainee, const struct trainee_copy *copy, double length);
/* The distance between the gradients that are there and the copy's; and the copy's own length. */
double trainee_gradient_distance(const struct trainee *trainee, const struct trainee_copy *copy);
double trainee_gradient_length(const struct trainee_copy *copy);

/* One row about this run, at its step. */
void lab_record(struct trainee *trainee, enum experiment experiment, double at, const char *layer, const char *name,
                double value);

/* Some of `count` test images, evenly spaced, with the predictions of both sides. */
enum { SAMPLES = 12 };
struct sample {
    uint32_t image; /* its number in the test images */
    uint8_t label, guess[SIDES];
    float probability[SIDES];
};
nn_error lab_predict_samples(struct trainee *trainee);

/* run_NAME() runs an experiment for one seed, first with and then without, and leaves rows. work_NAME() estimates it, for one
 * seed. */
#define LAB_DECLARE(constant, name)                                                                                            \
    nn_error run_##name(struct lab *lab, int seed);                                                                            \
    double work_##name(const struct lab *lab);
LAB_EXPERIMENTS(LAB_DECLARE)
enum { GAP_SETTLING = 50 };                  /* batches that running statistics see after training */
nn_error run_gap(struct lab *lab, int seed); /* called by run_layer() */

#endif
