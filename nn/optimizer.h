/* SPDX-License-Identifier: MIT */
/* How a step changes the parameters: stochastic gradient descent and Adam, with PyTorch's formulas (torch.optim, 2.15). For
 * each parameter p with gradient g, in the order of the lines:
 *
 * SGD     g += weight_decay * p;  v = momentum * v + g;  p -= rate * (nesterov ? g + momentum * v : v)       (dampening 0)
 * Adam    g += weight_decay * p;  m += (1 - beta1) * (g - m);  s = beta2 * s + (1 - beta2) * g * g;
 *         p -= rate / (1 - beta1^t) * m / (sqrt(s) / sqrt(1 - beta2^t) + eps)                   (t = 1 in the first step)
 * AdamW   p -= rate * weight_decay * p, and then Adam without the decay of g
 *
 * Equal bits with any number of threads. */
#ifndef NN_OPTIMIZER_H
#define NN_OPTIMIZER_H

#include <stdint.h>

#include "network.h"

typedef enum nn_optimizer_kind { NN_SGD, NN_ADAM, NN_ADAMW } nn_optimizer_kind;

typedef struct nn_optimizer_options {
    nn_optimizer_kind kind;
    float momentum; /* SGD; 0: none */
    bool nesterov;  /* SGD; needs a momentum */
    float weight_decay;
    bool decay_norm; /* false: weight and bias of the norm layers are spared */
    float beta1, beta2, eps;
} nn_optimizer_options;

/* Of what is not chosen: momentum 0.9, no decay, beta1 0.9, beta2 0.999, eps 1e-8. */
nn_optimizer_options nn_optimizer_defaults(nn_optimizer_kind kind);

enum { NN_OPTIMIZER_STATES = 2 };

typedef struct nn_optimizer {
    nn_network *network; /* must outlive this */
    nn_optimizer_options options;
    /* v, or m and s: of all parameters, one after the other; zeros at first. NULL: not used. */
    float *state[NN_OPTIMIZER_STATES];
    uint64_t steps; /* done */
} nn_optimizer;

nn_error nn_optimizer_init(nn_optimizer *optimizer, nn_network *network, const nn_optimizer_options *options);
void nn_optimizer_free(nn_optimizer *optimizer);
/* One step with this learning rate. Frozen parameters stay as they are. */
void nn_optimizer_step(nn_optimizer *optimizer, float rate);
/* How PyTorch calls state i ("momentum_buffer"; "exp_avg", "exp_avg_sq"); NULL if it is not used. */
const char *nn_optimizer_state_name(const nn_optimizer *optimizer, int i);

/* The learning rate of each step. */

typedef enum nn_schedule_kind { NN_CONSTANT, NN_STEP, NN_COSINE } nn_schedule_kind;

typedef struct nn_schedule {
    nn_schedule_kind kind;
    float rate;      /* the largest */
    uint64_t warmup; /* the first steps, in which the rate grows linearly */
    uint64_t steps;  /* NN_COSINE: of the whole training */
    uint64_t every;  /* NN_STEP: after so many steps the rate is multiplied by `factor`, again and again */
    float factor;
} nn_schedule;

/* The rate of a step, the first of which is 0. In the warm-up it is (step + 1) / warmup of what it would be without.
 *
 * NN_CONSTANT  rate
 * NN_STEP      rate * factor^floor(step / every)                             (torch.optim.lr_scheduler.StepLR)
 * NN_COSINE    rate * (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2      (CosineAnnealingLR, after the warm-up)
 *              and 0 from `steps` on; rate in the warm-up */
float nn_schedule_rate(const nn_schedule *schedule, uint64_t step);

#endif
