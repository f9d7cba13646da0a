/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/* O_NONBLOCK lets a pipe without a writer be opened at once. It means nothing to a regular file. */
static int open_regular(const char *path, char *message) {
    struct stat about = {0};
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && (errno == ENXIO || errno == ENODEV)) return nn_wrong(message, path, "not a regular file"), -1; /* a socket */
    if (fd < 0) return nn_wrong(message, path, "%s", strerror(errno)), -1;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) return fd;
    nn_wrong(message, path, "%s; it must be a regular file", kind_of(about.st_mode));
    close(fd);
    return -1;
}

static int open_any(const char *path, char *message) {
    const int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : (nn_wrong(message, path, "%s", strerror(errno)), -1);
}

#ifdef NN_HAVE_ZLIB
#include <zlib.h>

/* gzread() reads plain files as they are, so there is one path for both kinds. */
static bool take(nn_reader *reader, int fd, const char *path, char *message) {
    *reader = (nn_reader){.path = path, .message = message};
    if (fd < 0) return false;
    reader->file = gzdopen(fd, "rb");
    if (!reader->file) close(fd);
    return reader->file || nn_wrong(message, path, NN_NO_MEMORY);
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

#else /* zlib was not found */

static bool take(nn_reader *reader, int fd, const char *path, char *message) {
    *reader = (nn_reader){.path = path, .message = message};
    if (fd < 0) return false;
    reader->file = fdopen(fd, "rb");
    if (!reader->file) close(fd);
    if (!reader->file) return nn_wrong(message, path, NN_NO_MEMORY);
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

#endif

bool nn_reader_open(nn_reader *reader, const char *path, char *message) {
    return take(reader, open_regular(path, message), path, message);
}

bool nn_reader_open_any(nn_reader *reader, const char *path, char *message) {
    return take(reader, open_any(path, message), path, message);
}

bool nn_reader_all(nn_reader *reader, size_t most, uint8_t **bytes, size_t *count) {
    size_t room = 0, got = 0;
    *bytes = NULL;
    *count = 0;
    do {
        room = room == 0 ? (size_t)1 << 16 : room > SIZE_MAX / 2 ? SIZE_MAX : 2 * room;
        if (room > most) room = most;
        uint8_t *larger = realloc(*bytes, room > 0 ? room : 1);
        if (!larger) return nn_wrong(reader->message, reader->path, NN_NO_MEMORY);
        *bytes = larger;
        if (!nn_reader_some(reader, *bytes + *count, room - *count, &got)) return false;
        *count += got;
    } while (*count == room && room < most);
    return true;
}

bool nn_reader_at_end(nn_reader *reader, bool *end) {
    uint8_t surplus;
    size_t got = 0;
    if (!nn_reader_some(reader, &surplus, 1, &got)) return false;
    *end = got == 0;
    return true;
}
