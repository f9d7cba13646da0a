/* SPDX-License-Identifier: MIT */
#include "npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "src/model/zip.h"
#include "src/place/source.h"

static bool fail(char *message, const char *what) {
    snprintf(message, MESSAGE_BYTES, "%s", what);
    return false;
}

static bool is_zip(const unsigned char *first) { return memcmp(first, "PK", 2) == 0; }

static bool read_all(struct npz *z, const char *path, size_t *bytes, char *message) {
    struct bn_source source;
    char why[BN_SOURCE_BYTES];
    const char *wrong = bn_source_open(&source, path, is_zip, why);
    *bytes = wrong ? 0 : (size_t)source.bytes;
    z->memory = wrong ? NULL : malloc(*bytes + 1);
    if (!wrong && z->memory) wrong = bn_source_read(&source, 0, z->memory, *bytes, why);
    const bool ok = !wrong && z->memory;
    if (wrong) fail(message, wrong);
    if (!wrong && !z->memory) fail(message, "no memory for it");
    bn_source_close(&source);
    return ok && (*bytes >= 4 || fail(message, "is no .npz file")) && (is_zip(z->memory) || fail(message, "is no .npz file"));
}

static bool add(struct npz *z, const struct bn_zip *zip, const struct bn_zip_entry *entry, char *message) {
    struct bn_slice data;
    size_t bytes = entry->name.end - entry->name.at;
    if (!entry->is_stored)
        return fail(message, "is compressed: numpy.savez() writes what is read here, numpy.savez_compressed() does not");
    if (!bn_zip_data(zip, entry, &data)) return fail(message, "is cut off");
    if (bytes >= 4 && memcmp(zip->base + entry->name.end - 4, ".npy", 4) == 0) bytes -= 4;
    struct npz_member *more = realloc(z->members, (z->count + 1) * sizeof *more);
    if (more) z->members = more;
    char *name = more ? malloc(bytes + 1) : NULL;
    if (!name) return fail(message, "no memory for its names");
    memcpy(name, zip->base + entry->name.at, bytes);
    name[bytes] = '\0';
    z->members[z->count++] = (struct npz_member){name, zip->base + data.at, data.end - data.at};
    return true;
}

bool npz_open(struct npz *z, const char *path, char *message) {
    struct bn_zip zip;
    struct bn_zip_entry entry;
    size_t bytes;
    *z = (struct npz){0};
    if (!read_all(z, path, &bytes, message)) return false;
    if (!bn_zip_begin(&zip, z->memory, bytes)) return fail(message, zip.wrong);
    while (bn_zip_next(&zip, &entry))
        if (!add(z, &zip, &entry, message)) return false;
    return !zip.wrong || fail(message, zip.wrong);
}

void npz_close(struct npz *z) {
    for (size_t i = 0; i < z->count; i++) free(z->members[i].name);
    free(z->members);
    free(z->memory);
    *z = (struct npz){0};
}

bool npz_read(const struct npz_member *member, struct array *array, char *message) {
    return npy_read_bytes(array, member->bytes, member->count, BATCHNORM_F64, message);
}
