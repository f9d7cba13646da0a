/* SPDX-License-Identifier: MIT */
/* A conversion: a state, its batch norms, and what becomes of them. */
#ifndef TOOLS_CONVERT_CONVERSION_H
#define TOOLS_CONVERT_CONVERSION_H

#include "metadata.h"
#include "request.h"
#include "tools/shared/state_norms.h"

struct conversion {
    const struct convert_request *request;
    struct state state;
    struct norms norms;            /* as they are spelled in the file */
    const struct convention *from; /* what they mean; with a file of a program that is another than of the spelling */
    const struct convention *to;
    bool has_format;                 /* the file is of a program's own format, which tells whose batch norms these are */
    bool was_unbiased, is_unbiased;  /* running variances, before and after */
    char eps[METADATA_NUMBER_BYTES]; /* of all layers; empty: not told, or each has its own */
    bool has_own_eps;
    size_t divided;                       /* layers whose statistics had a factor */
    size_t fixed;                         /* whose gamma was read as 1 */
    size_t moved;                         /* whose num_batches_tracked went into the metadata */
    size_t filled;                        /* arrays that were added */
    char momentum[METADATA_NUMBER_BYTES]; /* as the new convention counts it */
    struct metadata metadata;
};

/* numbers.c: what changes numbers: the factor of Caffe, gammas that are not used, running variances. */
bool conversion_numbers(struct conversion *c);

/* layout.c: the names and the order of the tensors, and those that are missing. */
bool conversion_layout(struct conversion *c);

/* told.c: what the file and the request tell of eps, momentum and more, to the metadata. */
bool conversion_told(struct conversion *c);

#endif
