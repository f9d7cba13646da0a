/* SPDX-License-Identifier: MIT */
/* A batch is cut into shards of NN_SHARD samples, of which only the last may be shorter. What is computed of weights goes shard
 * by shard, and what is summed over samples is summed in each of them and then in a binary tree over their numbers. So nothing
 * depends on where a batch is cut between ranks, as long as it is cut between shards.
 *
 *     shards 0 1 2 3 4 5 6:  ((0 1)(2 3)) ((4 5) 6)        a rank that has 3 to 6 brings the sums 3, (4 5) and 6 */
#ifndef NN_SHARDS_H
#define NN_SHARDS_H

#include <stddef.h>

/* Of 16 samples every shard begins on a line of the cache, and as few as that keep a convolution busy. */
enum { NN_SHARD = 16 };

/* Samples of a batch, or shards, that follow each other. */
typedef struct nn_range {
    size_t first, count;
} nn_range;

/* Which samples of `total` a rank has: whole shards of `shard` samples, and no rank has more than one shard more than another.
 * Those that have more come first, so that rank 0 has some where any has. */
nn_range nn_part_of(size_t total, size_t shard, int rank, int ranks);

/* How many samples a shard has that begins with sample `first` of n. */
static inline size_t nn_shard_size(size_t n, size_t first) { return n - first < NN_SHARD ? n - first : NN_SHARD; }

/* The sum of 2^level shards, of which `at` is the first. */
typedef struct nn_sum {
    size_t at, level;
} nn_sum;

/* Sums that follow each other and are not added yet. Sum i stands in slot i, wherever that is. */
enum { NN_PILE_MAX = 64 };
typedef struct nn_pile {
    size_t count;
    nn_sum sum[NN_PILE_MAX];
    void (*add)(void *user, size_t to, size_t from); /* slot `to` += slot `from`; NULL: it is only counted */
    void *user;
} nn_pile;

/* One more sum, which is in slot pile->count, and follows the last. */
void nn_pile_push(nn_pile *pile, nn_sum sum);
/* What is left at the end of a batch, from its end: all is in slot 0 then. */
void nn_pile_fold(nn_pile *pile);
/* How many slots it takes at most to push so many shards, one by one. */
size_t nn_pile_slots(size_t first_shard, size_t shards);

#endif
