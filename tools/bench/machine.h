/* SPDX-License-Identifier: MIT */
/* The machine and the build: without them a time says nothing. */
#ifndef TOOLS_BENCH_MACHINE_H
#define TOOLS_BENCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

enum { BENCH_MOST_CACHES = 8, BENCH_FACT_BYTES = 128 };

/* A data or unified cache of the first processor. */
struct bench_cache {
    int level;
    size_t bytes;
    char processors[32]; /* that share it: "0", "0-7" */
};

/* Texts are printable ASCII. */
struct bench_machine {
    char cpu[BENCH_FACT_BYTES]; /* its name */
    long processors;            /* those that are online */
    struct bench_cache caches[BENCH_MOST_CACHES];
    size_t cache_count;              /* 0: the system does not say */
    char compiler[BENCH_FACT_BYTES]; /* "gcc 12.2.0" */
    const char *version, *isa;       /* of the library */
    int copy_vector_bytes;
    bool openmp;
};

void bench_machine_read(struct bench_machine *machine);

/* Bytes that can be allocated without driving anything out of memory; SIZE_MAX if the system does not say. */
size_t bench_machine_free_bytes(void);

/* "L1 32 KB, L2 1 MB, L3 32 MB (0-1)", with the processors that share one; "caches unknown" */
enum { BENCH_CACHES_TEXT_BYTES = BENCH_MOST_CACHES * 80 };
const char *bench_caches_text(const struct bench_machine *machine, char text[BENCH_CACHES_TEXT_BYTES]);

#endif
