/* SPDX-License-Identifier: MIT */
/* One array of tables, best first; the first that this machine runs is chosen once. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

/* The build defines BNK_HAVE_<ISA> for every object of table.c that it links. */
#if !defined BNK_HAVE_AVX512 && !defined BNK_HAVE_AVX2 && !defined BNK_HAVE_NEON && !defined BNK_HAVE_GENERIC
#error "define BNK_HAVE_GENERIC, and one for each instruction set that table.c and verbs.c are compiled for (docs/building.md)"
#endif
#ifdef BNK_HAVE_AVX512
extern const struct bnk_table bnk_table__avx512;
static bool runs_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif
#ifdef BNK_HAVE_AVX2
extern const struct bnk_table bnk_table__avx2;
/* Every AVX2 processor has F16C. */
static bool runs_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#ifdef BNK_HAVE_NEON
extern const struct bnk_table bnk_table__neon;
#endif
#ifdef BNK_HAVE_GENERIC
extern const struct bnk_table bnk_table__generic;
#endif
static bool runs_always(void) { return true; }

static const struct {
    const struct bnk_table *table;
    bool (*runs)(void);
} tables[] = {
#ifdef BNK_HAVE_AVX512
    {&bnk_table__avx512, runs_avx512},
#endif
#ifdef BNK_HAVE_AVX2
    {&bnk_table__avx2, runs_avx2},
#endif
#ifdef BNK_HAVE_NEON
    {&bnk_table__neon, runs_always},
#endif
#ifdef BNK_HAVE_GENERIC
    {&bnk_table__generic, runs_always},
#endif
};

const struct bnk_table *bnk_runnable(size_t index) {
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i].runs() && index-- == 0) return tables[i].table;
    return NULL;
}

static const struct bnk_table *choose(void) {
    const char *wanted = getenv("BATCHNORM_ISA");
    const struct bnk_table *best = bnk_runnable(0), *table;
    for (size_t i = 0; wanted && (table = bnk_runnable(i)) != NULL; i++)
        if (strcmp(table->name, wanted) == 0) return table;
    return best;
}

/* Two threads may choose at once; they choose the same. */
static _Atomic(const struct bnk_table *) chosen;

const struct bnk_table *bnk_table(void) {
    const struct bnk_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (!table) {
        table = choose();
        atomic_store_explicit(&chosen, table, memory_order_release);
    }
    return table;
}

void bnk_use(const struct bnk_table *table) { atomic_store_explicit(&chosen, table, memory_order_release); }
