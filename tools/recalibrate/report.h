/* SPDX-License-Identifier: MIT */
/* What a recalibration tells. */
#ifndef TOOLS_RECALIBRATE_REPORT_H
#define TOOLS_RECALIBRATE_REPORT_H

#include "layers.h"
#include "scale.h"

struct outcome {
    const struct recalibrate_request *request;
    const struct layers *layers;
    const struct drift *drift;          /* of each layer: of what was taken from what it had */
    const struct drift *before, *after; /* with --svg, of the model as it is and as it was written; NULL: not measured */
    size_t samples, left_out, batches;  /* samples 0: they were counted elsewhere */
    uint64_t in_files;
    batchnorm_fold_counts counts; /* of the file that was written */
    const char *runtime;          /* its version; NULL: none was needed */
    const struct scale *scale;    /* of pixels; NULL: there were none, or they stayed as they are */
};

void report_print(const struct outcome *outcome);
/* How many batch norms stay as they are. */
size_t report_left(const struct outcome *outcome);

#endif
