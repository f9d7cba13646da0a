/* SPDX-License-Identifier: MIT */
/* Where batch norms stand, for whoever gives them other statistics: how deep, which of them share their numbers, and which
 * nodes a pass through the graph needs. The depth of a value is how many batch norms are on the longest way to it. What arrives
 * at a batch norm of depth d depends on the statistics of those of smaller depths, and on no others. */
#ifndef BN_SITES_H
#define BN_SITES_H

#include "model/norms.h"

enum { BN_DEPTH_CONSTANT = -1 };

struct bn_site {
    int32_t depth;       /* 0: its statistics cannot be changed */
    size_t twin;         /* the first batch norm that has the same mean and variance; itself */
    struct bn_slice key; /* a name that no other one has: of the node, or of its output */
    char why[BN_NORM_TEXT];
};

/* A value that a node takes. A node with graphs inside takes what they take from around it, too. */
struct bn_take {
    uint32_t node, value;
};

struct bn_sites {
    const struct bn_onnx *o;
    struct bn_norms norms;
    struct bn_site *at; /* [norms.count] */
    uint32_t graph;     /* of the model itself; its nodes are first to last - 1 */
    uint32_t first, last;
    struct bn_take *takes; /* by nodes */
    size_t take_count, take_room;
    int32_t *value_depth; /* of values of the graph; BN_DEPTH_CONSTANT: not from the data */
    int32_t *node_depth;  /* of its nodes, from `first` on */
    int32_t *last_use;    /* of values: the largest depth of a needed node that takes it; -1: none does */
    uint32_t *norm_of;    /* of nodes: the batch norm, if its statistics can be changed; BN_NONE */
    bool *needed;         /* nodes on the way to a batch norm */
    int32_t deepest;
};

/* Finds all of it. Returns OK, NO_MEMORY, IO or BAD_FILE, with `why`: BN_ONNX_BYTES long. Free it in any case. */
batchnorm_status bn_sites_find(struct bn_sites *sites, const struct bn_onnx *onnx, char *why);
void bn_sites_free(struct bn_sites *sites);

/* The takes of a node, one after the other: from bn_sites_takes() on as long as their node is that. */
size_t bn_sites_takes(const struct bn_sites *sites, uint32_t node);

/* What a batch norm normalizes; BN_NONE: nothing that is known. */
uint32_t bn_site_input(const struct bn_sites *sites, size_t norm);

#endif
