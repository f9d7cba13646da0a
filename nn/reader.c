/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* gzread() reads plain files as they are, so there is one path for both kinds. */

bool nn_reader_open(nn_reader *reader, const char *path, char *message) {
    *reader = (nn_reader){.path = path, .message = message};
    errno = 0;
    reader->file = gzopen(path, "rb");
    return reader->file || nn_wrong(message, path, "%s", errno ? strerror(errno) : "memory could not be allocated");
}

void nn_reader_close(nn_reader *reader) {
    if (reader->file) gzclose_r(reader->file);
    reader->file = NULL;
}

/* zlib's own words for what went wrong, or the system's. */
static bool fail(const nn_reader *reader) {
    int number = Z_OK;
    const char *what = gzerror(reader->file, &number);
    if (number == Z_ERRNO) what = strerror(errno);
    if (number == Z_BUF_ERROR) what = "the compressed data ends too early";
    if (number == Z_DATA_ERROR) what = "the compressed data is damaged";
    return nn_wrong(reader->message, reader->path, "%s", what);
}

bool nn_reader_some(nn_reader *reader, uint8_t *to, size_t count, size_t *got) {
    for (*got = 0; *got < count;) {
        const size_t left = count - *got;
        const int more = gzread(reader->file, to + *got, left < 1 << 20 ? (unsigned)left : 1u << 20);
        int number = Z_OK;
        if (more >= 0) gzerror(reader->file, &number); /* a stream that breaks off is told here, not by `more` */
        if (more < 0 || number != Z_OK) return fail(reader);
        if (more == 0) break;
        *got += (size_t)more;
    }
    return true;
}
