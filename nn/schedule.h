/* SPDX-License-Identifier: MIT */
/* The learning rate of each step. */
#ifndef NN_SCHEDULE_H
#define NN_SCHEDULE_H

#include <stdint.h>

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
