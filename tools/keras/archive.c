/* SPDX-License-Identifier: MIT */
#include "archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "src/model/zip.h"

/* A file in memory; NULL: it cannot be read. */
static unsigned char *read_whole(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    unsigned char *all = NULL;
    size_t room = 0, got = 1;
    for (*bytes = 0; f && got > 0; *bytes += got) {
        if (*bytes == room) {
            room = 2 * room + 65536;
            unsigned char *grown = realloc(all, room);
            if (!grown) break;
            all = grown;
        }
        got = fread(all + *bytes, 1, room - *bytes, f);
    }
    const bool ok = f && !ferror(f) && got == 0;
    if (f) fclose(f);
    if (!ok) free(all);
    return ok ? all : NULL;
}

/* An entry as it was packed, with a zero behind. Deflate makes 1032 of a byte at most. */
static char *unpack(struct network *n, const struct bn_zip *zip, const struct bn_zip_entry *e, const char *name) {
    struct bn_slice packed;
    if (!bn_zip_packed(zip, e, &packed) || (e->is_stored && packed.end - packed.at != e->bytes))
        return network_fail(n, "\"%s\" in it is not whole, or encrypted", name), NULL;
    if (!e->is_stored && !e->is_deflated)
        return network_fail(n, "\"%s\" in it is compressed in a way that is not read", name), NULL;
    const uint64_t in = packed.end - packed.at;
    if (e->bytes > in * 1032 + 64 || e->bytes >= UINT32_MAX) return network_fail(n, "\"%s\" in it is too large", name), NULL;
    char *to = malloc((size_t)e->bytes + 1);
    if (!to) return network_fail(n, "no memory for \"%s\"", name), NULL;
    to[e->bytes] = '\0';
    if (e->is_stored) return memcpy(to, zip->base + packed.at, (size_t)e->bytes);
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)(zip->base + packed.at),
                  .avail_in = (uInt)in,
                  .next_out = (unsigned char *)to,
                  .avail_out = (uInt)e->bytes};
    const bool ok = inflateInit2(&z, -MAX_WBITS) == Z_OK;
    const int status = ok ? inflate(&z, Z_FINISH) : Z_MEM_ERROR;
    if (ok) inflateEnd(&z);
    if (status == Z_STREAM_END && z.avail_out == 0) return to;
    free(to);
    return network_fail(n, "\"%s\" in it is damaged", name), NULL;
}

/* Finds an entry by its name; false: there is none, or the archive is damaged. */
static bool find(struct bn_zip *zip, const unsigned char *base, size_t bytes, const char *name, struct bn_zip_entry *e) {
    if (!bn_zip_begin(zip, base, bytes)) return false;
    while (bn_zip_next(zip, e))
        if (e->name.end - e->name.at == strlen(name) && memcmp(base + e->name.at, name, strlen(name)) == 0) return true;
    return false;
}

bool archive_read(struct network *n, const char *path) {
    static const char weights[] = "model.weights.h5", config[] = "config.json";
    struct bn_zip zip;
    struct bn_zip_entry e;
    size_t bytes;
    unsigned char *base = read_whole(path, &bytes);
    if (!base) return network_fail(n, "cannot be read");
    char *set = NULL;
    bool ok = true;
    if (find(&zip, base, bytes, config, &e)) {
        n->config = unpack(n, &zip, &e, config);
        ok = n->config != NULL;
    }
    if (ok && find(&zip, base, bytes, weights, &e))
        set = unpack(n, &zip, &e, weights);
    else if (ok)
        network_fail(n, "%s", zip.wrong ? zip.wrong : "a zip file without model.weights.h5: it is no file of Keras");
    const size_t set_bytes = set ? (size_t)e.bytes : 0;
    free(base);
    ok = set && network_read_memory(n, set, set_bytes);
    free(set);
    return ok;
}
