/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "model/map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *bn_map_open(struct bn_map *map, const char *path, bool (*is_worth_reading)(const unsigned char *first), char *why) {
    *map = (struct bn_map){.source = {.fd = -1}};
    const char *wrong = bn_source_open(&map->source, path, is_worth_reading, why);
    if (wrong) return wrong;
    if (map->source.bytes > PTRDIFF_MAX) {
        snprintf(why, BN_SOURCE_BYTES, "is larger than the address space");
        return why;
    }
    map->bytes = (size_t)map->source.bytes;
    map->base = (const unsigned char *)map->source.memory;
    if (map->base || map->bytes == 0) return NULL;
    void *at = mmap(NULL, map->bytes, PROT_READ, MAP_PRIVATE, map->source.fd, 0);
    if (at == MAP_FAILED) {
        map->source.no_memory = errno == ENOMEM;
        snprintf(why, BN_SOURCE_BYTES, "cannot be mapped: %s", strerror(errno));
        return why;
    }
    map->base = at;
    map->is_mapped = true;
    return NULL;
}

void bn_map_forget(const struct bn_map *map, const unsigned char *from, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)from + page - 1) / page * page,
                    end = ((uintptr_t)from + bytes) / page * page;
    const bool is_mapped = map->is_mapped && from >= map->base && from < map->base + map->bytes;
    if (is_mapped && begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void bn_map_close(struct bn_map *map) {
    if (map->is_mapped) munmap((void *)(uintptr_t)map->base, map->bytes);
    bn_source_close(&map->source);
    *map = (struct bn_map){.source = {.fd = -1}};
}
