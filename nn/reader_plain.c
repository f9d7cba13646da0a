/* SPDX-License-Identifier: MIT */
/* Linked where zlib was not found. */
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool nn_reader_open(nn_reader *reader, const char *path, char *message) {
    *reader = (nn_reader){.path = path, .message = message};
    reader->file = fopen(path, "rb");
    if (!reader->file) return nn_wrong(message, path, "%s", strerror(errno));
    const int one = fgetc(reader->file), two = fgetc(reader->file);
    rewind(reader->file);
    if (one != 0x1f || two != 0x8b) return true;
    nn_reader_close(reader);
    return nn_wrong(message, path, "it is compressed, and this was built without zlib; unpack it first (gunzip)");
}

void nn_reader_close(nn_reader *reader) {
    if (reader->file) fclose(reader->file);
    reader->file = NULL;
}

bool nn_reader_some(nn_reader *reader, uint8_t *to, size_t count, size_t *got) {
    errno = 0;
    *got = fread(to, 1, count, reader->file);
    return !ferror((FILE *)reader->file) || nn_wrong(reader->message, reader->path, "%s", strerror(errno));
}
