/* SPDX-License-Identifier: MIT */
/* The middle of every call, raw or of a layer: what may share memory with what, what a backward needs, and the job that a call
 * asks for. */
#ifndef BN_CALL_H
#define BN_CALL_H

#include "api/check.h"

/* Memory: `bytes` bytes from `data` on. */
struct bn_bytes {
    const void *data;
    size_t bytes;
};

enum { BN_OWN = 2 };

/* A call on its way to plan. */
struct bn_call {
    struct bn_geometry g;
    unsigned outputs, alias; /* arrays; see bn_check_outputs() */
    int count;
    struct bn_numbers numbers[BN_MAX_NUMBERS];
    struct bn_bytes own[BN_OWN]; /* memory of a layer, which outputs and a workspace must not meet; of a raw call nothing */
    struct bn_fault fault;
};

/* Adds parameters of the call's type, or statistics in double; data may be NULL. */
void bn_call_parameter(struct bn_call *k, const char *name, const void *data, bool written);
void bn_call_statistic(struct bn_call *k, const char *name, const double *data, bool written);

/* Checks the strides of outputs and what shares memory: BAD_STRIDE, OVERLAP. bn_check_sizes() must have passed. */
batchnorm_status bn_call_check(struct bn_call *k, const batchnorm_exec *exec);

/* What a backward needs depends on what is there and what is wanted. */
struct bn_needs {
    bool anything; /* is wanted */
    bool x, y, z;  /* are read: y to gate dy, and without y, z to compute v again */
    bool from_y;   /* y is read in the place of x */
};
struct bn_needs bn_backward_needs(const batchnorm_backward_call *call);

/* Returns whether x, where it is needed, is taken from y: there is no x, and nothing that cannot be undone followed the
 * normalization. */
bool bn_goes_from_y(const batchnorm_backward_call *call);

/* Checks that y has enough digits for that in every channel. Returns OK, or BAD_OPTION with a sentence in `why`. */
enum { BN_FROM_Y_TEXT = 200 };
batchnorm_status bn_check_from_y(const struct bn_geometry *g, const batchnorm_backward_call *call, char why[BN_FROM_Y_TEXT]);

/* Returns the job that a call asks for. Arrays are taken from the geometry, never from the call. */
struct bn_infer bn_infer_job(const struct bn_geometry *g, const batchnorm_infer_call *call, double eps);
struct bn_forward bn_forward_job(const struct bn_geometry *g, const batchnorm_forward_call *call, double eps);
struct bn_backward bn_backward_job(const struct bn_geometry *g, const batchnorm_backward_call *call);
struct bn_jvp bn_jvp_job(const struct bn_geometry *g, const batchnorm_jvp_call *call);
struct bn_double_backward bn_double_backward_job(const struct bn_geometry *g, const batchnorm_double_backward_call *call);

#endif
