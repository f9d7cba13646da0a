/* SPDX-License-Identifier: MIT */
/* One instruction set: compiled once for each with -DBNK_ISA=<name> and the flags of that set. Its one external symbol is the
 * table. */
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

extern const struct bnk_table BNK_TABLE(BNK_ISA);
const struct bnk_table BNK_TABLE(BNK_ISA) = {.name = BNK_TEXT_OF(BNK_ISA),
                                             .verbs = {BNK_VERBS(f32, float, float), BNK_VERBS(f64, double, double),
                                                       BNK_VERBS(bf16, uint16_t, float), BNK_VERBS(f16, uint16_t, float)},
                                             .stream = stream,
                                             .fence = fence};
