/* SPDX-License-Identifier: MIT */
/* Room 1's shared checks. No loop over elements. */
#ifndef BN_CHECK_H
#define BN_CHECK_H

#include "plan/job.h"

/* Whether the byte extents of every array of g fit the address space, relative to their data. Where they do, sets where the
 * arrays lie, which the checks below go by. */
batchnorm_status bn_check_sizes(struct bn_geometry *g);

/* The two that a check found sharing memory, as indices of arrays of the geometry, or from BN_FAULT_NUMBERS on of numbers. For
 * BAD_STRIDE both are the array. Written when a check fails with one of these two, only. */
struct bn_fault {
    int what, with;
};

#define BN_MAX_NUMBERS 8

enum {
    BN_FAULT_NUMBERS = BN_ARRAYS,
    BN_FAULT_WORKSPACE = BN_FAULT_NUMBERS + BN_MAX_NUMBERS, /* the caller's */
    BN_FAULT_LAYER                                          /* memory of the layer itself */
};

/* Outputs (the arrays whose bit is set in `outputs`) must not have two elements at one address, and must not share memory with
 * another array of g, except that an output may be the very same array as one whose bit is set in `alias`. Arrays with data
 * NULL are not there. */
batchnorm_status bn_check_outputs(const struct bn_geometry *g, unsigned outputs, unsigned alias, struct bn_fault *fault);

/* Whether the `bytes` bytes at data (NULL: nothing) meet none of the arrays whose bit is set. `what` is for the fault. */
batchnorm_status bn_check_apart(const struct bn_geometry *g, unsigned arrays, const void *data, size_t bytes, int what,
                                struct bn_fault *fault);

#define BN_MAX_NUMBER_BYTES 32

/* One number per channel, side by side, beside the arrays of a geometry: a parameter, a statistic. data NULL: not there. */
struct bn_numbers {
    const char *name;
    const void *data;
    size_t bytes; /* of one channel; BN_MAX_NUMBER_BYTES at most */
    bool written;
};

/* What is written must not share memory with anything else: neither the arrays whose bit is set in `outputs` with numbers, nor
 * numbers that are written with any array or with other numbers. Arrays among themselves: bn_check_outputs(). At most
 * BN_MAX_NUMBERS. */
batchnorm_status bn_check_numbers(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count,
                                  struct bn_fault *fault);

/* Whether a workspace has no byte in common with memory of a layer. NULL has none. */
batchnorm_status bn_check_bytes(const void *workspace, size_t workspace_bytes, const void *own, size_t own_bytes,
                                struct bn_fault *fault);

/* The caller's workspace, if there is one, must be apart from everything. */
batchnorm_status bn_check_workspace(const struct bn_geometry *g, const struct bn_numbers *numbers, int count,
                                    const batchnorm_exec *exec, struct bn_fault *fault);

/* A sentence for OVERLAP and BAD_STRIDE: what overlaps what, by the names of arrays and numbers. */
enum { BN_FAULT_TEXT = 160 };
const char *bn_fault_text(batchnorm_status status, const struct bn_fault *fault, const char *const *arrays,
                          const struct bn_numbers *numbers, char text[BN_FAULT_TEXT]);

/* Rules of options that do not depend on data: known momentum_rule and running_variance, momentum not NaN. */
batchnorm_status bn_check_options(const batchnorm_options *options);

/* A known kind, whose parameter is in its range. */
batchnorm_status bn_check_activation(batchnorm_activation activation);

/* eps > 0 with batch statistics, eps >= 0 otherwise. */
batchnorm_status bn_check_eps(double eps, bool batch_statistics);

#endif
