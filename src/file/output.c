/* SPDX-License-Identifier: MIT */
/* Writing a file so that its path holds either the old or the new one, whole, whenever the machine stops. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/file.h"

/* Room after the directory's name: ".batchnorm-" PID "-" COUNT. The name does not grow with that of the file, which may be as
 * long as a name can be. */
#define SUFFIX_BYTES 64
#define ATTEMPTS 1000

/* The part of path up to and with the last slash. */
static size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The mode follows the umask, as that of a file made by any other program; mkstemp's would not. */
static int create_temporary(char *name, size_t directory) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        snprintf(name + directory, SUFFIX_BYTES, ".batchnorm-%ld-%d", (long)getpid(), attempt);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static int open_directory(const char *path, char *name, size_t length) {
    memcpy(name, length ? path : ".", length ? length : 1);
    name[length ? length : 1] = '\0';
    return open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

batchnorm_status bn_output_begin(struct bn_output_file *out, const char *path, char *message) {
    *out = (struct bn_output_file){-1, -1, path, NULL, message};
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return bn_fail(BATCHNORM_IO, message, "is not a regular file and cannot be replaced");
    size_t directory = directory_length(path);
    char *name = malloc(directory + SUFFIX_BYTES);
    if (!name) return bn_fail(BATCHNORM_NO_MEMORY, message, "no memory for a file name");
    out->directory = open_directory(path, name, directory);
    if (out->directory >= 0) {
        memcpy(name, path, directory);
        out->fd = create_temporary(name, directory);
    }
    if (out->fd < 0) {
        int error = errno;
        free(name);
        bn_output_cancel(out);
        return bn_fail(BATCHNORM_IO, message, "no file can be created there: %s", strerror(error));
    }
    out->temporary = name;
    return BATCHNORM_OK;
}

batchnorm_status bn_output_write(struct bn_output_file *out, const void *from, size_t bytes) {
    const char *at = from;
    while (bytes > 0) {
        size_t piece = bytes < (1u << 30) ? bytes : 1u << 30;
        ssize_t put = write(out->fd, at, piece);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return bn_fail(BATCHNORM_IO, out->message, "cannot be written: %s", strerror(errno));
        at += put;
        bytes -= (size_t)put;
    }
    return BATCHNORM_OK;
}

batchnorm_status bn_output_commit(struct bn_output_file *out) {
    if (fsync(out->fd) != 0) return bn_fail(BATCHNORM_IO, out->message, "cannot be written: %s", strerror(errno));
    int closed = close(out->fd);
    out->fd = -1;
    if (closed != 0) return bn_fail(BATCHNORM_IO, out->message, "cannot be written: %s", strerror(errno));
    if (rename(out->temporary, out->path) != 0)
        return bn_fail(BATCHNORM_IO, out->message, "cannot be replaced: %s", strerror(errno));
    free(out->temporary);
    out->temporary = NULL;
    /* The new file is in place; an error here could only say that a power failure may still bring back the old one. */
    (void)fsync(out->directory);
    bn_output_cancel(out);
    return BATCHNORM_OK;
}

void bn_output_cancel(struct bn_output_file *out) {
    if (out->fd >= 0) close(out->fd);
    if (out->temporary) unlink(out->temporary);
    if (out->directory >= 0) close(out->directory);
    free(out->temporary);
    *out = (struct bn_output_file){-1, -1, NULL, NULL, NULL};
}
