/* SPDX-License-Identifier: MIT */
/* What raw calls share: how they take their structs, how they put arrays into a geometry, and how they end, with a status and,
 * where the caller wants one, a sentence. */
#ifndef BN_RAW_H
#define BN_RAW_H

#include "api/call.h"
#include "api/shape.h"
#include "api/sized.h"

struct bn_raw {
    struct bn_call k;
    const batchnorm_exec *exec; /* NULL, or one that this library knows */
    batchnorm_exec place;
    batchnorm_options options;
    struct bn_exec run;
};

/* Takes the caller's exec and call. Returns the call as this library knows it, or NULL with a status that has been told. */
const void *bn_raw_begin(struct bn_raw *r, const batchnorm_exec *exec, const void *call, void *place, size_t known,
                         batchnorm_status *status);

static inline bool bn_has_elements(const batchnorm_shape *shape) { return shape->outer && shape->channels && shape->inner; }

/* Takes the caller's options, or PyTorch's: BAD_OPTION. */
batchnorm_status bn_raw_options(struct bn_raw *r, const batchnorm_options *options);

/* Starts a call's geometry: BAD_DTYPE, TOO_LARGE. */
batchnorm_status bn_call_start(struct bn_call *k, const batchnorm_shape *shape, unsigned outputs, unsigned alias);

static inline void bn_call_reads(struct bn_call *k, int index, batchnorm_input array) {
    bn_geometry_add_array(&k->g, index, array.data, array.strides);
}

static inline void bn_call_writes(struct bn_call *k, int index, batchnorm_output array) {
    bn_geometry_add_array(&k->g, index, array.data, array.strides);
}

/* For the question how much scratch a call takes: arrays that are needed count as there. */
void bn_call_pretend(struct bn_call *k, unsigned needed);

/* The answer: 0 for what does not fit. */
static inline size_t bn_scratch(size_t bytes) { return bytes == SIZE_MAX ? 0 : bytes; }

/* Ends with NULL_POINTER; `needed` names what must not be NULL. */
batchnorm_status bn_raw_missing(const struct bn_raw *r, const char *needed);

/* Ends with what a check or plan returned. */
batchnorm_status bn_raw_end(const struct bn_raw *r, batchnorm_status status);

#endif
