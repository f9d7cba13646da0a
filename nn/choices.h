/* SPDX-License-Identifier: MIT */
/* The names of choices, as options and checkpoints spell them: indexed by the enum where there is one, NULL at the end. */
#ifndef NN_CHOICES_H
#define NN_CHOICES_H

extern const char *const nn_model_words[];      /* nn_model_kind */
extern const char *const nn_depth_words[];      /* of a resnet: "8", "14", "20" */
extern const char *const nn_norm_words[];       /* nn_norm */
extern const char *const nn_activation_words[]; /* nn_activation */
extern const char *const nn_optimizer_words[];  /* nn_optimizer_kind */
extern const char *const nn_fit_words[];        /* nn_fit */
extern const char *const nn_schedule_words[];   /* nn_schedule_kind */

#endif
