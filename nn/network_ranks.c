/* SPDX-License-Identifier: MIT */
/* What ranks tell each other after a backward: for each sum of their piles one vector of all gradients. Every rank adds up all
 * of them in the same order. */
#include <string.h>

#include "network.h"

enum {
    BLOCK = 512, /* floats: a pile of them stays in the cache, and fits the stack of any thread */
    SLOTS = 32   /* of a pile that begins with the first shard: one for each level of the tree */
};

/* Gradients are piles. But where batch norm takes the statistics of each rank alone, each has one sum of its gradients. */
static bool is_chosen(const nn_network *network, const nn_parameter *p, bool of_norm) {
    if (!p->norm) return !of_norm;
    return of_norm && !p->frozen && !network->part.ranks->synchronized;
}

static size_t count_floats(const nn_network *network, bool of_norm) {
    size_t sum = 0;
    for (size_t i = 0; i < network->parameter_count; i++)
        if (is_chosen(network, network->parameters[i], of_norm)) sum += network->parameters[i]->count;
    return sum;
}

/* The sums that layers have made of this rank's shards. */
static nn_pile sums_of(const nn_network *network, size_t n) {
    const size_t before = network->part.first / NN_SHARD;
    nn_pile pile = {.count = 0};
    for (size_t first = 0; first < n; first += NN_SHARD) nn_pile_push(&pile, (nn_sum){before + first / NN_SHARD, 0});
    return pile;
}

static void write_vectors(const nn_network *network, bool of_norm, size_t count, char *to) {
    for (size_t slot = 0; slot < count; slot++)
        for (size_t i = 0; i < network->parameter_count; i++) {
            const nn_parameter *p = network->parameters[i];
            if (!is_chosen(network, p, of_norm)) continue;
            memcpy(to, nn_parameter_slot(p, slot), p->count * sizeof(float));
            to += p->count * sizeof(float);
        }
}

/* Some elements of a vector, as a pile. */
struct block {
    size_t count;
    float slot[SLOTS][BLOCK];
};

static void add_blocks(void *user, size_t to, size_t from) {
    struct block *block = user;
    for (size_t i = 0; i < block->count; i++) block->slot[to][i] += block->slot[from][i];
}

static void fold_block(const nn_ranks *ranks, size_t vector_bytes, size_t at, size_t count, float *sum) {
    struct block block; /* not set to 0, which would take longer than what follows */
    nn_pile pile = {.add = add_blocks, .user = &block};
    block.count = count;
    for (int i = 0; i < ranks->group.ranks; i++) {
        const nn_brought brought = nn_ranks_brought(ranks, i, vector_bytes);
        for (size_t j = 0; j < brought.count; j++) {
            memcpy(block.slot[pile.count], brought.slots + j * vector_bytes + at * sizeof(float), count * sizeof(float));
            nn_pile_push(&pile, nn_brought_sum(&brought, j));
        }
    }
    nn_pile_fold(&pile);
    memcpy(sum, block.slot[0], count * sizeof(float));
}

static void fold(const nn_network *network, bool of_norm, size_t vector_bytes) {
    size_t at = 0;
    for (size_t i = 0; i < network->parameter_count; i++) {
        const nn_parameter *p = network->parameters[i];
        if (!is_chosen(network, p, of_norm)) continue;
#pragma omp parallel for schedule(static)
        for (size_t b = 0; b < p->count; b += BLOCK)
            fold_block(network->part.ranks, vector_bytes, at + b, p->count - b < BLOCK ? p->count - b : BLOCK, p->grad + b);
        at += p->count;
    }
}

static nn_error exchange(const nn_network *network, bool of_norm, const nn_pile *pile) {
    const size_t vector_bytes = count_floats(network, of_norm) * sizeof(float);
    if (vector_bytes == 0) return NULL;
    char *slots = nn_ranks_bring(network->part.ranks, pile, vector_bytes);
    if (!slots) return NN_NO_MEMORY;
    write_vectors(network, of_norm, pile->count, slots);
    const nn_error error = nn_ranks_gather_sums(network->part.ranks, NN_GRADIENTS, vector_bytes, SLOTS);
    if (!error) fold(network, of_norm, vector_bytes);
    return error;
}

nn_error nn_network_sum_ranks(nn_network *network, size_t n) {
    const nn_pile pile = sums_of(network, n), one = {.count = 1, .sum = {{(size_t)nn_rank(network->part.ranks), 0}}};
    const nn_error error = exchange(network, false, &pile);
    return error ? error : exchange(network, true, &one);
}
