/* SPDX-License-Identifier: MIT */
#include "model/zip.h"

#include <string.h>

static uint64_t number(const unsigned char *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static bool is_at(const struct bn_zip *z, uint64_t at, size_t bytes, const char *signature) {
    return at <= z->bytes && bytes <= z->bytes - at && memcmp(z->base + at, signature, 4) == 0;
}

static bool fail(struct bn_zip *z, size_t at, const char *wrong) {
    z->wrong = wrong;
    z->wrong_at = at;
    return false;
}

/* The end record is the last thing in the file but for a comment of 64 KiB at most. */
enum { END_BYTES = 22, LOCATOR_BYTES = 20, END64_BYTES = 56, ENTRY_BYTES = 46, LOCAL_BYTES = 30 };

static bool find_end(const struct bn_zip *z, size_t *at) {
    const size_t most = END_BYTES + 65535, first = z->bytes > most ? z->bytes - most : 0;
    if (z->bytes < END_BYTES) return false;
    for (*at = z->bytes - END_BYTES + 1; (*at)-- > first;)
        if (is_at(z, *at, END_BYTES, "PK\5\6")) return true;
    return false;
}

bool bn_zip_begin(struct bn_zip *z, const unsigned char *base, size_t bytes) {
    size_t at;
    *z = (struct bn_zip){.base = base, .bytes = bytes};
    if (!find_end(z, &at)) return fail(z, bytes, "a zip file without its directory: it is cut off");
    uint64_t size = number(base + at + 12, 4), first = number(base + at + 16, 4);
    if (at >= LOCATOR_BYTES && is_at(z, at - LOCATOR_BYTES, LOCATOR_BYTES, "PK\6\7")) {
        const uint64_t large = number(base + at - LOCATOR_BYTES + 8, 8);
        if (!is_at(z, large, END64_BYTES, "PK\6\6")) return fail(z, at, "a zip file whose 64-bit directory is not there");
        size = number(base + large + 40, 8);
        first = number(base + large + 48, 8);
    }
    if (first > bytes || size > bytes - first) return fail(z, at, "a zip file whose directory is not in the file");
    z->next = (size_t)first;
    z->end = (size_t)(first + size);
    return true;
}

/* The 64-bit numbers of an entry stand in an extra field, those only whose 32 bits are all set. */
static bool read_extra(const struct bn_zip *z, size_t at, size_t end, uint64_t *bytes, uint64_t *packed, uint64_t *header) {
    uint64_t *const wanted[] = {bytes, packed, header};
    while (end - at >= 4) {
        const size_t kind = (size_t)number(z->base + at, 2), size = (size_t)number(z->base + at + 2, 2);
        at += 4;
        if (size > end - at) return false;
        size_t from = at;
        for (int i = 0; i < 3 && kind == 1; i++) {
            if (*wanted[i] != UINT32_MAX) continue;
            if (at + size - from < 8) return false;
            *wanted[i] = number(z->base + from, 8);
            from += 8;
        }
        at += size;
    }
    return true;
}

bool bn_zip_next(struct bn_zip *z, struct bn_zip_entry *entry) {
    const size_t at = z->next;
    if (z->wrong || z->end - at < ENTRY_BYTES) return false;
    if (!is_at(z, at, ENTRY_BYTES, "PK\1\2")) return fail(z, at, "a zip file with a broken directory");
    const unsigned char *p = z->base + at;
    const size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2), comment = (size_t)number(p + 32, 2);
    const size_t begin = at + ENTRY_BYTES;
    if (name + extra + comment > z->end - begin) return fail(z, at, "a zip file with a broken directory");
    entry->packed = number(p + 20, 4);
    entry->bytes = number(p + 24, 4);
    entry->header = number(p + 42, 4);
    entry->name = (struct bn_slice){begin, begin + name};
    if (!read_extra(z, begin + name, begin + name + extra, &entry->bytes, &entry->packed, &entry->header))
        return fail(z, at, "a zip file with a broken directory");
    const bool is_plain = (p[8] & 1) == 0; /* not encrypted */
    entry->is_stored = is_plain && number(p + 10, 2) == 0 && entry->packed == entry->bytes;
    entry->is_deflated = is_plain && number(p + 10, 2) == 8;
    z->next = begin + name + extra + comment;
    return true;
}

bool bn_zip_packed(const struct bn_zip *z, const struct bn_zip_entry *entry, struct bn_slice *data) {
    if (!is_at(z, entry->header, LOCAL_BYTES, "PK\3\4")) return false;
    const size_t at = (size_t)entry->header;
    const size_t skipped = LOCAL_BYTES + (size_t)number(z->base + at + 26, 2) + (size_t)number(z->base + at + 28, 2);
    if (skipped > z->bytes - at || entry->packed > z->bytes - at - skipped) return false;
    *data = (struct bn_slice){at + skipped, at + skipped + (size_t)entry->packed};
    return true;
}

bool bn_zip_data(const struct bn_zip *z, const struct bn_zip_entry *entry, struct bn_slice *data) {
    return entry->is_stored && bn_zip_packed(z, entry, data);
}
