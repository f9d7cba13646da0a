/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* flock, getrandom */
#include "place/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place/links.h"

#define PREFIX ".batchnorm-"

/* FNV-1a of the name without its directory. */
static uint32_t output_of(const char *path) {
    const char *slash = strrchr(path, '/');
    uint32_t hash = UINT32_C(0x811c9dc5);
    for (const char *c = slash ? slash + 1 : path; *c; c++) hash = (hash ^ (unsigned char)*c) * UINT32_C(0x01000193);
    return hash;
}

/* So that nobody else can have put something there: in a directory that others may write to, a name that can be guessed is a
 * trap. */
static uint64_t draw(void) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number) return number;
    const int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!read(fd, &number, sizeof number);
        close(fd);
    }
    return number;
}

char *bn_leftover_name(const char *directory, const char *path) {
    const size_t bytes = strlen(directory) + 64;
    char *name = malloc(bytes);
    if (name)
        snprintf(name, bytes, "%s" PREFIX "%ld-%08" PRIx32 "-%016" PRIx64, directory, (long)getpid(), output_of(path), draw());
    return name;
}

/* Whether the name is one of that output, of a process that is not there any more. No system numbers its processes with more
 * than nine digits; a longer number is none of ours, and could become another's in a pid_t. */
static bool is_left(const char *name, uint32_t output) {
    long process;
    uint32_t its_output;
    int used = 0;
    if (sscanf(name, PREFIX "%9ld-%8" SCNx32 "-%*16[0-9a-f]%n", &process, &its_output, &used) != 2) return false;
    if (used == 0 || name[used] != '\0' || its_output != output || process <= 0) return false;
    return kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

/* A process of another machine or container that shares the directory holds a lock. */
static void remove_unlocked(int directory, const char *name) {
    const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0) return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(directory, name, 0);
    close(fd);
}

void bn_leftovers_remove(const char *path) {
    char *name = bn_directory_of(path);
    DIR *directory = name ? opendir(name) : NULL;
    const uint32_t output = output_of(path);
    const struct dirent *entry;
    free(name);
    if (!directory) return;
    while ((entry = readdir(directory)))
        if (is_left(entry->d_name, output)) remove_unlocked(dirfd(directory), entry->d_name);
    closedir(directory);
}
