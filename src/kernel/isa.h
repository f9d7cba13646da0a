/* SPDX-License-Identifier: MIT */
/* The instruction set that a file is compiled for: BNK_ISA is its name, BNK_BYTES the width of its vectors. Flags that do not
 * fit the name are errors here. */
#ifndef BNK_ISA_H
#define BNK_ISA_H

#ifndef BNK_ISA
#error "define BNK_ISA as generic, avx2, avx512 or neon, and compile table.c and verbs.c for each (docs/building.md)"
#endif
#ifdef __FAST_MATH__
#error "compile without -ffast-math: the order of additions is part of the result"
#endif
#if defined(__AVX512F__)
#define BNK_BYTES 64
#elif defined(__AVX2__)
#define BNK_BYTES 32
#else
#define BNK_BYTES 16
#endif

#define BNK_PASTE(a, b) a##b
#define BNK_PASTED(a, b) BNK_PASTE(a, b)

/* A table that promises an instruction set has it; one that runs everywhere needs nothing. */
#define BNK_IS_avx512 3
#define BNK_IS_avx2 2
#define BNK_IS_neon 1
#define BNK_IS_generic 0
#define BNK_IS BNK_PASTED(BNK_IS_, BNK_ISA)
#if BNK_IS == BNK_IS_avx512 &&                                                                                                 \
    !(defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__F16C__))
#error "BNK_ISA=avx512 needs -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c"
#elif BNK_IS == BNK_IS_avx2 && !(defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(__AVX512F__))
#error "BNK_ISA=avx2 needs -mavx2 -mfma -mf16c, and nothing beyond"
#elif BNK_IS == BNK_IS_neon && !defined(__ARM_NEON)
#error "BNK_ISA=neon is for AArch64"
#endif

/* The external symbols of an instruction set: bnk_table__avx2, and for each element type bnk_verbs__avx2_f32. */
#define BNK_TABLE BNK_PASTED(bnk_table__, BNK_ISA)
#define BNK_VERBS_OF(type) BNK_PASTED(BNK_PASTED(bnk_verbs__, BNK_ISA), BNK_PASTED(_, type))

#endif
