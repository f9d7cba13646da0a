/* SPDX-License-Identifier: MIT */
/* What decides between ways of doing the same work: the sizes of the caches. Nothing here changes a bit of a result. */
#ifndef BN_TUNING_H
#define BN_TUNING_H

#include <stddef.h>

enum bn_choice { BN_DECIDE, BN_NEVER, BN_ALWAYS };

/* Zeros: everything is decided. Tests force one way or the other, while no call is running. */
struct bn_tuning {
    size_t l2_bytes, llc_bytes; /* instead of the machine's */
    enum bn_choice stream;      /* write past the caches */
    enum bn_choice fuse;        /* the write of a block of channels with the reduction of the next */
    enum bn_choice by_blocks;   /* a block of channels from end to end, instead of sweeps over everything */
    size_t block;               /* channels of a block in planes */
    size_t items;               /* items of work that are wanted */
};

extern struct bn_tuning bn_tuning;

/* Bytes of the second-level cache of a core and of the last-level cache. Read from the system once; 1 MB and 16 MB where it
 * does not tell. */
size_t bn_l2_bytes(void);
size_t bn_llc_bytes(void);

#endif
