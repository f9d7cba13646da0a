/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "model/external.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(char *why, size_t room, const char *location, const char *what) {
    snprintf(why, room, "external data \"%.80s\": %s", location, what);
    return -1;
}

/* Opens the directory of a path. */
static int open_directory(const char *model) {
    const char *slash = strrchr(model, '/');
    if (!slash) return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *name = strndup(model, slash == model ? 1 : (size_t)(slash - model));
    if (!name) return -1;
    const int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(name);
    return fd;
}

/* Opens one part of the location after the other, none of them through a link, and closes the directories on the way. */
static int walk(int directory, char *location, int links) {
    int at = directory;
    for (char *part = location, *rest; part && at >= 0; part = rest) {
        rest = strchr(part, '/');
        if (rest) *rest++ = '\0';
        if (*part == '\0' || strcmp(part, ".") == 0) continue;
        const int next = openat(at, part, O_RDONLY | O_CLOEXEC | O_NONBLOCK | links | (rest ? O_DIRECTORY : 0));
        const int error = errno;
        close(at);
        errno = error;
        at = next;
    }
    return at;
}

static bool climbs(const char *location) {
    for (const char *part = location; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) return true;
    return false;
}

int bn_external_open(const char *model, const char *location, size_t bytes, bool follows_links, char *why, size_t room) {
    struct stat status;
    char text[PATH_MAX];
    if (bytes == 0 || bytes >= sizeof text) return fail(why, room, "", "its name is empty or too long");
    memcpy(text, location, bytes);
    text[bytes] = '\0';
    if (strlen(text) != bytes) return fail(why, room, text, "its name has a NUL");
    if (text[0] == '/') return fail(why, room, text, "an absolute path is not read");
    if (climbs(text)) return fail(why, room, text, "a path with \"..\" is not read");
    const int directory = open_directory(model);
    if (directory < 0) return fail(why, room, text, strerror(errno));
    char parts[PATH_MAX];
    memcpy(parts, text, bytes + 1);
    const int fd = walk(directory, parts, follows_links ? 0 : O_NOFOLLOW);
    if (fd < 0)
        return fail(why, room, text, errno == ELOOP ? "it is a symbolic link (--follow-symlinks reads it)" : strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return fail(why, room, text, "it is no file");
    }
    if (status.st_nlink > 1 && !follows_links) {
        close(fd);
        return fail(why, room, text, "the file has further names, hard links (--follow-symlinks reads it)");
    }
    return fd;
}

uint64_t bn_external_bytes(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
}

bool bn_external_read(int fd, uint64_t offset, void *to, size_t bytes, char *why, size_t room) {
    const size_t most = (size_t)1 << 30;
    if (offset > INT64_MAX - (uint64_t)bytes) {
        snprintf(why, room, "external data: an offset that no file has");
        return false;
    }
    for (char *at = to; bytes > 0;) {
        const ssize_t got = pread(fd, at, bytes < most ? bytes : most, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) snprintf(why, room, "external data: %s", strerror(errno));
        if (got == 0) snprintf(why, room, "external data: the file ends at byte %" PRIu64, offset);
        if (got <= 0) return false;
        at += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return true;
}
