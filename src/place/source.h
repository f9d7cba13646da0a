/* SPDX-License-Identifier: MIT */
/* Where an input comes from. A file is read where it lies. What can be read only once (a pipe, a socket, the rest of an open
 * file) is taken into memory first, so that readers need not know. */
#ifndef BN_SOURCE_H
#define BN_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bn_source {
    int fd;       /* -1: none */
    char *memory; /* what a pipe gave; NULL: read from fd */
    uint64_t bytes;
    bool no_memory; /* what was wrong is that */
};

/* Each returns NULL, or what is wrong, which is in `why`: BN_SOURCE_BYTES long. */
enum { BN_SOURCE_BYTES = 128, BN_SOURCE_FIRST = 8 };

/* Opens a file, or reads a pipe to its end. is_worth_reading sees its first BN_SOURCE_FIRST bytes and may end that early: a
 * pipe need not have an end. Close it in any case. */
const char *bn_source_open(struct bn_source *source, const char *path, bool (*is_worth_reading)(const unsigned char *first),
                           char *why);

/* Reads exactly so many bytes, from any offset. */
const char *bn_source_read(const struct bn_source *source, uint64_t offset, void *to, size_t bytes, char *why);

void bn_source_close(struct bn_source *source);

#endif
