/* SPDX-License-Identifier: MIT */
#include "model/wire.h"

/* Takes a varint from *at on; false if it does not end before `end`, or has more than 64 bits. */
static bool take_varint(const unsigned char *base, size_t *at, size_t end, uint64_t *value) {
    uint64_t bits = 0;
    for (unsigned shift = 0; *at < end && shift < 70; shift += 7) {
        const unsigned char byte = base[(*at)++];
        if (shift == 63 && byte > 1) return false;
        bits |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = bits;
            return true;
        }
    }
    return false;
}

/* Takes a little-endian number of so many bytes; false if they are not there. */
static bool take_fixed(const unsigned char *base, size_t *at, size_t end, size_t bytes, uint64_t *value) {
    if (end - *at < bytes) return false;
    *value = 0;
    for (size_t i = 0; i < bytes; i++) *value |= (uint64_t)base[*at + i] << 8 * i;
    *at += bytes;
    return true;
}

static bool fail(struct bn_wire *w, size_t at, const char *wrong) {
    w->rest.at = at;
    w->wrong = wrong;
    return false;
}

static bool take_value(struct bn_wire *w, struct bn_field *f, size_t *at) {
    const size_t end = w->rest.end;
    f->value.at = *at;
    switch (f->type) {
    case BN_VARINT:
        return take_varint(w->base, at, end, &f->bits) || fail(w, f->tag, "a number that is cut off or has more than 64 bits");
    case BN_FIXED64:
        return take_fixed(w->base, at, end, 8, &f->bits) || fail(w, f->tag, "a number of 8 bytes that is cut off");
    case BN_FIXED32:
        return take_fixed(w->base, at, end, 4, &f->bits) || fail(w, f->tag, "a number of 4 bytes that is cut off");
    case BN_BYTES:
        if (!take_varint(w->base, at, end, &f->bits)) return fail(w, f->tag, "a length that is cut off");
        f->value.at = *at;
        if (f->bits > end - *at) return fail(w, f->tag, "a field that is longer than what it is in");
        *at += (size_t)f->bits;
        return true;
    }
    return fail(w, f->tag, "a group, or a wire type that there is not");
}

bool bn_wire_next(struct bn_wire *w, struct bn_field *f) {
    size_t at = w->rest.at;
    uint64_t tag;
    if (w->wrong || at == w->rest.end) return false;
    f->tag = at;
    if (!take_varint(w->base, &at, w->rest.end, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return fail(w, f->tag, "a field without a number");
    f->number = (uint32_t)tag >> 3;
    f->type = (enum bn_wire_type)(tag & 7);
    if (!take_value(w, f, &at)) return false;
    f->value.end = at;
    w->rest.at = at;
    return true;
}

bool bn_wire_number(const unsigned char *base, const struct bn_field *f, enum bn_wire_type type, struct bn_slice *rest,
                    uint64_t *bits, const char **wrong) {
    if (rest->at == rest->end) return false;
    bool taken = false;
    if (f->type != type && f->type != BN_BYTES) {
        *wrong = "a number of another wire type";
        return false;
    }
    if (type == BN_VARINT) taken = take_varint(base, &rest->at, rest->end, bits);
    if (type == BN_FIXED32) taken = take_fixed(base, &rest->at, rest->end, 4, bits);
    if (type == BN_FIXED64) taken = take_fixed(base, &rest->at, rest->end, 8, bits);
    if (!taken) *wrong = "a row of numbers whose last one is cut off";
    return taken;
}

size_t bn_varint_write(uint64_t value, unsigned char *to) {
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7) to[bytes++] = (unsigned char)(value | 0x80);
    to[bytes++] = (unsigned char)value;
    return bytes;
}

size_t bn_varint_bytes(uint64_t value) {
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7) bytes++;
    return bytes;
}
