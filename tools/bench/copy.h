/* SPDX-License-Identifier: MIT */
/* Copying memory: what batch normalization cannot beat, for it must read and write the same bytes. */
#ifndef TOOLS_BENCH_COPY_H
#define TOOLS_BENCH_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_READS = 3, BENCH_WRITES = 2 };

/* Read the first `reads` arrays and write something made of all of them to the first `writes` ones; each has `bytes` bytes and
 * lies on a multiple of 64. There are the pairs (reads, writes) (1, 0), (1, 1), (2, 1), (2, 2) and (3, 2). */
struct bench_streams {
    const unsigned char *in[BENCH_READS];
    unsigned char *out[BENCH_WRITES];
    int reads, writes;
    size_t bytes;
};

/* Do it on so many threads, each with one piece of every array. Non-temporal stores go past the caches. */
void bench_copy(const struct bench_streams *streams, int threads, bool non_temporal);

/* Whether non-temporal stores differ from others in this build. */
bool bench_copy_has_non_temporal(void);

/* The widest vectors of this machine, which copying uses. */
int bench_copy_vector_bytes(void);

/* Whether copies, and so this build, run on threads. */
bool bench_has_openmp(void);

/* What bench_copy_unit.c is for one instruction set: bytes [begin, end). The result is of no use, but depends on all that was
 * read, so that no compiler leaves the reading out. */
typedef uint64_t bench_mover(const struct bench_streams *streams, size_t begin, size_t end, bool non_temporal);

#endif
