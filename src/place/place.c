/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* realpath, flock */
#include "place/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place/leftovers.h"
#include "place/links.h"

static const char *say(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *say(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, BN_PLACE_BYTES, format, arguments);
    va_end(arguments);
    return why;
}

static const char *no_memory(struct bn_place *place, char *why) {
    place->no_memory = true;
    return say(why, "no memory for a file name");
}

/* A file that is there: as given, so that the kernel's rules for links in shared directories hold, and without changing it. */
static const char *look_at_file(struct bn_place *place, const char *path, const struct stat *status, char *why) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return say(why, "cannot be written: %s", strerror(errno));
    struct stat opened, found;
    const bool same = fstat(fd, &opened) == 0 && stat(place->target, &found) == 0 && opened.st_ino == status->st_ino &&
                      opened.st_dev == status->st_dev && found.st_ino == opened.st_ino && found.st_dev == opened.st_dev;
    close(fd);
    if (!same) return say(why, "was exchanged while it was looked at");
    place->exists = true;
    place->mode = status->st_mode & 0777; /* not setuid: the contents are others */
    place->owner = status->st_uid;
    place->group = status->st_gid;
    return NULL;
}

/* In a directory such as /tmp only its owner and that of a file may replace the file. */
static bool is_kept_from_us(const struct bn_place *place, const struct stat *directory) {
    const uid_t user = geteuid();
    return place->exists && (directory->st_mode & S_ISVTX) && user != 0 && user != directory->st_uid && user != place->owner;
}

static const char *look_at_directory(struct bn_place *place, char *why) {
    char *directory = bn_directory_of(place->target);
    if (!directory) return no_memory(place, why);
    struct stat status;
    const char *wrong = NULL;
    if (stat(directory, &status) != 0)
        wrong = say(why, "no file can be created there: %s", strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        wrong = say(why, "no file can be created there: %s", strerror(ENOTDIR));
    else if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        wrong = say(why, "no file can be created there: %s", strerror(errno));
    else if (is_kept_from_us(place, &status))
        wrong = say(why, "is another user's, and cannot be replaced in this directory");
    free(directory);
    if (wrong) return wrong;
    place->device = status.st_dev;
    place->directory = status.st_ino;
    return NULL;
}

bool bn_place_same(const struct bn_place *a, const struct bn_place *b) {
    if (!a->target || !b->target || a->device != b->device || a->directory != b->directory) return false;
    const char *x = strrchr(a->target, '/'), *y = strrchr(b->target, '/');
    return strcmp(x ? x + 1 : a->target, y ? y + 1 : b->target) == 0;
}

static const char *open_descriptor(struct bn_place *place, int number, char *why) {
    const int flags = fcntl(number, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) return say(why, "is open for reading only");
    place->fd = fcntl(number, F_DUPFD_CLOEXEC, 0);
    return place->fd >= 0 ? NULL : say(why, "cannot be written: %s", strerror(errno));
}

const char *bn_place_find(struct bn_place *place, const char *path, char *why) {
    *place = (struct bn_place){.fd = -1, .held = -1};
    struct stat status;
    int number;
    if (!*path) return say(why, "cannot be written: %s", strerror(ENOENT));
    place->target = bn_links_follow(path, &number);
    if (number >= 0) return open_descriptor(place, number, why);
    if (!place->target && errno == ENOMEM) return no_memory(place, why);
    if (!place->target) return say(why, "no file can be created there: %s", strerror(errno));
    if (stat(path, &status) != 0) {
        if (errno != ENOENT) return say(why, "cannot be examined: %s", strerror(errno));
        if (place->target[strlen(place->target) - 1] == '/') return say(why, "is not the name of a file");
        return look_at_directory(place, why);
    }
    if (S_ISDIR(status.st_mode)) return say(why, "is a directory");
    if (S_ISBLK(status.st_mode) || S_ISSOCK(status.st_mode)) return say(why, "is neither a file nor a pipe");
    if (!S_ISREG(status.st_mode)) { /* it is opened when there is something to write: a pipe waits for its reader */
        free(place->target);
        place->target = NULL;
        if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) return say(why, "cannot be written: %s", strerror(errno));
        place->special = strdup(path);
        return place->special ? NULL : no_memory(place, why);
    }
    const char *wrong = look_at_file(place, path, &status, why);
    return wrong ? wrong : look_at_directory(place, why);
}

char *bn_place_name(const char *path) {
    char *directory = bn_directory_of(path), *name = directory ? bn_leftover_name(directory, path) : NULL;
    free(directory);
    return name;
}

/* Like the old file, as far as the user may: what its group could read must not become readable for another one. */
static int make_alike(const struct bn_place *place, int fd) {
    if (fchown(fd, place->owner, place->group) == 0 || fchown(fd, (uid_t)-1, place->group) == 0) return fchmod(fd, place->mode);
    return fchmod(fd, place->mode & ~(mode_t)S_IRWXG);
}

/* For as long as the old file is private, nobody else may have the new one open. */
static int create_file(const struct bn_place *place, const char *name) {
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, place->exists ? 0600 : 0666);
    if (fd < 0) return -1;
    (void)flock(fd, LOCK_EX | LOCK_NB); /* tells other runs that it is no leftover; without locks, its process does */
    if (!place->exists || make_alike(place, fd) == 0) return fd;
    const int error = errno;
    close(fd);
    unlink(name);
    errno = error;
    return -1;
}

const char *bn_place_create(struct bn_place *place, char *why) {
    enum { ATTEMPTS = 100 };
    if (place->fd >= 0) return NULL;
    if (place->special) {
        place->fd = open(place->special, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return place->fd >= 0 ? NULL : say(why, "cannot be written: %s", strerror(errno));
    }
    bn_leftovers_remove(place->target);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        char *name = bn_place_name(place->target);
        if (!name) return no_memory(place, why);
        place->fd = create_file(place, name);
        if (place->fd >= 0) {
            place->temporary = name;
            return NULL;
        }
        free(name);
        if (errno != EEXIST) break;
    }
    return say(why, "no file can be created there: %s", strerror(errno));
}

bool bn_place_write(int fd, const void *from, size_t bytes) {
    const size_t most = (size_t)1 << 30; /* which every system takes at once */
    for (const char *at = from; bytes > 0;) {
        const ssize_t written = write(fd, at, bytes < most ? bytes : most);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO; /* nothing was said */
        if (written <= 0) return false;
        at += written;
        bytes -= (size_t)written;
    }
    return true;
}

const char *bn_place_finish(struct bn_place *place, char *why) {
    if (place->fd < 0) return NULL;
    const bool synced = !place->temporary || fsync(place->fd) == 0; /* pipes cannot be synced */
    const int error = errno;
    if (place->temporary) place->held = fcntl(place->fd, F_DUPFD_CLOEXEC, 0);
    const int closed = close(place->fd);
    place->fd = -1;
    if (!synced) return say(why, "cannot be written: %s", strerror(error));
    return closed == 0 ? NULL : say(why, "cannot be written: %s", strerror(errno));
}

const char *bn_place_commit(struct bn_place *place, char *why) {
    if (!place->temporary) return NULL;
    if (rename(place->temporary, place->target) != 0) return say(why, "cannot be replaced: %s", strerror(errno));
    free(place->temporary);
    place->temporary = NULL;
    if (place->held >= 0) close(place->held);
    place->held = -1;
    bn_place_sync_directory(place->target);
    return NULL;
}

void bn_place_cancel(struct bn_place *place) {
    if (place->fd >= 0) close(place->fd);
    if (place->held >= 0) close(place->held);
    if (place->temporary) unlink(place->temporary);
    free(place->temporary);
    free(place->target);
    free(place->special);
    *place = (struct bn_place){.fd = -1, .held = -1};
}

static int open_directory_of(const char *path) {
    char *name = bn_directory_of(path);
    const int fd = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(name);
    return fd;
}

/* Which of those without a lock has the least directory, and one that is not locked yet; count: none. */
static size_t next_to_lock(const struct bn_place *const places[], size_t count, const struct bn_place *last) {
    size_t next = count;
    for (size_t i = 0; i < count; i++) {
        const struct bn_place *p = places[i], *n = next < count ? places[next] : NULL;
        const bool after = !last || p->device > last->device || (p->device == last->device && p->directory > last->directory);
        if (after && (!n || p->device < n->device || (p->device == n->device && p->directory < n->directory))) next = i;
    }
    return next;
}

const char *bn_place_lock(const struct bn_place *const places[], size_t count, int locks[], char *why) {
    for (size_t i = 0; i < count; i++) locks[i] = -1;
    const struct bn_place *last = NULL;
    for (size_t i; (i = next_to_lock(places, count, last)) < count; last = places[i]) {
        locks[i] = open_directory_of(places[i]->target);
        if (locks[i] < 0) return say(why, "its directory cannot be read, so that no other run can be kept from it");
        while (flock(locks[i], LOCK_EX) != 0 && errno == EINTR) continue;
    }
    return NULL;
}

void bn_place_sync_directory(const char *path) {
    const int fd = open_directory_of(path);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}
