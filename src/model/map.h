/* SPDX-License-Identifier: MIT */
/* A model file in memory. A file is mapped, so that only what is looked at is read; it must not shrink while it is open. What
 * can be read only once (a pipe) is taken into memory. */
#ifndef BN_MAP_H
#define BN_MAP_H

#include "place/source.h"

struct bn_map {
    struct bn_source source;
    const unsigned char *base; /* NULL for a file without a byte */
    size_t bytes;
    bool is_mapped;
};

/* Opens a file. Returns NULL, or what is wrong, which is in `why`: BN_SOURCE_BYTES long. Close it in any case. */
const char *bn_map_open(struct bn_map *map, const char *path, bool (*is_worth_reading)(const unsigned char *first), char *why);

/* Lets go of pages of a mapped file that are not needed for now, so that memory stays small. Other memory is left alone. */
void bn_map_forget(const struct bn_map *map, const unsigned char *from, size_t bytes);

void bn_map_close(struct bn_map *map);

#endif
