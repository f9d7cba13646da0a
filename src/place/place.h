/* SPDX-License-Identifier: MIT */
/* Side room: where an output goes, and how it gets there whole. A file is written under a name of its own beside the one that
 * it replaces, and renamed when it is complete. What is no file of its own (a pipe, a device, /dev/stdout) is written to
 * directly. */
#ifndef BN_PLACE_H
#define BN_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct bn_place {
    char *target;    /* the path that the finished file gets, links followed; NULL: fd is the output itself */
    char *temporary; /* the name that it has until then; NULL: none */
    int fd;          /* to write to; -1: none */
    bool exists;     /* a file is there that will be replaced */
    mode_t mode;     /* of that file, and then of the new one; likewise: */
    uid_t owner;
    gid_t group;
    dev_t device; /* of the directory that target is in; likewise: */
    ino_t directory;
    int held;       /* the finished file, so that its lock stays until it is in place; -1: none */
    char *special;  /* the path of a pipe or a device, to be opened; NULL: it is none */
    bool no_memory; /* what was wrong is that */
};

/* Each returns NULL, or what is wrong, which is in `why`: BN_PLACE_BYTES long. */
enum { BN_PLACE_BYTES = 256 };

/* Looks, and touches nothing: whether path can be written by this user, and what will be replaced. In any case cancel it. */
const char *bn_place_find(struct bn_place *place, const char *path, char *why);

/* Opens the new file, after removing those that killed runs left of the same output. Nobody can guess its name; its mode is
 * that of the file that is there, or follows the umask. */
const char *bn_place_create(struct bn_place *place, char *why);

/* Writes all of them to an open file of any kind, whatever signals come. False: errno says why not. */
bool bn_place_write(int fd, const void *from, size_t bytes);

/* Everything is on the disk, and fd is closed. */
const char *bn_place_finish(struct bn_place *place, char *why);

/* The new file takes the place of the old one. */
const char *bn_place_commit(struct bn_place *place, char *why);

/* Removes what is not in place, closes and frees. Fine at any time after bn_place_find(). */
void bn_place_cancel(struct bn_place *place);

/* Another name beside path that nobody can guess, in allocated memory; NULL without it. */
char *bn_place_name(const char *path);
/* Whether both replace the same file. */
bool bn_place_same(const struct bn_place *a, const struct bn_place *b);

/* Locks the directories of several places, and waits for others who have locked them; each once, and in an order that is the
 * same for everybody, so that nobody waits for ever. locks: [count], closed by the caller where they are not -1. File systems
 * without locks are none of it. */
const char *bn_place_lock(const struct bn_place *const places[], size_t count, int locks[], char *why);

/* A power failure must not bring back what was in the directory of path. An error changes nothing that could be undone now. */
void bn_place_sync_directory(const char *path);

#endif
