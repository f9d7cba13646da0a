/* SPDX-License-Identifier: MIT */
#include "copy.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* The build defines BENCH_HAVE_<ISA> for every object of bench_copy_unit.c that it links. Widest first. */
#ifdef BENCH_HAVE_AVX512
bench_mover bench_move__avx512;
static bool runs_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif
#ifdef BENCH_HAVE_AVX2
bench_mover bench_move__avx2;
static bool runs_avx2(void) { return __builtin_cpu_supports("avx2"); }
#endif
#ifdef BENCH_HAVE_NEON
bench_mover bench_move__neon;
#endif
#ifdef BENCH_HAVE_GENERIC
bench_mover bench_move__generic;
#endif
static bool runs_always(void) { return true; }

static const struct unit {
    bench_mover *move;
    bool (*runs)(void);
    int vector_bytes;
} units[] = {
#ifdef BENCH_HAVE_AVX512
    {bench_move__avx512, runs_avx512, 64},
#endif
#ifdef BENCH_HAVE_AVX2
    {bench_move__avx2, runs_avx2, 32},
#endif
#ifdef BENCH_HAVE_NEON
    {bench_move__neon, runs_always, 16},
#endif
#ifdef BENCH_HAVE_GENERIC
    {bench_move__generic, runs_always, 16},
#endif
};

static const struct unit *widest(void) {
    const struct unit *unit = units;
    while (!unit->runs()) unit++;
    return unit;
}

int bench_copy_vector_bytes(void) { return widest()->vector_bytes; }

bool bench_copy_has_non_temporal(void) {
#if defined(__x86_64__) || defined(__SSE2__)
    return true;
#else
    return false;
#endif
}

bool bench_has_openmp(void) {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

/* A page, so that no two threads write to the same one, and every piece but the last consists of whole steps. */
enum { PIECE_BYTES = 4096 };

static void move_piece(const struct unit *unit, const struct bench_streams *streams, size_t part, size_t parts,
                       bool non_temporal) {
    const size_t pieces = streams->bytes / PIECE_BYTES, begin = pieces * part / parts, end = pieces * (part + 1) / parts;
    volatile uint64_t sink =
        unit->move(streams, begin * PIECE_BYTES, part + 1 < parts ? end * PIECE_BYTES : streams->bytes, non_temporal);
    (void)sink;
}

void bench_copy(const struct bench_streams *streams, int threads, bool non_temporal) {
    const struct unit *unit = widest();
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        move_piece(unit, streams, (size_t)omp_get_thread_num(), (size_t)omp_get_num_threads(), non_temporal);
        return;
    }
#endif
    (void)threads;
    move_piece(unit, streams, 0, 1, non_temporal);
}
