/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm apply. */
#ifndef TOOLS_APPLY_REQUEST_H
#define TOOLS_APPLY_REQUEST_H

#include "tools/shared/options.h"
#include "tools/shared/outputs.h"

enum { OUT_Y, OUT_DX, OUT_DWEIGHT, OUT_DBIAS, OUT_STATE, OUTPUTS };

struct request {
    struct option_arguments arguments;
    const char *x, *dy, *state, *prefix; /* of the state's keys; "" if none was given */
    const char *state_file;              /* its part of `state` */
    char state_path[4096], state_prefix[256];
    batchnorm_layer_options layer; /* without num_features and dtype, which x decides */
    bool has_eps, has_momentum, eval, channels_last, convert, print;
    batchnorm_dtype dtype; /* if convert */
    int threads;
    struct output outputs[OUTPUTS];
};

extern const struct option_table apply_options;

#endif
