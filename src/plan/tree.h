/* SPDX-License-Identifier: MIT */
/* The order in which the sums of chunks are merged: a binary tree over their numbers, of which any part may be done alone.
 * Chunks [at, at + 2^level) are a node where 2^level divides at; its halves are merged, the first with the second. What is no
 * whole node at the end of all chunks is merged from the right. So the sums of any parts of a batch, as nodes in their order,
 * give the bits that the whole gives.
 *
 *     chunks 0 1 2 3 4 5 6:  ((0 1)(2 3)) ((4 5) 6)        of chunks 0 to 2 alone the nodes are (0 1) and 2 */
#ifndef BN_TREE_H
#define BN_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A node: where it is, where its numbers are, and how many values it has. */
struct bn_node {
    uint64_t at;
    int level;
    size_t slot;
    double count;
};

/* Nodes that follow each other and are not merged yet. Of chunks without a gap there are never more than two for each level. */
enum { BN_TREE_MAX = 128 };
struct bn_tree {
    int nodes;
    struct bn_node node[BN_TREE_MAX];
};

static inline void bn_tree_start(struct bn_tree *t) { t->nodes = 0; }

static inline void bn_tree_push(struct bn_tree *t, uint64_t at, int level, size_t slot, double count) {
    t->node[t->nodes++] = (struct bn_node){at, level, slot, count};
}

/* Returns whether the last two nodes are the halves of another one. */
static inline bool bn_tree_joins(const struct bn_tree *t) {
    if (t->nodes < 2) return false;
    const struct bn_node *a = &t->node[t->nodes - 2];
    return a[0].level == a[1].level && (a[0].at >> a[0].level & 1) == 0;
}

/* Drops the last node, whose numbers were merged into those of the one before it. */
static inline void bn_tree_pop(struct bn_tree *t) {
    struct bn_node *a = &t->node[--t->nodes - 1];
    a->count += t->node[t->nodes].count;
    if (a->level == t->node[t->nodes].level) a->level++;
}

/* Returns how many nodes the chunks [first, end) have, and where: at most BN_TREE_MAX. */
static inline int bn_tree_cover(uint64_t first, uint64_t end, struct bn_node *node) {
    int nodes = 0;
    while (first < end) {
        int level = 0;
        while (level < 62 && !(first >> level & 1) && end - first >= (uint64_t)2 << level) level++;
        node[nodes++] = (struct bn_node){.at = first, .level = level};
        first += (uint64_t)1 << level;
    }
    return nodes;
}

#endif
