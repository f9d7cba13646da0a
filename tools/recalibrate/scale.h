/* SPDX-License-Identifier: MIT */
/* What becomes of the pixels of images, which are 0 to 255: (pixel / 255 - mean) / std. */
#ifndef TOOLS_RECALIBRATE_SCALE_H
#define TOOLS_RECALIBRATE_SCALE_H

#include "batchnorm/model.h"
#include "request.h"

enum scale_source { SCALE_USUAL, SCALE_OPTION, SCALE_METADATA };

struct scale {
    struct channel_numbers mean, std;
    enum scale_source mean_from, std_from;
};

/* What the options say, else the metadata of a model, as `batchnorm export` writes them, else 0 and 1. Metadata of these names
 * that cannot be meant are told on stderr. */
struct scale scale_find(const struct recalibrate_request *request, const batchnorm_model *model, size_t channels);

#endif
