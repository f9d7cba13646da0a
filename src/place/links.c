/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* realpath, readlink */
#include "place/links.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *bn_directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("./");
}

/* "directory/base", where directory may end with a slash; NULL without memory. */
static char *join(const char *directory, const char *base) {
    const size_t bytes = strlen(directory) + strlen(base) + 2;
    char *path = malloc(bytes);
    if (!path) errno = ENOMEM;
    if (path) snprintf(path, bytes, "%s%s%s", directory, directory[strlen(directory) - 1] == '/' ? "" : "/", base);
    return path;
}

/* The directory of path without any link, and *base behind its last slash. NULL: errno says why. */
static char *real_directory(const char *path, const char **base) {
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    char *directory = bn_directory_of(path), *real = directory ? realpath(directory, NULL) : NULL;
    /* where the directory's own parents must not be searched, or its whole name is too long, only the way there as given
     * helps */
    struct stat status;
    const bool helps = real ? stat(real, &status) == 0 : !directory || (errno != EACCES && errno != ENAMETOOLONG);
    if (!helps) {
        free(real);
        return directory;
    }
    free(directory);
    return real;
}

/* The number of an open file of this process, or -1. */
static int descriptor(const char *directory, const char *base) {
    char own[64];
    const size_t length = strlen(directory);
    snprintf(own, sizeof own, "/proc/%ld/", (long)getpid()); /* and fd, or task/THREAD/fd */
    const bool is_own = strncmp(directory, own, strlen(own)) == 0;
    if (!is_own || length < 3 || strcmp(directory + length - 3, "/fd") != 0 || !*base ||
        strspn(base, "0123456789") != strlen(base))
        return -1;
    const long number = strtol(base, NULL, 10);
    return number <= INT_MAX ? (int)number : -1;
}

/* Where the link at path points to; NULL: errno says why, EINVAL that it is no link. */
static char *read_link(const char *path) {
    char target[PATH_MAX];
    const ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return NULL;
    target[length] = '\0';
    return strdup(target);
}

/* One step: what `path` points to, if it is a link; NULL, and *done, if it is none. */
static char *step(const char *path, const char *directory, bool *done) {
    char *link = read_link(path);
    *done = !link && (errno == EINVAL || errno == ENOENT);
    if (!link || link[0] == '/') return link;
    char *whole = join(directory, link);
    free(link);
    return whole;
}

char *bn_links_follow(const char *path, int *number) {
    enum { MOST = 40 }; /* as the kernel */
    char *at = strdup(path);
    *number = -1;
    for (int links = 0; at && links <= MOST; links++) {
        const char *base;
        char *directory = real_directory(at, &base), *whole = directory ? join(directory, base) : NULL;
        bool done = false;
        if (directory) *number = descriptor(directory, base);
        char *next = whole && *number < 0 ? step(whole, directory, &done) : NULL;
        free(directory);
        free(at);
        if (done) return whole;
        free(whole);
        at = next;
        if (!at) return NULL;
    }
    if (at) errno = ELOOP;
    free(at);
    return NULL;
}
