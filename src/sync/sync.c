/* SPDX-License-Identifier: MIT */
/* A message is a header of numbers and the nodes of the chunks: for each node an array of every channel for each of its
 * numbers, and then the count of each. What the header says is checked on every rank in the same way, so that all come to the
 * same end. */
#include "sync/sync.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plan/coefficients.h"
#include "plan/tree.h"

/* What a header has, in this order. The first is not the same on a machine with another order of bytes. */
enum { PROTOCOL, CALL, VERB, CHANNELS, DTYPE, GRAIN, FLAGS, FIRST, SAMPLES, STATUS, RANK, RANKS, NUMBERS };

#define PROTOCOL_VERSION UINT64_C(0x626e73796e630003)

static const char *const names[NUMBERS] = {
    [PROTOCOL] = "the protocol",           [CALL] = "the number of the call", [VERB] = "the kind of call",
    [CHANNELS] = "the number of channels", [DTYPE] = "the element type",      [GRAIN] = "the grain",
    [FLAGS] = "the set of flags"};

static uint64_t chunks_of(const struct bn_part *p) { return p->samples / p->grain + (p->samples % p->grain != 0); }

size_t bn_part_nodes(const struct bn_part *p) {
    struct bn_node node[BN_TREE_MAX];
    if (p->samples == 0 || p->grain == 0) return p->samples != 0;
    return (size_t)bn_tree_cover(p->first / p->grain, p->first / p->grain + chunks_of(p), node);
}

size_t bn_part_doubles(const struct bn_part *p) {
    const size_t nodes = bn_part_nodes(p);
    size_t doubles;
    if (__builtin_mul_overflow(nodes * bn_part_numbers(p), p->channels, &doubles)) return SIZE_MAX;
    if (p->channels) doubles += nodes;
    return doubles < SIZE_MAX / 2 / sizeof(double) ? doubles + BN_SYNC_HEADER : SIZE_MAX;
}

static void write_header(const struct bn_part *p, const batchnorm_group *group, double *message) {
    const uint64_t header[BN_SYNC_HEADER] = {[PROTOCOL] = PROTOCOL_VERSION,
                                             [CALL] = group->calls,
                                             [VERB] = p->verb,
                                             [CHANNELS] = p->channels,
                                             [DTYPE] = (uint64_t)p->dtype,
                                             [GRAIN] = p->grain,
                                             [FLAGS] = p->flags,
                                             [FIRST] = p->first,
                                             [SAMPLES] = p->samples,
                                             [STATUS] = (uint64_t)p->status,
                                             [RANK] = (uint64_t)group->rank,
                                             [RANKS] = (uint64_t)group->ranks};
    _Static_assert(sizeof(double) == sizeof(uint64_t), "a header is made of doubles' bytes");
    memcpy(message, header, sizeof header);
}

__attribute__((format(printf, 3, 4))) static batchnorm_status fail(char *why, batchnorm_status status, const char *format,
                                                                   ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, BN_SYNC_TEXT, format, arguments);
    va_end(arguments);
    return status;
}

static const char *message_of(const struct bn_all *all, int rank, uint64_t header[BN_SYNC_HEADER]) {
    const char *at = all->bytes;
    for (int i = 0; i < rank; i++) at += all->counts[i];
    memcpy(header, at, BN_SYNC_HEADER * sizeof *header);
    return at + BN_SYNC_HEADER * sizeof *header;
}

/* Returns the part of a rank whose header is of this call. */
static struct bn_part part_of(const struct bn_all *all, const uint64_t header[BN_SYNC_HEADER]) {
    struct bn_part p = all->part;
    p.first = (size_t)header[FIRST];
    p.samples = (size_t)header[SAMPLES];
    return p;
}

/* Checks that all ranks are those of this group, before the messages of more are looked for than there may be. */
static batchnorm_status check_ranks(const struct bn_all *all, char *why) {
    uint64_t header[BN_SYNC_HEADER];
    for (int i = 0; i < all->ranks; i++) {
        if (all->counts[i] < sizeof header)
            return fail(why, BATCHNORM_MISMATCH, "rank %d sent %zu bytes, which is no message", i, all->counts[i]);
        message_of(all, i, header);
        if (header[PROTOCOL] != PROTOCOL_VERSION)
            return fail(why, BATCHNORM_MISMATCH, "the protocol is %" PRIx64 " on rank %d and %" PRIx64 " here",
                        header[PROTOCOL], i, PROTOCOL_VERSION);
        if (header[RANK] != (uint64_t)i || header[RANKS] != (uint64_t)all->ranks)
            return fail(why, BATCHNORM_MISMATCH, "rank %d of %d says that it is rank %" PRIu64 " of %" PRIu64, i, all->ranks,
                        header[RANK], header[RANKS]);
        if (header[STATUS] > BATCHNORM_TRANSPORT)
            return fail(why, BATCHNORM_MISMATCH, "rank %d sent a status that is none, %" PRIu64, i, header[STATUS]);
    }
    return BATCHNORM_OK;
}

/* Checks that all ranks make the same call. */
static batchnorm_status check_agreement(const struct bn_all *all, int rank, char *why) {
    uint64_t own[BN_SYNC_HEADER], other[BN_SYNC_HEADER];
    message_of(all, rank, own);
    for (int k = CALL; k <= FLAGS; k++)
        for (int i = 0; i < all->ranks; i++) {
            message_of(all, i, other);
            /* of a rank that failed at once not all is known */
            if (k > CALL && (own[STATUS] != 0 || other[STATUS] != 0)) continue;
            if (own[k] != other[k])
                return fail(why, BATCHNORM_MISMATCH, "%s is %" PRIu64 " on rank %d and %" PRIu64 " on rank %d", names[k],
                            other[k], i, own[k], rank);
        }
    return BATCHNORM_OK;
}

static batchnorm_status check_failures(const struct bn_all *all, char *why) {
    uint64_t header[BN_SYNC_HEADER];
    for (int i = 0; i < all->ranks; i++) {
        message_of(all, i, header);
        if (header[STATUS] == 0) continue;
        return fail(why, BATCHNORM_RANK_FAILED, "rank %d failed: %s", i,
                    batchnorm_status_string((batchnorm_status)header[STATUS]));
    }
    return BATCHNORM_OK;
}

/* Checks that the parts follow each other, and that each message has the nodes of its part. */
static batchnorm_status check_parts(const struct bn_all *all, char *why) {
    uint64_t header[BN_SYNC_HEADER], next = 0;
    bool any = false;
    for (int i = 0; i < all->ranks; i++) {
        message_of(all, i, header);
        const struct bn_part p = part_of(all, header);
        if (all->counts[i] / sizeof(double) != bn_part_doubles(&p) || all->counts[i] % sizeof(double) != 0)
            return fail(why, BATCHNORM_MISMATCH, "rank %d sent %zu bytes, which its part does not take", i, all->counts[i]);
        if (p.samples == 0 || p.grain == 0) continue;
        if (any && header[FIRST] != next)
            return fail(why, BATCHNORM_MISMATCH,
                        "the samples of rank %d begin with number %" PRIu64 ", those before it end with %" PRIu64, i,
                        header[FIRST], next - 1);
        if (header[FIRST] % p.grain != 0)
            return fail(why, BATCHNORM_MISMATCH,
                        "the samples of rank %d begin with number %" PRIu64 ", which is no multiple of the grain, %zu", i,
                        header[FIRST], p.grain);
        any = true;
        next = header[FIRST] + p.samples;
    }
    return BATCHNORM_OK;
}

static batchnorm_status transport_failed(const batchnorm_group *group, const struct bn_part *part, int failed, char *why) {
    const char *said = group->message ? group->message(group->user) : NULL;
    if (!said) return fail(why, BATCHNORM_TRANSPORT, "the transport failed, with %d", failed);
    return fail(why, BATCHNORM_TRANSPORT, "call %" PRIu64 ", %s: %s", group->calls - 1,
                part->verb == BN_SYNC_FORWARD ? "forward" : "backward", said);
}

static batchnorm_status gather(batchnorm_group *group, const struct bn_part *part, double *message, struct bn_all *all,
                               char *why) {
    const void *bytes = NULL;
    const size_t doubles = part->status ? BN_SYNC_HEADER : bn_part_doubles(part);
    write_header(part, group, message);
    group->calls++;
    *all = (struct bn_all){.part = *part, .ranks = group->ranks};
    const int failed = group->gather(group->user, message, doubles * sizeof *message, &bytes, &all->counts);
    if (failed || !bytes || !all->counts) return transport_failed(group, part, failed, why);
    all->bytes = bytes;
    batchnorm_status status = check_ranks(all, why);
    if (!status) status = check_agreement(all, group->rank, why);
    if (!status && part->status) return part->status;
    if (!status) status = check_failures(all, why);
    return status ? status : check_parts(all, why);
}

batchnorm_status bn_sync_gather(batchnorm_group *group, const struct bn_part *part, double *message, struct bn_all *all,
                                char why[BN_SYNC_TEXT]) {
    char sentence[BN_SYNC_TEXT] = "";
    const batchnorm_status status = gather(group, part, message, all, sentence);
    if (sentence[0]) fail(why, status, "%s%s%s", group->name ? group->name : "", group->name ? ": " : "", sentence);
    return status;
}

/* The numbers of the nodes of one channel that are not merged yet. */
struct pile {
    struct bn_tree tree;
    double number[BN_TREE_MAX][3]; /* moments: mean and m2, and the origin; dots: the sums */
};

static void merge(struct pile *p, enum bn_sync_verb verb) {
    const struct bn_node *into = &p->tree.node[p->tree.nodes - 2], *from = into + 1;
    double *a = p->number[into->slot];
    const double *b = p->number[from->slot];
    if (verb == BN_SYNC_FORWARD && into->count == 0) {
        memcpy(a, b, sizeof p->number[into->slot]);
    } else if (verb == BN_SYNC_FORWARD && from->count > 0) {
        bn_merge_by(bn_merging_of(into->count, from->count), &a[0], &a[1], bn_offset_from(a[2], b[2], b[0]), b[1]);
    } else if (verb == BN_SYNC_BACKWARD) {
        a[0] += b[0];
        a[1] += b[1];
    }
    bn_tree_pop(&p->tree);
}

/* Where a rank's nodes are. */
struct shelf {
    int nodes;
    struct bn_node node[BN_TREE_MAX];
    const char *numbers;
};

static void find_nodes(const struct bn_all *all, int rank, struct shelf *s) {
    uint64_t header[BN_SYNC_HEADER];
    s->numbers = message_of(all, rank, header);
    const struct bn_part p = part_of(all, header);
    s->nodes = 0;
    if (p.samples == 0) return;
    if (p.grain == 0)
        s->node[s->nodes++] = (struct bn_node){.at = (uint64_t)rank};
    else
        s->nodes = bn_tree_cover(p.first / p.grain, p.first / p.grain + chunks_of(&p), s->node);
    const char *counts = s->numbers + (size_t)s->nodes * bn_part_numbers(&p) * p.channels * sizeof(double);
    for (int i = 0; i < s->nodes; i++) memcpy(&s->node[i].count, counts + (size_t)i * sizeof(double), sizeof s->node[i].count);
}

static void push_nodes(const struct bn_all *all, const struct shelf *s, size_t channel, struct pile *p) {
    const size_t numbers = bn_part_numbers(&all->part);
    for (int i = 0; i < s->nodes; i++) {
        const size_t slot = (size_t)p->tree.nodes;
        for (size_t k = 0; k < numbers; k++) {
            const size_t at = ((size_t)i * numbers + k) * all->part.channels + channel;
            memcpy(&p->number[slot][k], s->numbers + at * sizeof(double), sizeof(double));
        }
        bn_tree_push(&p->tree, s->node[i].at, s->node[i].level, slot, s->node[i].count);
        while (bn_tree_joins(&p->tree)) merge(p, all->part.verb);
    }
}

/* Channels that are folded with one look at the headers. */
enum { TOGETHER = 16 };

/* Folds some channels; their numbers are left in the first slot of each pile. */
static void fold(const struct bn_all *all, size_t first, size_t count, struct pile piles[TOGETHER]) {
    for (size_t c = 0; c < count; c++) bn_tree_start(&piles[c].tree);
    for (int i = 0; i < all->ranks; i++) {
        struct shelf s;
        find_nodes(all, i, &s);
        for (size_t c = 0; c < count; c++) push_nodes(all, &s, first + c, &piles[c]);
    }
    for (size_t c = 0; c < count; c++)
        while (piles[c].tree.nodes > 1) merge(&piles[c], all->part.verb);
}

bool bn_all_have_values(const struct bn_all *all) {
    uint64_t header[BN_SYNC_HEADER];
    for (int i = 0; i < all->ranks; i++) {
        message_of(all, i, header);
        if (header[SAMPLES]) return true;
    }
    return false;
}

/* What becomes of the folded numbers of a channel: of no node, if there is none. */
typedef void keep_numbers(void *to, size_t channel, const struct pile *p, double count);

static double fold_all(const struct bn_all *all, keep_numbers *keep, void *to) {
    struct pile piles[TOGETHER];
    double count = 0;
    for (size_t first = 0, some; first < all->part.channels; first += some) {
        some = all->part.channels - first < TOGETHER ? all->part.channels - first : TOGETHER;
        fold(all, first, some, piles);
        for (size_t c = 0; c < some; c++) {
            count = piles[c].tree.nodes ? piles[c].tree.node[0].count : 0;
            keep(to, first + c, &piles[c], count);
        }
    }
    return count;
}

static void keep_stat(void *to, size_t channel, const struct pile *p, double count) {
    const double *n = p->number[0];
    ((batchnorm_stat *)to)[channel] = count > 0 ? (batchnorm_stat){count, n[0] + n[2], n[1]} : (batchnorm_stat){0, 0, 0};
}

static void keep_sum(void *to, size_t channel, const struct pile *p, double count) {
    const double *n = p->number[0];
    ((batchnorm_sum *)to)[channel] = p->tree.nodes ? (batchnorm_sum){count, n[0], n[1]} : (batchnorm_sum){0, 0, 0};
}

double bn_all_stats(const struct bn_all *all, batchnorm_stat *stats) { return fold_all(all, keep_stat, stats); }

double bn_all_sums(const struct bn_all *all, batchnorm_sum *sums) { return fold_all(all, keep_sum, sums); }
