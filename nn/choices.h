/* SPDX-License-Identifier: MIT */
/* The names of choices, as options and checkpoints spell them: indexed by the enum where there is one, NULL at the end. */
#ifndef NN_CHOICES_H
#define NN_CHOICES_H

#include "batchnorm/batchnorm.h"

extern const char *const nn_model_words[];      /* nn_model_kind */
extern const char *const nn_depth_words[];      /* of a resnet: "8", "14", "20" */
extern const char *const nn_norm_words[];       /* nn_norm */
extern const char *const nn_activation_words[]; /* nn_activation */
extern const char *const nn_memory_words[];     /* nn_memory */
extern const char *const nn_optimizer_words[];  /* nn_optimizer_kind */
extern const char *const nn_fit_words[];        /* nn_fit */
extern const char *const nn_schedule_words[];   /* nn_schedule_kind */

/* An activation of the library, with the parameter that it has where none is said: slope 0.01, ceiling 6. */
batchnorm_activation nn_usual_activation(batchnorm_activation_kind kind);
/* Whether its backward can do with y alone. */
bool nn_is_told_by_y(batchnorm_activation_kind kind);

#endif
