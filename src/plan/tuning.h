/* SPDX-License-Identifier: MIT */
/* What decides between ways of doing the same work: the sizes of the caches, and limits that were measured. Nothing here
 * changes a bit of a result. What does is cut from the shape and the strides alone, in view.c and rows.c, and is no limit.
 *
 * Three kinds of measured numbers are not here, because loops and arrays are made for them: BNK_ROWS_* and
 * BNK_FEW_COEFFICIENTS in kernel.h, BN_BLOCK_MAX and BN_STAGE_BYTES in sweep.h, and the tiles of plane.c. */
#ifndef BN_TUNING_H
#define BN_TUNING_H

#include <stddef.h>

/* Limits of one kind of processor. None is 0 but those that say so. */
struct bn_limits {
    const char *name;
    /* Items of work: the elements of one at least, so that handing it out costs nothing beside it; items for each thread, so
     * that no thread waits long for another; threads to prepare for where only the caller knows them; elements above which
     * it is worth while to wake threads. The coefficients of one channel count as so many elements for each of its pieces,
     * those of its gate as so many. */
    size_t item, items_per_thread, threads_unknown, worth_threads, fold_work, gate_work;
    /* Blocks: channels of one at most, and the eighths of the second-level cache that one of two may fill. Where a block has
     * shorter runs than so many bytes, work goes by sweeps; the first limit is that of rows of so many bytes in arrays that
     * exceed so many eighths of the last-level cache. It goes by sweeps, too, where a channel exceeds so many eighths of it. */
    size_t block, block_l2, run, run_else, run_row, run_llc, channel_llc;
    /* Sweeps: bytes of a run of channels in reductions of planes; channels of reductions of rows; elements of a piece that is
     * written, in planes and in rows; wide rows of a piece at least, to be made a page long. */
    size_t sweep_run, wide, plane_write, rows_write, wide_rows;
    /* Memory: eighths of the last-level cache that the arrays of a call have when they are written past it, and fetched in
     * rows; eighths of the second-level cache that they exceed when they are fetched in planes; bytes that are on their way at
     * a time, and the eighths of the second-level cache where a block exceeds that; bytes of rows that are streamed by tile;
     * bytes of a last-level cache at most, because of a large one a program has a part, and virtual machines tell that of the
     * whole host. */
    size_t stream_llc, fetch_l2, near, ahead_l2, tile_row, llc_most;
    /* How far ahead rows are fetched: so many times the rows that the kernel of the verb does together; 0: nothing is. */
    size_t fetch_moments, fetch_affine, fetch_dots, fetch_blend;
};
enum { BN_PARAMETERS = (sizeof(struct bn_limits) - sizeof(const char *)) / sizeof(size_t) };

/* The machine as decisions see it. Where the system does not tell, caches have 1 MB and 16 MB. */
struct bn_machine {
    size_t l2_bytes, llc_bytes; /* the second-level cache of a core, and the last-level cache */
    const struct bn_limits *limits;
};

enum bn_choice { BN_DECIDE, BN_NEVER, BN_ALWAYS };

/* Zeros: everything is decided. Tests force one way or the other, while no call is running. */
struct bn_tuning {
    size_t l2_bytes, llc_bytes;     /* instead of the machine's */
    const struct bn_limits *limits; /* instead of the machine's */
    enum bn_choice stream;          /* write past the caches */
    enum bn_choice fuse;            /* the write of a block of channels with the reduction of the next */
    enum bn_choice by_blocks;       /* a block of channels from end to end, instead of sweeps over everything */
    size_t block;                   /* channels of a block in planes */
    size_t items;                   /* items of work that are wanted */
};

extern struct bn_tuning bn_tuning;

/* The limits of kinds of processors, the default first; NULL after the last. */
const struct bn_limits *bn_limits_at(size_t index);

/* Uses other limits from now on, while no call is running; NULL: those of this processor, or the environment's. */
void bn_limits_use(const struct bn_limits *limits);

/* Returns the machine, of which the system is asked once, but for what bn_tuning has instead. */
struct bn_machine bn_machine(void);

#endif
