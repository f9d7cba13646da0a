/* SPDX-License-Identifier: MIT */
/* The wire format of protocol buffers: a message is a row of fields, each a number and a value. Nothing is copied and nothing
 * is allocated; what a field means is the reader's. */
#ifndef BN_WIRE_H
#define BN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bn_wire_type { BN_VARINT, BN_FIXED64, BN_BYTES, BN_FIXED32 = 5 };

/* Some of a file, by offsets. */
struct bn_slice {
    size_t at, end;
};

/* A walk over the fields of a message. */
struct bn_wire {
    const unsigned char *base; /* of the file */
    struct bn_slice rest;
    const char *wrong; /* NULL, or why the walk ended; rest.at is where */
};

struct bn_field {
    uint32_t number;
    enum bn_wire_type type;
    size_t tag;            /* where the field begins */
    struct bn_slice value; /* of BN_BYTES what follows the length, else the number's bytes */
    uint64_t bits;         /* of the others the number */
};

static inline struct bn_wire bn_wire_begin(const unsigned char *base, struct bn_slice message) {
    return (struct bn_wire){base, message, NULL};
}

/* Finds the next field; returns false at the end, and where something is wrong. */
bool bn_wire_next(struct bn_wire *w, struct bn_field *field);

/* Numbers of a repeated field come one by one or packed into one value. Takes the next one of a field's `rest`, which is its
 * value at first; returns false after the last. A number that the value cuts off sets *wrong. */
bool bn_wire_number(const unsigned char *base, const struct bn_field *field, enum bn_wire_type type, struct bn_slice *rest,
                    uint64_t *bits, const char **wrong);

/* Writes a varint, of BN_VARINT_BYTES at most, and returns its length. */
enum { BN_VARINT_BYTES = 10 };
size_t bn_varint_write(uint64_t value, unsigned char *to);
size_t bn_varint_bytes(uint64_t value);

#endif
