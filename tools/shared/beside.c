/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "beside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for ".batchnorm-PID-COUNT" after a directory's name. */
#define SUFFIX_BYTES 64
#define ATTEMPTS 1000

size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

char *directory_of(const char *path, size_t more) {
    size_t length = directory_length(path);
    char *name = malloc((length ? length : 2) + more + 1);
    if (!name) return NULL;
    memcpy(name, length ? path : "./", length ? length : 2);
    name[length ? length : 2] = '\0';
    return name;
}

static int create(const char *name, const char *path) {
    (void)path;
    return open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

static int link_to(const char *name, const char *path) { return link(path, name); }

/* Make the first name that is free; `made` is what `make` returned. */
static char *make_beside(const char *path, int (*make)(const char *name, const char *path), int *made) {
    char *name = directory_of(path, SUFFIX_BYTES);
    if (!name) return NULL;
    size_t directory = strlen(name);
    *made = -1;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        snprintf(name + directory, SUFFIX_BYTES, ".batchnorm-%ld-%d", (long)getpid(), attempt);
        *made = make(name, path);
        if (*made >= 0 || errno != EEXIST) break;
    }
    if (*made >= 0) return name;
    int error = errno;
    free(name);
    errno = error;
    return NULL;
}

char *create_beside(const char *path, int *fd) { return make_beside(path, create, fd); }

char *link_beside(const char *path) {
    int made;
    return make_beside(path, link_to, &made);
}

void sync_directory(const char *path) {
    char *name = directory_of(path, 0);
    int fd = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(name);
}
