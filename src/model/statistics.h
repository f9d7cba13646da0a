/* SPDX-License-Identifier: MIT */
/* Other means and variances in the place of those that a model has. */
#ifndef BN_STATISTICS_H
#define BN_STATISTICS_H

#include "batchnorm/stats.h"
#include "model/sites.h"
#include "model/write.h"

/* What a batch norm gets: a value for each channel; NULL: its statistics stay. */
typedef const batchnorm_stat *const *bn_new_statistics;

/* Checks that all of them have counts, and are finite, in the types of the file, too. Returns OK or BAD_OPTION, with `why`. */
batchnorm_status bn_statistics_check(const struct bn_sites *sites, bn_new_statistics stats, char *why);

/* Makes the changes: mean and m2 / count, rounded once. Batch norms that share both get what the first of them gets, in the
 * tensors that they share, or if `separate` each its own in tensors of its own. `selected` [nodes from sites->first on]: only
 * these get them; NULL: all. */
void bn_statistics_write(struct bn_writer *w, const struct bn_sites *sites, bn_new_statistics stats, bool separate,
                         const bool *selected);

/* The type of a batch norm's mean (3) or variance (4). */
int32_t bn_statistics_type(const struct bn_sites *sites, size_t norm, uint32_t input);

#endif
