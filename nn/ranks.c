/* SPDX-License-Identifier: MIT */
/* A message begins with a header; a failure is told by a message that is nothing but a note, which no other is. */
#include "ranks.h"

#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* What a message begins with, all of which must be the same on all ranks. */
struct header {
    uint64_t magic, about, calls;
};

static const uint64_t magic = UINT64_C(0x626e72616e6b0001), note = UINT64_C(0x626e6661696c6564);

static const char differ[] = "the ranks do not do the same things: they run different programs, or have different data";

/* The transport of the group: whoever waits for an exchange learns that a rank has told a failure. */
static int watch(void *user, const void *bytes, size_t count, const void **all, const size_t **counts) {
    nn_ranks *ranks = user;
    const struct batchnorm_group *transport = ranks->transport;
    const double start = nn_seconds();
    const int code = transport->gather(transport->user, bytes, count, all, counts);
    ranks->waited += nn_seconds() - start;
    ranks->broken = code != 0;
    if (code) return code;
    const char *at = *all;
    for (int i = 0; i < transport->ranks; at += (*counts)[i++])
        if ((*counts)[i] == sizeof note && memcmp(at, &note, sizeof note) == 0 && ranks->failed < 0) ranks->failed = i;
    return ranks->failed < 0 ? 0 : -1;
}

static const char *why(void *user) {
    const nn_ranks *ranks = user;
    if (ranks->failed >= 0) return NN_RANK_FAILED;
    return ranks->transport->message ? ranks->transport->message(ranks->transport->user) : NULL;
}

void nn_ranks_init(nn_ranks *ranks, const struct batchnorm_group *transport, nn_scatter *scatter, bool synchronized) {
    *ranks =
        (nn_ranks){.group = *transport, .transport = transport, .scatter = scatter, .synchronized = synchronized, .failed = -1};
    ranks->group.gather = watch;
    ranks->group.message = why;
    ranks->group.user = ranks;
}

void nn_ranks_free(nn_ranks *ranks) {
    if (!ranks) return;
    free(ranks->message);
    free(ranks->scratch);
    free(ranks->picked);
}

/* The old bytes are not kept. */
static void *make_room(void **memory, size_t *room, size_t bytes) {
    if (bytes <= *room) return *memory;
    free(*memory);
    *memory = malloc(bytes);
    *room = *memory ? bytes : 0;
    return *memory;
}

void *nn_ranks_scratch(nn_ranks *ranks, size_t bytes) { return make_room(&ranks->scratch, &ranks->scratch_room, bytes); }

void *nn_ranks_message(nn_ranks *ranks, size_t bytes) {
    const size_t header = sizeof(struct header);
    if (bytes > SIZE_MAX - header) return NULL;
    if (header + bytes > ranks->room) {
        void *memory = realloc(ranks->message, header + bytes);
        if (!memory) return NULL;
        ranks->message = memory;
        ranks->room = header + bytes;
    }
    ranks->bytes = header + bytes;
    return (char *)ranks->message + header;
}

static nn_error transport_error(nn_ranks *ranks) {
    const char *said = why(ranks);
    return said ? said : batchnorm_status_string(BATCHNORM_TRANSPORT);
}

nn_error nn_ranks_gather(nn_ranks *ranks, nn_exchange about) {
    const struct header header = {magic, (uint64_t)about, ranks->group.calls};
    const void *all;
    memcpy(ranks->message, &header, sizeof header);
    if (watch(ranks, ranks->message, ranks->bytes, &all, &ranks->counts)) return transport_error(ranks);
    ranks->all = all;
    const char *at = all;
    for (int i = 0; i < ranks->group.ranks; at += ranks->counts[i++])
        if (ranks->counts[i] < sizeof header || memcmp(at, &header, sizeof header) != 0) return differ;
    return NULL;
}

const void *nn_ranks_message_of(const nn_ranks *ranks, int rank, size_t *bytes) {
    const char *at = ranks->all;
    for (int i = 0; i < rank; i++) at += ranks->counts[i];
    *bytes = ranks->counts[rank] - sizeof(struct header);
    return at + sizeof(struct header);
}

/* By a gather: everybody gets all parts of all ranks, behind their sizes, and picks its own. */
static nn_error scatter_to_all(nn_ranks *ranks, const char *bytes, const size_t *send, const size_t *receive,
                               const void **all) {
    const int count = ranks->group.ranks, own = ranks->group.rank;
    const size_t head = (size_t)count * sizeof *send;
    size_t sum = 0, own_sum = 0;
    for (int i = 0; i < count; i++) {
        sum += send[i];
        own_sum += receive[i];
    }
    char *message = nn_ranks_message(ranks, head + sum), *to = make_room(&ranks->picked, &ranks->picked_room, own_sum + 1);
    if (!message || !to) return NN_NO_MEMORY;
    *all = to;
    memcpy(message, send, head);
    memcpy(message + head, bytes, sum);
    const nn_error error = nn_ranks_gather(ranks, NN_SCATTER);
    if (error) return error;
    for (int i = 0; i < count; to += receive[i++]) {
        size_t its, before = head, size = 0;
        const char *from = nn_ranks_message_of(ranks, i, &its);
        for (int j = 0; j <= own; j++) {
            before += size;
            memcpy(&size, from + (size_t)j * sizeof size, sizeof size);
        }
        if (size != receive[i] || its < before + size) return differ;
        memcpy(to, from + before, size);
    }
    return NULL;
}

nn_error nn_ranks_scatter(nn_ranks *ranks, const void *bytes, const size_t *send, const size_t *receive, const void **all) {
    if (!ranks->scatter) return scatter_to_all(ranks, bytes, send, receive, all);
    const double start = nn_seconds();
    ranks->broken = ranks->scatter(ranks->transport->user, bytes, send, receive, all) != 0;
    ranks->waited += nn_seconds() - start;
    return ranks->broken ? transport_error(ranks) : NULL;
}

void *nn_ranks_bring(nn_ranks *ranks, const nn_pile *pile, size_t slot_bytes) {
    const size_t head = pile->count * sizeof pile->sum[0];
    size_t bytes;
    if (__builtin_mul_overflow(pile->count, slot_bytes, &bytes) || bytes > SIZE_MAX - head) return NULL;
    char *message = nn_ranks_message(ranks, head + bytes);
    if (!message) return NULL;
    memcpy(message, pile->sum, head);
    return message + head;
}

nn_brought nn_ranks_brought(const nn_ranks *ranks, int rank, size_t slot_bytes) {
    size_t bytes;
    const char *message = nn_ranks_message_of(ranks, rank, &bytes);
    const size_t count = bytes / (sizeof(nn_sum) + slot_bytes);
    return (nn_brought){count, message, message + count * sizeof(nn_sum)};
}

nn_sum nn_brought_sum(const nn_brought *brought, size_t i) {
    nn_sum sum;
    memcpy(&sum, brought->sums + i * sizeof sum, sizeof sum);
    return sum;
}

nn_error nn_ranks_gather_sums(nn_ranks *ranks, nn_exchange about, size_t slot_bytes, size_t most) {
    const nn_error error = nn_ranks_gather(ranks, about);
    nn_pile pile = {.count = 0};
    size_t next = 0;
    for (int i = 0; !error && i < ranks->group.ranks; i++) {
        const nn_brought brought = nn_ranks_brought(ranks, i, slot_bytes);
        if ((ranks->counts[i] - sizeof(struct header)) % (sizeof(nn_sum) + slot_bytes) != 0) return differ;
        for (size_t j = 0; j < brought.count; j++) {
            const nn_sum sum = nn_brought_sum(&brought, j);
            if (sum.at != next || sum.level > 31 || pile.count == most) return differ;
            next += (size_t)1 << sum.level;
            nn_pile_push(&pile, sum);
        }
    }
    return error;
}

nn_error nn_ranks_fold(nn_ranks *ranks, nn_exchange about, nn_pile *pile, void *slots, size_t slot_bytes) {
    if (ranks) {
        void *message = nn_ranks_bring(ranks, pile, slot_bytes);
        if (!message) return NN_NO_MEMORY;
        memcpy(message, slots, pile->count * slot_bytes);
        const nn_error error = nn_ranks_gather_sums(ranks, about, slot_bytes, NN_PILE_MAX);
        if (error) return error;
        pile->count = 0;
    }
    for (int i = 0; ranks && i < ranks->group.ranks; i++) {
        const nn_brought brought = nn_ranks_brought(ranks, i, slot_bytes);
        for (size_t j = 0; j < brought.count; j++) {
            memcpy((char *)slots + pile->count * slot_bytes, brought.slots + j * slot_bytes, slot_bytes);
            nn_pile_push(pile, nn_brought_sum(&brought, j));
        }
    }
    nn_pile_fold(pile);
    return NULL;
}

/* Every rank's number, of one exchange. */
static nn_error gather_number(nn_ranks *ranks, uint64_t number) {
    void *message = nn_ranks_message(ranks, sizeof number);
    if (!message) return NN_NO_MEMORY;
    memcpy(message, &number, sizeof number);
    return nn_ranks_gather(ranks, NN_AGREEMENT);
}

static uint64_t number_of(const nn_ranks *ranks, int rank) {
    size_t bytes;
    uint64_t number;
    memcpy(&number, nn_ranks_message_of(ranks, rank, &bytes), sizeof number);
    return number;
}

nn_error nn_ranks_agree(nn_ranks *ranks, uint64_t number, bool *agree, int *other) {
    const nn_error error = ranks ? gather_number(ranks, number) : NULL;
    *agree = true;
    for (int i = 1; !error && i < nn_rank_count(ranks) && *agree; i++) {
        *agree = number_of(ranks, i) == number_of(ranks, 0);
        *other = i;
    }
    return error;
}

nn_error nn_ranks_any(nn_ranks *ranks, bool *truth) {
    const nn_error error = ranks ? gather_number(ranks, *truth) : NULL;
    for (int i = 0; !error && ranks && i < nn_rank_count(ranks); i++) *truth |= number_of(ranks, i) != 0;
    return error;
}

nn_error nn_ranks_add(nn_ranks *ranks, uint32_t *numbers, size_t count) {
    const size_t bytes = count * sizeof *numbers;
    if (!ranks) return NULL;
    void *message = nn_ranks_message(ranks, bytes);
    if (!message) return NN_NO_MEMORY;
    memcpy(message, numbers, bytes);
    const nn_error error = nn_ranks_gather(ranks, NN_NUMBERS);
    for (int i = 0; i < ranks->group.ranks && !error; i++) {
        size_t there;
        const char *theirs = nn_ranks_message_of(ranks, i, &there);
        if (there != bytes) return differ;
        for (size_t j = 0; j < count && i != ranks->group.rank; j++) {
            uint32_t number;
            memcpy(&number, theirs + j * sizeof number, sizeof number);
            numbers[j] += number;
        }
    }
    return error;
}

nn_error nn_ranks_copy(nn_ranks *ranks, void *bytes, size_t count) {
    if (!ranks) return NULL;
    const size_t own = ranks->group.rank == 0 ? count : 0;
    size_t there;
    void *message = nn_ranks_message(ranks, own);
    if (!message) return NN_NO_MEMORY;
    if (own) memcpy(message, bytes, own);
    const nn_error error = nn_ranks_gather(ranks, NN_COPY);
    if (error) return error;
    const void *first = nn_ranks_message_of(ranks, 0, &there);
    if (there != count) return differ;
    memcpy(bytes, first, count);
    return NULL;
}

nn_error nn_ranks_check(nn_ranks *ranks, batchnorm_status status) {
    if (!status) return NULL;
    if (ranks && status == BATCHNORM_TRANSPORT) return transport_error(ranks);
    if (ranks) ranks->others = status == BATCHNORM_RANK_FAILED;
    return status == BATCHNORM_RANK_FAILED ? NN_RANK_FAILED : batchnorm_status_string(status);
}

/* Ranks that have met an error in the same exchange meet here, too. Others come here from the exchange in which they wait. */
bool nn_ranks_settle(nn_ranks *ranks) {
    static const char nothing = 0;
    const void *all;
    const size_t *counts;
    if (!ranks || ranks->broken) return nn_rank(ranks) == 0;
    if (ranks->failed >= 0) return false;
    watch(ranks, ranks->others ? (const void *)&nothing : &note, ranks->others ? sizeof nothing : sizeof note, &all, &counts);
    return ranks->failed < 0 || ranks->failed == ranks->group.rank;
}
