/* SPDX-License-Identifier: MIT */
#include "shards.h"

nn_range nn_part_of(size_t total, size_t shard, int rank, int ranks) {
    const size_t shards = total / shard + (total % shard != 0), all = (size_t)ranks, own = (size_t)rank;
    const size_t each = shards / all, more = shards % all, before = own * each + (own < more ? own : more);
    const size_t first = before * shard, room = (each + (own < more)) * shard;
    if (first >= total) return (nn_range){total, 0};
    return (nn_range){first, total - first < room ? total - first : room};
}

static void add_last(nn_pile *pile) {
    pile->count--;
    if (pile->add) pile->add(pile->user, pile->count - 1, pile->count);
}

void nn_pile_push(nn_pile *pile, nn_sum sum) {
    pile->sum[pile->count++] = sum;
    while (pile->count > 1) {
        nn_sum *left = &pile->sum[pile->count - 2];
        if (left[0].level != left[1].level || (left[0].at >> left[0].level & 1) != 0) return;
        add_last(pile);
        left->level++;
    }
}

void nn_pile_fold(nn_pile *pile) {
    while (pile->count > 1) add_last(pile);
}

size_t nn_pile_slots(size_t first_shard, size_t shards) {
    nn_pile pile = {.count = 0};
    size_t most = 0;
    for (size_t i = 0; i < shards; i++) {
        if (pile.count >= most) most = pile.count + 1;
        nn_pile_push(&pile, (nn_sum){first_shard + i, 0});
    }
    return most;
}
