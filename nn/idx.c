/* SPDX-License-Identifier: MIT */
#include "idx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* gzread() reads plain files as they are, so there is one path for both kinds. */
struct reader {
    const char *path;
    gzFile file;
    char *message;
};

static bool fail(const struct reader *reader, const char *what) {
    snprintf(reader->message, NN_MESSAGE_BYTES, "%s: %s", reader->path, what);
    return false;
}

/* zlib's own words for what went wrong, or the system's. */
static bool fail_reading(const struct reader *reader) {
    int number = Z_OK;
    const char *what = gzerror(reader->file, &number);
    if (number == Z_ERRNO) what = strerror(errno);
    if (number == Z_BUF_ERROR) what = "the compressed data ends too early";
    if (number == Z_DATA_ERROR) what = "the compressed data is damaged";
    return fail(reader, what);
}

/* Up to `count` bytes; fewer only at the end of the file. A negative result has been reported. */
static long long read_some(const struct reader *reader, uint8_t *to, size_t count) {
    size_t done = 0;
    while (done < count) {
        const size_t left = count - done;
        const int got = gzread(reader->file, to + done, left < 1 << 20 ? (unsigned)left : 1u << 20);
        int number = Z_OK;
        if (got >= 0) gzerror(reader->file, &number); /* a stream that breaks off is told here, not by got */
        if (got < 0 || number != Z_OK) return fail_reading(reader), -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (long long)done;
}

static bool read_exactly(const struct reader *reader, uint8_t *to, size_t count) {
    const long long got = read_some(reader, to, count);
    if (got >= 0 && (size_t)got < count) return fail(reader, "the file ends before the data its header announces");
    return got >= 0;
}

static bool read_header(const struct reader *reader, nn_idx *idx, size_t *total) {
    uint8_t magic[4], size[4];
    if (!read_exactly(reader, magic, 4)) return false;
    if (magic[0] != 0 || magic[1] != 0) return fail(reader, "not an IDX file: it must begin with two zero bytes");
    if (magic[2] != 8) return fail(reader, "elements must be unsigned bytes (IDX type 8)");
    if (magic[3] < 1 || magic[3] > NN_IDX_MAX_RANK) return fail(reader, "must have 1 to 4 dimensions");
    idx->rank = magic[3];
    *total = 1;
    for (int i = 0; i < idx->rank; i++) {
        if (!read_exactly(reader, size, 4)) return false;
        idx->shape[i] = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
        if (idx->shape[i] > 0 && *total > SIZE_MAX / 2 / idx->shape[i]) return fail(reader, "the sizes are too large");
        *total *= idx->shape[i];
    }
    return true;
}

/* Memory grows with what has really been read: a broken header must not ask for terabytes. */
static bool read_body(const struct reader *reader, nn_idx *idx, size_t total) {
    size_t done = 0, room = 0;
    do {
        room = room == 0 ? (size_t)1 << 20 : 2 * room;
        if (room > total) room = total;
        uint8_t *bytes = realloc(idx->bytes, room > 0 ? room : 1);
        if (!bytes) return fail(reader, "memory could not be allocated");
        idx->bytes = bytes;
        if (!read_exactly(reader, bytes + done, room - done)) return false;
        done = room;
    } while (done < total);
    return true;
}

/* Asking for one byte more also makes zlib check the sum at the end of the stream. */
static bool at_end(const struct reader *reader) {
    uint8_t surplus;
    const long long got = read_some(reader, &surplus, 1);
    return got > 0 ? fail(reader, "there is more data than the header announces") : got == 0;
}

bool nn_idx_read(const char *path, nn_idx *idx, char *message) {
    struct reader reader = {.path = path, .message = message};
    size_t total = 0;
    *idx = (nn_idx){0};
    errno = 0;
    reader.file = gzopen(path, "rb");
    if (!reader.file) return fail(&reader, errno ? strerror(errno) : "memory could not be allocated");
    const bool done = read_header(&reader, idx, &total) && read_body(&reader, idx, total) && at_end(&reader);
    gzclose_r(reader.file);
    if (done) return true;
    free(idx->bytes);
    idx->bytes = NULL;
    return false;
}
