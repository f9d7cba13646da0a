/* SPDX-License-Identifier: MIT */
/* The command line of batchnorm recalibrate. */
#ifndef TOOLS_RECALIBRATE_REQUEST_H
#define TOOLS_RECALIBRATE_REQUEST_H

#include "nn/image.h"
#include "tools/shared/options.h"

enum recalibrate_method { METHOD_EXACT, METHOD_BATCH };

/* Numbers for each channel of an image: one for all, or three. */
struct channel_numbers {
    double at[3];
    int count; /* 0: not given */
};

struct recalibrate_request {
    struct option_arguments files; /* the model; with --merge files of statistics, too */
    const char *output, *data, *svg, *runtime;
    enum recalibrate_method method;
    bool has_method;
    bool check, instrument, merge, separate, explain, json, require_all, follow_symlinks;
    int64_t depth, batch, limit, memory; /* 0: not given, but for memory: MiB */
    struct channel_numbers mean, std;
    nn_size size;
    bool has_size;
    int threads; /* 0: as many as there are cores */
};

/* Reads one number, or three with a character between; false if they are none. */
bool channel_numbers_parse(const char *text, char between, bool positive, struct channel_numbers *numbers);

extern const struct option_table recalibrate_options;

#endif
