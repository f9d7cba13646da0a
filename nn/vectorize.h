/* SPDX-License-Identifier: MIT */
/* Loops over elements are compiled for several instruction sets where the compiler can do that, and the best is chosen when the
 * program starts. No product is fused with a sum, so that each element has the same bits in all of them. */
#ifndef NN_VECTORIZE_H
#define NN_VECTORIZE_H

#include <stddef.h>

/* Not under sanitizers: their start-up comes after the choice. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define NN_VECTORIZED __attribute__((target_clones("default", "avx2"), noinline))
#else
#define NN_VECTORIZED
#endif

/* Before a loop that may be made of vectors although the compiler cannot see it, or that calls a function which the C library
 * has for whole vectors: those are only used where a loop asks for it. (clang has no such functions, and warns.) */
#if defined(_OPENMP) && !defined(__clang__)
#define NN_SIMD _Pragma("omp simd")
#else
#define NN_SIMD
#endif

/* Elementwise work goes to threads in blocks of this many elements, whatever the number of threads: then a vector and the rest
 * after the last whole one are at the same places, and any number of threads gives the same bits. */
enum { NN_BLOCK = 4096 };

static inline size_t nn_blocks(size_t count) { return (count + NN_BLOCK - 1) / NN_BLOCK; }
static inline size_t nn_block_size(size_t count, size_t block) {
    return count - block * NN_BLOCK < NN_BLOCK ? count - block * NN_BLOCK : NN_BLOCK;
}

#endif
