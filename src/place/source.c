/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "place/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place/links.h"

static const char *say(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *say(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, BN_SOURCE_BYTES, format, arguments);
    va_end(arguments);
    return why;
}

/* As read(), but goes on after signals, and not beyond what every system reads at once. */
static ssize_t read_some(int fd, char *to, size_t bytes) {
    const size_t most = (size_t)1 << 30;
    ssize_t got;
    do got = read(fd, to, bytes < most ? bytes : most);
    while (got < 0 && errno == EINTR);
    return got;
}

static const char *read_pipe(struct bn_source *s, bool (*is_worth_reading)(const unsigned char *first), char *why) {
    size_t room = 0;
    bool looked = false;
    for (ssize_t got = 1; got > 0;) {
        if (s->bytes == room) {
            room = room == 0 ? 65536 : 2 * room;
            char *more = room < PTRDIFF_MAX ? realloc(s->memory, room) : NULL;
            s->no_memory = !more;
            if (!more) return say(why, "no memory for more than %" PRIu64 " bytes of a pipe", s->bytes);
            s->memory = more;
        }
        got = read_some(s->fd, s->memory + s->bytes, room - (size_t)s->bytes);
        if (got < 0) return say(why, "cannot be read: %s", strerror(errno));
        s->bytes += (uint64_t)got;
        if (looked || s->bytes < BN_SOURCE_FIRST) continue;
        looked = true;
        if (!is_worth_reading((const unsigned char *)s->memory)) return NULL; /* its first bytes are enough for a message */
    }
    return NULL;
}

/* An open file of this process is the same open file: its place in the file counts, and a socket cannot be opened anew. */
static int open_path(const char *path, bool *is_open_file) {
    int number;
    char *target = bn_links_follow(path, &number);
    if (!target && number < 0 && errno == ENOMEM) return -1;
    *is_open_file = !target && number >= 0;
    free(target);
    return *is_open_file ? fcntl(number, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
}

const char *bn_source_open(struct bn_source *s, const char *path, bool (*is_worth_reading)(const unsigned char *first),
                           char *why) {
    bool is_open_file;
    struct stat status;
    *s = (struct bn_source){.fd = -1};
    if (path[0] == '\0') return say(why, "the name is empty");
    s->fd = open_path(path, &is_open_file);
    s->no_memory = s->fd < 0 && errno == ENOMEM;
    if (s->fd < 0) return say(why, "cannot be opened: %s", strerror(errno));
    if (fstat(s->fd, &status) != 0) return say(why, "cannot be examined: %s", strerror(errno));
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)) return read_pipe(s, is_worth_reading, why);
    if (!S_ISREG(status.st_mode)) return say(why, "is neither a file nor a pipe");
    if (is_open_file && lseek(s->fd, 0, SEEK_CUR) > 0) return read_pipe(s, is_worth_reading, why);
    s->bytes = (uint64_t)status.st_size;
    return NULL;
}

const char *bn_source_read(const struct bn_source *s, uint64_t offset, void *to, size_t bytes, char *why) {
    if (s->memory) {
        if (offset > s->bytes || bytes > s->bytes - offset) return say(why, "ends at byte %" PRIu64, s->bytes);
        memcpy(to, s->memory + offset, bytes);
        return NULL;
    }
    const size_t most = (size_t)1 << 30;
    for (char *at = to; bytes > 0;) {
        const ssize_t got = pread(s->fd, at, bytes < most ? bytes : most, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return say(why, "cannot be read: %s", strerror(errno));
        if (got == 0) return say(why, "ends at byte %" PRIu64 ": it shrank while being read", offset);
        at += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return NULL;
}

void bn_source_close(struct bn_source *s) {
    if (s->fd >= 0) close(s->fd);
    free(s->memory);
    *s = (struct bn_source){.fd = -1};
}
