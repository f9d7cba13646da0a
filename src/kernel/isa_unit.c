/* SPDX-License-Identifier: MIT */
/* One instruction set: compiled once for each with -DBNK_ISA=<name> and the flags of that set. Its one external symbol is the
 * table. */
#ifndef BNK_ISA
#error "define BNK_ISA as generic, avx2, avx512 or neon, and compile this file once for each (docs/building.md)"
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

#include "kernel/lanes.h"

/* clang-format off */
#define ELEM float
#define NUM float
#define VN bnk_vf
#define VM bnk_vmf
#define WN BNK_WF
#define TYPE(name) f32_##name
#define OF_NUM(name) name##_vf
#define FN(name) bnk_f32_##name
#include "kernel/verbs.inc"

#define ELEM double
#define NUM double
#define VN bnk_vd
#define VM bnk_vm
#define WN BNK_WD
#define TYPE(name) f64_##name
#define OF_NUM(name) name##_vd
#define FN(name) bnk_f64_##name
#include "kernel/verbs.inc"

#define ELEM uint16_t
#define NUM float
#define VN bnk_vf
#define VM bnk_vmf
#define WN BNK_WF
#define TYPE(name) bf16_##name
#define OF_NUM(name) name##_vf
#define FN(name) bnk_bf16_##name
#include "kernel/verbs.inc"

#define ELEM uint16_t
#define NUM float
#define VN bnk_vf
#define VM bnk_vmf
#define WN BNK_WF
#define TYPE(name) f16_##name
#define OF_NUM(name) name##_vf
#define FN(name) bnk_f16_##name
#include "kernel/verbs.inc"
/* clang-format on */

static void stream(const void *from, size_t bytes, void *to) {
    size_t lead = (0 - (uintptr_t)to) % BNK_LINE;
    if (lead > bytes) lead = bytes;
    memcpy(to, from, lead);
    const char *p = (const char *)from + lead;
    char *q = (char *)to + lead;
    size_t left = bytes - lead;
    for (; left >= BNK_BYTES; left -= BNK_BYTES, p += BNK_BYTES, q += BNK_BYTES) stream_bytes(q, p, BNK_BYTES);
    memcpy(q, p, left);
}

static void fence(void) {
#ifdef __SSE2__
    _mm_sfence();
#endif
}

#define BNK_VERBS(type, element, number)                                                                                       \
    {                                                                                                                          \
        .bytes = sizeof(element), .number_bytes = sizeof(number), .pivot = bnk_##type##_pivot,                                 \
        .moments_plane = bnk_##type##_moments_plane, .moments_rows = bnk_##type##_moments_rows,                                \
        .affine_plane = bnk_##type##_affine_plane, .affine_rows = bnk_##type##_affine_rows,                                    \
        .dots_plane = bnk_##type##_dots_plane, .dots_rows = bnk_##type##_dots_rows, .blend_plane = bnk_##type##_blend_plane,   \
        .blend_rows = bnk_##type##_blend_rows, .affine_moments = bnk_##type##_affine_moments,                                  \
        .blend_dots = bnk_##type##_blend_dots, .gather = bnk_##type##_gather, .scatter = bnk_##type##_scatter                  \
    }

#define BNK_PASTE(a, b) a##b
#define BNK_TABLE(isa) BNK_PASTE(bnk_table__, isa)
#define BNK_TEXT(x) #x
#define BNK_TEXT_OF(x) BNK_TEXT(x)

/* A table that promises an instruction set has it; one that runs everywhere needs nothing. */
#define BNK_IS_avx512 3
#define BNK_IS_avx2 2
#define BNK_IS_neon 1
#define BNK_IS_generic 0
#define BNK_IS(isa) BNK_PASTE(BNK_IS_, isa)
#if BNK_IS(BNK_ISA) == BNK_IS_avx512 &&                                                                                        \
    !(defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__F16C__))
#error "BNK_ISA=avx512 needs -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c"
#elif BNK_IS(BNK_ISA) == BNK_IS_avx2 && !(defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(__AVX512F__))
#error "BNK_ISA=avx2 needs -mavx2 -mfma -mf16c, and nothing beyond"
#elif BNK_IS(BNK_ISA) == BNK_IS_neon && !defined(__ARM_NEON)
#error "BNK_ISA=neon is for AArch64"
#endif

extern const struct bnk_table BNK_TABLE(BNK_ISA);
const struct bnk_table BNK_TABLE(BNK_ISA) = {.name = BNK_TEXT_OF(BNK_ISA),
                                             .verbs = {BNK_VERBS(f32, float, float), BNK_VERBS(f64, double, double),
                                                       BNK_VERBS(bf16, uint16_t, float), BNK_VERBS(f16, uint16_t, float)},
                                             .stream = stream,
                                             .fence = fence};
