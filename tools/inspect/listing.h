/* SPDX-License-Identifier: MIT */
/* The batch norms of a file: those of a graph, or of a state, whichever framework has named its tensors. */
#ifndef TOOLS_INSPECT_LISTING_H
#define TOOLS_INSPECT_LISTING_H

#include "tools/shared/model_file.h"

struct renamed; /* what one of another framework is read from */

struct listed {
    batchnorm_model_norm norm;
    const char *convention; /* "keras"; NULL: it is of a graph */
    struct renamed *from;   /* NULL: it is one of the model's own */
};

struct listing {
    struct listed *at;
    size_t count;
    bool is_state;
    bool is_mixed; /* they are of several conventions */
};

/* Lists them in the order of their variances. eps: of those of a state, 0: that of the file, if it tells. False: message,
 * BATCHNORM_MODEL_MESSAGE bytes long. Free it in any case, before the file is closed. */
bool listing_open(struct listing *listing, const struct model_file *file, double eps, char *message);
void listing_free(struct listing *listing);

#endif
