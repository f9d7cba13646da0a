/* SPDX-License-Identifier: MIT */
/* A message file with some of its bytes replaced: everything else is copied as it is, and the lengths of the messages around a
 * change follow. */
#ifndef BN_SPLICE_H
#define BN_SPLICE_H

#include "model/wire.h"

/* What follows the bytes of a change when it is handed out: too much to be kept. */
struct bn_tail {
    size_t bytes; /* 0: nothing does */
    bool (*give)(void *of, bool (*write)(void *arg, const void *from, size_t bytes), void *arg);
    void *of; /* freed by bn_splices_free() */
};

struct bn_splice {
    struct bn_slice old;  /* whole fields; empty: bytes are inserted */
    size_t message;       /* where the message begins that they are fields of */
    unsigned char *bytes; /* instead; freed by bn_splices_free() */
    size_t count;
    struct bn_tail tail;
    size_t order; /* in which it was added */
};

/* The new length of a message in which something changes. */
struct bn_length {
    size_t message;
    uint64_t bytes;
};

struct bn_splices {
    struct bn_splice *at;
    size_t count, room;
    struct bn_length *lengths;
    size_t length_count, length_room;
    bool no_memory;
};

/* Adds a change, and takes over `bytes`, which may be NULL: the fields are removed. */
void bn_splice_add(struct bn_splices *splices, struct bn_slice old, size_t message, unsigned char *bytes, size_t count);
/* Adds one with a tail, of which `of` is taken over, too. */
void bn_splice_add_tail(struct bn_splices *splices, struct bn_slice old, size_t message, unsigned char *bytes, size_t count,
                        struct bn_tail tail);
void bn_splices_free(struct bn_splices *splices);

/* Sorts the changes and finds all new lengths; the new file has *total bytes. Returns false if two changes meet, or without
 * memory. */
bool bn_splices_prepare(struct bn_splices *splices, const unsigned char *base, size_t bytes, uint64_t *total);

/* Hands out the bytes of the new file in order; a function that returns false ends that, and so does this. */
bool bn_splices_emit(const struct bn_splices *splices, const unsigned char *base, size_t bytes,
                     bool (*write)(void *arg, const void *from, size_t bytes), void *arg);

/* A message that is put together in memory. */
struct bn_bytes_out {
    unsigned char *at;
    size_t count, room;
    bool no_memory;
};
void bn_put_bytes(struct bn_bytes_out *out, const void *from, size_t count);
void bn_put_number(struct bn_bytes_out *out, uint32_t field, uint64_t value);
/* Puts as many bytes as are then to be filled in, alone or as a field of bytes; NULL without memory. */
unsigned char *bn_put_bytes_room(struct bn_bytes_out *out, size_t count);
unsigned char *bn_put_room(struct bn_bytes_out *out, uint32_t field, size_t count);
/* Puts the tag and the length of a field of bytes, which follow. */
void bn_put_opening(struct bn_bytes_out *out, uint32_t field, size_t count);
/* Puts a field of bytes: its tag, its length and `count` bytes. */
void bn_put_field(struct bn_bytes_out *out, uint32_t field, const void *from, size_t count);

#endif
