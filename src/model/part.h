/* SPDX-License-Identifier: MIT */
/* A part of a graph as a model of its own: what lies behind the batch norms of one depth and before those of another, so that
 * statistics of these can be taken. What it takes from before is its inputs. */
#ifndef BN_PART_H
#define BN_PART_H

#include "model/statistics.h"

struct bn_part_plan {
    const struct bn_sites *sites;
    int32_t first, last;        /* nodes of depths first to last - 1 */
    int32_t behind;             /* statistics are taken of batch norms of depths behind + 1 to last */
    bool sums;                  /* count, mean and M2 of what each batch norm normalizes are outputs, and not that itself */
    bool normalizes;            /* batch norms inside use the statistics of their batch */
    bool whole;                 /* all nodes and outputs of the model stay */
    bool separate;              /* see bn_statistics_write() */
    bn_new_statistics stats;    /* of batch norms inside; NULL: those of the file */
    bool *selected;             /* nodes, from sites->first on */
    uint32_t *inputs, *outputs; /* values */
    size_t input_count, output_count;
};

/* Finds nodes, inputs and outputs of a plan whose first members are set. Returns OK or NO_MEMORY. Free it in any case. */
batchnorm_status bn_part_select(struct bn_part_plan *part);
void bn_part_free(struct bn_part_plan *part);

/* Makes the changes of the file that leave this part. `types` [input_count]: of inputs that are none of the model, as ONNX
 * numbers them. With inlines, external data that stay come into the model, so that it needs no file beside it. Returns OK,
 * NO_MEMORY, IO or BAD_OPTION, with `why`. */
batchnorm_status bn_part_changes(const struct bn_part_plan *part, struct bn_writer *w, const int32_t *types, bool inlines,
                                 char *why);

/* Whether statistics of a batch norm are taken at the end of this part, or in it. */
bool bn_part_has_norm(const struct bn_part_plan *part, size_t norm);

/* sums.c: adds the nodes that compute them before a batch norm, the outputs, and what the batch norm takes instead. Returns OK
 * or BAD_OPTION, with `why`. */
batchnorm_status bn_sums_write(const struct bn_part_plan *part, struct bn_writer *w, size_t norm, char *why);

#endif
