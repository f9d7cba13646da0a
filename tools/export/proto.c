/* SPDX-License-Identifier: MIT */
#include "proto.h"

#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, LENGTH = 2, FIXED_32 = 5 };

static void append(struct proto *p, const void *bytes, size_t count) {
    if (p->failed) return;
    if (count > p->room - p->count) {
        const size_t room = 2 * p->room + count;
        char *more = realloc(p->bytes, room);
        if (!more) {
            p->failed = true;
            return;
        }
        p->bytes = more;
        p->room = room;
    }
    if (count) memcpy(p->bytes + p->count, bytes, count);
    p->count += count;
}

static void varint(struct proto *p, uint64_t value) {
    unsigned char bytes[10];
    size_t count = 0;
    for (; value > 127; value >>= 7) bytes[count++] = (unsigned char)(value | 128);
    bytes[count++] = (unsigned char)value;
    append(p, bytes, count);
}

static void tag(struct proto *p, uint32_t field, unsigned type) { varint(p, (uint64_t)field << 3 | type); }

void proto_integer(struct proto *p, uint32_t field, int64_t value) {
    tag(p, field, VARINT);
    varint(p, (uint64_t)value);
}

void proto_float(struct proto *p, uint32_t field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const unsigned char bytes[] = {(unsigned char)bits, (unsigned char)(bits >> 8), (unsigned char)(bits >> 16),
                                   (unsigned char)(bits >> 24)};
    tag(p, field, FIXED_32);
    append(p, bytes, sizeof bytes);
}

void proto_bytes(struct proto *p, uint32_t field, const void *bytes, size_t count) {
    tag(p, field, LENGTH);
    varint(p, count);
    append(p, bytes, count);
}

void proto_text(struct proto *p, uint32_t field, const char *text) { proto_bytes(p, field, text, strlen(text)); }

void proto_message(struct proto *p, uint32_t field, struct proto *message) {
    if (!message->failed) proto_bytes(p, field, message->bytes, message->count);
    p->failed = p->failed || message->failed;
    free(message->bytes);
    *message = (struct proto){0};
}
