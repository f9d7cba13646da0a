/* SPDX-License-Identifier: MIT */
/* Sums of several ranks: what each brings, and the sums of all. */
#ifndef BN_SYNC_H
#define BN_SYNC_H

#include "batchnorm/sync.h"
#include "plan/job.h"

enum bn_sync_verb { BN_SYNC_FORWARD = 1, BN_SYNC_BACKWARD };

/* What a rank brings to a call. All must agree about it but for the last three. */
struct bn_part {
    enum bn_sync_verb verb;
    size_t channels;
    batchnorm_dtype dtype;
    size_t grain;
    unsigned flags;
    size_t first, samples; /* the first sample's number among those of all parts */
    batchnorm_status status;
};

enum { BN_SYNC_HEADER = 16, BN_SYNC_TEXT = 200 };

/* What was gathered; it is the transport's. */
struct bn_all {
    struct bn_part part; /* this rank's */
    int ranks;
    const char *bytes;
    const size_t *counts;
};

/* Returns how many nodes a part has, and how many doubles they are for each channel. */
size_t bn_part_nodes(const struct bn_part *part);
static inline size_t bn_part_numbers(const struct bn_part *part) { return part->verb == BN_SYNC_FORWARD ? 3 : 2; }

/* Returns the doubles of a message, after BN_SYNC_HEADER of which the nodes begin; SIZE_MAX if they do not fit. */
size_t bn_part_doubles(const struct bn_part *part);

/* Gathers from all ranks. `message` has the nodes of this one; where part->status says that it has none, it has room for the
 * header. Returns OK; part->status; MISMATCH, RANK_FAILED or TRANSPORT, with a sentence in `why`, which else
 * stays. */
batchnorm_status bn_sync_gather(batchnorm_group *group, const struct bn_part *part, double *message, struct bn_all *all,
                                char why[BN_SYNC_TEXT]);

/* Returns whether any rank has values, be they masked or not. */
bool bn_all_have_values(const struct bn_all *all);

/* Folds the nodes of all ranks. Returns the count of values. */
double bn_all_stats(const struct bn_all *all, batchnorm_stat *stats);
double bn_all_sums(const struct bn_all *all, batchnorm_sum *sums);

#endif
