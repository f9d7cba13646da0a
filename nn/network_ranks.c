/* SPDX-License-Identifier: MIT */
/* What ranks tell each other after a backward. All gradients are one vector, of which a rank has one for each sum of its pile.
 * Every rank gets the same part of all these vectors, adds it up, and gives the result to all:
 *
 *     rank 0 has  a0 b0 c0      gets a0 a1 a2, of all of which it makes a;  everybody then has  a b c
 *     rank 1 has  a1 b1 c1      gets b0 b1 b2                           b
 *     rank 2 has  a2 b2 c2      gets c0 c1 c2                           c
 *
 * So each sends and gets about two vectors, however many ranks there are. */
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

/* What an exchange is about. */
struct gradients {
    const nn_network *network;
    bool of_norm;      /* those of batch norm, else all others */
    size_t count;      /* floats of a vector */
    const float *from; /* the parts of all vectors that are this rank's to add up */
    float *sum;        /* of them */
    size_t sum_count;
    const size_t *counts; /* vectors of each rank */
    const nn_sum *sums;   /* what they are sums of, NN_PILE_MAX for each rank */
};

static nn_range part_of(const struct gradients *g, int rank) {
    return nn_part_of(g->count, BLOCK, rank, nn_rank_count(g->network->part.ranks));
}

/* A part of vector `slot` goes to one place; or, if that is NULL, comes from another and becomes the gradients. */
static void move_part(const struct gradients *g, nn_range part, size_t slot, float *to, const float *from) {
    size_t at = 0;
    for (size_t i = 0; i < g->network->parameter_count; i++) {
        const nn_parameter *p = g->network->parameters[i];
        if (!is_chosen(g->network, p, g->of_norm)) continue;
        const size_t first = part.first > at ? part.first - at : 0, end = part.first + part.count - at;
        if (first < p->count && part.first + part.count > at) {
            const size_t count = (end < p->count ? end : p->count) - first;
            if (to) {
                memcpy(to, nn_parameter_slot(p, slot) + first, count * sizeof *to);
                to += count;
            } else {
                memcpy(p->grad + first, from, count * sizeof *from);
                from += count;
            }
        }
        at += p->count;
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

static void fold_block(const struct gradients *g, size_t at, size_t count) {
    struct block block; /* not set to 0, which would take longer than what follows */
    nn_pile pile = {.add = add_blocks, .user = &block};
    const float *from = g->from + at;
    block.count = count;
    for (int i = 0; i < nn_rank_count(g->network->part.ranks); i++)
        for (size_t j = 0; j < g->counts[i]; j++, from += g->sum_count) {
            memcpy(block.slot[pile.count], from, count * sizeof *from);
            nn_pile_push(&pile, g->sums[(size_t)i * NN_PILE_MAX + j]);
        }
    nn_pile_fold(&pile);
    memcpy(g->sum + at, block.slot[0], count * sizeof *g->sum);
}

/* Tells all ranks which sums each of them has. */
static nn_error tell_sums(nn_ranks *ranks, const nn_pile *pile, size_t *counts, nn_sum *sums) {
    if (!nn_ranks_bring(ranks, pile, 0)) return NN_NO_MEMORY;
    const nn_error error = nn_ranks_gather_sums(ranks, NN_GRADIENTS, 0, SLOTS);
    for (int i = 0; !error && i < ranks->group.ranks; i++) {
        const nn_brought brought = nn_ranks_brought(ranks, i, 0);
        counts[i] = brought.count;
        for (size_t j = 0; j < brought.count; j++) sums[(size_t)i * NN_PILE_MAX + j] = nn_brought_sum(&brought, j);
    }
    return error;
}

/* Everybody has all of the vector then. */
static nn_error gather_parts(const struct gradients *g) {
    nn_ranks *ranks = g->network->part.ranks;
    void *message = nn_ranks_message(ranks, g->sum_count * sizeof(float));
    if (!message) return NN_NO_MEMORY;
    memcpy(message, g->sum, g->sum_count * sizeof(float));
    const nn_error error = nn_ranks_gather(ranks, NN_PARTS);
    for (int i = 0; !error && i < ranks->group.ranks; i++) {
        const nn_range part = part_of(g, i);
        size_t bytes;
        const void *its = nn_ranks_message_of(ranks, i, &bytes);
        if (bytes != part.count * sizeof(float)) return "the ranks have networks of different sizes";
        move_part(g, part, 0, NULL, its);
    }
    return error;
}

static nn_error exchange(const nn_network *network, bool of_norm, const nn_pile *pile) {
    nn_ranks *ranks = network->part.ranks;
    struct gradients g = {.network = network, .of_norm = of_norm, .count = count_floats(network, of_norm)};
    const nn_range own = part_of(&g, nn_rank(ranks));
    const size_t all = (size_t)nn_rank_count(ranks), vectors = pile->count * g.count;
    if (g.count == 0) return NULL;
    size_t *counts = nn_ranks_scratch(ranks, 3 * all * sizeof *counts + all * NN_PILE_MAX * sizeof(nn_sum) +
                                                 (vectors + own.count) * sizeof(float));
    if (!counts) return NN_NO_MEMORY;
    size_t *send = counts + all, *receive = send + all;
    nn_sum *sums = (nn_sum *)(receive + all);
    float *parts = (float *)(sums + all * NN_PILE_MAX), *place = parts;
    nn_error error = tell_sums(ranks, pile, counts, sums);
    if (error) return error;
    for (int i = 0; i < nn_rank_count(ranks); i++) {
        const nn_range part = part_of(&g, i);
        send[i] = pile->count * part.count * sizeof(float);
        receive[i] = counts[i] * own.count * sizeof(float);
        for (size_t slot = 0; slot < pile->count; slot++, place += part.count) move_part(&g, part, slot, place, NULL);
    }
    const void *from;
    error = nn_ranks_scatter(ranks, parts, send, receive, &from);
    if (error) return error;
    g.from = from;
    g.sum = place;
    g.sum_count = own.count;
    g.counts = counts;
    g.sums = sums;
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < own.count; at += BLOCK) fold_block(&g, at, own.count - at < BLOCK ? own.count - at : BLOCK);
    return gather_parts(&g);
}

nn_error nn_network_sum_ranks(nn_network *network, size_t n) {
    const nn_pile pile = sums_of(network, n), one = {.count = 1, .sum = {{(size_t)nn_rank(network->part.ranks), 0}}};
    const nn_error error = exchange(network, false, &pile);
    return error ? error : exchange(network, true, &one);
}
