/* SPDX-License-Identifier: MIT */
/* The words for choices, on the command line and in checkpoints: the word of a value is words[value]; NULL ends them. */
#ifndef TOOLS_TRAIN_WORDS_H
#define TOOLS_TRAIN_WORDS_H

extern const char *const model_words[];      /* of nn_model_kind */
extern const char *const norm_words[];       /* of nn_norm */
extern const char *const activation_words[]; /* of nn_activation */
extern const char *const optimizer_words[];  /* of nn_optimizer_kind */
extern const char *const schedule_words[];   /* of nn_schedule_kind */

/* The value of a word; -1 if it is none of them. */
int word_value(const char *const *words, const char *text);

#endif
