/* SPDX-License-Identifier: MIT */
/* One instruction set: compiled once for each with -DBNK_ISA=<name> and the flags of that set. Its one external symbol is the table. */
#if defined(BNK_BYTES)
/* a test asks for a width that this machine may not have */
#elif defined(__AVX512F__)
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
#define WN BNK_WF
#define LOAD_DOUBLE f32_load_double
#define LOAD f32_load
#define STORE f32_store
#define LOAD_NUM load_vf
#define SPLAT_NUM splat_vf
#define FN(verb) f32_##verb
#include "kernel/verbs.inc"

#define ELEM double
#define NUM double
#define VN bnk_vd
#define WN BNK_WD
#define LOAD_DOUBLE f64_load_double
#define LOAD f64_load
#define STORE f64_store
#define LOAD_NUM load_vd
#define SPLAT_NUM splat_vd
#define FN(verb) f64_##verb
#include "kernel/verbs.inc"

#define ELEM uint16_t
#define NUM float
#define VN bnk_vf
#define WN BNK_WF
#define LOAD_DOUBLE bf16_load_double
#define LOAD bf16_load
#define STORE bf16_store
#define LOAD_NUM load_vf
#define SPLAT_NUM splat_vf
#define FN(verb) bf16_##verb
#include "kernel/verbs.inc"

#define ELEM uint16_t
#define NUM float
#define VN bnk_vf
#define WN BNK_WF
#define LOAD_DOUBLE f16_load_double
#define LOAD f16_load
#define STORE f16_store
#define LOAD_NUM load_vf
#define SPLAT_NUM splat_vf
#define FN(verb) f16_##verb
#include "kernel/verbs.inc"
/* clang-format on */

#define BNK_VERBS(type, element, number)                                                                                       \
    {                                                                                                                          \
        sizeof(element), sizeof(number), type##_pivot, type##_moments_plane, type##_moments_rows, type##_affine_plane,         \
            type##_affine_rows, type##_dots_plane, type##_dots_rows, type##_blend_plane, type##_blend_rows, type##_gather,     \
            type##_scatter                                                                                                     \
    }

#define BNK_PASTE(a, b) a##b
#define BNK_TABLE(isa) BNK_PASTE(bnk_table__, isa)
#define BNK_TEXT(x) #x
#define BNK_TEXT_OF(x) BNK_TEXT(x)

extern const struct bnk_table BNK_TABLE(BNK_ISA);
const struct bnk_table BNK_TABLE(BNK_ISA) = {BNK_TEXT_OF(BNK_ISA),
                                             {BNK_VERBS(f32, float, float), BNK_VERBS(f64, double, double),
                                              BNK_VERBS(bf16, uint16_t, float), BNK_VERBS(f16, uint16_t, float)}};
