/* SPDX-License-Identifier: MIT */
/* The checks that raw calls and layers share. None of them loops over elements. */
#ifndef BN_CHECK_H
#define BN_CHECK_H

#include "plan/job.h"

/* Checks that every array and the mask of g lie inside the address space: TOO_LARGE. Sets where each array lies, on which the
 * checks below depend. */
batchnorm_status bn_check_sizes(struct bn_geometry *g);

/* Checks a mask: that it is given in one way, and that no length is longer than its dim. BAD_OPTION. */
batchnorm_status bn_check_mask(const struct bn_geometry *g);

/* Checks that neither an array whose bit is set in `outputs`, nor numbers that are written, nor the caller's workspace lie
 * where the mask does, from its first byte to its last. */
struct bn_fault;
struct bn_numbers;
batchnorm_status bn_check_mask_apart(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count,
                                     const batchnorm_exec *exec, struct bn_fault *fault);

/* The two that a check found sharing memory, as indices of arrays of the geometry, or from BN_FAULT_NUMBERS on of numbers. For
 * BAD_STRIDE both are the array. A check writes it only when it fails with OVERLAP or BAD_STRIDE. */
struct bn_fault {
    int what, with;
};

#define BN_MAX_NUMBERS 8

enum {
    BN_FAULT_NUMBERS = BN_ARRAYS,
    BN_FAULT_WORKSPACE = BN_FAULT_NUMBERS + BN_MAX_NUMBERS, /* the caller's */
    BN_FAULT_LAYER,                                         /* memory of the layer itself */
    BN_FAULT_MASK
};

/* Checks the arrays whose bit is set in `outputs`. No two elements of one may share an address, and it must not share memory
 * with another array of g, except that it may be the very same array as one whose bit is set in `alias`. Arrays with data NULL
 * are not there. */
batchnorm_status bn_check_outputs(const struct bn_geometry *g, unsigned outputs, unsigned alias, struct bn_fault *fault);

/* Checks that the `bytes` bytes at data (NULL: nothing) meet none of the arrays whose bit is set. `what` names them in the
 * fault. */
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

/* Checks that neither an array whose bit is set in `outputs` shares memory with numbers, nor numbers that are written with any
 * array or with other numbers. There may be BN_MAX_NUMBERS of them. Arrays among themselves are bn_check_outputs()'s. */
batchnorm_status bn_check_numbers(const struct bn_geometry *g, unsigned outputs, const struct bn_numbers *numbers, int count,
                                  struct bn_fault *fault);

/* Checks that a workspace, or an output, has no byte in common with memory of a layer. NULL has none. */
batchnorm_status bn_check_bytes(const void *workspace, size_t workspace_bytes, const void *own, size_t own_bytes,
                                struct bn_fault *fault);

/* Checks that the caller's workspace, if there is one, meets neither arrays nor numbers. */
batchnorm_status bn_check_workspace(const struct bn_geometry *g, const struct bn_numbers *numbers, int count,
                                    const batchnorm_exec *exec, struct bn_fault *fault);

/* Writes the sentence for OVERLAP or BAD_STRIDE, with the names of the two, and returns `text`. */
enum { BN_FAULT_TEXT = 160 };
const char *bn_fault_text(batchnorm_status status, const struct bn_fault *fault, const char *const *arrays,
                          const struct bn_numbers *numbers, char text[BN_FAULT_TEXT]);

/* Checks what does not depend on data: the size, the rules, that momentum is not NaN. */
batchnorm_status bn_check_options(const batchnorm_options *options);

/* Checks that the kind is known and its parameter in its range. */
batchnorm_status bn_check_activation(batchnorm_activation activation);

/* Checks that eps > 0 with batch statistics, eps >= 0 otherwise. */
batchnorm_status bn_check_eps(double eps, bool batch_statistics);

#endif
