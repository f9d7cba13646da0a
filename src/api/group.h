/* SPDX-License-Identifier: MIT */
/* Calls with a group: the sums of this rank's part, one collective, and then the outputs from the sums of all. */
#ifndef BN_GROUP_H
#define BN_GROUP_H

#include "sync/sync.h"

static inline bool bn_group_is_good(const batchnorm_group *group) {
    return group->size == sizeof *group && group->ranks >= 1 && group->rank >= 0 && group->rank < group->ranks && group->gather;
}

/* A forward or backward of a group. A part without samples has a geometry without elements. */
struct bn_group_call {
    batchnorm_group *group;
    const struct bn_geometry *g;
    struct bn_exec exec;
    batchnorm_status status; /* what is already wrong with this rank */
    char *why;               /* BN_SYNC_TEXT long */
};

/* Runs a forward. Its statistics, of all ranks, go to job->done, and where this rank has no elements, too, to save_mean and
 * save_rstd. */
batchnorm_status bn_group_forward(const struct bn_group_call *call, const struct bn_forward *job, bool allow_one_value);
size_t bn_group_forward_bytes(const struct bn_geometry *g, const struct bn_forward *job);

/* Runs a backward. */
batchnorm_status bn_group_backward(const struct bn_group_call *call, const struct bn_backward *job);
size_t bn_group_backward_bytes(const struct bn_geometry *g, const struct bn_backward *job);

#endif
