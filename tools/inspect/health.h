/* SPDX-License-Identifier: MIT */
/* What is unhealthy about a batch norm, in words. */
#ifndef TOOLS_INSPECT_HEALTH_H
#define TOOLS_INSPECT_HEALTH_H

#include <stdbool.h>

#include "batchnorm/model.h"

enum { HEALTH_BYTES = 320 };

/* Writes "ok" or what is wrong, and what is only worth a remark; returns how many things are wrong. */
int health_text(const batchnorm_model_norm *norm, bool is_state, char text[HEALTH_BYTES]);

/* The key of an illness in JSON, such as "var_below_eps". */
const char *health_key(int illness);

/* The word of an outcome in JSON, such as "before". */
const char *fold_word(batchnorm_fold_outcome outcome);

#endif
